"""What mkdocstrings reads of kexp: docstrings in Markdown, class variables as such, options by their descriptions."""

from __future__ import annotations

import ast
import re
import textwrap
from typing import Any

import griffe

LITERAL = re.compile(r"::\n\n((?:[ \t]+.*\n?|\n)+)")


class Readable(griffe.Extension):
    """Shows what griffe leaves out."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Turn ``::`` and the indented text below it into a block of Python."""
        if obj.docstring:
            obj.docstring.value = LITERAL.sub(_fenced, obj.docstring.value)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Say ``ClassVar`` where it is: without it, the copied line would define an option of the component."""
        if attr.docstring is None and (description := _description(str(attr.value))):
            attr.docstring = griffe.Docstring(description, parent=attr)
        if attr.annotation and attr.labels == {"class-attribute"}:
            attr.annotation = f"ClassVar[{attr.annotation}]"


def _fenced(found: re.Match[str]) -> str:
    return f":\n\n```python\n{textwrap.dedent(found[1]).strip()}\n```\n\n"


def _description(value: str) -> str:
    """Return the description in pydantic's ``Field(...)``, empty where a value is something else."""
    call = ast.parse(value, mode="eval").body if value.startswith("Field(") else None
    words = call.keywords if isinstance(call, ast.Call) else []
    stated = [word.value.value for word in words if word.arg == "description" and isinstance(word.value, ast.Constant)]
    return "".join(map(str, stated))
