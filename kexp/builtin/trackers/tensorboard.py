"""Tracker ``tensorboard``: event files in the run's folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kexp import nested
from kexp.builtin.trackers.common import configuration, final_metrics, measured, result
from kexp.contracts import RunIdentity, Tracker, TrackerOptions
from kexp.errors import Problem
from kexp.packages import missing
from kexp.spec import toml


class TensorBoard(TrackerOptions):
    """Event files in the folder ``tensorboard`` of every run: ``tensorboard --logdir runs`` shows them all."""

    def problems(self) -> Iterable[Problem]:
        """Yield a missing package."""
        return missing("tensorboard", "kexp[tensorboard]")

    def build(self, run: RunIdentity) -> Tracker:
        """Open an event file."""
        return EventFile(run)


class EventFile:
    """An event file of a run, written with PyTorch's ``SummaryWriter``."""

    def __init__(self, run: RunIdentity) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.run, self.step = run, 0
        # Hides what a killed process logged after the checkpoint: these steps are trained again.
        purge = None if run.resumed_at is None else run.resumed_at + 1
        self.writer: Any = SummaryWriter(Path(run.folder) / "tensorboard", purge_step=purge)
        self.writer.add_text("spec", _code(toml.dumps(configuration(run))))

    def log(self, event: Mapping[str, Any]) -> None:
        """Write the metrics of an event, or the text of a warning."""
        for name, value in measured(event).items():
            self.writer.add_scalar(name, value, event["step"])
        self.step = event["step"]
        if event["event"] == "warning":
            self.writer.add_text("warnings", event["message"], self.step)

    def finish(self, status: str) -> None:
        """Write the status of the run, and the metrics of the kept model with its hyperparameters."""
        try:
            found = result(self.run)
            self.writer.add_text("status", f"{status}: {found['reason']}" if found["reason"] else status, self.step)
            if metrics := final_metrics(found):
                parameters = {name: _scalar(value) for name, value in nested.flat(configuration(self.run)).items()}
                # By default a subfolder, which TensorBoard shows as another run.
                self.writer.add_hparams(parameters, metrics, run_name=".", global_step=self.step)
        finally:
            self.writer.close()


def _code(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def _scalar(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else str(value)
