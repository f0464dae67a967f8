"""Columns of tables: their names, values inside of tables in a cell, and what becomes a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.errors import DataError
from kexp.files.cells import column_of, label_of, same_label
from kexp.names import alike, plain_name, with_code_points

if TYPE_CHECKING:
    from datasets import Dataset


def cell(row: Mapping[str, Any], name: str) -> Any:
    """Return the cell of a column, or the value at a dotted path in it; None where there is none."""
    if name in row:
        return row[name]
    value: Any = row
    for key in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value[key] if key in value else {plain_name(str(other)): item for other, item in value.items()}.get(key)
    return value


def has_column(columns: Sequence[str], name: str) -> bool:
    """Return whether a table has a column, or may have the dotted path in one."""
    return name in columns or ("." in name and name.split(".", 1)[0] in columns)


def need_columns(path: Path | str, found: Iterable[str], wanted: Iterable[str], remedy: str = "") -> None:
    """Refuse a table that lacks a column, and say which it has."""
    names = list(map(str, found))
    missing = [name for name in wanted if not has_column(names, name)]
    if not missing:
        return
    known = ", ".join(names)
    finding = f"{path}: no column {', '.join(map(repr, missing))}; the columns are {known}"
    if len(names) == 1 and (other := next((mark for mark in ("\t", ",", ";", "|") if mark in names[0]), None)):
        finding = f"{path}: no column {', '.join(map(repr, missing))}; the only column is {names[0]!r}"
        remedy = f'if {_MARKS.get(other, other)} is between the cells, set separator = "{_ESCAPES.get(other, other)}"'
    for name in missing:
        near = [other for group in alike([*names, name]) if name in group for other in group if other in names]
        if near:
            remedy = f"{with_code_points(near[0])} is not {with_code_points(name)}"
    raise DataError(f"{finding}; {remedy}" if remedy else finding)


_MARKS = {"\t": "a tab", ",": "a comma", ";": "a semicolon"}
_ESCAPES = {"\t": "\\t"}


def need_distinct(path: Path, columns: Sequence[str]) -> None:
    """Refuse a table with two columns of one name."""
    if len(set(columns)) < len(columns):
        raise DataError(f"{path}: two columns have one name: {', '.join(columns)}")


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
) -> Dataset:
    """Make a Hugging Face dataset; ``label_names`` turns the labels, if there are any, into a ``ClassLabel``.

    ``numbers`` are those of the rows in the source; without it they count from 1. Raises ``DataError`` for a row
    without label, or with a label that ``label_names`` lacks.
    """
    from datasets import ClassLabel, Dataset

    made = {name: list(values) for name, values in columns.items()}
    if "label" not in made:
        return Dataset.from_dict(made)
    labels = made["label"] = column_of(made["label"], label_of, source, "label", numbers)
    numbers = numbers or range(1, len(labels) + 1)
    if "" in labels:
        row, missing = numbers[labels.index("")], labels.count("")
        raise DataError(f"{source}: data row {row} has no label ({missing} such rows); fill them in or remove them")
    if label_names is None:
        return Dataset.from_dict(made)
    ids = {label_of(raw): number for number, raw in enumerate(label_names)}
    known = {label: same_label(label, ids) for label in set(labels)}
    unknown = next((number for number, label in enumerate(labels) if known[label] not in ids), None)
    if unknown is not None:
        label = labels[unknown]
        near = [name for group in alike([*ids, label]) if label in group for name in group]
        differ = f"; these differ: {' and '.join(map(with_code_points, near))}" if near else ""
        finding = f"label {label!r} is not in label_names ({', '.join(label_names)})"
        raise DataError(f"{source}: data row {numbers[unknown]}: {finding}{differ}")
    made["label"] = [ids[known[label]] for label in labels]
    return Dataset.from_dict(made).cast_column("label", ClassLabel(names=list(label_names.values())))
