"""A spec before it is checked: read from a file, or given in Python as a table."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kexp.errors import Problem, SpecError
from kexp.nested import Table
from kexp.options import SpecText
from kexp.spec import toml
from kexp.spec.frames import is_frame, store_frame

GIVEN = "the spec"
"""How messages name a spec that is in no file."""

UNNAMED = "experiment"
"""The name of an experiment that is in no file and states none."""


@dataclass(frozen=True, slots=True)
class SpecSource:
    """A spec as it is written: how messages name it, the experiment's name where it states none, and its table."""

    title: str
    name: str
    table: Table

    @classmethod
    def read(cls, path: Path) -> SpecSource:
        """Read a file and what it extends; raises ``KexpError`` for what is no spec file."""
        return cls(str(path), path.stem, toml.read(path))

    @classmethod
    def given(cls, table: Mapping[str, Any]) -> SpecSource:
        """Take a table of Python; relative paths in it start at the working folder.

        A pandas table is stored as a file, and as ``dataset`` it is a dataset ``table``. Raises ``SpecError`` for
        values that TOML does not have.
        """
        if is_frame(table.get("dataset")):
            table = {**table, "dataset": {"use": "table", "path": table["dataset"]}}
        return cls(GIVEN, UNNAMED, toml.extended(toml.join_paths(plain_table(table, GIVEN)), GIVEN, Path.cwd()))


def plain_table(table: Mapping[str, Any], title: str) -> Table:
    """Return a table of Python with the types of TOML: paths and pandas tables as texts, tuples and arrays as lists.

    Raises ``SpecError`` that names every value of another type.
    """
    problems: list[Problem] = []
    plain: Table = _plain(table, "", problems)
    # Deep nesting and huge numbers as in a file; what is no value of TOML is reported first.
    if problems := problems or list(itertools.islice(toml.unusable("", plain), 10)):
        raise SpecError(title, problems)
    return plain


def _plain(value: Any, path: str, problems: list[Problem], depth: int = 0) -> Any:
    if depth > toml.DEEPEST + 1:
        return {}
    if isinstance(value, Mapping):
        found = {}
        for key, item in value.items():
            place = f"{path}.{key}" if path else str(key)
            if not isinstance(key, str):
                problems.append(Problem(place, f"expected a key in quotes, found {key!r}"))
            found[str(key)] = _plain(item, place, problems, depth + 1)
        return found
    if isinstance(value, str | os.PathLike):
        return value if isinstance(value, SpecText) else SpecText(os.fsdecode(value), Path.cwd())
    if isinstance(value, bool | int | float):
        return value
    if is_frame(value):
        return SpecText(str(store_frame(value, path)), Path.cwd())
    # NumPy's numbers and arrays, and the columns of pandas.
    if hasattr(value, "tolist"):
        return _plain(value.tolist(), path, problems, depth + 1)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(item, f"{path}[{number}]", problems, depth + 1) for number, item in enumerate(value)]
    problems += _no_value(value, path)
    return ""


def _no_value(value: object, path: str) -> Iterator[Problem]:
    if value is None:
        yield Problem(path, "expected a value, found None", "leave the key out")
    else:
        expected = "expected a text, a number, True or False, a list or a table"
        yield Problem(path, f"{expected}, found a value of type {type(value).__name__}")
