"""How the files of a corpus lie, and what their label cells say: a class, a set of names, or a number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.errors import DataError
from kexp.files import label_of, text_of
from kexp.files.cells import column_of, is_missing, plain_label, same_label

if TYPE_CHECKING:
    from datasets import Dataset

BY_SA = "CC BY-SA 4.0: name the authors, and pass changed data on under the same licence"
SCORES = (0.0, 5.0)
"""How alike two sentences can be."""


def named_alike(*labels: str) -> dict[str, str]:
    """Return labels whose classes have the names that stand in the files."""
    return {label: label for label in labels}


@dataclass(frozen=True, slots=True)
class Shape:
    """How a file lies and what of it is read.

    ``layout`` has the options of ``kexp.files.Layout``; without it a line is a text, which its label follows behind the
    last ``|``, if rows have labels. Several text columns are joined by a space; a name may be a dotted path.

    Rows have a label if ``label`` or ``flags`` is given. ``labels`` maps labels of the file to the names of classes.
    With ``separator``, a cell holds several labels with it between them, which are names as they stand where ``labels``
    is empty; ``one_class`` says that the names of these are all one, which is the class of the row. ``flags`` maps
    columns of 1 and 0 to the names that 1 gives the row. With ``score``, a label is a number from its first to its
    second value.

    ``drop_incomplete`` leaves out rows that lack a cell, as some authors' own loaders do; ``drop_unlabelled`` leaves
    out rows that the authors gave no label of this kind.
    """

    text: tuple[str, ...]
    text_pair: str = ""
    label: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    layout: Mapping[str, Any] | None = None
    drop_incomplete: bool = False
    drop_unlabelled: bool = False
    separator: str = ""
    one_class: bool = False
    flags: Mapping[str, str] = field(default_factory=dict)
    score: tuple[float, float] | None = None

    @property
    def label_columns(self) -> list[str]:
        """The columns that labels are read from."""
        return [*filter(None, (self.label,)), *self.flags]

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return [*self.text, *filter(None, (self.text_pair,)), *self.label_columns]

    @property
    def names(self) -> list[str]:
        """The names of labels in their published order; none where rows have numbers, or names of the file alone."""
        return list(dict.fromkeys([*self.labels.values(), *self.flags.values()]))

    @property
    def classes(self) -> Mapping[str, str] | None:
        """The names of classes by themselves; None where rows have a set of names or a number."""
        several = self.flags or (self.separator and not self.one_class)
        return None if self.score or several else {name: name for name in self.names}

    def task(self) -> tuple[str, str] | None:
        """Return the task that the labels are for, and why; None for classes."""
        if self.score:
            low, high = self.score
            return "regression", f"{self.label} is a number from {low:g} to {high:g}"
        if self.flags:
            first, *_, last = self.flags
            return "multi-label", f"the columns {first} to {last} are labels, of which a row may have several"
        if self.separator and not self.one_class:
            return "multi-label", f'a cell of {self.label} holds several labels, with "{self.separator}" between them'
        return None

    def label_count(self) -> int | None:
        """Return the number of names; None where rows have numbers, or names that are not known before reading."""
        return len(self.names) or None


def read_labels(
    shape: Shape, values: Mapping[str, Sequence[Any]], numbers: Sequence[int], path: Path, homepage: str
) -> list[Any]:
    """Return the label of each row: the name of its class, a list of names, or a number.

    Raises ``DataError`` for a label that the corpus does not have, with file, row and where to get the file.
    """
    reader = _Reader(shape, numbers, path, homepage)
    if shape.score:
        return reader.scores(values[shape.label], *shape.score)
    if shape.flags:
        return reader.flagged(values)
    if shape.separator:
        return reader.sets(values[shape.label])
    return reader.classes(values[shape.label])


def labelled(texts: Mapping[str, Sequence[str]], labels: Sequence[Any], shape: Shape) -> Dataset:
    """Return rows whose labels are lists of names, in the published order where it is known, or numbers."""
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets import Sequence as ListOf

    kind: Any = Value("float64") if shape.score else ListOf(Value("string"))
    if not shape.score and (names := shape.names):
        kind, ids = ListOf(ClassLabel(names=names)), {name: number for number, name in enumerate(names)}
        labels = [[ids[name] for name in own] for own in labels]
    features = Features({**{name: Value("string") for name in texts}, "label": kind})
    made: Dataset = Dataset.from_dict({**texts, "label": labels}, features=features)
    return made


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads label cells of one file; ``numbers`` are those of its rows."""

    shape: Shape
    numbers: Sequence[int]
    path: Path
    homepage: str

    def classes(self, cells: Sequence[Any]) -> list[Any]:
        """Return the class of each cell."""
        names = self.shape.labels
        labels = column_of(cells, label_of, self.path, self.shape.label, self.numbers)
        known = {label: same_label(label, names) for label in set(labels)}
        strange = [row for row, label in enumerate(labels) if known[label] not in names]
        self._refuse(strange, labels, self.shape.label, f"it is {_any_of(names)}")
        return [names[known[label]] for label in labels]

    def flagged(self, values: Mapping[str, Sequence[Any]]) -> list[Any]:
        """Return the names of the columns of 0 and 1 in which a row has 1."""
        found: list[list[str]] = [[] for _ in self.numbers]
        for column, name in self.shape.flags.items():
            flags = column_of(values[column], label_of, self.path, column, self.numbers)
            known = {flag: same_label(flag, ("0", "1")) for flag in set(flags)}
            strange = [row for row, flag in enumerate(flags) if known[flag] not in ("0", "1")]
            self._refuse(strange, flags, column, "it is 0 or 1")
            for names, flag in zip(found, flags, strict=True):
                names.extend([name] * (known[flag] == "1"))
        return found

    def sets(self, cells: Sequence[Any]) -> list[Any]:
        """Return the names of the labels in each cell; with ``one_class``, the one that they have."""
        shape = self.shape
        texts = column_of(cells, text_of, self.path, shape.label, self.numbers)
        held = [[plain_label(label) for label in text.split(shape.separator)] for text in texts]
        names = shape.labels or {label: label for labels in held for label in labels if label}
        strange = [row for row, labels in enumerate(held) if not names.keys() >= set(labels)]
        expected = _any_of(shape.labels) if shape.labels else "a name"
        several = f'it is {expected}, or several of them with "{shape.separator}" between'
        self._refuse(strange, texts, shape.label, several)
        found = [list(dict.fromkeys(names[label] for label in labels)) for labels in held]
        if not shape.one_class:
            return found
        both = [row for row, own in enumerate(found) if len(own) > 1]
        self._refuse(both, texts, shape.label, f"a row is {_any_of(set(names.values()))}, not both")
        return [own[0] for own in found]

    def scores(self, cells: Sequence[Any], low: float, high: float) -> list[Any]:
        """Return the number of each cell."""
        found = [_number(cell) for cell in cells]
        strange = [row for row, number in enumerate(found) if not low <= number <= high]
        self._refuse(strange, cells, self.shape.label, f"it is a number from {low:g} to {high:g}")
        return found

    def _refuse(self, rows: Sequence[int], cells: Sequence[Any], column: str, expected: str) -> None:
        if not rows:
            return
        place = "line" if self.shape.layout is None else "data row"
        shown = "" if is_missing(cells[rows[0]]) else cells[rows[0]]
        raise DataError(
            f"{self.path}: {place} {self.numbers[rows[0]]}: {column} {shown!r}, where {expected} "
            f"({len(rows)} such rows); correct them, or get the file again from {self.homepage}"
        )


def _number(cell: Any) -> float:
    """Return a cell as a number; not a number for what is none."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return math.nan
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _any_of(names: Iterable[str]) -> str:
    """Return names as a list in words; the first and the last of many."""
    first, *others = names
    return listed([first, *others], "or") if len(others) < 10 else f"{first} to {others[-1]}"


def listed(names: Sequence[str], word: str = "and") -> str:
    """Return names as a list in words."""
    *others, last = names
    return f"{', '.join(others)} {word} {last}" if others else last
