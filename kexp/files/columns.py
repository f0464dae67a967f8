"""Columns of tables: their names, values inside of tables in a cell, and what becomes a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.errors import DataError
from kexp.files.cells import column_of, described, is_missing, label_of, same_label
from kexp.files.first_bytes import KEYS, Remedies
from kexp.names import alike, plain_name, with_code_points

if TYPE_CHECKING:
    from datasets import Dataset


def cell(row: Mapping[str, Any], name: str) -> Any:
    """Return the cell of a column, or the value at a dotted path in it; None where there is none."""
    if name in row:
        return row[name]
    keys = name.split(".")
    for count in range(len(keys) - 1, 0, -1):
        # A key may have a dot in it.
        head, rest = ".".join(keys[:count]), ".".join(keys[count:])
        if isinstance(held := row.get(head), Mapping):
            value = cell(held, rest)
            if value is None:
                value = cell({plain_name(str(key)): item for key, item in held.items()}, rest)
            if value is not None:
                return value
    return None


def obstacle(row: Mapping[str, Any], name: str) -> str:
    """Return in words what stands in the way of a dotted path, if a value on it is there and is no table."""
    keys = name.split(".")
    for count in range(1, len(keys)):
        head = ".".join(keys[:count])
        value = cell(row, head)
        if not is_missing(value) and not isinstance(value, Mapping):
            return f"{head!r} holds {described(value)}, expected a table"
    return ""


def has_column(columns: Sequence[str], name: str) -> bool:
    """Return whether a table has a column, or may have the dotted path in one."""
    return name in columns or any(name.startswith(f"{column}.") for column in columns)


def need_columns(
    path: Path | str, found: Iterable[str], wanted: Iterable[str], remedy: str = "", remedies: Remedies = KEYS
) -> None:
    """Refuse a table that lacks a column, and say which it has."""
    names = list(map(str, found))
    missing = [name for name in wanted if not has_column(names, name)]
    if not missing:
        return
    known = ", ".join(names)
    finding = f"{path}: no column {', '.join(map(repr, missing))}; the columns are {known}"
    if len(names) == 1 and (other := next((mark for mark in ("\t", ",", ";", "|") if mark in names[0]), None)):
        finding = f"{path}: no column {', '.join(map(repr, missing))}; the only column is {names[0]!r}"
        change = remedies.separator.format(_ESCAPES.get(other, other))
        remedy = f"if {_MARKS.get(other, other)} is between the cells, {change}"
    for name in missing:
        near = [other for group in alike([*names, name]) if name in group for other in group if other in names]
        if near:
            remedy = f"{with_code_points(near[0])} is not {with_code_points(name)}"
    raise DataError(f"{finding}; {remedy}" if remedy else finding)


_MARKS = {"\t": "a tab", ",": "a comma", ";": "a semicolon"}
_ESCAPES = {"\t": "\\t"}


def need_distinct(path: Path, columns: Sequence[str]) -> None:
    """Refuse a table with two columns of one name; columns without a name may be several."""
    named = [name for name in columns if name]
    if len(set(named)) < len(named):
        raise DataError(f"{path}: two columns have one name: {', '.join(columns)}")


def rows_by_name(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows below a line of names; several columns without a name are left out if they are empty.

    Raises ``DataError`` for a cell in one of these, and for a row that repeats the names, as files do that were joined.
    """
    spacers = [place for place, name in enumerate(names) if not name]
    spacers = spacers if len(spacers) > 1 else []
    for number, row in enumerate(rows, start=1):
        if len(names) > 1 and row[-1] == names[-1] and [plain_name(str(value)) for value in row] == list(names):
            raise DataError(f"{path}: data row {number} repeats the names of the columns; remove it")
        if any(str(row[place] or "").strip() for place in spacers):
            filled = next(place for place in spacers if str(row[place] or "").strip())
            finding = f"data row {number}: column {filled + 1} has a cell and no name"
            raise DataError(f"{path}: {finding}; name the column, or remove it")
        yield {name: value for name, value in zip(names, row, strict=True) if name or not spacers}


def without_spacers(names: Sequence[str]) -> list[str]:
    """Return the names of the columns that ``rows_by_name`` yields."""
    return [name for name in names if name] if names.count("") > 1 else list(names)


def nested_names(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of columns, and dotted paths for the tables in their cells."""
    names = dict.fromkeys(columns)
    for row in rows:
        for column, value in row.items():
            for key in value if isinstance(value, Mapping) else ():
                names[f"{column}.{key}"] = None
    return list(names)


def to_dataset(
    columns: Mapping[str, Any],
    source: Path | str,
    label_names: Mapping[str, str] | None = None,
    numbers: Sequence[int] | None = None,
    *,
    keep_unlabelled: bool = False,
) -> Dataset:
    """Make a Hugging Face dataset; ``label_names`` turns the labels, if there are any, into a ``ClassLabel``.

    ``numbers`` are those of the rows in the source; without it they count from 1. Raises ``DataError`` for a label that
    ``label_names`` lacks, and for a row without label unless ``keep_unlabelled``.
    """
    from datasets import ClassLabel, Dataset

    made = {name: list(values) for name, values in columns.items()}
    if "label" not in made:
        return Dataset.from_dict(made)
    labels = made["label"] = column_of(made["label"], label_of, source, "label", numbers)
    numbers = numbers or range(1, len(labels) + 1)
    if "" in labels and not keep_unlabelled:
        row, missing = numbers[labels.index("")], labels.count("")
        remedy = 'fill them in, or leave them out with cleaning.unlabelled = "drop"'
        raise DataError(f"{source}: data row {row} has no label ({missing} such rows); {remedy}")
    if label_names is None:
        return Dataset.from_dict(made)
    ids = {label_of(raw): number for number, raw in enumerate(label_names)}
    known = {label: same_label(label, ids) for label in set(labels) if label}
    unknown = next((number for number, label in enumerate(labels) if label and known[label] not in ids), None)
    if unknown is not None:
        label = labels[unknown]
        near = [name for group in alike([*ids, label]) if label in group for name in group]
        differ = f"; these differ: {' and '.join(map(with_code_points, near))}" if near else ""
        finding = f"label {label!r} is not in label_names ({', '.join(label_names)})"
        raise DataError(f"{source}: data row {numbers[unknown]}: {finding}{differ}")
    made["label"] = [ids[known[label]] if label else -1 for label in labels]
    return Dataset.from_dict(made).cast_column("label", ClassLabel(names=list(label_names.values())))
