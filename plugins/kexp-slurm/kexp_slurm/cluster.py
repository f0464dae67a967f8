"""Where jobs run: a SLURM cluster, or processes of this machine in its place."""

from __future__ import annotations

import getpass
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import psutil
import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError
from submitit.helpers import clean_env

from kexp.errors import KexpError
from kexp_slurm.options import Slurm

Job = submitit.Job[None]

CHECK_EVERY = 20.0
"""Seconds between two looks at SLURM's queue, which serves all users."""

SETTLE = 20.0
"""Seconds that a message may take from a node to here after its job has ended."""

ANSWER = 60.0
"""Seconds in which a command of SLURM has to answer."""

ACTIVE = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"}
"""States of a job that may still send a message; one that is started again does nothing the second time."""

ORDINARY = ("None", "Priority", "Resources")
"""Reasons for which every job waits."""

WORDS = {
    "BOOT_FAIL": "its node could not be booted",
    "CANCELLED": "its job was cancelled",
    "DEADLINE": "its job was ended at the deadline",
    "NODE_FAIL": "its node is gone",
    "OUT_OF_MEMORY": "its job ran out of memory; set a higher memory for the executor",
    "PREEMPTED": "its job was preempted by another one",
    "TIMEOUT": "its job was ended at its time limit; set a higher time for the executor",
}
"""What the end of a job is called."""

SETTINGS = {
    *("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SBATCH_CLUSTERS", "SBATCH_EXPORT", "SBATCH_RESERVATION"),
    *("SBATCH_ACCOUNT", "SBATCH_CONSTRAINT", "SBATCH_PARTITION", "SBATCH_QOS"),
}
"""Variables that say how SLURM is used; others with such names belong to a job in which this process runs."""

logger = logging.getLogger("kexp")


class Cluster(Protocol):
    """Submits jobs and knows which of them are over."""

    def submit(self, function: Callable[..., None], *arguments: Any) -> Job:
        """Submit a job; raises ``Refused`` when the cluster does not take it."""

    def ended(self, jobs: Mapping[str, Job]) -> Mapping[str, str]:
        """Return why jobs are over that send no further message, by key."""

    def cancel(self, jobs: Sequence[Job]) -> None:
        """End jobs, also those that have not begun."""

    def close(self) -> None:
        """Release what jobs leave behind on this machine."""


class Refused(Exception):
    """The cluster takes no job at this moment."""


class SlurmCluster:
    """Jobs of SLURM, submitted by submitit."""

    def __init__(self, options: Slurm, folder: Path) -> None:
        self.environment = _environment(options)
        self.executor = _slurm(options, folder)
        self.looked = time.monotonic()
        self.over: dict[str, tuple[float, str]] = {}
        """When and why jobs were seen to be over."""
        self.held: dict[str, str] = {}
        """Why jobs were waiting at the last look."""
        self.told: set[str] = set()
        """What was said of SLURM and its queue, each once."""

    def submit(self, function: Callable[..., None], *arguments: Any) -> Job:
        """Submit a job by sbatch."""
        try:
            with _submission(self.environment):
                return self.executor.submit(function, *arguments)
        except (FailedJobError, OSError) as error:
            raise Refused(_last_lines(str(error))) from None
        except FailedSubmissionError as error:
            raise KexpError(f'executor "slurm": {_last_lines(str(error))}') from None

    def ended(self, jobs: Mapping[str, Job]) -> Mapping[str, str]:
        """Look at the queue now and then; a job is over some time after it has left it."""
        if jobs and time.monotonic() - self.looked > CHECK_EVERY:
            self.looked = time.monotonic()
            self._look(jobs)
        settled = time.monotonic() - SETTLE
        return {key: reason for key, (since, reason) in self.over.items() if key in jobs and since < settled}

    def cancel(self, jobs: Sequence[Job]) -> None:
        """End jobs by scancel: a running one gets SIGTERM, and is killed some seconds later."""
        if jobs:
            try:
                _call("scancel", *(job.job_id for job in jobs))
            except (OSError, subprocess.TimeoutExpired) as error:
                numbers = " ".join(job.job_id for job in jobs)
                logger.warning("jobs could not be cancelled (%s); end them yourself: scancel %s", error, numbers)

    def close(self) -> None:
        """Leave SLURM alone."""

    def _look(self, jobs: Mapping[str, Job]) -> None:
        states = self._states()
        if states is None:
            return
        for key, job in jobs.items():
            state, _, why = states.get(job.job_id, "").partition(" ")
            if key not in self.over and state not in ACTIVE:
                self.over[key] = (time.monotonic(), _reason(job, state))
            # For a moment a new job is held back for reasons that pass.
            if state == "PENDING" and why not in ORDINARY and self.held.get(key) == why:
                self._tell(f"SLURM holds job {job.job_id} back", why)
            self.held[key] = why

    def _states(self) -> Mapping[str, str] | None:
        """Return state and reason of the user's jobs by number; None while SLURM does not answer."""
        try:
            said = _call("squeue", "--noheader", "--user", getpass.getuser(), "--states=all", "--format=%i %T %r")
        except (OSError, subprocess.TimeoutExpired) as error:
            said = subprocess.CompletedProcess((), 1, "", str(error))
        if said.returncode:
            self._tell("SLURM's queue cannot be read, it is tried again", _last_lines(said.stderr))
            return None
        return dict(line.split(maxsplit=1) for line in said.stdout.splitlines() if line.strip())

    def _tell(self, what: str, why: str) -> None:
        if why not in self.told:
            logger.warning("%s: %s", what, why)
        self.told.add(why)


def require(options: Slurm) -> None:
    """Raise ``KexpError`` when SLURM would not take jobs like these; nothing is submitted."""
    for program in ("sbatch", "squeue", "scancel", "srun"):
        if shutil.which(program) is None:
            remedy = 'start the command where jobs are submitted, or try it with its option cluster = "local"'
            raise KexpError(f'executor "slurm": there is no {program} on this machine; {remedy}')
    with tempfile.TemporaryDirectory() as folder:
        executor, script = _slurm(options, Path(folder)), Path(folder) / "job.sh"
        script.write_text(executor._make_submission_file_text("true", "check"), "utf-8")
        try:
            with _submission(_environment(options)):
                said = _call("sbatch", "--test-only", str(script))
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KexpError(f'executor "slurm": SLURM does not answer: {error}') from None
    if said.returncode:
        remedy = "change the executor's options; sinfo shows partitions and their limits"
        raise KexpError(f'executor "slurm": SLURM does not take such a job: {_last_lines(said.stderr)}; {remedy}')


def _slurm(options: Slurm, folder: Path) -> submitit.SlurmExecutor:
    """Return submitit's executor; it writes its files into the folder with the first job."""
    quiet_submitit()
    executor = submitit.SlurmExecutor(folder)
    executor.update_parameters(**_parameters(options))
    return executor


class LocalCluster:
    """Processes of this machine in place of jobs."""

    def __init__(self, options: Slurm, folder: Path) -> None:
        self.environment = _environment(options)
        self.executor = submitit.LocalExecutor(folder)
        self.executor.update_parameters(
            timeout_min=options.time, signal_delay_s=options.notice, gpus_per_node=options.gpus_per_node
        )
        self.jobs: list[Job] = []
        quiet_submitit()

    def submit(self, function: Callable[..., None], *arguments: Any) -> Job:
        """Start a process, and one that watches over its time."""
        # Ctrl-C is for the process that a person started; jobs are stopped through their mailbox.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            with _submission(self.environment):
                job = self.executor.submit(function, *arguments)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.jobs.append(job)
        return job

    def ended(self, jobs: Mapping[str, Job]) -> Mapping[str, str]:
        """Ask the processes."""
        self.jobs = [job for job in self.jobs if not job.done()]
        return {key: _with_log("its process died", job) for key, job in jobs.items() if job.done()}

    def cancel(self, jobs: Sequence[Job]) -> None:
        """Kill the processes, and those that watch over them."""
        for job in jobs:
            # A process that was not asked for its end keeps its number.
            if not job.done():
                watching = psutil.Process(int(job.job_id))
                watching.suspend()
                for process in [*watching.children(recursive=True), watching]:
                    process.kill()

    def close(self) -> None:
        """Wait for what has ended or was cancelled."""
        end = time.monotonic() + 10.0
        while (running := [job for job in self.jobs if not job.done()]) and time.monotonic() < end:
            time.sleep(0.05)
        self.cancel(running)


def _parameters(options: Slurm) -> dict[str, Any]:
    """Return submitit's parameters."""
    given = {
        "partition": options.partition,
        "gpus_per_node": options.gpus_per_node or None,
        "account": options.account,
        "qos": options.qos,
        "constraint": options.constraint,
        # SLURM's M and G are powers of 1024.
        "mem": f"{round(1024 * options.memory)}M" if options.memory else None,
        "setup": list(options.setup) or None,
    }
    return {
        **{name: value for name, value in given.items() if value is not None},
        "job_name": "kexp",
        "time": options.time,
        "signal_delay_s": options.notice,
        "cpus_per_task": options.cpus,
        # Steps do not have the processors of their job by themselves (since SLURM 22.05).
        "srun_args": [f"--cpus-per-task={options.cpus}"],
        "wckey": None,
        # A lost task is reported, and repeated by what submitted it.
        "additional_parameters": {
            "no-requeue": True,
            **{name: value for name, value in options.extra.items() if value},
        },
    }


def _environment(options: Slurm) -> Mapping[str, str]:
    """Return variables that jobs have beside those of this process; what the user has set stays."""
    threads = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(options.cpus)}
    hidden = {} if options.has_gpu else {"CUDA_VISIBLE_DEVICES": ""}
    # sbatch prefers its variables to the options of a script.
    stated = {
        f"SBATCH_{name.upper()}" for name in ("account", "constraint", "partition", "qos") if getattr(options, name)
    }
    return {**threads, **hidden, **{name: os.environ[name] for name in SETTINGS - stated if name in os.environ}}


@contextmanager
def _submission(environment: Mapping[str, str]) -> Iterator[None]:
    """Give jobs their variables, and none of a job or a launcher in which this process may run."""
    before = {name: os.environ.get(name) for name in environment}
    try:
        with clean_env():
            os.environ.update(environment)
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def quiet_submitit() -> None:
    """Keep submitit from writing to standard output, which is for results."""
    found = logging.getLogger("submitit")
    found.handlers.clear()
    found.setLevel(logging.ERROR)


def _call(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=ANSWER)


def _reason(job: Job, state: str) -> str:
    """Return why a job is over that may have left the queue already; accounting knows more where there is one."""
    if shutil.which("sacct"):
        try:
            said = _call("sacct", "--noheader", "--allocations", "--parsable2", "--format=State", "--jobs", job.job_id)
            state = said.stdout.strip().partition("\n")[0] or state
        except (OSError, subprocess.TimeoutExpired):
            pass
    # CANCELLED is followed by the user who did it.
    name = state.partition(" ")[0]
    return _with_log(WORDS.get(name, "its process died" + (f" (job state {state})" if state else "")), job)


def _with_log(reason: str, job: Job) -> str:
    """Return a reason with the last line of the job's log, and where that is."""
    try:
        text = job.paths.stderr.read_text("utf-8", "replace")
    except OSError:
        return f"{reason}; job {job.job_id} left no log in {job.paths.folder}: is that on a file system of all nodes?"
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    return f"{reason}; {last[:300] + '; ' if last else ''}its log is {job.paths.stderr}"


def _last_lines(text: str) -> str:
    """Return what a command of SLURM complains of, in one line."""
    lines = (line.removeprefix("sbatch: error: ").removeprefix("sbatch: ").strip() for line in text.splitlines())
    return "; ".join(dict.fromkeys(line for line in lines if line))[-500:]
