"""What may be seen by anyone: texts and specs without secrets, paths, and names of machines and users."""

from __future__ import annotations

import getpass
import platform
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from kexp.redaction import LABELS, MASK, hidden, without_passwords

PRIVATE = ("search", "execution", "trackers", "variants", "name")
"""Sections of a spec on which a model does not depend, and that say where its owner works."""
KEPT = LABELS | {"id", "revision", "use", "model", "size", "seed_words", "text", "text_pair", "join_with", "columns"}
KEPT |= {"separator", "escape", "encoding"}
"""Keys whose values are what they are, whatever they look like: labels, names on the hub, how files are written."""
COMMON = {"root", "user", "admin", "ubuntu", "localhost", "guest", "home", "jovyan", "colab", "kaggle", "model", "test"}
"""Names of users and machines that say nothing of anyone, and that texts may hold as words."""

_ABSOLUTE = re.compile(r"/[^/\0]|~[\w.-]*/|[A-Za-z]:[\\/]|\\\\\w|file:", re.ASCII)
_PATH = re.compile(r"(?<![\w/:.~>])(?:file://)?(?:~[\w.-]*|[A-Za-z]:)?(?:[/\\][^\s/\\\"'<>|:;,()\[\]{}`]+)+")
_ADDRESS = re.compile(
    r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{1,30}://)(?!(?:www\.)?(?:github\.com|huggingface\.co|aihub\.or\.kr)\b)[^\s\"'<>]+"
)


def public_text(text: str) -> str:
    """Return a text without secrets, and with the last name alone of every path in it."""
    if is_path(text):
        return _last(text)
    text = _ADDRESS.sub(rf"\g<scheme>{MASK}", without_passwords(text))
    for folder in _own_folders():
        text = text.replace(f"{folder}/", "/")
    text = _PATH.sub(lambda found: _last(found[0]), text)
    return re.sub(names, MASK, text) if (names := _own_names()) else text


def is_path(text: str) -> bool:
    """Return whether a text is an absolute path as a whole."""
    return "\n" not in text and bool(_ABSOLUTE.match(text))


def public_spec(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec of a variant for anyone: without search, executor and trackers, files by their names."""
    kept = {name: value for name, value in hidden(table).items() if name not in PRIVATE}
    return {name: _public(value) for name, value in kept.items()}


def _public(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: item if key in KEPT else _public(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_public(item) for item in value]
    return public_text(value) if isinstance(value, str) else value


def _last(path: str) -> str:
    """Return the last name of a path, by the rules of the system that it looks like."""
    windows = "\\" in path or re.match("[A-Za-z]:", path)
    return (PureWindowsPath(path) if windows else PurePosixPath(path.removeprefix("file://"))).name or MASK


@cache
def _own_folders() -> list[str]:
    return [str(folder) for folder in {Path.home(), Path.cwd()} if len(folder.parts) > 1]


@cache
def _own_names() -> str:
    """Return a pattern of the names of this machine and its user; "" where they say nothing."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a user without a name.
        user = ""
    host = platform.node()
    names = {user, host, host.partition(".")[0], Path.home().name}
    telling = sorted((re.escape(name) for name in names if len(name) > 2 and name.lower() not in COMMON), key=len)
    return rf"(?<!\w)(?:{'|'.join(reversed(telling))})(?!\w)" if telling else ""
