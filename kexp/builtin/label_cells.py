"""Cells of the label columns of tables whose rows have several labels each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.errors import DataError
from kexp.files.cells import described, is_missing, listed, texts_in_arrow
from kexp.files.label_sets import is_list_text, names_in

if TYPE_CHECKING:
    import pyarrow as pa

    from kexp.contracts import DatasetContext
    from kexp.files.tables import Columns

_TRUTH: dict[Any, int] = {0: 0, 1: 1} | {
    spelled: value
    for value, words in enumerate((("0", "0.0", "false"), ("1", "1.0", "true")))
    for word in words
    for spelled in (word, word.title(), word.upper())
}
"""Cells of a column of one label; 0.0 and False are keys of 0 too."""
_BLANK = -1


def labels_of_columns(
    values: Columns, columns: Sequence[str], names: Mapping[str, str], source: Path | str, numbers: Sequence[int]
) -> list[list[str] | None]:
    """Return the names of the columns that have a 1, for every row; None where all of its cells are blank.

    Raises ``DataError`` with the row and the column for any cell but 0, 1 and words for them.
    """
    import numpy as np

    table = np.empty((len(numbers), len(columns)), np.int8)
    for place, column in enumerate(columns):
        table[:, place] = _truths(listed(values[column]), source, column, numbers)
    blank = table == _BLANK
    partly = np.flatnonzero(blank.any(1) & ~blank.all(1))
    if len(partly):
        row, column = numbers[partly[0]], columns[int(blank[partly[0]].argmax())]
        remedy = "write 0 or 1; a row without labels that are known is blank in all label columns"
        raise DataError(f"{source}: data row {row}, column {column!r}: found a blank cell; {remedy}")
    named = [names.get(column, column) for column in columns]
    return [None if row[0] == _BLANK else [named[place] for place in np.flatnonzero(row)] for row in table]


def _truths(cells: Sequence[Any], source: Path | str, column: str, numbers: Sequence[int]) -> list[int]:
    found = []
    for number, cell in zip(numbers, cells, strict=True):
        value = _TRUTH.get(cell) if isinstance(cell, str | int | float) else None
        if value is None:
            value = _other_truth(cell, f"{source}: data row {number}, column {column!r}")
        found.append(value)
    return found


def _other_truth(cell: Any, place: str) -> int:
    """Return what a cell says that is not plain: with spaces around, of NumPy, a decimal, or blank."""
    if is_missing(cell) or (isinstance(cell, str) and not cell.strip()):
        return _BLANK
    plain = cell.strip() if isinstance(cell, str) else cell
    if not isinstance(plain, list | tuple | dict | set) and (value := _TRUTH.get(plain)) is not None:
        return value
    finding = f"found {described(cell)}, expected 0 or 1"
    raise DataError(f"{place}: {finding}; a list of label columns says of each row whether it has the label")


def split_at(separator: str | None) -> Callable[[Any], list[str] | None]:
    """Return what turns a cell into names: at a separator in texts, or as ``names_in`` does."""
    if separator is None:
        return names_in

    def names(cell: Any) -> list[str] | None:
        if not isinstance(cell, str):
            return names_in(cell)
        if is_list_text(cell):
            raise ValueError(f"found {described(cell)}, a list written as text; leave out label_separator")
        if not cell.strip():
            return None
        parts = [_one_name(part, cell, separator) for part in cell.split(separator)]
        return list(dict.fromkeys(parts))

    return names


def _one_name(part: str, cell: str, separator: str) -> str:
    from kexp.files.cells import plain_label

    if name := plain_label(part):
        return name
    raise ValueError(f'found an empty name in "{cell[:40]}"; remove a "{separator}" of the cell')


def renamed(names: Mapping[str, str], left_out: Collection[str]) -> Callable[[Sequence[str]], list[str]]:
    """Return what renames names; one that is not among them raises ``ValueError`` unless its rows are left out."""

    def rename(found: Sequence[str]) -> list[str]:
        for name in found:
            if name not in names and name not in left_out:
                raise ValueError(f"label {name!r} is not in label_names ({', '.join(names)})")
        return [names.get(name, name) for name in found]

    return rename if names else list


def sets_in_arrow(
    cells: Sequence[Any] | pa.Array,
    names_of: Callable[[Any], list[str] | None],
    rename: Callable[[Sequence[str]], list[str]],
    context: DatasetContext,
    *,
    blank: list[str] | None,
    place: tuple[Path | str, str, Sequence[int]],
) -> pa.Array:
    """Return the label of every cell, which ``names_of`` turns into names, in Arrow.

    ``blank`` is what a blank cell means; ``place`` the source, the column and the numbers of the rows.
    """

    def label_of(cell: Any) -> str:
        found = names_of(cell)
        found = blank if found is None else found
        return context.label_of(None if found is None else rename(found))

    source, column, numbers = place
    # Missing cells are converted too: they may mean a row without labels.
    cells = cells if isinstance(cells, Sequence) else cells.fill_null("")
    return texts_in_arrow(cells, label_of, source, column, numbers)
