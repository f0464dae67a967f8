"""The first labels of a table, which show whether its rows have several each; nothing is read but its beginning."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.errors import DataError
from kexp.files.label_sets import is_list_text
from kexp.names import plain_name

if TYPE_CHECKING:
    from kexp.files import Layout

FIRST = 20
"""Rows that are looked at."""
LARGEST_JSON = 2**22
"""Bytes of a JSON array up to which it is read for its first rows: it has to be parsed whole."""
UNREADABLE = (DataError, OSError, LookupError, UnicodeError, ValueError)
"""What is wrong with a file is told by the checks of the dataset, and with its rows when they are read."""


@lru_cache(maxsize=256)
def list_in_table(path: Path, layout: Layout, column: str, written: int) -> str | None:
    """Return the first list in a column of a file, shown; None where the first rows have none or cannot be read.

    ``written`` is when the file was changed: what was found is kept, since all variants ask for it.
    """
    try:
        return _shown_list(_cells(path, layout, column))
    except UNREADABLE:
        return None


def list_in_folder(folder: Path, column: str) -> str | None:
    """Return what of a saved dataset's column says that it holds lists; of a folder of tables, as of its first one."""
    from kexp.files import FORMATS, Layout

    try:
        for name in ("dataset_info.json", "train/dataset_info.json"):
            if (folder / name).is_file():
                features = json.loads((folder / name).read_text("utf-8")).get("features", {})
                kind = features.get(column, {}).get("_type", "")
                return f"of type {kind}" if kind in ("List", "LargeList", "Sequence") else None
        tables = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in FORMATS and path.is_file())
        train = sorted(itertools.islice(tables, FIRST), key=lambda path: "train" not in path.name)
        return list_in_table(train[0], Layout(), column, train[0].stat().st_mtime_ns) if train else None
    except (*UNREADABLE, AttributeError):
        return None


def _cells(path: Path, layout: Layout, column: str) -> Iterable[Any]:
    """Return the first cells of a column."""
    from kexp.files import json_objects, lines_of, open_table
    from kexp.files.columns import cell
    from kexp.files.first_bytes import KEYS, refuse_other_format

    kind = layout.format_of(path)
    if kind is None or (kind == "json" and path.stat().st_size > LARGEST_JSON):
        return []
    refuse_other_format(path, kind, KEYS)
    if kind == "parquet":
        return _cells_of_parquet(path, column)
    if kind == "jsonl":
        rows: Iterable[Mapping[str, Any]] = json_objects(path, lines_of(path, layout.encoding, newline="\n"))
    else:
        rows = open_table(path, layout).rows
    return [cell(row, column) for row in itertools.islice(rows, FIRST)]


def _cells_of_parquet(path: Path, column: str) -> Iterable[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        given = {plain_name(name): name for name in file.schema_arrow.names}
        head = column if column in given else column.split(".", 1)[0]
        batch = next(file.iter_batches(FIRST, columns=[given[head]]), None)
        rows = [] if batch is None else batch.rename_columns([head]).to_pylist()
    from kexp.files.columns import cell

    return [cell(row, column) for row in rows]


def _shown_list(cells: Iterable[Any]) -> str | None:
    for value in cells:
        if isinstance(value, list | tuple) or (isinstance(value, str) and is_list_text(value)):
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            return f"{shown[:40]}{'...' if len(shown) > 40 else ''}"
    return None
