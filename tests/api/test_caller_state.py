"""The process of the caller is as it was after a call; an interruption leaves a folder that can be resumed."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import tiny_spec

import kexp
from kexp.api.caller_state import unchanged
from kexp.experiment import train_and_test

HEAVY = {"torch", "transformers", "datasets", "pandas", "numpy", "sklearn", "plotly", "matplotlib", "optuna"}


@pytest.fixture
def spec(reviews: Path) -> dict[str, Any]:
    import tomllib

    return {"name": "small", **tomllib.loads(tiny_spec(epochs=1).format(data=reviews))}


def state() -> dict[str, Any]:
    """Return what a caller may have set, as values that can be compared."""
    import datasets
    import huggingface_hub.constants
    import matplotlib
    import matplotlib.style
    from transformers.utils import logging as transformers_logging

    loggers = [logging.root, *(logging.getLogger(name) for name in ("kexp", "transformers", "datasets", "optuna"))]
    numpy = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (numpy[0], numpy[1].tolist(), *numpy[2:]),  # type: ignore[index, union-attr]
        "torch": torch.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "only warns": torch.is_deterministic_algorithms_warn_only_enabled(),
        "fills": torch.utils.deterministic.fill_uninitialized_memory,
        "products": torch.get_float32_matmul_precision(),
        "attention": torch.backends.cuda.cudnn_sdp_enabled(),
        "loggers": [(one.name, one.level, one.propagate, one.disabled, [*one.handlers]) for one in loggers],
        "factory": logging.getLogRecordFactory(),
        "filters": [*warnings.filters],
        "shows": warnings.showwarning,
        "formats": warnings.formatwarning,
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "environment": dict(os.environ),
        "path": [*sys.path],
        "folder": Path.cwd(),
        "hook": sys.excepthook,
        "backend": matplotlib.get_backend(),
        "style": dict(matplotlib.rcParams),
        "bars": (transformers_logging.is_progress_bar_enabled(), datasets.are_progress_bars_disabled()),
        "offline": huggingface_hub.constants.HF_HUB_OFFLINE,
    }


@pytest.fixture
def of_the_caller() -> Iterator[None]:
    """Set all that a caller may have set to something unusual."""
    import matplotlib as mpl
    import matplotlib.style

    handler, root = logging.NullHandler(), logging.getLogger()
    level, transformers = root.level, logging.getLogger("transformers")
    before = (transformers.level, transformers.propagate)
    with unchanged(), mpl.rc_context({"font.size": 17.0}):
        random.seed(11)
        np.random.seed(12)
        torch.manual_seed(13)
        torch.use_deterministic_algorithms(True)
        root.addHandler(handler)
        root.setLevel(logging.ERROR)
        transformers.setLevel(logging.CRITICAL)
        logging.captureWarnings(True)
        warnings.filterwarnings("always", message="a warning of the caller's")
        os.environ["CALLER"] = "호출자"
        yield
        logging.captureWarnings(False)
    root.removeHandler(handler)
    root.setLevel(level)
    transformers.setLevel(before[0])


@pytest.mark.usefixtures("of_the_caller")
def test_a_run_and_its_results_leave_everything_as_it_was(spec: dict[str, Any], tmp_path: Path) -> None:
    before = state()
    result = kexp.run(spec, runs_dir=tmp_path, progress=False)
    changed(before)
    kexp.predict(result, ["정말 재미있다"])
    changed(before)
    kexp.data(spec, progress=False)
    changed(before)
    kexp.compare(result)
    changed(before)
    result.plot_epochs()
    result._repr_html_()
    changed(before)
    with pytest.raises(kexp.SpecError):
        kexp.run(spec, overrides={"training.epochs": 0})
    with pytest.raises(kexp.DataError):
        kexp.run(spec, overrides={"dataset.leave_out": ["좋음", "나쁨", "보통"]}, progress=False)
    changed(before)


def changed(before: dict[str, Any]) -> None:
    now = state()
    assert [name for name in before if now[name] != before[name]] == []


def test_a_run_does_not_depend_on_the_state_of_the_caller(spec: dict[str, Any], tmp_path: Path) -> None:
    weights = []
    for number in range(2):
        torch.manual_seed(number)
        random.seed(number)
        result = kexp.run(spec, runs_dir=tmp_path / str(number), progress=False)
        weights.append((result.folder / "default/seed-1/model/model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_ctrl_c_leaves_a_folder_that_is_resumed_with_the_same_bits(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = kexp.run(spec, overrides={"training.epochs": 2}, runs_dir=tmp_path / "whole", progress=False)
    before = signal.getsignal(signal.SIGINT)
    events: list[str] = []

    class Interrupting:
        """Sends Ctrl-C at the first step."""

        def __getattr__(self, name: str) -> Any:
            return lambda *arguments: self.seen(arguments[0]) if name == "event" else None

        def seen(self, event: dict[str, Any]) -> None:
            events.append(event["event"])
            if event["event"] == "step" and events.count("step") == 1:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("kexp.api.experiments.shown", lambda progress: nullcontext(Interrupting()))
    with pytest.raises(KeyboardInterrupt) as raised:
        kexp.run(spec, overrides={"training.epochs": 2}, runs_dir=tmp_path / "runs")
    (folder,) = (tmp_path / "runs/small").iterdir()
    assert str(raised.value) == f"interrupted; continue with: kexp run --resume {folder}"
    assert signal.getsignal(signal.SIGINT) is before
    assert kexp.RunResult(folder).status == "interrupted"
    monkeypatch.undo()
    result = kexp.run(resume=folder, progress=False)
    assert result.status == "done"
    name = "default/seed-1/model/model.safetensors"
    assert (result.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_ctrl_c_outside_of_the_steps_says_how_to_go_on(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("kexp.experiment.run.write_report", interrupt)
        with pytest.raises(KeyboardInterrupt, match="continue with: kexp run --resume"):
            kexp.run(spec, runs_dir=tmp_path, progress=False)
    with monkeypatch.context() as patched:
        patched.setattr("kexp.experiment.run._prepare", interrupt)
        with pytest.raises(KeyboardInterrupt):
            kexp.run(spec, runs_dir=tmp_path / "none", progress=False)
    assert not (tmp_path / "none").exists()


def test_it_runs_in_a_thread(spec: dict[str, Any], tmp_path: Path) -> None:
    found: list[kexp.RunResult] = []
    thread = threading.Thread(target=lambda: found.append(kexp.run(spec, runs_dir=tmp_path, progress=False)))
    thread.start()
    thread.join()
    assert [result.status for result in found] == ["done"]


def test_errors_hide_passwords(spec: dict[str, Any], tmp_path: Path) -> None:
    wrong = {**spec, "dataset": {"use": "table", "path": "https://me:geheim-12345@host/a.csv"}}
    with pytest.raises(kexp.SpecError) as raised:
        kexp.run(wrong, runs_dir=tmp_path)
    assert "geheim" not in str(raised.value)
    assert "geheim" not in "".join(raised.value._render_traceback_())


def test_a_refusal_of_the_system_is_an_error_of_kexp(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(kexp.KexpError, match="choose another place with --runs-dir or KEXP_RUNS_DIR"):
        kexp.run(spec, runs_dir=tmp_path / "file", progress=False)

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device", "/somewhere/file")

    monkeypatch.setattr(train_and_test, "save_models", full)
    with pytest.raises(kexp.RunFailed, match="No space left on device; free some space"):
        kexp.run(spec, runs_dir=tmp_path / "runs", progress=False)


# --- what an import costs ---------------------------------------------------------------------------------------------


def loaded_by(program: str) -> set[str]:
    """Return the modules that a program has loaded at its end."""
    script = f"import sys, json\n{program}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_import_is_fast_and_a_check_loads_no_library_of_models() -> None:
    assert not loaded_by("import kexp; kexp.API_VERSION") & {*HEAVY, "pydantic", "rich", "typer", "kexp.api"}
    repository = Path(__file__).parents[2]
    checked = loaded_by(f"import kexp; kexp.check({str(repository / 'experiments/dialect.toml')!r})")
    assert "kexp.api.experiments" in checked
    assert not checked & HEAVY


def test_names_are_offered_and_found() -> None:
    import importlib

    names = set(dir(kexp))
    assert {"run", "tune", "check", "compare", "data", "predict", "load", "RunResult", "KexpError"} <= names
    for name, module in kexp._MODULES.items():
        assert getattr(kexp, name) is getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        kexp.rum  # noqa: B018


def test_data_is_a_package_and_a_function() -> None:
    import inspect

    import kexp.data.prepare as prepare
    from kexp.api.data_result import data

    assert kexp.data.prepare is prepare
    assert inspect.signature(kexp.data) == inspect.signature(data)
    with pytest.raises(kexp.KexpError, match="expected a spec"):
        kexp.data(3)  # type: ignore[arg-type]
