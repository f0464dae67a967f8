"""The tracker in kexp's suite for trackers, and the file that it writes."""

from pathlib import Path

from kexp.contracts import RunIdentity
from kexp.testing import TrackerContract

from my_package.tracker import MyTracker


class TestMyTracker(TrackerContract):
    examples = (MyTracker(), MyTracker(filename="steps.csv"))


def follow(folder: Path, steps: range, resumed_at: int | None = None) -> list[str]:
    run = RunIdentity("reviews", "group", "default", 1, str(folder), {}, resumed_at)
    tracker = MyTracker().build(run)
    for step in steps:
        tracker.log({"event": "step", "step": step, "loss": 1 / step, "learning_rate": 0.1})
        tracker.log({"event": "epoch", "step": step, "epoch": 0})
    tracker.finish("done")
    return (folder / "losses.csv").read_text("utf-8").splitlines()


def test_writes_a_row_per_step_and_no_step_twice(tmp_path: Path) -> None:
    assert follow(tmp_path, range(1, 4)) == ["step,loss,learning_rate", "1,1.0,0.1", "2,0.5,0.1", f"3,{1 / 3},0.1"]
    resumed = follow(tmp_path, range(3, 5), resumed_at=2)
    assert [row.partition(",")[0] for row in resumed] == ["step", "1", "2", "3", "4"]
