"""What several processes of one experiment have to share: its spec, its inputs, and objectives that add up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import kexp
from kexp.catalog import Catalog
from kexp.distributed import World
from kexp.errors import DataError, KexpError
from kexp.experiment.digests import listed_changes
from kexp.plan.resolve import Plan

SHARED = "give all processes the same runs folder (--runs-dir), on a disk that their machines share"


def need_several_processes(world: World, plan: Plan, catalog: Catalog) -> None:
    """Raise ``KexpError`` where a plan cannot be run by these processes, before any data are read."""
    if world.size == 1:
        return
    for variant in plan.variants:
        objective = variant.spec.objective
        if not objective.several_processes:
            raise KexpError(
                f"{plan.source}: variant {variant.name}: objective {catalog.name_of(type(objective))} cannot train in "
                f"{world.size} processes: it does not return the part of a process (several_processes); start one "
                "process, without torchrun, or choose another objective"
            )
    theirs = world.from_first(lambda: (kexp.__version__, plan.digest))
    with world.together():
        if theirs[0] != kexp.__version__:
            raise KexpError(f"kexp is {kexp.__version__} here and {theirs[0]} in process 0; install the same version")
        if theirs[1] != plan.digest:
            raise KexpError(f"{plan.source}: is another spec than that of process 0; give all processes the same file")


def need_equal_inputs(world: World, read: Mapping[str, Any]) -> None:
    """Raise ``DataError`` in every process where one reads other rows or files than the first one."""
    if world.size == 1:
        return
    theirs = world.from_first(lambda: read)
    with world.together():
        if changes := listed_changes(theirs, read, {}, {}):
            raise DataError(f"reads other inputs than process 0; give every machine the same files{changes}")
