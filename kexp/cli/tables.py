"""Tables on standard output: aligned on a terminal, tab-separated in a pipe or a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import IO, Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from kexp.cli.table_layout import Column, columns_of, laid_out, least_width
from kexp.contracts import choice_label


def print_table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    *,
    right: int | None = None,
    spare: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Print a table; columns from ``right`` on are numbers, and a header without words is not shown.

    Where it is wider than the terminal, columns named in ``spare`` are left out, in this order, and a line says which;
    what is still too wide becomes several tables. It goes to standard output unless a console is given.
    """
    file = sys.stdout if console is None else console.file
    if not is_screen(file):
        for cells in (header, *rows) if any(header) else rows:
            print("\t".join(map(str, cells)), file=file)
        return
    out = console or console_of()
    columns = columns_of(header, rows, right)
    kept = _without_spare(columns, spare, out.width)
    for table in laid_out(kept, title, out.width):
        out.print(table, soft_wrap=False)
    if gone := [column.name for column in columns if column not in kept]:
        out.print(f"[dim]left out, since the terminal is narrow: {escape(', '.join(gone))}[/]", soft_wrap=False)


def is_screen(file: IO[str]) -> bool:
    """Return whether a stream is a terminal on which the cursor can be moved; CI logs and dumb terminals are none."""
    return file.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def console_of(file: IO[str] | None = None) -> Console:
    """Return a console for standard output, or another stream: a terminal breaks lines between words, a file none."""
    to = file or sys.stdout
    plain = not is_screen(to)
    return Console(file=to, highlight=False, emoji=False, soft_wrap=plain, force_terminal=False if plain else None)


def _without_spare(columns: Sequence[Column], spare: Sequence[str], width: int) -> Sequence[Column]:
    """Return the columns without as many of the spare ones as are too much for the width."""
    kept = list(columns)
    for name in spare:
        if least_width(kept) <= width:
            break
        kept = [column for column in kept if column.name != name]
    return kept


def as_text(value: Any) -> str:
    """Return the text of a cell: four decimals of a number that is not whole, nothing for None."""
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def setting(value: Any) -> str:
    """Return the text of a value that a search chose."""
    return f"{value:.3g}" if isinstance(value, float) else str(choice_label(value))
