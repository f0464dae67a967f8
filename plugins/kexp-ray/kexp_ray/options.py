"""Executor ``ray`` and its options."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from pydantic import Field

from kexp.contracts import Executor, ExecutorContext, ExecutorOptions
from kexp.errors import Problem


class Ray(ExecutorOptions):
    """Trials and runs are tasks of a Ray cluster: each waits until its processors and GPUs are free somewhere.

    A trial that is pruned ends at once and gives them back. One whose machine or process is gone is tried once more;
    such a run of ``kexp run`` has failed, and is continued with ``--resume``.
    """

    address: str | None = Field(
        None,
        description="HOST:PORT of the cluster, auto (a running one, by RAY_ADDRESS or on this machine) or local (one of"
        " this machine alone, for this command). If not given: auto, and local where none runs.",
    )
    cpus: float = Field(1, gt=0, description="Processors of a trial or run, which has as many threads.")
    gpus: float = Field(
        0, ge=0, description="GPUs of a trial or run, which sees no others; two with 0.5 share one, 0 hides all."
    )

    def problems(self) -> Iterable[Problem]:
        """Yield a share of GPUs that Ray does not give."""
        if self.gpus > 1 and self.gpus % 1:
            yield Problem("gpus", f"a trial has whole GPUs or a part of one, found {self.gpus:g}")

    def build(self, context: ExecutorContext) -> Executor:
        """Connect with the cluster."""
        from kexp_ray.cluster import connect, require
        from kexp_ray.executor import RayExecutor

        with ExitStack() as connection:
            connect(self.address, connection)
            require(self.cpus, self.gpus, context.device)
            return RayExecutor(context.work, self.cpus, self.gpus, connection.pop_all())
