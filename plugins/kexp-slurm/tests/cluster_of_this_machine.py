"""A SLURM cluster whose controller and only node are processes of this machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

CONFIGURATION = """
ClusterName=kexp
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPort={controller}
SlurmdPort={node}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=short Nodes=ALL Default=YES MaxTime=60 State=UP
"""
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "srun", "sinfo")


def is_installed() -> bool:
    return all(map(shutil.which, PROGRAMS))


class Cluster:
    """A cluster in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("state", "spool"):
            (folder / name).mkdir()
        host, user = socket.gethostname().partition(".")[0], psutil.Process().username()
        text = CONFIGURATION.format(host=host, user=user, folder=folder, controller=free_port(), node=free_port())
        self.configuration = folder / "slurm.conf"
        self.configuration.write_text(text, "utf-8")
        self.controller = self._start("slurmctld")
        self.node = self._start("slurmd")

    def wait_until_idle(self) -> None:
        end = time.monotonic() + 60
        while call("sinfo", "--noheader", "--format=%t").strip() != "idle":
            logs = [log.read_text("utf-8", "replace")[-2000:] for log in self.folder.glob("*.log")]
            assert time.monotonic() < end, "\n".join(["SLURM does not start", *logs])
            time.sleep(0.2)

    def kill_node(self) -> None:
        """Take its power away."""
        processes = [self.node, *self.node.children(recursive=True)]
        # What runs a job leaves the node's process.
        processes += [process for process in psutil.process_iter() if self._is_step(process)]
        for process in processes:
            for below in [*children(process), process]:
                with suppress(psutil.NoSuchProcess):
                    below.kill()
        self.node.wait(30)

    def start_node(self) -> None:
        self.node = self._start("slurmd")

    def stop(self) -> None:
        call("scancel", f"--user={psutil.Process().username()}", "--signal=KILL", "--full")
        for process in (self.node, self.controller):
            process.terminate()
            process.wait(30)

    def _start(self, program: str) -> psutil.Popen:
        with (self.folder / f"{program}.txt").open("ab") as output:
            return psutil.Popen(
                [program, "-D", "-f", str(self.configuration)], stdout=output, stderr=output, start_new_session=True
            )

    def _is_step(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return process.name() == "slurmstepd" and str(self.folder) in " ".join(process.environ().values())
        return False


def children(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return list(process.children(recursive=True))
    return []


@contextmanager
def slurm(folder: Path) -> Iterator[Cluster]:
    """Start a cluster, whose configuration is that of ``SLURM_CONF`` meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        cluster = Cluster(folder)
        try:
            cluster.wait_until_idle()
            yield cluster
        finally:
            cluster.stop()


def call(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port
