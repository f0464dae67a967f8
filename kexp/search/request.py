"""What ``kexp tune`` and ``kexp.tune`` share: options of the search as overrides, and the name of a study."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kexp.errors import KexpError
from kexp.names import composed, file_name_problem
from kexp.nested import Table


def search_overrides(
    assignments: Sequence[str | Table],
    *,
    trials: int | None,
    timeout: str | None,
    jobs: int | None,
    executor: str | None,
    storage: str | None,
) -> list[str | Table]:
    """Return the overrides of a spec with the options of a search, of which those that are None change nothing.

    The executor is named first, so that the others may set its options, and last, so that none names another one.
    """
    options = {"trials": trials, "timeout": timeout, "jobs": jobs, "storage": storage}
    named = [{"search.executor.use": executor}] if executor is not None else []
    stated = {f"search.{key}": value for key, value in options.items() if value is not None}
    return [*named, *assignments, stated, *named]


def study_name(name: str | None) -> str | None:
    """Return the name of a study in NFC; raises ``KexpError`` for one that cannot be a folder's."""
    if name is None:
        return None
    name = composed(name)
    problem = file_name_problem(name)
    if re.match(r"\d{8}T\d{6}Z-", name):
        problem = "another name: run folders are called so"
    if problem:
        raise KexpError(f"--study {name}: it names a folder; expected {problem}")
    return name


def not_done(found: Mapping[str, Any]) -> list[str]:
    """Return what is said of a search that did not end; nothing if it is done."""
    if found["status"] == "done":
        return []
    again = "; the same command continues" if found["status"] == "interrupted" else ""
    return [f"{found['status']}: {found['reason']}{again}"]
