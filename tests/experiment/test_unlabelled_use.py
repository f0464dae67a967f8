"""What is said of models that learnt nothing from unlabelled rows, of hidden labels, and of labels that choose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kexp.experiment.monitors import UnlabelledUse
from kexp.train.events import Evaluated, Event, StepsDone
from tests.support import kexp

SPEC = """
seeds = [1]
[dataset]
use = "dialect-sample"
rows = 200
[labelled]
per_class = 10
[split]
validation = 12
[augmentation.unlabelled]
use = "random-deletion"
[backbone]
use = "tiny"
layers = 1
hidden = 32
heads = 2
vocabulary = 200
[objective]
use = "uda"
[training]
steps = 12
batch_size = 8
max_length = 16
evaluate_every = 4
log_every = 3
[evaluation]
metrics = ["accuracy", "macro_f1"]
"""


def steps(at: int, confident: float | None) -> StepsDone:
    return StepsDone(at, at / 10, 0.5, 1e-3, 1.0, 1.0, 1.0, 0.0, {} if confident is None else {"confident": confident})


def evaluated(at: int) -> Evaluated:
    return Evaluated(at, at / 10, 0.5, {}, best=True, seconds=0.1)


def use_after(*events: Event) -> UnlabelledUse:
    use = UnlabelledUse()
    for event in events:
        use.add(event)
    return use


def test_the_share_of_counted_rows_is_the_mean_over_the_steps() -> None:
    use = use_after(steps(10, 0.0), steps(16, 0.5), evaluated(16), steps(20, 1.0), evaluated(20))
    assert use.shares == pytest.approx({16: 6 * 0.5 / 16, 20: (6 * 0.5 + 4) / 20})
    assert use.remark(16) is None


def test_a_kept_model_that_learnt_nothing_from_unlabelled_rows_is_remarked_on() -> None:
    use = use_after(steps(10, 0.0), evaluated(10), steps(20, 0.8), evaluated(20))
    remark = use.remark(10)
    assert remark is not None
    assert remark.startswith("the kept model, of step 10, has learnt nothing from the unlabelled rows, ")
    assert "they counted in later steps, which validation did not choose" in remark
    assert use.remark(20) is None


def test_masks_that_let_next_to_nothing_through_are_remarked_on_with_the_share() -> None:
    use = use_after(steps(10, 0.002), evaluated(10), steps(20, 0.004), evaluated(20))
    remark = use.remark(20)
    assert remark is not None
    assert "has learnt from 3 of 1,000 unlabelled rows, the others were masked" in remark
    assert "lower the confidence" in remark


def test_an_objective_that_logs_no_masks_gets_no_remark() -> None:
    use = use_after(steps(10, None), evaluated(10))
    assert use.shares == {}
    assert use.remark(10) is None


def test_a_resumed_run_goes_on_counting() -> None:
    first = use_after(steps(10, 0.5), evaluated(10))
    second = UnlabelledUse()
    second.load_state_dict(first.state_dict())
    for use in (first, second):
        use.add(steps(20, 1.0))
        use.add(evaluated(20))
    assert first == second


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "few.toml"
    path.write_text(SPEC, "utf-8")
    return path


def run(spec: Path, *changes: str) -> tuple[Any, Path]:
    runs = spec.parent / "runs"
    result = kexp("run", spec, "--runs-dir", runs, *(part for change in changes for part in ("--set", change)))
    assert result.exit_code == 0, result.output
    (folder,) = runs.glob("few/*")
    return result, folder


def test_a_model_of_the_warm_up_is_said_loudly_everywhere(spec: Path) -> None:
    shown, folder = run(spec, "objective.supervised_warmup=12")
    result = json.loads((folder / "default/seed-1/result.json").read_text("utf-8"))
    step = result["kept_step"]
    (remark,) = result["remarks"]
    assert remark.startswith(f"the kept model, of step {step}, has learnt nothing from the unlabelled rows")
    assert result["unlabelled_share"] == 0
    assert f"warning: {remark}" in shown.stderr
    assert f"* default, seed 1: {remark}" in " ".join(shown.stdout.split())
    assert remark in (folder / "default/seed-1/log.txt").read_text("utf-8")
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert summary["variants"]["default"]["remarks"] == [f"seed 1: {remark}"]
    assert (folder / "report.html").read_text("utf-8").count("has learnt nothing from the unlabelled rows") >= 2


def test_hidden_labels_are_an_oracle_that_can_be_switched_off(spec: Path) -> None:
    shown, folder = run(spec)
    assert "unlabelled oracle_accuracy" in shown.stderr
    assert "unlabelled accuracy" not in shown.stderr
    assert "oracle_accuracy" in (folder / "default/seed-1/metrics.jsonl").read_text("utf-8")


def test_without_an_oracle_no_hidden_label_is_looked_at(spec: Path) -> None:
    shown, folder = run(spec, "evaluation.oracle=false")
    assert "oracle" not in shown.stderr
    assert "unlabelled confidence" in shown.stderr
    assert "oracle" not in (folder / "default/seed-1/metrics.jsonl").read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        (["split.validation=21"], True),
        (["split.validation=20"], False),
        (["split.validation=21", "training.keep='last'"], False),
        (["split.validation=21", "training.keep='last'", "training.patience=2"], True),
        (["split.validation=21", "labelled.per_class=11"], False),
    ],
    ids=str,
)
def test_check_warns_where_more_labels_choose_the_step_than_train(spec: Path, changes: list[str], warned: bool) -> None:
    shown = kexp("check", spec, *(part for change in changes for part in ("--set", change)))
    assert shown.exit_code == 0
    expected = (
        "the 21 validation rows, by which the step is chosen, are more labels than the 20 labelled rows to train on"
    )
    assert (expected in " ".join(shown.stderr.split())) is warned


def test_a_run_warns_where_only_the_data_show_it(spec: Path) -> None:
    shown, _ = run(spec, "split.validation=0.2")
    assert "validation rows, by which the step is chosen, are more labels than the 20 labelled rows" in shown.stderr
