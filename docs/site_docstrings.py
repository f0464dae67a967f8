"""What mkdocstrings reads: our docstrings have reStructuredText's literal blocks, which become Python in fences."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

LITERAL = re.compile(r"::\n\n((?:[ \t]+.*\n?|\n)+)")


class LiteralBlocks(griffe.Extension):
    """Turns ``::`` and the indented text below it into a block of Python."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring:
            obj.docstring.value = LITERAL.sub(_fenced, obj.docstring.value)


def _fenced(found: re.Match[str]) -> str:
    return f":\n\n```python\n{textwrap.dedent(found[1]).strip()}\n```\n\n"
