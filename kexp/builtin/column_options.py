"""Which columns of a table hold texts and labels: the options that datasets of tables share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from kexp.contracts import UNLABELLED, DatasetContext, DatasetOptions
from kexp.errors import DataError, Problem
from kexp.names import plain_name

if TYPE_CHECKING:
    from datasets import Dataset

_LEFT_OUT = 'rows with the label "{}" left out'

LABEL_NAMES = Field(
    None, min_length=2, description="Label as it stands in the data = name of the class; the order gives the label ids."
)


class ColumnOptions(DatasetOptions):
    """Which columns hold what; shared by datasets that read tables."""

    text: str | tuple[str, ...] = Field("text", description="Text column, or several that are joined.")
    join_with: str = Field(" ", description="What stands between joined text columns.")
    text_pair: str | None = Field(None, description="Column of the second text of a pair.")
    label: str = Field("label", description="Label column: strings or integers.")
    group: str | None = Field(None, description="Column whose equal values must not be divided between splits.")
    augmented: str | None = Field(None, description="Column of augmented texts, used where rows are unlabelled.")
    label_names: dict[str, str] | None = LABEL_NAMES
    leave_out: tuple[str, ...] = Field(
        (), description='Labels whose rows are left out, and counted; "" is a missing label.'
    )

    @field_validator("text", "text_pair", "label", "group", "augmented")
    @classmethod
    def _plain(cls, names: Any) -> Any:
        """Compose names (NFC): a Mac writes them decomposed."""
        return tuple(map(plain_name, names)) if isinstance(names, tuple) else names and plain_name(names)

    @field_validator("leave_out", "label_names")
    @classmethod
    def _plain_labels(cls, labels: Any) -> Any:
        """Spell labels as they are read."""
        from kexp.files import label_of

        if not isinstance(labels, dict):
            return labels and tuple(map(label_of, labels))
        plain = {label_of(label): plain_name(name) for label, name in labels.items()}
        if len(plain) < len(labels):
            raise ValueError("two labels are the same but for invisible characters, composition (NFC) or 1.0 for 1")
        return plain

    def problems(self) -> Iterable[Problem]:
        """Yield columns that are used twice, and two labels of one name."""
        if not self.text_columns:
            yield Problem("text", "no column is named", 'for example text = ["title", "body"]')
        texts = [*self.text_columns, self.text_pair, self.augmented]
        for name in dict.fromkeys(name for name in texts if name is not None):
            if texts.count(name) > 1 or name == self.label:
                other = "label" if name == self.label else "another text column"
                yield Problem("text", f'the column "{name}" is {other} too', "name another column")
        names = list((self.label_names or {}).values())
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Problem("label_names", f'two labels have the name "{name}"', "give every label a name of its own")

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The text columns as a tuple."""
        return (self.text,) if isinstance(self.text, str) else self.text

    def joint(self) -> str:
        """Return ``join_with`` if several text columns are joined."""
        return self.join_with if len(self.text_columns) > 1 else ""

    def label_count(self) -> int | None:
        """Count the label names that are given."""
        return None if self.label_names is None else len(self.label_names)

    def columns_of(self, found: Sequence[str], *, labelled: bool) -> list[str]:
        """Return the names of the columns that are read, of a source that has the columns ``found``."""
        from kexp.files.columns import has_column

        others = [column for column in self._others().values() if column is not None]
        if labelled and self.augmented is not None and not has_column(found, self.augmented):
            # Views are used where rows are unlabelled: a file of labelled rows need not have them.
            others.remove(self.augmented)
        return list(dict.fromkeys([*self.text_columns, *others, *[self.label] * labelled]))

    def _others(self) -> dict[str, str | None]:
        return {"text_pair": self.text_pair, "group": self.group, "augmented": self.augmented}

    def select(
        self,
        values: Mapping[str, Sequence[Any]],
        source: Path | str,
        context: DatasetContext,
        split: str,
        label_names: Mapping[str, str] | None = None,
    ) -> Dataset:
        """Turn the values of columns into a dataset of the columns that kexp reads.

        ``label_names`` are those of the source. Raises ``DataError`` with the source, the column and the row.
        """
        from kexp.files import label_of, text_of, to_dataset
        from kexp.files.cells import changed_labels, column_of

        names = self.label_names or label_names
        count = len(next(iter(values.values())))
        kept: Sequence[int] = range(count)
        labels = []
        if split != UNLABELLED:
            context.read.setdefault(split, Counter()).update(changed_labels(values[self.label]))
            labels = column_of(values[self.label], label_of, source, self.label)
            kept = self._kept(labels, names or {}, context)
            if len(kept) < count:
                context.rows[split] = [row + 1 for row in kept]
            if not kept:
                raise DataError(f"{source}: every row has a label of leave_out ({', '.join(self.leave_out)})")

        def column(name: str) -> list[str]:
            cells = values[name]
            numbers = [row + 1 for row in kept]
            return column_of([cells[row] for row in kept], text_of, source, name, numbers)

        chosen = {"text": list(map(self.join_with.join, zip(*map(column, self.text_columns), strict=True)))}
        chosen |= {
            name: column(other) for name, other in self._others().items() if other is not None and other in values
        }
        if split != UNLABELLED:
            chosen["label"] = [labels[row] for row in kept]
        numbers = [row + 1 for row in kept]
        return to_dataset(chosen, source, names, numbers, keep_unlabelled=context.keep_unlabelled)

    def _kept(self, labels: Sequence[str], names: Mapping[str, str], context: DatasetContext) -> Sequence[int]:
        """Return the rows whose label is not left out, and count the others."""
        if not self.leave_out:
            return range(len(labels))
        out = {label: label if label in self.leave_out else names.get(label, label) for label in set(labels)}
        gone = [label for label in labels if out[label] in self.leave_out]
        context.counts.update(_LEFT_OUT.format(label) for label in map(out.get, gone))
        return [row for row, label in enumerate(labels) if out[label] not in self.leave_out]

    def _warn_of_labels_not_found(self, context: DatasetContext) -> None:
        """Warn of labels that are to be left out and that no row has."""
        absent = [label for label in self.leave_out if not context.counts[_LEFT_OUT.format(label)]]
        if absent:
            listed = ", ".join(f'"{label}"' for label in absent)
            context.warnings.append(f"dataset.leave_out: no row has the label {listed}")
