"""What a user may give to the functions of ``kexp``, as the types that the rest of kexp has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from kexp.errors import KexpError
from kexp.names import ADDRESS, is_utf8
from kexp.nested import Table
from kexp.redaction import without_passwords
from kexp.spec.source import plain_table

if TYPE_CHECKING:
    from kexp.spec.sections import Spec

SpecLike: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | Spec"
"""A spec: the path of a file, a table of Python, or a ``Spec`` of one that was checked."""

Overrides: TypeAlias = "Mapping[str, Any] | str | Sequence[str | Mapping[str, Any]] | None"
"""Keys that are changed: a table, or texts ``path=value`` as those of ``--set``."""


def spec_of(spec: object) -> Any:
    """Return a spec as a path, a table or a ``Spec``; raises ``KexpError`` for anything else."""
    if isinstance(spec, str | os.PathLike):
        return path_of(spec, "a spec")
    if isinstance(spec, Mapping):
        return spec
    from kexp.spec.sections import Spec

    if isinstance(spec, Spec):
        return spec
    raise KexpError(f"expected a spec: a path, a dict or a Spec, found a value of type {type(spec).__name__}")


def path_of(value: object, what: str) -> Path:
    """Return a path; raises ``KexpError`` for what is none, and for an address of the network."""
    if not isinstance(value, str | os.PathLike):
        raise KexpError(f"expected the path of {what}, found a value of type {type(value).__name__}")
    text = os.fsdecode(value)
    if not text.strip() or "\0" in text or ADDRESS.match(text):
        raise KexpError(f'expected the path of {what}, found "{without_passwords(text)}"')
    if not is_utf8(text):
        raise KexpError(f"expected a name in UTF-8, found {text!r}")
    return Path(text).expanduser()


def runs_folder(value: object) -> Path:
    """Return the folder where run folders are made: the given one, else that of KEXP_RUNS_DIR, else ``runs``."""
    return path_of(value if value is not None else os.environ.get("KEXP_RUNS_DIR") or "runs", "a folder (runs_dir)")


def overrides_of(given: object) -> list[str | Table]:
    """Return overrides as texts ``path=value`` and tables, in their order."""
    if given is None:
        return []
    if isinstance(given, str | Mapping):
        given = [given]
    if not isinstance(given, Iterable):
        raise KexpError(f"overrides: {_WANTED}, found a value of type {type(given).__name__}")
    found: list[str | Table] = []
    for one in given:
        if isinstance(one, Mapping):
            found.append(plain_table(one, "overrides"))
        elif isinstance(one, str):
            found.append(one)
        else:
            raise KexpError(f"overrides: {_WANTED}, found a value of type {type(one).__name__}")
    return found


_WANTED = 'expected a dict such as {"training.epochs": 1}, or texts such as "training.epochs=1"'


def names_of(given: object, what: str) -> list[str]:
    """Return one or several names as a list; raises ``KexpError`` for what is no text."""
    names = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    found: list[str] = []
    for name in names:
        if not isinstance(name, str):
            raise KexpError(f"{what}: expected a name or a list of names, found {name!r}")
        found.append(name)
    return found


def numbers_of(given: object, what: str) -> list[int]:
    """Return one or several whole numbers as a list; raises ``KexpError`` for anything else."""
    numbers = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    found: list[int] = []
    for number in numbers:
        if not isinstance(number, Integral) or isinstance(number, bool):
            raise KexpError(f"{what}: expected whole numbers, for example [1, 2, 3], found {number!r}")
        found.append(int(number))
    return found
