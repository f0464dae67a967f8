"""Columns of tables: their names, values inside of tables in a cell, and what becomes a dataset."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.errors import DataError
from kexp.files.cells import column_of, described, is_missing, label_of, same_label
from kexp.files.first_bytes import KEYS, Remedies
from kexp.names import alike, plain_name, with_code_points

if TYPE_CHECKING:
    import pyarrow as pa
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
    from datasets import Dataset

    made = {name: list(values) for name, values in columns.items()}
    if "label" in made:
        made["label"] = column_of(made["label"], label_of, source, "label", numbers)
    table = Dataset.from_dict(made).with_format("arrow")[:]
    return dataset_of(table, source, label_names, numbers, keep_unlabelled=keep_unlabelled)


def dataset_of(
    table: pa.Table,
    source: Path | str,
    label_names: Mapping[str, str] | None = None,
    numbers: Sequence[int] | None = None,
    *,
    keep_unlabelled: bool = False,
) -> Dataset:
    """Make a Hugging Face dataset of a table in Arrow whose labels, if there are any, are texts; as ``to_dataset``."""
    from datasets import ClassLabel

    if "label" not in table.column_names:
        return _dataset(table)
    labels = table["label"]
    numbers = numbers or range(1, len(labels) + 1)
    _refuse_unlabelled(labels, source, numbers, keep_unlabelled=keep_unlabelled)
    if label_names is None:
        return _dataset(table)
    ids = _label_ids(labels, source, label_names, numbers)
    place = table.column_names.index("label")
    made: Dataset = _dataset(table.set_column(place, "label", ids))
    return made.cast_column("label", ClassLabel(names=list(label_names.values())))


def dataset_of_sets(
    table: pa.Table,
    source: Path | str,
    names: Sequence[str],
    names_in: Callable[[str], Sequence[str]],
    numbers: Sequence[int],
    *,
    keep_unlabelled: bool = False,
) -> Dataset:
    """Make a Hugging Face dataset of a table in Arrow whose labels are sets of ``names``, as lists of a ``ClassLabel``.

    ``names_in`` returns the names of a label. Raises ``DataError`` for a row without label unless ``keep_unlabelled``.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from datasets import ClassLabel
    from datasets import Sequence as ListOf

    labels = table["label"]
    _refuse_unlabelled(labels, source, numbers, keep_unlabelled=keep_unlabelled)
    ids = {name: number for number, name in enumerate(names)}
    distinct = labels.unique()
    lists = [None if label == "" else [ids[name] for name in names_in(label)] for label in distinct.to_pylist()]
    places = pc.index_in(labels, value_set=distinct).combine_chunks()
    column = pa.array(lists, pa.list_(pa.int64())).take(places)
    made: Dataset = _dataset(table.set_column(table.column_names.index("label"), "label", column))
    return made.cast_column("label", ListOf(ClassLabel(names=list(names))))


def _dataset(table: pa.Table) -> Dataset:
    from datasets import Dataset

    # Without a fingerprint it would pickle all rows for one.
    return Dataset(table, fingerprint=secrets.token_hex(8))


def _refuse_unlabelled(
    labels: pa.ChunkedArray, source: Path | str, numbers: Sequence[int], *, keep_unlabelled: bool
) -> None:
    import pyarrow.compute as pc

    if keep_unlabelled or not (missing := pc.sum(pc.equal(labels, "")).as_py()):
        return
    row = numbers[pc.index(labels, "").as_py()]
    remedy = 'fill them in, or leave them out with cleaning.unlabelled = "drop"'
    raise DataError(f"{source}: data row {row} has no label ({missing} such rows); {remedy}")


def _label_ids(
    labels: pa.ChunkedArray, source: Path | str, label_names: Mapping[str, str], numbers: Sequence[int]
) -> pa.Array:
    """Return the place of every label among ``label_names``, -1 where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = {label_of(raw): number for number, raw in enumerate(label_names)} | {"": -1}
    present = labels.unique()
    known = {label: label if label == "" else same_label(label, ids) for label in present.to_pylist()}
    if unknown := [label for label in known if known[label] not in ids]:
        first = min(pc.index(labels, label).as_py() for label in unknown)
        label = labels[first].as_py()
        near = [name for group in alike([*filter(None, ids), label]) if label in group for name in group]
        differ = f"; these differ: {' and '.join(map(with_code_points, near))}" if near else ""
        finding = f"label {label!r} is not in label_names ({', '.join(label_names)})"
        raise DataError(f"{source}: data row {numbers[first]}: {finding}{differ}")
    values = pa.array([ids[name] for name in known.values()], pa.int64())
    return values.take(pc.index_in(labels, value_set=present).combine_chunks())
