"""What this package registers with kexp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kexp import hookimpl

if TYPE_CHECKING:
    from kexp.contracts import ExecutorOptions


@hookimpl
def kexp_executors() -> Mapping[str, type[ExecutorOptions]]:
    """Name the executors."""
    from kexp_slurm.options import Slurm

    return {"slurm": Slurm}
