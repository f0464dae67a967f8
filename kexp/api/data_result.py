"""``kexp.data``: what the command does, from Python, and what the data of a spec hold as an object."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kexp.api import pages
from kexp.api.arguments import Overrides, SpecLike, names_of, overrides_of, path_of, spec_of
from kexp.api.caller_state import as_exceptions, unchanged
from kexp.api.frames import frame
from kexp.api.progress import shown
from kexp.plan.request import make_plan, spec_file

if TYPE_CHECKING:
    import pandas as pd

    from kexp.data_card.card import DataCard


@dataclass(frozen=True)
class DataResult:
    """What the data of a spec hold, and what is wrong with them, before training; ``card`` has everything."""

    card: DataCard

    @property
    def rows(self) -> pd.DataFrame:
        """A row per split and label, with the number of rows as they are read and as they are trained or measured on.

        Unlabelled rows have the label "".
        """
        counted = [
            {
                "split": split.split,
                "label": label,
                "read": split.read.get(label, 0),
                "used": split.trained.get(label, 0),
            }
            for split in self.card.splits
            for label in dict.fromkeys([*split.read, *split.trained])
        ]
        return frame(counted, ["split", "label", "read", "used"])

    @property
    def lengths(self) -> pd.DataFrame:
        """A row per split and unit, with the mean and percentiles of the lengths of texts, in characters and tokens."""
        rows = [
            {"split": one.split, "unit": one.unit, "rows": one.rows, "mean": one.mean}
            | {f"p{percent}": length for percent, length in one.percentiles.items()}
            for one in self.card.lengths
        ]
        return frame(rows, ["split", "unit", "rows", "mean"])

    @property
    def findings(self) -> pd.DataFrame:
        """A row per finding, with what is wrong, in how many rows, and what to do about it."""
        rows = [
            {"name": one.name, "finding": one.title, "count": one.count, "rows": one.rows, "share": one.share}
            | {"remedy": one.remedy, "handled": one.handled}
            for one in self.card.findings
        ]
        return frame(rows, ["name", "finding", "count", "rows", "share", "remedy", "handled"])

    @property
    def examples(self) -> pd.DataFrame:
        """A row per row of the data to look at, with the finding that names it."""
        rows = [
            {"finding": finding.name, "split": one.split, "row": one.row, "text": one.text, "label": one.label}
            | {"note": one.note}
            for finding in self.card.findings
            for one in finding.examples
        ]
        return frame(rows, ["finding", "split", "row", "text", "label", "note"])

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the card as a page and return its path."""
        from kexp.data_card.page import write_page

        with as_exceptions():
            file = path_of(path, "a file")
            write_page(file, self.card)
            return file

    def __repr__(self) -> str:
        """Return the rows of every label, the remarks and the findings."""
        found = [f"{one.title}" + (f"; {one.remedy}" if one.remedy else "") for one in self.card.findings]
        head = f"{self.card.name}, {self.card.variant}: {len(found)} finding{'' if len(found) == 1 else 's'}"
        return "\n".join([head, pages.plain(self.rows), *self.card.remarks, *found])

    def _repr_html_(self) -> str:
        title, shown = (
            f"{self.card.name}, {self.card.variant}",
            self.findings.drop(columns=["name", "share", "handled"]),
        )
        tables = map(pages.table, (self.rows, self.lengths, shown))
        return pages.page(title, pages.items(self.card.remarks), *tables)


def data(
    spec: SpecLike,
    *,
    overrides: Overrides = None,
    variants: str | Iterable[str] = (),
    allow_local_code: bool = False,
    progress: bool = True,
) -> DataResult:
    """Look at the data of a spec before training, as ``kexp data`` does: rows, lengths, and what is wrong with them.

    The arguments are those of ``kexp.run``; a run folder may be given too. Of several variants the card is that of the
    first. Raises ``SpecError`` with every mistake of the spec, and ``DataError`` for data that cannot be read.
    """
    with as_exceptions():
        given = spec_of(spec)
        plan, _ = make_plan(
            spec_file(given) if isinstance(given, Path) else given,
            assignments=overrides_of(overrides),
            variants=names_of(variants, "variants"),
            allow_local_code=allow_local_code,
        )
        with unchanged(), shown(progress) as display:
            from kexp.data_card.card import make_card

            return DataResult(make_card(plan.variants[0], display.phase))
