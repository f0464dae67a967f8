"""Several runs of an experiment at once: what is equal to runs one after the other, and how they end."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import kexp, tiny_spec

from kexp.catalog import Catalog
from kexp.contracts import Answer, Task
from kexp.distributed import World
from kexp.errors import KexpError
from kexp.experiment.run_task import RunTask, run_task

Write = Callable[[str], Path]

TIMES = ("seconds", "time_shares", "per_second", "memory", "data_share", "energy")
"""Parts of the names of what differs between two runs of equal bits."""


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: without_times(item)
            for key, item in value.items()
            if not any(part in key for part in TIMES) and key != "checksum"
        }
    return [without_times(item) for item in value] if isinstance(value, list) else value


def files_of(folder: Path) -> dict[str, Any]:
    """Return what the runs of a folder have written, without what measures time."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix in (".parquet", ".safetensors"):
            found[name] = path.read_bytes()
        elif path.name == "metrics.jsonl":
            found[name] = [without_times(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
        elif path.name in ("result.json", "summary.json"):
            found[name] = without_times(json.loads(path.read_text("utf-8")))
    return found


VARIANTS = """
[variants."기본"]
[variants.frozen]
freezing.use = "embeddings"
"""


def folder_of(runs: Path) -> Path:
    (folder,) = runs.glob("*/*")
    return folder


def test_runs_at_once_have_the_bytes_of_runs_one_after_the_other(
    write_spec: Write, reviews: Path, tmp_path: Path
) -> None:
    spec = write_spec(tiny_spec("seeds = [1, 2]", VARIANTS, epochs=2).format(data=reviews))
    result = kexp("run", spec, "--runs-dir", tmp_path / "one", "--quiet")
    assert result.exit_code == 0, result.stderr
    result = kexp("run", spec, "--runs-dir", tmp_path / "several", "--jobs", 3)
    assert result.exit_code == 0, result.stderr
    one, several = (folder_of(tmp_path / name) for name in ("one", "several"))
    assert one.name.rpartition("-")[2] == several.name.rpartition("-")[2]
    expected = files_of(one)
    assert len([name for name in expected if name.endswith("model.safetensors")]) == 4
    assert files_of(several) == expected


# --- how they end ---------------------------------------------------------------------------------------------------

HELD = '''
import os, time
from pathlib import Path
import kexp

KEXP_API = 3
HERE = Path(os.environ["HELD"])

@kexp.hookimpl
def kexp_epoch_ended(run, epoch):
    """Leave the number of the process after the first epoch, and wait until the test goes on."""
    if epoch == 0 and run.resumed_at is None:
        part = HERE / f"{run.seed}.part"
        part.write_text(str(os.getpid()))
        part.rename(HERE / f"seed-{run.seed}")
        end = time.monotonic() + 300
        while not (HERE / "go").exists() and time.monotonic() < end:
            time.sleep(0.02)
'''
SECONDS = 300


@dataclass
class Held:
    """An experiment in a process of its own, whose runs wait after their first epoch."""

    spec: Path
    runs: Path
    here: Path
    process: subprocess.Popen[str]

    def processes(self, *seeds: int) -> list[int]:
        """Wait for the runs of these seeds, and return the processes that do them."""
        end = time.monotonic() + SECONDS
        while not all((self.here / f"seed-{seed}").is_file() for seed in seeds):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        return [int((self.here / f"seed-{seed}").read_text()) for seed in seeds]

    def go(self) -> None:
        """Let all runs go on."""
        (self.here / "go").touch()

    def end(self) -> tuple[int, str]:
        """Wait for the end, and return the exit status and what was said."""
        _, errors = self.process.communicate(timeout=SECONDS)
        assert "Traceback" not in errors, errors
        return self.process.returncode, errors

    @property
    def folder(self) -> Path:
        return folder_of(self.runs)

    def result(self, seed: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"default/seed-{seed}/result.json").read_text("utf-8"))
        return found


@pytest.fixture
def hold(write_spec: Write, reviews: Path, tmp_path: Path) -> Iterator[Callable[..., Held]]:
    """Return a function that begins an experiment with three seeds, two at once."""
    begun: list[Held] = []

    def begin(*arguments: str) -> Held:
        here, runs = tmp_path / "held", tmp_path / "runs"
        here.mkdir()
        (tmp_path / "held.py").write_text(HELD)
        top = 'name = "held"\nseeds = [1, 2, 3]\nplugins.local = ["held.py"]'
        spec = write_spec(tiny_spec(top, epochs=2).format(data=reviews))
        command = [sys.executable, "-m", "kexp", "run", spec, "--jobs", "2", "--allow-local-code", "--runs-dir", runs]
        process = subprocess.Popen(
            [*map(str, command), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "HELD": str(here)}, start_new_session=True,
        )  # fmt: skip
        begun.append(Held(spec, runs, here, process))
        return begun[-1]

    yield begin
    for held in begun:
        held.go()
        held.process.kill()
        held.process.communicate()


def kept(folder: Path) -> dict[str, Any]:
    """Return what runs have written that does not tell of an interruption."""
    return {
        name: of for name, of in files_of(folder).items() if Path(name).name not in ("summary.json", "metrics.jsonl")
    }


def resumed(held: Held, *arguments: str | int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Continue an experiment in this process, and return what its runs have written."""
    monkeypatch.setenv("HELD", str(held.here))
    result = kexp("run", "--resume", held.folder, "--quiet", "--allow-local-code", *arguments)
    assert result.exit_code == 0, result.stderr
    return kept(held.folder)


def whole(held: Held, tmp_path: Path) -> dict[str, Any]:
    """Return what the runs write one after the other, without an interruption."""
    result = kexp("run", held.spec, "--quiet", "--allow-local-code", "--runs-dir", tmp_path / "whole")
    assert result.exit_code == 0, result.stderr
    return kept(folder_of(tmp_path / "whole"))


def test_ctrl_c_stops_all_runs_and_any_number_of_jobs_goes_on(
    hold: Callable[..., Held], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = hold()
    held.processes(1, 2)
    os.killpg(held.process.pid, signal.SIGINT)
    # The loop looks for a signal about once a second, and the runs wait meanwhile.
    time.sleep(3)
    held.go()
    status, errors = held.end()
    assert status == 130, errors
    assert errors.splitlines()[-1] == f"interrupted; continue with: kexp run --resume {held.folder}"
    assert [held.result(seed)["status"] for seed in (1, 2)] == ["interrupted"] * 2
    assert all((held.folder / f"default/seed-{seed}/checkpoint").is_dir() for seed in (1, 2))
    assert not (held.folder / "default/seed-3").exists()
    assert json.loads((held.folder / "summary.json").read_text())["status"] == "interrupted"
    assert resumed(held, "--jobs", 3, monkeypatch=monkeypatch) == whole(held, tmp_path)


def test_a_second_ctrl_c_ends_all_runs_at_once(hold: Callable[..., Held]) -> None:
    held = hold()
    processes = held.processes(1, 2)
    os.killpg(held.process.pid, signal.SIGINT)
    time.sleep(3)
    os.killpg(held.process.pid, signal.SIGINT)
    status, errors = held.end()
    assert status == 130, errors
    assert errors.splitlines()[-1] == f"interrupted; continue with: kexp run --resume {held.folder}"
    assert [(held.result(seed)["status"], held.result(seed)["reason"]) for seed in (1, 2)] == [
        ("interrupted", "stopped at once")
    ] * 2
    assert not any(psutil.pid_exists(process) for process in processes)


def test_a_process_that_is_killed_is_a_failed_run_and_the_others_go_on(
    hold: Callable[..., Held], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = hold()
    os.kill(held.processes(1, 2)[0], signal.SIGKILL)
    held.processes(3)
    held.go()
    status, errors = held.end()
    assert status == 1, errors
    assert [held.result(seed)["status"] for seed in (1, 2, 3)] == ["failed", "done", "done"]
    reason = "its process was killed by signal 9; the system may have run out of memory: use fewer jobs"
    assert held.result(1)["reason"] == reason
    assert f"default seed 1 failed: {reason}" in errors
    assert f"continue with: kexp run --resume {held.folder}" in errors
    assert resumed(held, "--jobs", 1, monkeypatch=monkeypatch) == whole(held, tmp_path)


def test_runs_left_behind_by_a_killed_experiment_are_waited_for(
    hold: Callable[..., Held], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = hold()
    held.processes(1, 2)
    held.process.kill()
    # Not until its pipes end, which the processes of its runs have too.
    held.process.wait()
    monkeypatch.setenv("HELD", str(held.here))
    # Released only when the experiment that goes on has found them at work.
    command = [sys.executable, "-m", "kexp", "run", "--resume", held.folder, "--allow-local-code", "--jobs", "2"]
    with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as again:
        assert again.stderr is not None
        said = ""
        while "which is waited for" not in said:
            line = again.stderr.readline()
            assert line, said
            said += line
        held.go()
        said += again.stderr.read()
    assert again.returncode == 0, said
    assert kept(held.folder) == whole(held, tmp_path)


def test_two_processes_do_not_continue_one_folder(hold: Callable[..., Held], monkeypatch: pytest.MonkeyPatch) -> None:
    held = hold()
    held.processes(1, 2)
    monkeypatch.setenv("HELD", str(held.here))
    result = kexp("run", "--resume", held.folder, "--jobs", 2, "--allow-local-code")
    assert result.exit_code == 2
    assert f"{held.folder} is in use by process {held.process.pid} on " in result.stderr


# --- what is asked for ----------------------------------------------------------------------------------------------


def test_more_jobs_than_runs_are_told(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    spec = write_spec(tiny_spec(epochs=1).format(data=reviews))
    result = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--jobs", 2)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines()[0] == "2 jobs are more than needed: 1 run is to be done, for which 1 will do"
    # It was done in this process.
    assert not (folder_of(tmp_path / "runs") / "default/seed-1/.lock").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--jobs", "0"], "than or equal to 1"),
        (["--executor", "slrm"], 'execution.executor: unknown executor "slrm"'),
        (["--set", "execution.jobs=0"], "execution.jobs: expected"),
        (
            ["--executor", "local", "--set", "execution.executor.gpus=1"],
            'execution.executor.gpus: unknown option of executor "local"',
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(
    arguments: list[str], message: str, write_spec: Write, reviews: Path, tmp_path: Path
) -> None:
    spec = write_spec(tiny_spec("seeds = [1, 2]").format(data=reviews))
    result = kexp("run", spec, "--runs-dir", tmp_path / "runs", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_launcher_of_several_processes_is_refused(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    spec = write_spec(tiny_spec("seeds = [1, 2]").format(data=reviews))
    from kexp.experiment.request import plan_run
    from kexp.experiment.runs_at_once import started_workers

    world = World(0, 2)
    plan, _, _ = plan_run(spec, None, jobs=2)
    with pytest.raises(KexpError, match=r"WORLD_SIZE is 2.*start kexp without it, or leave jobs and executor away"):
        started_workers(plan, None, pytest.fail, world).__enter__()
    plan, _, _ = plan_run(spec, None, jobs=1)
    with started_workers(plan, None, pytest.fail, world) as workers:
        assert workers is None


def test_a_spec_may_state_the_jobs_and_its_folder_is_the_same(write_spec: Write, reviews: Path) -> None:
    from kexp.experiment.request import plan_run

    text = tiny_spec("seeds = [1, 2]").format(data=reviews)
    plain, _, _ = plan_run(write_spec(text), None)
    stated, _, _ = plan_run(write_spec(f"{text}\n[execution]\njobs = 2\n"), None)
    assert stated.base.execution is not None
    assert stated.base.execution.jobs == 2
    assert stated.digest == plain.digest
    flags, _, _ = plan_run(write_spec(text), None, jobs=3, executor="local")
    assert flags.table["execution"] == {"jobs": 3, "executor": {"use": "local"}}
    with pytest.raises(KexpError, match="execution: belongs to the whole experiment"):
        plan_run(write_spec(f"{text}\n[variants.a]\nexecution.jobs = 2\n"), None)


def test_rows_that_change_while_others_train_are_refused(
    write_spec: Write, reviews: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import asdict

    from kexp.contracts import Task
    from kexp.experiment.run_task import RunTask, run_task
    from kexp.plan.resolve import resolve
    from kexp.plan.validate import dump

    class Alone:
        def tell(self, news: Any) -> None:
            assert news["what"] in ("began", "phase", "event")

        def should_stop(self) -> bool:
            return False

    data = tmp_path / "reviews.csv"
    data.write_bytes(reviews.read_bytes())
    plan = resolve(write_spec(tiny_spec(epochs=1).format(data=data)), catalog)
    result = kexp("run", tmp_path / "spec.toml", "--runs-dir", tmp_path / "runs", "--quiet")
    assert result.exit_code == 0, result.stderr
    folder = folder_of(tmp_path / "runs")
    read = json.loads((folder / "environment.json").read_text("utf-8"))["inputs"]
    with data.open("a", encoding="utf-8") as file:
        file.write("새로운 글이 하나 더 있다,좋음\n")
    task = RunTask(
        "group", "default", {"seed": 2}, dump(plan.variants[0].spec, catalog), str(folder / "default/seed-2"),
        False, {"default": read["default"]},
    )  # fmt: skip
    result = run_task(Task(1, asdict(task)), Alone())  # type: ignore[arg-type]
    assert result["status"] == "failed"
    assert "cannot go on: what it reads has changed since it began" in result["reason"]
    assert json.loads((folder / "default/seed-2/result.json").read_text("utf-8"))["reason"] == result["reason"]


class Silent:
    """The link of a task to which nobody listens."""

    def report(self, step: int, value: float) -> Answer:
        return "go on"

    def tell(self, news: Mapping[str, Any]) -> None:
        """Say nothing."""

    def should_stop(self) -> bool:
        return False


def test_a_run_whose_result_cannot_be_written_fails_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    folder = tmp_path / "plain" / "seed-1"
    monkeypatch.setattr("kexp.experiment.run_task.worker_inputs", lambda *arguments: full(folder / "log.txt"))
    monkeypatch.setattr("kexp.experiment.run_results.write_result", full)
    task = RunTask("g", "plain", {"seed": 1}, {"name": "t"}, str(folder), resume=False, read={})
    result = run_task(Task(0, asdict(task)), Silent())
    reason = f"{folder / 'log.txt'}: No space left on device; free some space"
    assert result == {"status": "failed", "reason": reason, "experiment": "t", "variant": "plain", "seed": 1}
    # So that --resume does it again.
    assert not (folder / "result.json").exists()
