"""What this package registers with kexp."""

from __future__ import annotations

from collections.abc import Mapping

from kexp import hookimpl
from kexp.contracts import ExecutorOptions
from kexp_ray.options import Ray


@hookimpl
def kexp_executors() -> Mapping[str, type[ExecutorOptions]]:
    """Name the executors."""
    return {"ray": Ray}
