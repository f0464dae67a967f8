"""Reading tables so that every mistake in a file is told with the file and the line."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

FORMATS = {".csv": "csv", ".tsv": "tsv", ".txt": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """Read a whole text file; raises ``DataError`` with the line of the first byte that the encoding does not have."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if not content.strip():
        raise DataError(f"{path}: the file is empty")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        hint = 'try encoding = "cp949"' if encoding.startswith("utf") else 'try encoding = "utf-8"'
        byte = content[error.start]
        raise DataError(
            f"{path}: line {line}: byte 0x{byte:02x} is not {encoding}; {hint}, or convert the file"
        ) from None


def read_delimited(
    path: Path,
    *,
    separator: str = ",",
    encoding: str = "utf-8-sig",
    header: bool = True,
    columns: Sequence[str] | None = None,
    quoting: bool = True,
) -> pd.DataFrame:
    """Read CSV or TSV with every cell as a string.

    ``columns`` names the columns of a file without header. Without ``quoting``, quotation marks are ordinary
    characters, as in NSMC's files. Rows with more or fewer cells than the first are refused with their line.
    """
    import csv

    import pandas as pd

    text = read_text(path, encoding)
    try:
        # The header is read as a row: pandas takes surplus columns for an index, and would say nothing.
        frame = pd.read_csv(
            io.StringIO(text), sep=separator, header=None, dtype=str, keep_default_na=False, na_filter=False,
            quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE, skip_blank_lines=True,
        )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path}: {_parser_message(str(error))}") from None
    if header:
        columns = [str(cell).strip() for cell in frame.iloc[0]]
        frame = frame.iloc[1:].reset_index(drop=True)
    names = list(columns) if columns else [str(number) for number in range(frame.shape[1])]
    if len(names) != frame.shape[1]:
        raise DataError(f"{path}: found {frame.shape[1]} columns, expected {len(names)}: {', '.join(names)}")
    if len(set(names)) < len(names):
        raise DataError(f"{path}: two columns have one name: {', '.join(names)}")
    return frame.set_axis(names, axis="columns")


def _parser_message(message: str) -> str:
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if found:
        expected, line, cells = found.groups()
        return f"line {line}: found {cells} cells, expected {expected}; check the separator, or set quoting = false"
    if "EOF inside string" in message:
        place = re.search(r"row (\d+)", message)
        return f"a quotation mark opened near row {place[1] if place else '?'} is never closed; set quoting = false"
    return message


def read_jsonl(path: Path, encoding: str = "utf-8-sig") -> pd.DataFrame:
    """Read one JSON object per line."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for number, line in enumerate(read_text(path, encoding).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: line {number}, column {error.colno}: not valid JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}: line {number}: expected an object, found {line.strip()[:40]}")
        rows.append(row)
    return pd.DataFrame(rows)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: not a Parquet file: {error}") from None
    return frame


def need_columns(path: Path | str, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse a table that lacks a column, and say which it has."""
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(map(repr, missing))}; the columns are {', '.join(map(str, found))}"
        )
