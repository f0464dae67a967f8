"""How results show themselves in a notebook: tables and texts as HTML, in which every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from kexp.redaction import without_passwords

if TYPE_CHECKING:
    import pandas as pd

ROWS = 50
"""Rows of a table that a page shows; the table itself has all of them."""


def page(title: str, *parts: str) -> str:
    """Return the HTML of a result: its title and parts, of which empty ones are left out."""
    return f"<div><p><b>{text(title)}</b></p>{''.join(parts)}</div>"


def text(value: object) -> str:
    """Return a text as HTML, without passwords."""
    return escape(without_passwords(str(value)))


def table(frame: pd.DataFrame) -> str:
    """Return a table as HTML, numbers with four decimals; nothing for one without rows."""
    if frame.empty:
        return ""
    shown: str = frame.head(ROWS).to_html(escape=True, index=False, border=0, na_rep="", float_format="{:.4f}".format)
    more = f"<p>{len(frame) - ROWS:,} more rows</p>" if len(frame) > ROWS else ""
    return shown + more


def items(lines: Iterable[str]) -> str:
    """Return lines as a list; nothing for none."""
    found = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<ul>{found}</ul>" if found else ""


def paragraph(line: str) -> str:
    """Return a line as a paragraph; nothing for an empty one."""
    return f"<p>{text(line)}</p>" if line else ""


def link(path: Path) -> str:
    """Return a link to a file; nothing where there is none."""
    if not path.is_file():
        return ""
    return f'<p><a href="{escape(path.resolve().as_uri(), quote=True)}" target="_blank">{text(path)}</a></p>'


def plain(frame: pd.DataFrame) -> str:
    """Return a table as text, numbers with four decimals."""
    if frame.empty:
        return ""
    shown: str = frame.head(ROWS).to_string(index=False, na_rep="", float_format="{:.4f}".format)
    more = f"\n{len(frame) - ROWS:,} more rows" if len(frame) > ROWS else ""
    return shown + more
