"""The task of a finished run, from its spec."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kexp.catalog import Catalog, load_catalog
from kexp.contracts import AnyTask, TaskOptions
from kexp.errors import KexpError
from kexp.validation_messages import describe_validation_error

BEFORE = "single-label"
"""The task of runs whose spec names none: those of earlier versions knew no other."""


def task_of(place: object, spec: Mapping[str, Any]) -> TaskOptions:
    """Return the task that a resolved spec names; raises ``KexpError`` with the place where it is not installed."""
    catalog = _catalog(tuple(spec.get("plugins", {}).get("block", ())))
    try:
        return TypeAdapter[TaskOptions](AnyTask).validate_python(spec.get("task", BEFORE), context={"catalog": catalog})
    except ValidationError as error:
        found = describe_validation_error(error.errors(include_url=False)[0])
        remedy = "install the package that the runs had it from, which environment.json names"
        raise KexpError(f"{place}: task: {found}; {remedy}") from None


@lru_cache(maxsize=8)
def _catalog(block: tuple[str, ...]) -> Catalog:
    return load_catalog(block=block)
