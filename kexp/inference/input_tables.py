"""Tables for prediction and measurement: a file of any format, or a text per line."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kexp.errors import DataError, KexpError
from kexp.files import FLAGS, FORMATS, Layout, Table
from kexp.files import open_table as open_file
from kexp.files.tables import Row
from kexp.files.text import decoded
from kexp.inference.columns import TextColumns, changed_layout, columns_of, layout_as_in
from kexp.names import existing_path, plain_name

__all__ = ["FileOptions", "Row", "StreamTable", "Table", "open_table", "read_input", "read_lines"]


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What the command line says of a file and the columns of its texts; None and () are as in training."""

    text: Sequence[str] = ()
    join_with: str | None = None
    pair: str | None = None
    encoding: str | None = None
    separator: str | None = None
    header: bool | None = None
    columns: str | None = None
    quoting: bool | None = None

    def layout(self, dataset: Mapping[str, Any], path: Path) -> Layout:
        """Return how a file is written: as these options say, else as those of a spec's ``[dataset]``."""
        separator = "\t" if self.separator == "\\t" else self.separator
        if separator is not None and len(separator) != 1:
            raise KexpError(f"--separator {separator}: expected one character")
        return changed_layout(
            layout_as_in(dataset, path),
            encoding=self.encoding,
            separator=separator,
            header=self.header,
            columns=tuple(map(plain_name, self.columns.split(","))) if self.columns else None,
            quoting=self.quoting,
        )


def read_input(path: Path, option: str, dataset: Mapping[str, Any], options: FileOptions) -> tuple[Table, TextColumns]:
    """Open a file like those of a spec's ``[dataset]``, with what the options change, and find the texts in it.

    Raises ``KexpError`` for a file without these columns.
    """
    texts = columns_of(dataset).changed(options.text, options.join_with, options.pair)
    table = open_table(path, option, options.layout(dataset, path))
    texts = texts if options.text else texts.within(table.columns)
    for name in texts.text:
        table.need(name, "--text")
    if texts.pair is not None:
        table.need(texts.pair, "--pair")
    return table, texts


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


class StreamTable(Table):
    """A table that is read from a stream which others read too, such as standard input."""


def read_lines(stream: IO[bytes], source: str) -> Table:
    """Read a text per line as a table with the column text; an empty line is an empty text."""
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="\n")
    rows = ({"text": line.rstrip("\r\n")} for line in decoded(text, source))
    return StreamTable(source, ["text"], rows)
