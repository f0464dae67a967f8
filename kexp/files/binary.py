"""Parquet files and Excel workbooks."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file; cells keep their types."""
    import pandas as pd
    import pyarrow.parquet as pq

    with parquet_errors(path), path.open("rb") as file:
        return pd.DataFrame(pq.read_table(file).to_pydict(), dtype="object")


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


def workbook_rows(path: Path, sheet: str | None = None) -> Iterator[list[Any]]:
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
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            yield from _rows(path, _sheet(path, book, sheet))
    except (zipfile.BadZipFile, InvalidFileException, KeyError) as error:
        raise DataError(f"{path}: not an Excel workbook (.xlsx): {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _sheet(path: Path, book: Any, name: str | None) -> Any:
    names = [sheet.title for sheet in book.worksheets]
    if name is not None:
        if name not in names:
            raise DataError(f'{path}: no sheet "{name}"; the sheets are {", ".join(names)}')
        return book[name]
    filled = [sheet.title for sheet in book.worksheets if any(any(map(_is_filled, row)) for row in _cells(sheet))]
    if not filled:
        raise DataError(f"{path}: the file is empty")
    if len(filled) > 1:
        listed = ", ".join(filled)
        raise DataError(f"{path}: several sheets have cells: {listed}; name one with dataset.sheet, or save it alone")
    return book[filled[0]]


def _cells(sheet: Any) -> Iterator[tuple[Any, ...]]:
    rows: Iterator[tuple[Any, ...]] = sheet.iter_rows(values_only=True)
    return rows


def _rows(path: Path, sheet: Any) -> Iterator[list[Any]]:
    width = 0
    for number, row in enumerate(_cells(sheet), start=1):
        filled = [place for place, value in enumerate(row, start=1) if _is_filled(value)]
        if not filled:
            continue
        width = width or filled[-1]
        if filled[-1] > width:
            raise DataError(f"{path}: row {number}: found {filled[-1]} cells, expected {width}; correct the sheet")
        yield [*row[:width], *[None] * (width - len(row))]


def _is_filled(value: Any) -> bool:
    return value is not None and str(value).strip() != ""
