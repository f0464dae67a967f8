"""``kexp.compare``: what the command does, from Python, and a comparison as an object."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.api import pages
from kexp.api.arguments import path_of
from kexp.api.caller_state import as_exceptions, kept_filters
from kexp.api.frames import frame, shown_frame, table_frame, tests_frame
from kexp.report.export import as_latex, as_markdown, notes, spec_notes

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """Finished runs of any experiments on the same rows, as ``kexp.compare`` has found them."""

    found: Mapping[str, Any] = field(repr=False)
    """The object of ``kexp compare --json``."""

    @property
    def table(self) -> pd.DataFrame:
        """A row per model, then per baseline, with the means and intervals of the metrics that all of them have."""
        return table_frame(self.found, self.found["split"])

    @property
    def tests(self) -> pd.DataFrame:
        """A row per two models and metric: their difference with its interval, the p-value, and the sentence."""
        return tests_frame(self.found["tests"])

    @property
    def differences(self) -> pd.DataFrame:
        """A row per key in which the spec of a model differs from that of the first one."""
        rows = [
            {"model": model, "key": key, "first": before, "other": after}
            for model, keys in self.found["differences"].items()
            for key, (before, after) in keys.items()
        ]
        return frame(rows, ["model", "key", "first", "other"])

    @property
    def findings(self) -> list[str]:
        """How the specs differ, what is stated about every two models, and remarks."""
        return notes(self.found)

    def to_markdown(self) -> str:
        """Return table and findings in GitHub's Markdown."""
        return as_markdown(self.found)

    def to_latex(self) -> str:
        """Return the table for LaTeX, for the package booktabs."""
        return as_latex(self.found)

    def __repr__(self) -> str:
        """Return the table and the findings."""
        return "\n".join([pages.plain(self._shown), *self.findings])

    def _repr_html_(self) -> str:
        changed = [f"{pair}: {line}" for pair, lines in spec_notes(self.found) for line in lines]
        said = [line for line in self.findings if line not in changed]
        return pages.page(
            f"comparison on {self.found['split']}", pages.table(self._shown), pages.items([*said, *changed])
        )

    @property
    def _shown(self) -> pd.DataFrame:
        return shown_frame(self.found, len(self.found["models"]))


def compare(
    *runs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], split: str = "test", metric: str | None = None
) -> Comparison:
    """Compare finished runs on the same rows, as ``kexp compare`` does.

    ``runs`` are results of ``kexp.run`` or folders: a run folder, or ``VARIANT`` or ``VARIANT/seed-N`` in one.
    ``split`` is test or validation; ``metric`` is one of the metrics, or train_seconds, peak_memory_mib and the like.
    Raises ``KexpError`` for other folders, for those without a finished run, and where the rows differ.
    """
    with as_exceptions(), kept_filters():
        from kexp.errors import KexpError
        from kexp.results.compare import compare as compare_runs

        given = [one for run in runs for one in ([run] if isinstance(run, str | os.PathLike) else _several(run))]
        if not given:
            raise KexpError("kexp.compare: expected results of kexp.run or run folders")
        paths: list[Path] = [path_of(one, "a run folder") for one in given]
        return Comparison(compare_runs(paths, split=split, metric=metric))


def _several(runs: Any) -> list[Any]:
    return list(runs) if isinstance(runs, Iterable) else [runs]
