"""Experiments that are stopped, or whose files cannot be written: what is said, what is left, how they go on."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import kexp, tiny_spec

from kexp.experiment import interrupt, train_and_test
from kexp.experiment import run as flow
from kexp.report.run_lock import locked

Write = Callable[[str], Path]


@pytest.fixture
def spec(write_spec: Write, reviews: Path) -> Path:
    return write_spec(tiny_spec("seeds = [1, 2]", epochs=1).format(data=reviews))


MOMENTS: dict[str, tuple[Any, str]] = {
    "before training": (train_and_test, "assemble"),
    "after training": (train_and_test, "save_predictions"),
    "while the model is saved": (train_and_test, "save_models"),
    "between the runs": (flow, "finished"),
    "while baselines are measured": (flow, "_summarise"),
    "while the report is drawn": (flow, "write_report"),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("cause", ["SIGTERM", "full disk"])
def test_whatever_ends_an_experiment_it_says_how_to_go_on_and_goes_on(
    moment: str, cause: str, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*arguments: Any, **options: Any) -> Any:
        if cause == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/file")

    with monkeypatch.context() as patched:
        patched.setattr(*MOMENTS[moment], end)
        result = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--quiet")
    (folder,) = (tmp_path / "runs" / "spec").iterdir()
    again = f"kexp run --resume {folder}"
    if cause == "SIGTERM":
        assert (result.exit_code, result.stderr.splitlines()[-1]) == (130, f"interrupted; continue with: {again}")
    else:
        assert result.exit_code == 1
        assert "/somewhere/file: No space left on device; free some space" in result.stderr
        assert again in result.stderr or "not every run succeeded" in result.stderr
    assert "Traceback" not in result.stderr
    resumed = kexp("run", "--resume", folder, "--json", "--quiet")
    assert resumed.exit_code == 0, resumed.stderr
    whole = json.loads(kexp("run", spec, "--runs-dir", tmp_path / "whole", "--json", "--quiet").stdout)
    assert json.loads(resumed.stdout)["variants"] == whole["variants"]


def test_sigterm_before_there_is_a_folder_leaves_nothing(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "_prepare", lambda *arguments: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(10))
    result = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr.splitlines()[-1]) == (130, "", "interrupted")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("what", ["write_row_keys", "write_json"])
def test_a_folder_that_cannot_be_written_never_gets_its_name(
    what: str, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, *arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(flow, what, fail)
    result = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--quiet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == (
        f"{tmp_path / 'runs' / 'spec'} cannot be made: No space left on device; choose another place with --runs-dir or KEXP_RUNS_DIR"
    )
    assert list((tmp_path / "runs").iterdir()) == []


def test_two_experiments_of_one_second_have_folders_of_their_own(spec: Path, tmp_path: Path) -> None:
    made = {
        str(flow.RunFolder.create(tmp_path, "x", "abc", lambda path: (path / "x").touch()).path.name) for _ in range(3)
    }
    assert len(made) == 3


def test_a_folder_that_another_process_uses_is_refused(spec: Path, tmp_path: Path) -> None:
    folder = Path(json.loads(kexp("run", spec, "--runs-dir", tmp_path, "--json", "--quiet").stdout)["folder"])
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name not in (".lock", "process.json")}
    with locked(folder, pytest.fail):
        result = kexp("run", "--resume", folder, "--quiet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{folder} is in use by process {os.getpid()} on ")
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_an_objective_that_would_end_the_process_is_a_failed_run(spec: Path, tmp_path: Path) -> None:
    (tmp_path / "quits.py").write_text(QUITS)
    spec.write_text(spec.read_text().replace("seeds = [1, 2]", 'seeds = [1, 2]\nplugins.local = ["quits.py"]'))
    text = spec.read_text() + '\n[objective]\nuse = "quits"\n'
    (tmp_path / "quits.toml").write_text(text)
    result = kexp("run", tmp_path / "quits.toml", "--runs-dir", tmp_path / "runs", "--quiet", "--allow-local-code")
    assert result.exit_code == 1
    assert "default seed 1, default seed 2 failed: " in result.stderr
    assert "SystemExit(3)" in result.stderr


QUITS = '''
import kexp
from kexp.contracts import SupervisedObjectiveOptions

KEXP_API = 3


class Quits(SupervisedObjectiveOptions):
    """An objective that ends the process."""

    def build(self, context):
        raise SystemExit(3)


@kexp.hookimpl
def kexp_objectives():
    return {"quits": Quits}
'''


def test_a_signal_that_torchrun_passes_on_is_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def twice() -> bool:
        with interrupt.graceful_stop() as should_stop:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            return should_stop()

    with pytest.raises(KeyboardInterrupt):
        twice()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert twice()
    monkeypatch.setattr(interrupt, "REPEATED", 0.0)
    with pytest.raises(KeyboardInterrupt):
        twice()
