"""Runs for trackers: their events, the files of their folder, and a thread of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kexp.builtin.tasks.single_label import SingleLabel
from kexp.contracts import RunIdentity, TrackerOptions
from kexp.report.run_folder import write_json
from kexp.train.events import EpochStarted, Evaluated, Event, Finished, Started, StepsDone, Warned

LABELS = ("부정", "긍정")
SPEC: Mapping[str, Any] = {
    "name": "계약",
    "seeds": [1, 2],
    "dataset": {"use": "table", "path": "/data/리뷰.csv", "label_names": {"0": "부정", "1": "긍정"}},
    "backbone": {"use": "tiny", "layers": 2},
    "training": {"learning_rate": 5e-5, "batch_size": 16, "length_bucketing": True},
    "evaluation": {"metrics": [{"use": "accuracy"}, {"use": "ece", "bins": 10}]},
}


@dataclass
class TrackedRun:
    """A run in its folder, and its tracker in a thread of its own."""

    folder: Path
    warned: list[str] = field(default_factory=list)
    tracker: Any = None
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    over: bool = False

    @classmethod
    def begin(cls, options: TrackerOptions, folder: Path, resumed_at: int | None) -> TrackedRun:
        """Make the folder and build the tracker."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").unlink(missing_ok=True)
        tracked = cls(folder)
        group = folder.parent.parent.name
        run = RunIdentity("계약", group, folder.parent.name, 1, str(folder), SPEC, warn=tracked.warned.append)
        run = replace(run, resumed_at=resumed_at)
        tracked.tracker = tracked.do(lambda: options.build(run))
        return tracked

    def do(self, work: Callable[[], Any]) -> Any:
        """Do something in the tracker's thread, and wait for it."""
        return self.thread.submit(work).result()

    def log(self, found: Sequence[Mapping[str, Any]]) -> None:
        """Log events."""
        for event in found:
            self.do(lambda event=event: self.tracker.log(event))  # type: ignore[misc]

    def finish(self, status: str) -> None:
        """Leave what a run leaves and close the tracker."""
        self.over = True
        leave(self.folder, status)
        self.do(lambda: self.tracker.finish(status))
        self.stop()

    def stop(self) -> None:
        """End the thread, and a tracker that was not closed."""
        if not self.over:
            self.over = True
            leave(self.folder, "failed")
            self.do(lambda: tried(self.tracker.finish, "failed"))
        self.thread.shutdown()


def events(steps: int, after: int = 0) -> list[dict[str, Any]]:
    """Return events of every kind up to a step."""
    found: list[Event] = [Started(after, 8, 4, 12_345, "cpu", "fp32"), EpochStarted(after // 4, after, 12_345)]
    for step in range(after + 1, steps + 1):
        logs = {"supervised_loss": 0.5 / step}
        found.append(StepsDone(step, step / 4, 1 / step, 5e-5, 1.25, 100.0, 1500.0, 0.05, logs))
        if step % 4 == 0:
            metrics = {"accuracy": 1 - 1 / step, "macro_f1": 0.5}
            found.append(
                Evaluated(step, step / 4, 0.6, metrics, best=True, seconds=0.25, pool={"oracle_accuracy": 0.5})
            )
            found.append(Warned(step, "경고: the gradient is zero"))
    if steps == 8:
        found.append(Finished(8, 8, 2.0, stopped_early=False))
    return [event.as_dict() for event in found]


def leave(folder: Path, status: str) -> None:
    """Write what stands in a run's folder when its trackers are to close."""
    identity = {"experiment": "계약", "variant": folder.parent.name, "seed": 1}
    if status != "done":
        write_json(folder / "result.json", {"status": status, "reason": f"it was {status}", **identity})
        return
    import numpy as np

    from kexp.report import predictions

    labels, probabilities = np.array([0, 1, 1, 0]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    texts = ["별로다", "재미있다", "볼만하다", "지루하다"]
    tables = [
        predictions.table(split, np.arange(4), texts, None, SingleLabel().columns(labels, probabilities, LABELS, {}))
        for split in ("validation", "test")
    ]
    predictions.write(folder / "predictions.parquet", tables)
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "config.json").write_text("{}", encoding="utf-8")
    result = {
        "labels": LABELS,
        "metrics": {split: {"accuracy": 0.75, "macro_f1": 0.73, "ece": math.nan} for split in ("validation", "test")},
        "monitor": "accuracy",
        **{
            "best_step": 8,
            "best_epoch": 2.0,
            "kept_step": 8,
            "kept_epoch": 2.0,
            "steps": 8,
            "epochs": 2.0,
            "stopped_early": False,
        },
        **{"examples_per_second": 100.0, "tokens_per_second": 1500.0, "train_seconds": 1.5, "peak_memory_mib": None},
        "time_shares": {"data": 0.05, "steps": 0.75, "evaluation": 0.15, "writing": 0.05},
        **{"device": "cpu", "precision": "fp32", "parameters": {"total": 12_345, "trainable": 12_345}},
        "per_class": {},
        "confusion_matrix": {split: [[2, 0], [1, 1]] for split in ("validation", "test")},
    }
    write_json(folder / "result.json", {"status": "done", "reason": None, **identity, **result})


def tried(work: Callable[[Any], None], argument: Any) -> None:
    """Call a tracker, which may raise what its library raises; kexp turns it into a warning."""
    try:
        work(argument)
    except Exception:  # noqa: BLE001
        return
