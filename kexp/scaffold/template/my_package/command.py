"""A command of kexp's: a function with the annotations of Typer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import kexp
import typer

KEXP_API = 3
"""Version of the interface to plugins for which this was written."""


def count(file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Text file in UTF-8.")]) -> None:
    """Count lines, words and Hangul syllables of a text file."""
    text = file.read_text("utf-8")
    syllables = sum("가" <= character <= "힣" for character in text)
    print(f"{len(text.splitlines())} lines, {len(text.split())} words, {syllables} syllables")


@kexp.hookimpl
def kexp_commands() -> Mapping[str, Callable[..., None]]:
    """Name the commands of this package."""
    return {"my-name": count}
