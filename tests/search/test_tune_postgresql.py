"""Four processes search one study in a real PostgreSQL server; one of them is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from small_search import SHARED_STUDY

from kexp.search.trial import by_position, numbered

pytestmark = pytest.mark.postgresql

TRIALS = 10
SPEC = SHARED_STUDY + '"training.epochs" = {{low = 2, high = 6}}\n'


@dataclass(frozen=True)
class Server:
    """A server of its own: the URL of an empty database, and what starts and stops it."""

    url: str
    start: Callable[[], None]
    stop: Callable[[], None]


@pytest.fixture(scope="module")
def server(running: Server) -> str:
    return running.url


@pytest.fixture(scope="module")
def running(needs) -> Iterator[Server]:
    """Start a server in a folder of its own."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) if Path("/usr/lib/postgresql").is_dir() else []
    found = programs[-1].parent if programs else Path(shutil.which("initdb") or "none").parent
    needs(found.joinpath("initdb").is_file(), "PostgreSQL's server programs are not installed")
    # The server refuses to run as root.
    user = {"user": "postgres"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="kexp-pg-"))
    if user:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(*command: str | Path) -> None:
        done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False, **user)
        assert done.returncode == 0, done.stderr

    data, options = folder / "data", f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    call(found / "initdb", "-D", data, "-U", "kexp", "-A", "trust", "--no-sync")

    def begin() -> None:
        call(found / "pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start")

    def end() -> None:
        call(found / "pg_ctl", "-D", data, "-m", "immediate", "stop")

    begin()
    try:
        yield Server(f"postgresql+psycopg://kexp:secret@127.0.0.1:{port}/postgres", begin, end)
    finally:
        end()
        shutil.rmtree(folder)


def test_no_trial_is_lost_and_none_is_run_twice(server: str, reviews: Path, tmp_path: Path) -> None:
    spec = tmp_path / "reviews.toml"
    spec.write_text(SPEC.format(data=reviews, trials=TRIALS), encoding="utf-8")
    folders = [tmp_path / f"machine-{number}" for number in range(4)]
    processes = [start(spec, server, folder) for folder in folders]
    victim, survivors = processes[0], processes[1:]
    try:
        killed = kill_in_mid_trial(victim, folders[0])
        told = [json.loads(process.communicate(timeout=300)[0]) for process in survivors]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in survivors] == [0, 0, 0], [t["reason"] for t in told]

    (name,) = {found["study"] for found in told}
    storage = optuna.storages.RDBStorage(server)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    storage.remove_session()
    storage.engine.dispose()
    finished = [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]
    assert len(finished) == TRIALS
    assert {found["trials"]["complete"] + found["trials"]["pruned"] for found in told} == {TRIALS}
    assert not any(trial.state.name in ("RUNNING", "WAITING") for trial in trials)

    # The killed process's trial was given up once and done again once, with the same values.
    assert trials[killed].state.name == "FAIL"
    (again,) = [trial for trial in trials if trial.user_attrs.get("retry of") == killed]
    assert again.state.name == "COMPLETE"
    assert again.params == trials[killed].params

    # Every attempt was run by one process, and all that were run are in the study.
    run = [path.name for folder in folders for path in folder.glob("reviews/*/trials/*")]
    assert len(run) == len(set(run))
    counted = [trial for trial in numbered(by_position(trials)) if trial.state.name in ("COMPLETE", "PRUNED")]
    assert len(counted) == TRIALS
    positions = {int(name.partition("-")[0]) for name in run}
    assert positions >= {trial.number for trial in counted if "same as" not in trial.user_attrs}

    # The best was tested by one of them, and all tell the same.
    assert len(list(tmp_path.glob("machine-*/reviews/*/summary.json"))) == 1
    assert len({json.dumps([found["best_trial"], found["best_value"], found["final"]]) for found in told}) == 1
    for found in told:
        assert found["best_value"] == max(trial.value for trial in finished)


def test_password_is_nowhere_in_the_folder(server: str, reviews: Path, tmp_path: Path) -> None:
    spec = tmp_path / "few.toml"
    spec.write_text(SPEC.format(data=reviews, trials=1), encoding="utf-8")
    out, _ = start(spec, server, tmp_path / "runs").communicate(timeout=300)
    assert json.loads(out)["storage"].startswith("postgresql+psycopg://kexp:***@127.0.0.1:")
    for path in (tmp_path / "runs").rglob("*"):
        assert not path.is_file() or b"secret" not in path.read_bytes(), path


def test_study_goes_on_when_the_server_was_gone(running: Server, reviews: Path, tmp_path: Path) -> None:
    spec = tmp_path / "restart.toml"
    spec.write_text(SPEC.format(data=reviews, trials=6), encoding="utf-8")
    command = ["tune", str(spec), "--storage", running.url, "--runs-dir", str(tmp_path / "runs"), "--json"]
    errors = (tmp_path / "errors").open("w+", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "kexp", *command], stdout=subprocess.PIPE, stderr=errors, text=True
    )
    try:
        until = time.monotonic() + 240
        while not list(tmp_path.glob("runs/restart/*/trials/0001/seed-1/metrics.jsonl")):
            assert process.poll() is None
            assert time.monotonic() < until, "no second trial within four minutes"
            time.sleep(0.02)
        running.stop()
        try:
            while "is not reached" not in Path(errors.name).read_text("utf-8"):
                assert process.poll() is None
                assert time.monotonic() < until + 60, "it is not told that the server is gone"
                time.sleep(0.05)
        finally:
            running.start()
        found = json.loads(process.communicate(timeout=300)[0])
    finally:
        process.kill()
        errors.close()
    told = Path(errors.name).read_text("utf-8")
    assert process.returncode == 0, told
    assert "Traceback" not in told
    assert "secret" not in told
    assert told.count("is not reached") == told.count("is back") == 1
    assert found["trials"] == {"complete": 6, "pruned": 0, "failed": 0, "repeated": found["trials"]["repeated"]}


def test_unreachable_database_is_one_line(reviews: Path, tmp_path: Path) -> None:
    spec = tmp_path / "few.toml"
    spec.write_text(SPEC.format(data=reviews, trials=1), encoding="utf-8")
    process = start(
        spec, "postgresql+psycopg://kexp:secret@127.0.0.1:1/postgres", tmp_path / "runs", stderr=subprocess.PIPE
    )
    _, error = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "search.storage: postgresql+psycopg://kexp:***@127.0.0.1:1/postgres cannot be reached" in error
    assert "Traceback" not in error


def start(spec: Path, storage: str, runs: Path, **options: object) -> subprocess.Popen[str]:
    command = ["tune", str(spec), "--storage", storage, "--runs-dir", str(runs), "--json", "--quiet"]
    program = [sys.executable, "-m", "kexp", *command]
    return subprocess.Popen(program, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]


def kill_in_mid_trial(process: subprocess.Popen[str], runs: Path) -> int:
    """Kill a process once one of its trials trains, and return the trial's number."""
    until = time.monotonic() + 240
    while time.monotonic() < until:
        assert process.poll() is None, "it ended before any of its trials trained"
        for path in runs.glob("reviews/*/trials/*"):
            seed = path / "seed-1"
            if (seed / "metrics.jsonl").is_file() and not (seed / "result.json").exists():
                process.send_signal(signal.SIGKILL)
                process.communicate()
                return int(path.name)
        time.sleep(0.02)
    raise AssertionError("no trial trained within four minutes")
