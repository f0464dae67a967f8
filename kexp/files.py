"""Reading tables; mistakes in a file are reported with the file, the line and the remedy."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

FORMATS = {".csv": "csv", ".tsv": "tsv", ".txt": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
LONGEST_CELL = 10_000_000
"""Characters; a longer cell means that a quotation mark is never closed."""
_UNDECODED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Remedies:
    """How messages say to change the encoding and to turn quoting off: as keys of a spec, or as flags."""

    encoding: str
    quoting: str


KEYS = Remedies('encoding = "{}"', "set quoting = false")
FLAGS = Remedies('--encoding "{}"', "use --no-quoting")


# --- text ------------------------------------------------------------------------------------------------------------


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """Read a whole text file; raises ``DataError`` with the line of the first byte that the encoding does not have."""
    text = "".join(lines_of(path, encoding))
    if not text.strip("\ufeff \t\r\n"):
        raise DataError(f"{path}: the file is empty")
    return text


def lines_of(path: Path, encoding: str, remedies: Remedies = KEYS, newline: str = "") -> Iterator[str]:
    """Yield the lines of a file as they are; ``newline`` as in ``open``."""
    try:
        with path.open(encoding=encoding, errors="surrogateescape", newline=newline) as file:
            yield from decoded(file, str(path), encoding, remedies)
    except UnicodeError as error:
        raise DataError(f"{path}: is not {encoding}: {error}; {_other(encoding, remedies)}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def decoded(lines: Iterable[str], source: str, encoding: str, remedies: Remedies) -> Iterator[str]:
    """Refuse the first byte that the encoding does not have; Python hides such bytes in half surrogates."""
    for number, line in enumerate(lines, start=1):
        if found := _UNDECODED.search(line):
            byte = ord(found[0]) - 0xDC00
            finding = f"{source}: line {number}: byte 0x{byte:02x} is not {encoding}"
            raise DataError(f"{finding}; {_other(encoding, remedies)}")
        yield line


def _other(encoding: str, remedies: Remedies) -> str:
    other = remedies.encoding.format("cp949" if encoding.startswith("utf") else "utf-8")
    return f"try {other}, or convert the file"


# --- CSV and TSV -----------------------------------------------------------------------------------------------------


def delimited_rows(
    source: Path, lines: Iterator[str], separator: str, *, quoting: bool, remedies: Remedies = KEYS
) -> Iterator[list[str]]:
    """Yield the cells of every row that is not blank, while the lines are read.

    Without ``quoting``, quotation marks are ordinary characters. Raises ``DataError`` with the line in which a row
    begins if it has another number of cells than the first.
    """
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(
        lines, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE, strict=quoting
    )
    remedy = "check the separator" + (f", or {remedies.quoting}" if quoting else "")
    width, line = 0, 1
    try:
        for row in reader:
            width = width or len(row)
            if row and len(row) != width:
                cells = f"{len(row)} cell{'' if len(row) == 1 else 's'}"
                raise DataError(f"{source}: line {line}: found {cells}, expected {width}; {remedy}")
            if row:
                yield row
            line = reader.line_num + 1
    except csv.Error as error:
        endless = quoting and ("end of data" in str(error) or "field limit" in str(error))
        finding = "a quotation mark is opened and never closed" if endless else str(error)
        raise DataError(f"{source}: line {line}: {finding}; {remedies.quoting}, or correct the file") from None


def read_delimited(
    path: Path,
    *,
    separator: str = ",",
    encoding: str = "utf-8-sig",
    header: bool = True,
    columns: Sequence[str] | None = None,
    quoting: bool = True,
) -> pd.DataFrame:
    """Read CSV or TSV with every cell as a string; ``columns`` names the columns of a file without header."""
    import pandas as pd

    rows = list(delimited_rows(path, lines_of(path, encoding), separator, quoting=quoting))
    if not any(cell.strip() for row in rows for cell in row):
        raise DataError(f"{path}: the file is empty")
    if header:
        columns = [cell.strip() for cell in rows.pop(0)]
    names = list(columns) if columns else [str(number) for number in range(len(rows[0]))]
    if rows and len(names) != len(rows[0]):
        raise DataError(f"{path}: found {len(rows[0])} columns, expected {len(names)}: {', '.join(names)}")
    need_distinct(path, names)
    return pd.DataFrame(rows, columns=names, dtype="str")


# --- JSON lines and Parquet ------------------------------------------------------------------------------------------


def read_jsonl(path: Path, encoding: str = "utf-8-sig") -> pd.DataFrame:
    """Read one JSON object per line."""
    import pandas as pd

    rows = list(json_objects(path, lines_of(path, encoding, newline="\n")))
    if not rows:
        raise DataError(f"{path}: the file is empty")
    return pd.DataFrame(rows)


def json_objects(path: Path, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the object of every line that is not empty; raises ``DataError`` with the line of anything else."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.rstrip("\r\n"))
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
    import pyarrow.parquet as pq

    with parquet_errors(path), path.open("rb") as file:
        frame: pd.DataFrame = pq.read_table(file).to_pandas()
    return frame


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


# --- columns ---------------------------------------------------------------------------------------------------------


def need_columns(path: Path | str, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse a table that lacks a column, and say which it has."""
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(map(repr, missing))}; the columns are {', '.join(map(str, found))}"
        )


def need_distinct(path: Path, columns: Sequence[str]) -> None:
    """Refuse a table with two columns of one name."""
    if len(set(columns)) < len(columns):
        raise DataError(f"{path}: two columns have one name: {', '.join(columns)}")


def to_dataset(columns: Mapping[str, Any], source: Path | str, label_names: Mapping[str, str] | None = None) -> Dataset:
    """Make a Hugging Face dataset; ``label_names`` turns the labels, if there are any, into a ``ClassLabel``.

    Raises ``DataError`` for a row without label, or with a label that ``label_names`` lacks.
    """
    import pandas as pd
    from datasets import ClassLabel, Dataset

    frame = pd.DataFrame(columns)
    if "label" not in frame:
        return Dataset.from_pandas(frame, preserve_index=False)
    labels = frame["label"]
    missing = labels.isna() | (labels.astype("str").str.strip() == "")
    if missing.any():
        row = int(missing.to_numpy().argmax()) + 1
        raise DataError(
            f"{source}: data row {row} has no label ({int(missing.sum())} such rows); fill them in or remove them"
        )
    if pd.api.types.is_float_dtype(labels) and (labels % 1 == 0).all():
        labels = labels.astype("int64")
    frame["label"] = labels.astype("str").str.strip()
    if label_names is None:
        return Dataset.from_pandas(frame, preserve_index=False)
    unknown = ~frame["label"].isin(list(label_names))
    if unknown.any():
        row = int(unknown.to_numpy().argmax())
        known = ", ".join(label_names)
        raise DataError(
            f"{source}: data row {row + 1}: label {frame['label'].iloc[row]!r} is not in label_names ({known})"
        )
    frame["label"] = frame["label"].map({raw: number for number, raw in enumerate(label_names)})
    dataset: Dataset = Dataset.from_pandas(frame, preserve_index=False)
    return dataset.cast_column("label", ClassLabel(names=list(label_names.values())))
