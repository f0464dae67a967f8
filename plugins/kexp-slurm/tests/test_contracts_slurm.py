"""The promises of every executor, kept by processes of this machine in place of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kexp.testing import ExecutorContract
from kexp_slurm.options import Slurm


class TestSlurm(ExecutorContract):
    examples: ClassVar[Sequence[Slurm]] = (Slurm(cluster="local"),)
