"""Which columns of a table hold texts and labels: the options that datasets of tables share."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from kexp.contracts import UNLABELLED, DatasetContext, DatasetOptions
from kexp.errors import DataError, Problem
from kexp.names import plain_name

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

    from kexp.files.tables import Columns

_LEFT_OUT = 'rows with the label "{}" left out'

MULTI_LABEL = "multi-label"
"""Name of the task of rows with several labels each."""

LABEL_NAMES = Field(
    None, min_length=2, description="Label as it stands in the data = name of the class; the order gives the label ids."
)


class ColumnOptions(DatasetOptions):
    """Which columns hold what; shared by datasets that read tables."""

    text: str | tuple[str, ...] = Field("text", description="Text column, or several that are joined.")
    join_with: str = Field(" ", description="What stands between joined text columns.")
    text_pair: str | None = Field(None, description="Column of the second text of a pair.")
    label: str | tuple[str, ...] = Field(
        "label",
        description="Label column: strings, integers, or lists of them. A list names columns of 0 and 1, a label each.",
    )
    label_separator: str | None = Field(
        None, min_length=1, description="Stands between the labels in a cell of several, as in a,b."
    )
    blank_label: Literal["missing", "none"] = Field(
        "missing",
        description="What a blank cell means where rows have several labels: a missing label, or no label at all.",
    )
    group: str | None = Field(None, description="Column whose equal values must not be divided between splits.")
    augmented: str | None = Field(None, description="Column of augmented texts, used where rows are unlabelled.")
    label_names: dict[str, str] | None = LABEL_NAMES
    leave_out: tuple[str, ...] = Field(
        (),
        description='Labels whose rows are left out, and counted, alone or among several; "" is a missing label.',
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
            if texts.count(name) > 1 or name in self.label_columns:
                other = "label" if name in self.label_columns else "another text column"
                yield Problem("text", f'the column "{name}" is {other} too', "name another column")
        yield from self._label_problems()
        names = list((self.label_names or {}).values())
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Problem("label_names", f'two labels have the name "{name}"', "give every label a name of its own")

    def _label_problems(self) -> Iterable[Problem]:
        """Yield options of labels that clash."""
        if not self.label_columns:
            yield Problem("label", "no column is named", 'for example label = ["hate", "profanity"]')
        for name in sorted({name for name in self.label_columns if self.label_columns.count(name) > 1}):
            yield Problem("label", f'the column "{name}" is named twice', "name every column once")
        if isinstance(self.label, str):
            return
        if self.label_separator is not None:
            yield Problem("label_separator", "each label has a column of its own", "leave it out, or name one column")
        if self.blank_label != "missing":
            yield Problem("blank_label", "columns of labels have 0 or 1 in every cell", "leave it out")
        for name in (name for name in self.label_names or () if name not in self.label_columns):
            yield Problem("label_names", f'"{name}" is none of the label columns', "give names of columns")
        names = list(self._names_of_columns().values())
        for name in sorted({name for name in self.label_columns if names.count(name) > 1}):
            yield Problem("label_names", f'"{name}" is the name of a column too', "give every label a name of its own")

    def _names_of_columns(self) -> dict[str, str]:
        """Return the name of the label of each label column, those of ``label_names`` first."""
        given = self.label_names or {}
        return {**given, **{column: column for column in self.label_columns if column not in given}}

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The label columns as a tuple."""
        return (self.label,) if isinstance(self.label, str) else self.label

    def shown_task(self) -> tuple[str, str] | None:
        """Return the task of several labels per row where the options say so, or the first rows that are looked at."""
        if not isinstance(self.label, str):
            return MULTI_LABEL, "label names several columns"
        if self.label_separator is not None:
            return MULTI_LABEL, "label_separator is set"
        found = self._list_in_first_rows(self.label)
        return None if found is None else (MULTI_LABEL, f'the column "{self.label}" holds lists ({found})')

    def _list_in_first_rows(self, column: str) -> str | None:
        """Return a list that is in the label column of the first rows, shown; None where there is none."""
        return None

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The text columns as a tuple."""
        return (self.text,) if isinstance(self.text, str) else self.text

    def joint(self) -> str:
        """Return ``join_with`` if several text columns are joined."""
        return self.join_with if len(self.text_columns) > 1 else ""

    def label_count(self) -> int | None:
        """Count the label names that are given."""
        if not isinstance(self.label, str):
            return len(self.label_columns)
        return None if self.label_names is None else len(self.label_names)

    def columns_of(self, found: Sequence[str], *, labelled: bool) -> list[str]:
        """Return the names of the columns that are read, of a source that has the columns ``found``."""
        from kexp.files.columns import has_column

        others = [column for column in self._others().values() if column is not None]
        if labelled and self.augmented is not None and not has_column(found, self.augmented):
            # Views are used where rows are unlabelled: a file of labelled rows need not have them.
            others.remove(self.augmented)
        return list(dict.fromkeys([*self.text_columns, *others, *(self.label_columns if labelled else ())]))

    def _others(self) -> dict[str, str | None]:
        return {"text_pair": self.text_pair, "group": self.group, "augmented": self.augmented}

    def select(
        self,
        chunks: Iterable[Columns],
        source: Path | str,
        context: DatasetContext,
        split: str,
        label_names: Mapping[str, str] | None = None,
    ) -> Dataset:
        """Turn columns, which come a stretch of rows at a time, into a dataset of the columns that kexp reads.

        ``label_names`` are those of the source. Raises ``DataError`` with the source, the column and the row.
        """
        import pyarrow as pa

        from kexp.files.columns import dataset_of, dataset_of_sets

        names = (self.label_names or label_names) if isinstance(self.label, str) else self._names_of_columns()
        count, numbers, tables = 0, array("q"), []
        for values in chunks:
            rows = range(count + 1, count + 1 + len(next(iter(values.values()))))
            table, kept = self._selected(values, rows, source, context, split, names or {})
            count += len(rows)
            numbers.extend(kept)
            tables.append(table)
        if split != UNLABELLED and not numbers:
            raise DataError(f"{source}: every row has a label of leave_out ({', '.join(self.leave_out)})")
        if len(numbers) < count:
            context.rows[split] = numbers
        table, keep = pa.concat_tables(tables), context.keep_unlabelled
        if names is None or split == UNLABELLED or not context.several:
            return dataset_of(table, source, names, numbers, keep_unlabelled=keep)
        ordered = list(dict.fromkeys(names.values()))
        return dataset_of_sets(table, source, ordered, context.names_in, numbers, keep_unlabelled=keep)

    def _selected(
        self,
        values: Columns,
        rows: range,
        source: Path | str,
        context: DatasetContext,
        split: str,
        names: Mapping[str, str],
    ) -> tuple[pa.Table, Sequence[int]]:
        """Return the columns that kexp reads of some rows, without those that are left out, and the rows' numbers."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from kexp.files import text_of
        from kexp.files.cells import changed_labels, texts_in_arrow

        labels, places = None, None
        kept: Sequence[int] = rows
        if split != UNLABELLED:
            changed = changed_labels(values[self.label]) if isinstance(self.label, str) else Counter[str]()
            context.read.setdefault(split, Counter()).update(changed)
            labels = self._labels(values, rows, source, context, names)
            if gone := self._left_out(labels, names, context):
                places = np.flatnonzero(~np.isin(labels.to_pylist(), gone))
                labels, kept = labels.take(pa.array(places)), [rows[place] for place in places]

        def column(name: str) -> pa.Array:
            cells = values[name]
            if places is not None:
                cells = [cells[place] for place in places] if isinstance(cells, list) else cells.take(pa.array(places))
            return texts_in_arrow(cells, text_of, source, name, kept)

        texts = [column(name) for name in self.text_columns]
        between = pa.scalar(self.join_with, pa.large_string())
        joined = texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, between)
        chosen = {"text": joined} | {
            name: column(other) for name, other in self._others().items() if other is not None and other in values
        }
        return pa.table(chosen if labels is None else {**chosen, "label": labels}), kept

    def _labels(
        self, values: Columns, rows: range, source: Path | str, context: DatasetContext, names: Mapping[str, str]
    ) -> pa.Array:
        """Return the labels of some rows; those of several names are renamed already."""
        from kexp.builtin.label_cells import labels_of_columns, renamed, sets_in_arrow, split_at
        from kexp.files.cells import texts_in_arrow

        if not isinstance(self.label, str):
            sets = labels_of_columns(values, self.label, names, source, rows)
            return texts_in_arrow(sets, context.label_of, source, ", ".join(self.label), rows)
        cells = values[self.label]
        if not context.several and self.label_separator is None:
            return texts_in_arrow(cells, context.label_of, source, self.label, rows)
        blank: list[str] | None = [] if self.blank_label == "none" else None
        rename, place = renamed(names, self.leave_out), (source, self.label, rows)
        return sets_in_arrow(cells, split_at(self.label_separator), rename, context, blank=blank, place=place)

    def _left_out(self, labels: pa.Array, names: Mapping[str, str], context: DatasetContext) -> list[str]:
        """Return the labels among these whose rows are left out, and count the rows."""
        gone = []
        found = labels.value_counts().to_pylist() if self.leave_out else []
        wanted = self._sets_left_out(names, context) if found and context.several else {}
        for label, rows in ((of["values"], of["counts"]) for of in found):
            if context.several:
                named = next((wanted[of] for of in (label, *context.names_in(label)) if of in wanted), None)
            else:
                named = label if label in self.leave_out else names.get(label, label)
            if named in self.leave_out:
                gone.append(label)
                context.counts[_LEFT_OUT.format(named)] += rows
        return gone

    def _sets_left_out(self, names: Mapping[str, str], context: DatasetContext) -> dict[str, str]:
        """Return by label what of ``leave_out`` means it: a name, alone or among others, or exactly a set of several.

        Names may stand there as in the data, or renamed.
        """
        wanted = {}
        for left in self.leave_out:
            parts = [names.get(name, name) for name in context.names_in(left)]
            wanted[context.label_of(parts if left else None)] = left
        return wanted

    def _warn_of_labels_not_found(self, context: DatasetContext) -> None:
        """Warn of labels that are to be left out and that no row has."""
        absent = [label for label in self.leave_out if not context.counts[_LEFT_OUT.format(label)]]
        if absent:
            listed = ", ".join(f'"{label}"' for label in absent)
            context.warnings.append(f"dataset.leave_out: no row has the label {listed}")
