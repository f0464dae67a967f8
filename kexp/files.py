"""Reading tables so that every mistake in a file is told with the file and the line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
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
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        hint = 'try encoding = "cp949"' if encoding.startswith("utf") else 'try encoding = "utf-8"'
        byte = content[error.start]
        raise DataError(
            f"{path}: line {line}: byte 0x{byte:02x} is not {encoding}; {hint}, or convert the file"
        ) from None
    if not text.strip("\ufeff \t\r\n"):
        raise DataError(f"{path}: the file is empty")
    return text


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
    import pandas as pd

    rows = _read_rows(path, read_text(path, encoding), separator, quoting)
    if header:
        columns = [cell.strip() for cell in rows.pop(0)]
    names = list(columns) if columns else [str(number) for number in range(len(rows[0]))]
    if rows and len(names) != len(rows[0]):
        raise DataError(f"{path}: found {len(rows[0])} columns, expected {len(names)}: {', '.join(names)}")
    if len(set(names)) < len(names):
        raise DataError(f"{path}: two columns have one name: {', '.join(names)}")
    return pd.DataFrame(rows, columns=names, dtype="str")


def _read_rows(path: Path, text: str, separator: str, quoting: bool) -> list[list[str]]:
    """Return the cells of every row that is not blank; a row's line is where it begins."""
    import csv

    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    lines = io.StringIO(text, newline="")
    reader = csv.reader(
        lines, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE, strict=quoting
    )
    rows: list[list[str]] = []
    remedy = "check the separator, or set quoting = false" if quoting else "check the separator"
    line = 1
    try:
        for row in reader:
            if row and rows and len(row) != len(rows[0]):
                cells = f"{len(row)} cell{'s' if len(row) > 1 else ''}"
                raise DataError(f"{path}: line {line}: found {cells}, expected {len(rows[0])}; {remedy}")
            if row:
                rows.append(row)
            line = reader.line_num + 1
    except csv.Error as error:
        finding = "a quotation mark is opened and never closed" if "end of data" in str(error) else str(error)
        raise DataError(f"{path}: line {line}: {finding}; set quoting = false") from None
    return rows


def read_jsonl(path: Path, encoding: str = "utf-8-sig") -> pd.DataFrame:
    """Read one JSON object per line."""
    import pandas as pd

    return pd.DataFrame(list(json_objects(path, read_text(path, encoding).split("\n"))))


def json_objects(path: Path, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the object of every line that is not empty; raises ``DataError`` with the line of anything else."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: line {number}, column {error.colno}: not valid JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}: line {number}: expected an object, found {line.strip()[:40]}")
        if "\\u" in line and not _encodable(row):
            raise DataError(
                f"{path}: line {number}: half a surrogate pair (\\ud800 to \\udfff) is no character; remove it"
            )
        yield row


def _encodable(row: dict[str, Any]) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            frame: pd.DataFrame = pq.read_table(file).to_pandas()
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a Parquet file: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    return frame


def need_columns(path: Path | str, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse a table that lacks a column, and say which it has."""
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(map(repr, missing))}; the columns are {', '.join(map(str, found))}"
        )
