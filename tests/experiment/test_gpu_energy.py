"""Energy of a GPU: the counter of a stand-in for NVML, what a training adds up, and where it is written."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import kexp, tiny_spec

from kexp.experiment import train_and_test
from kexp.experiment.gpu_energy import energy_counter, metered
from kexp.train.checkpoint import TrainState

GPU = torch.device("cuda", 0)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Put a stand-in for nvidia-ml-py in place, whose GPU uses 1.5 J between two looks."""
    module = types.ModuleType("pynvml")
    module.NVMLError = type("NVMLError", (Exception,), {})  # type: ignore[attr-defined]
    module.millijoules = iter(range(10_000, 10**6, 1500))  # type: ignore[attr-defined]
    module.nvmlInit = lambda: None  # type: ignore[attr-defined]
    module.nvmlDeviceGetHandleByUUID = {"GPU-12-34": "handle"}.__getitem__  # type: ignore[attr-defined]
    module.nvmlDeviceGetTotalEnergyConsumption = (  # type: ignore[attr-defined]
        lambda handle: next(module.millijoules) if handle == "handle" else None
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: types.SimpleNamespace(uuid="12-34"))
    return module


def test_the_counter_is_that_of_the_same_gpu_in_joules(nvml: types.ModuleType) -> None:
    counter = energy_counter(GPU)
    assert counter is not None
    assert (counter(), counter()) == (11.5, 13.0)
    assert energy_counter(torch.device("cpu")) is None


def test_without_package_driver_or_counter_nothing_is_measured(
    nvml: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise nvml.NVMLError

    for name in ("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetHandleByUUID", "nvmlInit"):
        monkeypatch.setattr(nvml, name, fail)
        assert energy_counter(GPU) is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy_counter(GPU) is None


def counting(*joules: float | None) -> Callable[[], float | None]:
    values = iter(joules)
    return lambda: next(values)


def test_a_training_adds_up_what_was_used_and_goes_on_after_a_pause() -> None:
    state = TrainState()
    seen = [state.joules for _ in metered("abc", state, counting(100.0, 101.0, 105.0, 105.5))]  # type: ignore[arg-type]
    assert seen == [1.0, 5.0, 5.5]
    # Another process resumes: what was used meanwhile is not its own.
    resumed = TrainState(step=10, joules=5.0)
    assert [resumed.joules for _ in metered("a", resumed, counting(900.0, 902.0))] == [7.0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "counter"),
    [
        (TrainState(), None),
        (TrainState(step=10), counting(1.0, 2.0)),  # begun without a counter
        (TrainState(step=10, joules=5.0), None),  # goes on without one
        (TrainState(), counting(1.0, None)),
    ],
)
def test_a_part_of_a_training_is_not_taken_for_all_of_it(
    state: TrainState, counter: Callable[[], float | None] | None
) -> None:
    assert [*metered("a", state, counter)] == ["a"]  # type: ignore[arg-type]
    assert state.joules is None


@pytest.fixture
def results(reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, object]]:
    def run(counter: Callable[[], float | None] | None) -> dict[str, object]:
        monkeypatch.setattr(train_and_test, "energy_counter", lambda device: counter)
        (tmp_path / "spec.toml").write_text(tiny_spec(epochs=1).format(data=reviews), "utf-8")
        result = kexp("run", tmp_path / "spec.toml", "--runs-dir", tmp_path / "runs", "--json", "--quiet")
        assert result.exit_code == 0, result.stderr
        folder = Path(json.loads(result.stdout)["folder"])
        found = json.loads((folder / "default/seed-1/result.json").read_text("utf-8"))
        return {**found, "page": (folder / "report.html").read_text("utf-8")}

    return run


def test_result_and_report_have_the_energy(results: Callable[..., dict[str, object]]) -> None:
    joules = iter(range(0, 10**9, 3600))
    measured, plain = results(lambda: float(next(joules))), results(None)
    energy = measured["energy_joules"]
    assert isinstance(energy, float)
    assert energy > 0
    assert energy % 3600 == 0
    assert f">{energy / 3600:.2f} Wh<" in str(measured["page"]) or f">{energy / 3600:.0f} Wh<" in str(measured["page"])
    assert "Time and energy" in str(measured["page"])
    assert "energy_joules" not in plain
    assert "Time and energy" not in str(plain["page"])
