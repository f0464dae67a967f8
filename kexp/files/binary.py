"""Parquet files and Excel workbooks."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kexp.errors import DataError
from kexp.files.cells import UnreadCell
from kexp.files.first_bytes import KEYS, Remedies
from kexp.names import plain_name


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a Parquet file is read into ``DataError`` with the file."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a Parquet file: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def workbook_rows(path: Path, sheet: str | None = None, remedies: Remedies = KEYS) -> Iterator[list[Any]]:
    """Yield the rows of a sheet of an Excel workbook that are not empty, each of the first one's width.

    Raises ``DataError`` if the sheet is not named and several have cells.
    """
    try:
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError:
        raise DataError(f"{path}: Excel workbooks need openpyxl; pip install 'kexp[excel]', or save as CSV") from None
    try:
        with path.open("rb") as file:
            values = openpyxl.load_workbook(file, read_only=True, data_only=True)
            formulas = openpyxl.load_workbook(file, read_only=True)
            name = _sheet_name(path, values, sheet, remedies)
            yield from _rows(path, map(_read, values[name].iter_rows(), _cells(formulas[name])))
    except (zipfile.BadZipFile, InvalidFileException, KeyError) as error:
        raise DataError(f"{path}: not an Excel workbook (.xlsx): {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _sheet_name(path: Path, book: Any, name: str | None, remedies: Remedies) -> str:
    names = {plain_name(sheet.title): sheet.title for sheet in book.worksheets}
    if name is not None:
        if plain_name(name) not in names:
            raise DataError(f'{path}: no sheet "{name}"; the sheets are {", ".join(names)}')
        return str(names[plain_name(name)])
    filled = [sheet.title for sheet in book.worksheets if any(any(map(_is_filled, row)) for row in _cells(sheet))]
    if not filled:
        raise DataError(f"{path}: the file is empty")
    if len(filled) > 1:
        listed = ", ".join(filled)
        raise DataError(f"{path}: several sheets have cells: {listed}; {remedies.sheet}")
    return str(filled[0])


def _cells(sheet: Any) -> Iterator[tuple[Any, ...]]:
    rows: Iterator[tuple[Any, ...]] = sheet.iter_rows(values_only=True)
    return rows


def _read(cells: Sequence[Any], formulas: Sequence[Any]) -> list[Any]:
    """Return the values of a row, with formulas that Excel has not calculated and errors as what they are."""
    from openpyxl.cell.cell import ERROR_CODES
    from openpyxl.utils.escape import unescape

    read = []
    for cell, formula in zip(cells, formulas, strict=True):
        value = cell.value
        # The value of a formula that gives an empty text is a string.
        if value is None and formula is not None and cell.data_type == "n":
            read.append(UnreadCell("a formula that was never calculated", str(formula)))
        elif value in ERROR_CODES:
            read.append(UnreadCell("an error of Excel", value))
        else:
            read.append(unescape(value) if isinstance(value, str) else value)
    return read


def _rows(path: Path, rows: Iterable[Sequence[Any]]) -> Iterator[list[Any]]:
    width = first = 0
    for number, row in enumerate(rows, start=1):
        filled = [place for place, value in enumerate(row, start=1) if _is_filled(value)]
        if not filled:
            continue
        width, first = width or filled[-1], first or number
        if filled[-1] > width:
            found = f"found {filled[-1]} cells, expected {width} as in row {first}, the first one"
            remedy = "delete a title above the names of the columns, name every column, or correct the row"
            raise DataError(f"{path}: row {number}: {found}; {remedy}")
        yield [*row[:width], *[None] * (width - len(row))]


def _is_filled(value: Any) -> bool:
    return value is not None and str(value).strip() != ""
