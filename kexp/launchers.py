"""Which place a launcher, such as torchrun, has given to this process; refused where kexp cannot follow it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from kexp.distributed import ALONE, World
from kexp.errors import KexpError

NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun sets for every process."""

TASKS = {
    "SLURM_STEP_NUM_TASKS": ("SLURM_PROCID", "srun"),
    "OMPI_COMM_WORLD_SIZE": ("OMPI_COMM_WORLD_RANK", "mpirun"),
    "PMI_SIZE": ("PMI_RANK", "mpirun"),
}
"""Variables with the number of tasks that other launchers begin: those with the number of a task, and the launcher.

A batch script of SLURM that asks for several tasks has none of them: it runs once.
"""

TORCHRUN = "torchrun --nproc_per_node N -m kexp run ..."


def launched(environ: Mapping[str, str] = os.environ) -> World:
    """Return the place of this process among those that torchrun has begun: ``ALONE`` where there are no others.

    Raises ``KexpError`` where several processes were begun that would each train the whole run.
    """
    size = _number(environ, "WORLD_SIZE") if environ.get("WORLD_SIZE") else 1
    if size == 1:
        _need_one_task(environ)
        return ALONE
    missing = [name for name in NEEDED if not environ.get(name)]
    if missing:
        raise KexpError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set, so this "
            f"process cannot find the others; start them with {TORCHRUN}, or unset WORLD_SIZE to train in one process"
        )
    rank, local, local_size = (_number(environ, name) for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    if not 0 <= rank < size or not 0 <= local < local_size <= size:
        found = ", ".join(f"{name}={environ[name]}" for name in NEEDED[:4])
        raise KexpError(f"{found}: ranks are counted from 0 to the size less 1; start kexp with {TORCHRUN}")
    return World(rank, size, local, local_size)


def need_one_process(command: str, environ: Mapping[str, str] = os.environ) -> None:
    """Raise ``KexpError`` where a launcher has begun several processes of a command that takes one."""
    if environ.get("WORLD_SIZE") and (size := _number(environ, "WORLD_SIZE")) > 1:
        raise KexpError(
            f"{command} works in one process, and WORLD_SIZE is {size}: only kexp run takes several; start it without "
            f"a launcher, or unset WORLD_SIZE"
        )


def follows(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a launcher has begun another process before this one, which shows what there is to see."""
    places = [("WORLD_SIZE", "RANK")]
    if not _runs_of_their_own(environ):
        places += [(size, rank) for size, (rank, _) in TASKS.items()]
    known = [(environ[rank], environ[size]) for size, rank in places if environ.get(rank) and environ.get(size)]
    rank, size = next(((rank, size) for rank, size in known if size != "1"), ("0", "1"))
    # A rank that does not exist is told by the process that has it.
    return rank.isdecimal() and size.isdecimal() and 0 < int(rank) < int(size)


def _need_one_task(environ: Mapping[str, str]) -> None:
    if _runs_of_their_own(environ):
        return
    for name, (_, launcher) in TASKS.items():
        if environ.get(name) and (tasks := _number(environ, name)) > 1:
            raise KexpError(
                f"{launcher} has begun {tasks} tasks ({name}), each of which would train the whole run; start one task "
                f"per machine, and in it {TORCHRUN}, or set WORLD_SIZE=1 if each task is to train a run of its own"
            )


def _runs_of_their_own(environ: Mapping[str, str]) -> bool:
    """Return whether each of several tasks trains a run of its own: the user says so, and not a torchrun in each."""
    return environ.get("WORLD_SIZE") == "1" and "TORCHELASTIC_RUN_ID" not in environ


def _number(environ: Mapping[str, str], name: str) -> int:
    try:
        number = int(environ[name])
    except ValueError:
        number = -1
    if number < 0 or (number == 0 and "SIZE" in name):
        raise KexpError(
            f"{name} is {environ[name]!r}, expected a whole number; start kexp with {TORCHRUN}, or unset it"
        )
    return number
