"""Tables on standard output: aligned on a terminal, tab-separated in a pipe or a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from kexp.contracts import choice_label


def print_table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    *,
    right: int | None = None,
    console: Console | None = None,
) -> None:
    """Print a table; columns from ``right`` on are numbers, and a header without words is not shown.

    It goes to standard output unless a console is given.
    """
    file = sys.stdout if console is None else console.file
    if not file.isatty():
        for cells in (header, *rows) if any(header) else rows:
            print("\t".join(map(str, cells)), file=file)
        return
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    table.show_header = any(header)
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if right is not None and number >= right else "left", overflow="fold")
    for cells in rows:
        table.add_row(*(escape(cell) if isinstance(cell, str) else cell for cell in cells))
    (console or Console(highlight=False)).print(table)


def as_text(value: Any) -> str:
    """Return the text of a cell: four decimals of a number that is not whole, nothing for None."""
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def setting(value: Any) -> str:
    """Return the text of a value that a search chose."""
    return f"{value:.3g}" if isinstance(value, float) else str(choice_label(value))
