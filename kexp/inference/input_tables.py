"""Tables for prediction and measurement: a file of any format, or a text per line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO

from kexp.errors import DataError, KexpError
from kexp.files import FLAGS, FORMATS, Layout, Table
from kexp.files import open_table as open_file
from kexp.files.tables import Row
from kexp.files.text import decoded
from kexp.names import existing_path

__all__ = ["Row", "Table", "open_table", "read_lines"]


def open_table(path: Path, option: str, layout: Layout | None = None) -> Table:
    """Open a file in any of the formats; its name says which, unless the layout does."""
    layout, path = layout or Layout(), existing_path(path)
    if layout.format_of(path) is None:
        raise KexpError(f"{option} {path}: expected a name that ends in {', '.join(FORMATS)}, perhaps with .gz")
    if not path.is_file():
        raise DataError(f"{path} {'is not a file' if path.exists() else 'does not exist'}")
    try:
        "".encode(layout.encoding)
    except (LookupError, UnicodeError):
        finding = f"--encoding {layout.encoding}: Python knows none of that name"
        raise KexpError(f'{finding}; try "utf-8" or "cp949"') from None
    return open_file(path, layout, FLAGS)


def read_lines(stream: IO[bytes], source: str) -> Table:
    """Read a text per line as a table with the column text; an empty line is an empty text."""
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="\n")
    rows = ({"text": line.rstrip("\r\n")} for line in decoded(text, source))
    return Table(source, ["text"], rows)
