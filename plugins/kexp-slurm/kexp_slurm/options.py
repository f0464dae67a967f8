"""Executor ``slurm`` and its options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field

from kexp.contracts import Executor, ExecutorContext, ExecutorOptions
from kexp.errors import Problem
from kexp.options import LocalPath


class Slurm(ExecutorOptions):
    """Tasks are jobs of a SLURM cluster, submitted with sbatch: each begins when SLURM has room for it.

    A task whose job is cancelled, preempted, out of time or out of memory, or whose node is gone, is lost: a trial is
    tried once more, a run has failed, and ``--resume`` goes on with it. Jobs and the command that submits them exchange
    files in ``folder``.
    """

    cluster: Literal["slurm", "local"] = Field(
        "slurm",
        description="slurm, or local: processes of this machine in place of jobs, to try a spec without a cluster.",
    )
    partition: str | None = Field(None, description="Partition of the jobs. If not given: the cluster's default.")
    time: int = Field(60, gt=0, description="Time limit of a job in minutes: of one trial, or of one run.")
    notice: int = Field(
        120, gt=0, description="Seconds before the time limit at which a task is told to stop and stores a checkpoint."
    )
    gpus_per_node: int = Field(0, ge=0, description="GPUs of a job, which uses one; 0 hides all.")
    cpus: int = Field(1, gt=0, description="Processors of a job, which has as many threads.")
    memory: float | None = Field(None, gt=0, description="Memory of a job in GB. If not given: the cluster's default.")
    account: str | None = Field(None, description="Account that is charged. If not given: the user's default.")
    qos: str | None = Field(None, description="Quality of service. If not given: the cluster's default.")
    constraint: str | None = Field(None, description='Features that a node must have, such as "a100|h100".')
    extra: Mapping[str, str | int | bool] = Field(
        default_factory=dict, description='Further options of sbatch by their long names: {gres = "gpu:a100:1"}.'
    )
    setup: tuple[str, ...] = Field(
        (), description='Shell commands of a job before its task, such as "module load cuda".'
    )
    folder: LocalPath | None = Field(
        None,
        description="Folder for logs and messages, on a file system that all nodes share. If not given: slurm in kexp's"
        " cache folder.",
    )

    @property
    def has_gpu(self) -> bool:
        """Whether jobs have a GPU, by ``gpus_per_node`` or by an option of sbatch."""
        return self.gpus_per_node > 0 or any("gpu" in f"{name}={value}" for name, value in self.extra.items())

    def problems(self) -> Iterable[Problem]:
        """Yield a notice that is longer than the job, options of sbatch that kexp sets itself, and wrong names."""
        if self.notice >= 60 * self.time:
            yield Problem("notice", f"a job of {self.time} minutes ends before a notice of {self.notice} seconds")
        for name in self.extra:
            if field := OWN.get(name.strip("-").replace("_", "-")):
                yield Problem(f"extra.{name}", field)
            elif name.startswith("-") or "_" in name:
                yield Problem(f"extra.{name}", f"expected a long name of sbatch without --: {_long(name)}")
        if self.folder is not None and "%" in str(self.folder):
            yield Problem("folder", f'SLURM replaces "%" in paths, found {self.folder}', "choose a name without it")
        if self.cluster == "local" and self.setup:
            yield Problem("setup", 'cluster = "local" starts no job in which commands could be run', "leave it out")

    def warnings(self) -> Iterable[Problem]:
        """Yield GPUs that a job would hold and not use."""
        if self.gpus_per_node > 1:
            hint = "set it to 1; one run on several GPUs is what torchrun starts"
            yield Problem("gpus_per_node", f"a task uses one GPU, and its job holds {self.gpus_per_node}", hint)

    def build(self, context: ExecutorContext) -> Executor:
        """Check that jobs like these are accepted, and make the folder of their messages."""
        from kexp_slurm.executor import start

        return start(self, context)


OWN = {
    "partition": "this is the option partition of the executor",
    "time": "this is the option time of the executor",
    "gpus-per-node": "this is the option gpus_per_node of the executor",
    "cpus-per-task": "this is the option cpus of the executor",
    "mem": "this is the option memory of the executor",
    "account": "this is the option account of the executor",
    "qos": "this is the option qos of the executor",
    "constraint": "this is the option constraint of the executor",
    "output": "logs are in the executor's folder",
    "error": "logs are in the executor's folder",
    "signal": "this is the option notice of the executor",
    "array": "a task is a job of its own",
    "ntasks": "a task is one process",
    "nodes": "a task is one process; one run over several nodes is what torchrun starts",
    "requeue": "kexp repeats a lost task itself",
    "wrap": "kexp writes the commands of a job; use setup for those before it",
}
"""Options of sbatch that ``extra`` may not set, and what is said of them."""


def _long(name: str) -> str:
    return name.strip("-").replace("_", "-")
