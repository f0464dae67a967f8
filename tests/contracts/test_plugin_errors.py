"""Failures of a plugin's component name its kind, its name and its package, and cost no result."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from kexp.builtin.augmenters import Compose
from kexp.builtin.objectives import UdaOptions
from kexp.catalog import load_catalog
from kexp.cli import app
from kexp.contracts import (
    AugmenterContext,
    AugmenterOptions,
    Batch,
    DatasetContext,
    DatasetOptions,
    MetricContext,
    MetricOptions,
    ObjectiveContext,
    ObjectiveOptions,
    Progress,
    Rejected,
    SupervisedObjective,
    SupervisedObjectiveOptions,
    UnlabelledBatch,
)
from kexp.contracts.augmenter import build_augmenter
from kexp.contracts.dataset import read_dataset
from kexp.contracts.metric import build_metric
from kexp.contracts.objective import build_objective
from kexp.errors import CHANGES, DataError, KexpError, PluginError, Problem, RunFailed, describe_error
from kexp.model.token_rows import TokenRows
from kexp.options import component_title, plugin_results

HERE = __name__

# --- whole experiments ----------------------------------------------------------------------------------------------

STRICT = '''
"""A metric that is strict, one that never works, and an augmenter that rejects."""
import kexp
from kexp.contracts import AugmenterOptions, MetricOptions, Rejected
from kexp.errors import KexpError


class ClassRecall(MetricOptions):
    """Recall of the first class."""

    def build(self, context):
        def measure(labels, probabilities):
            if (probabilities == probabilities[0]).all():
                raise ValueError("the predictions are constant")
            return (probabilities.argmax(1) == labels).mean()
        return measure


class Broken(MetricOptions):
    """Refuse everything."""

    def build(self, context):
        def measure(labels, probabilities):
            raise KexpError("no metric for these labels")
        return measure


class Undefined(MetricOptions):
    """Be no number."""

    def build(self, context):
        return lambda labels, probabilities: float("nan")


class Picky(AugmenterOptions):
    """Reject every text with an even number."""

    def build(self, context):
        def augment(texts, generators):
            return [Rejected(text, "even") if int(text[0]) % 2 == 0 else text + "!" for text in texts]
        return augment


@kexp.hookimpl
def kexp_metrics():
    return {"class-recall": ClassRecall, "broken": Broken, "undefined": Undefined}


@kexp.hookimpl
def kexp_augmenters():
    return {"picky": Picky}
'''
SPEC = """
[dataset]
use = "table"
path = "{data}"
[backbone]
use = "tiny"
layers = 1
hidden = 16
heads = 2
vocabulary = 300
[training]
epochs = 2
batch_size = 32
max_length = 16
learning_rate = 1e-2
[plugins]
local = ["strict.py"]
"""
Experiment = Callable[..., Result]


@pytest.fixture
def experiment(reviews: Path, tmp_path: Path) -> Experiment:
    """Return a function that runs an experiment with the strict plugin."""
    (tmp_path / "strict.py").write_text(STRICT, encoding="utf-8")

    def run(more: str, *options: str) -> Result:
        (tmp_path / "strict.toml").write_text(SPEC.format(data=reviews) + more, encoding="utf-8")
        return kexp("run", tmp_path / "strict.toml", "--runs-dir", tmp_path / "runs", *options)

    return run


def kexp(*arguments: str | Path) -> Result:
    command = [str(argument) for argument in (*arguments, "--allow-local-code")]
    return CliRunner().invoke(app, command, catch_exceptions=False)


def folder_of(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "runs" / "strict").iterdir()
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def owner(tmp_path: Path) -> str:
    return str(load_catalog(local=[tmp_path / "strict.py"]).find("metric", "broken").owner)


def test_a_metric_that_fails_on_a_baseline_is_left_out_and_noted(experiment: Experiment, tmp_path: Path) -> None:
    result = experiment('[evaluation]\nmetrics = ["macro_f1", "class-recall"]\n', "--quiet")
    assert result.exit_code == 0, result.stderr
    folder = folder_of(tmp_path)
    summary = read(folder / "summary.json")
    assert summary["status"] == "done"
    baselines = summary["variants"]["default"]["baselines"]
    assert {split: list(scores) for split, scores in baselines["majority"].items()} == {
        "validation": ["macro_f1"],
        "test": ["macro_f1"],
    }
    assert list(baselines["tfidf-logreg"]["test"]) == ["macro_f1", "class-recall"]
    assert summary["remarks"] == [
        f'baseline majority on {split} has no class-recall: metric "class-recall" of {owner(tmp_path)}: '
        "ValueError: the predictions are constant"
        for split in ("test", "validation")
    ]
    assert "baseline majority on test has no class-recall" in (folder / "report.html").read_text("utf-8")


def test_a_metric_that_fails_fails_its_runs_and_the_experiment_ends_as_it_should(
    experiment: Experiment, tmp_path: Path
) -> None:

    (tmp_path / "strict.py").write_text(STRICT, encoding="utf-8")
    more = '[variants.broken]\nevaluation.metrics = ["macro_f1", "broken"]\n[variants.plain]\n'
    result = experiment(more, "--seeds", "1,2", "--quiet")
    said = "no metric for these labels"
    folder = folder_of(tmp_path)
    lines = result.stderr.splitlines()
    assert result.exit_code == 1
    assert lines[0] == f"broken seed 1, broken seed 2 failed: {said}"
    assert lines[1].startswith("not every run succeeded")
    assert lines[2:] == [f"once the cause is mended, continue with: kexp run --resume {folder}"]
    for _ in ("run", "resumed"):
        assert read(folder / "broken" / "seed-2" / "result.json")["reason"] == said
        summary = read(folder / "summary.json")
        assert summary["variants"]["broken"]["status"] == {"1": "failed", "2": "failed"}
        assert summary["variants"]["plain"]["status"] == {"1": "done", "2": "done"}
        assert summary["remarks"][0] == f"baseline majority on test has no broken: {said}"
        (folder / "report.html").unlink()
        (folder / "summary.json").unlink()
        assert kexp("run", "--resume", folder, "--quiet").exit_code == 1
    assert (folder / "report.html").is_file()


def test_a_metric_that_is_no_number_is_told_on_the_screen_and_chooses_no_model(
    experiment: Experiment, tmp_path: Path
) -> None:
    result = experiment('[evaluation]\nmetrics = ["undefined", "accuracy"]\n', "--set", "training.monitor=undefined")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count('metric "undefined" is nan on validation; it is the monitored metric') == 2
    assert read(folder_of(tmp_path) / "default" / "seed-1" / "result.json")["best_epoch"] == 1


FEW = '[labelled]\nper_class = 20\n[objective]\nuse = "uda"\n[augmentation.unlabelled]\nuse = "picky"\n'


@pytest.mark.parametrize(
    ("of", "more"), [("labelled", '[augmentation.labelled]\nuse = "picky"\n'), ("unlabelled", FEW)]
)
def test_rejected_texts_are_counted_and_told_once(experiment: Experiment, tmp_path: Path, of: str, more: str) -> None:
    result = experiment(more, "--quiet", "--set", "training.batch_size=8")
    assert result.exit_code == 0, result.stderr
    run = folder_of(tmp_path) / "default" / "seed-1"
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    messages = [event["message"] for event in events if event["event"] == "warning"]
    (warning,) = [message for message in messages if message.startswith("augmentation.")]
    source, _, rest = warning.partition(" rejected ")
    assert source == f'augmentation.{of}: augmenter "picky" of {owner(tmp_path)}'
    count, of_texts = (int(word) for word in rest.split(" texts")[0].split(" of "))
    assert 0 < count < of_texts
    assert rest.endswith(f"in epoch 1 ({count} even); their rows have the original text")
    if of == "labelled":
        assert (
            of_texts
            == read(run.parent.parent / "summary.json")["variants"]["default"]["data"]["splits"]["train"]["kept"]
        )
    assert (run / "log.txt").read_text("utf-8").count(warning) == 1


# --- metrics --------------------------------------------------------------------------------------------------------


class Given(MetricOptions):
    """Return what is given."""

    def build(self, context: Any) -> Any:
        return lambda labels, probabilities: labels


@pytest.mark.parametrize("number", [1, 0.5, np.float32(0.5), np.int64(3), float("inf")])
def test_what_a_metric_returns_is_a_plain_number(number: Any) -> None:
    found = build_metric(Given(), MetricContext(["부정", "긍정"]))(number, np.empty(0))
    assert type(found) is float
    assert found == number


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "None"),
        ("0.9", "a value of type str"),
        (np.array([0.1, 0.2]), "a value of type ndarray"),
        (np.array(0.5), "a value of type ndarray"),
        ({}, "a value of type dict"),
    ],
)
def test_what_is_no_number_is_refused(value: Any, said: str) -> None:
    with pytest.raises(PluginError) as refused:
        build_metric(Given(), MetricContext(["부정", "긍정"]))(value, np.empty(0))
    assert str(refused.value) == f"metric {HERE}.Given: returned {said}, expected a number"


def test_components_of_kexp_have_its_version_in_their_titles() -> None:
    catalog = load_catalog()
    assert component_title(UdaOptions()) == f'objective "uda" of {catalog.owner_of(UdaOptions)}'
    assert component_title(Given()) == f"metric {HERE}.Given"


# --- problems and warnings ------------------------------------------------------------------------------------------


class Raising(Given):
    """Fail to say what is wrong."""

    def problems(self) -> Any:
        raise AttributeError("'str' object has no attribute 'under'")

    def warnings(self) -> Any:
        return ["take care"]


def test_questions_that_a_component_cannot_answer_name_it() -> None:
    assert plugin_results(Given(), "problems", Problem) == []
    with pytest.raises(PluginError) as refused:
        plugin_results(Raising(), "problems", Problem)
    assert str(refused.value) == (
        f"metric {HERE}.Raising, problems(): AttributeError: 'str' object has no attribute 'under'"
    )
    with pytest.raises(PluginError) as refused:
        plugin_results(Raising(), "warnings", Problem)
    assert str(refused.value) == f"metric {HERE}.Raising, warnings(): yields 'take care', expected Problem"


def test_a_spec_names_the_component_that_cannot_say_what_is_wrong(experiment: Experiment, tmp_path: Path) -> None:
    experiment('[evaluation]\nmetrics = ["undefined", "macro_f1"]\n', "--dry-run")
    planted = '"""Be no number."""\n    def problems(self):\n        return ["wrong"]\n'
    (tmp_path / "strict.py").write_text(STRICT.replace('"""Be no number."""', planted), encoding="utf-8")
    result = kexp("check", tmp_path / "strict.toml")
    assert result.exit_code == 2
    said = f"metric \"undefined\" of {owner(tmp_path)}, problems(): yields 'wrong', expected Problem"
    assert result.stderr == f"{said}\n"


# --- datasets -------------------------------------------------------------------------------------------------------


def rows(labels: str = "ab") -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"text": list("가나"), "label": list(labels)})


def test_what_a_dataset_returns_is_checked() -> None:
    class Planted(DatasetOptions):
        """Return what was planted."""

        def build(self, context: DatasetContext) -> Any:
            context.counts.update(noted)
            return planted()

    def refusal() -> str:
        with pytest.raises(KexpError) as refused:
            read_dataset(Planted(), DatasetContext())
        return str(refused.value).removeprefix(f"dataset {name}: ")

    def failing() -> Any:
        raise KeyError("text")

    def refusing() -> Any:
        raise DataError("reviews.csv: row 3 is damaged")

    name, noted, planted = f"{HERE}.{Planted.__qualname__}", dict[str, Any](), failing
    assert refusal() == "KeyError: 'text'"
    planted = refusing
    assert refusal() == "reviews.csv: row 3 is damaged"
    planted = rows
    assert refusal() == "build returned a Dataset, expected a Dataset per split name"
    planted = lambda: {"train": rows(), "trian": rows()}  # noqa: E731
    assert refusal() == ("build returned a split 'trian', expected train, validation, test or unlabelled")
    planted = lambda: {"train": [{"text": "가"}]}  # noqa: E731
    assert refusal() == "the train split is a list, expected a datasets.Dataset"
    planted, noted = lambda: {"train": rows()}, {"empty": "three"}
    assert refusal() == "counts['empty'] is 'three', expected a number of rows"
    noted, context = {"empty": np.int64(3)}, DatasetContext()
    assert list(read_dataset(Planted(), context)) == ["train"]
    assert context.counts == {"empty": 3}


# --- augmenters -----------------------------------------------------------------------------------------------------


class Answering(AugmenterOptions):
    """Answer with what is given."""

    answer: Any = None

    def build(self, context: AugmenterContext) -> Any:
        return lambda texts, generators: self.answer


class Former(AugmenterOptions):
    """Report progress as version 1 of the interface did."""

    def build(self, context: AugmenterContext) -> Any:
        context.tell("half done")  # type: ignore[attr-defined]


def test_a_former_name_of_something_that_kexp_passes_is_explained() -> None:
    with pytest.raises(PluginError) as refused:
        build_augmenter(Former(), AugmenterContext())
    missing = "AttributeError: 'AugmenterContext' object has no attribute 'tell'"
    assert str(refused.value) == f"augmenter {HERE}.Former: {missing}; {CHANGES}"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (["가!"], "made 1 of 2 texts, expected one of each"),
        (["가!", 7], "returned a value of type int for a text, expected str or Rejected(text, reason)"),
        (["가!", None], "returned None for a text, expected str or Rejected(text, reason)"),
        (["가!", Rejected], "returned the class Rejected for a text, expected str or Rejected(text, reason)"),
        (None, "TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_what_an_augmenter_returns_is_checked_inside_others_too(answer: Any, said: str) -> None:
    options = Answering(answer=answer)
    for outer in (options, Compose(steps=(options,))):
        with pytest.raises(PluginError) as refused:
            build_augmenter(outer, AugmenterContext())(["가", "나"], [Random(1), Random(2)])
        assert str(refused.value) == f"augmenter {HERE}.Answering: {said}"


class Rejecting(AugmenterOptions):
    """Reject with other arguments than Rejected has."""

    arguments: dict[str, Any]

    def build(self, context: AugmenterContext) -> Any:
        return lambda texts, generators: [Rejected(**self.arguments) for _ in texts]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "Rejected() lacks its arguments text and reason"),
        ({"text": "가"}, "Rejected() lacks its argument reason"),
        ({"reason": "too short"}, "Rejected() lacks its argument text"),
        ({"text": "가", "reason": None}, "TypeError: Rejected(text, reason): reason is None, expected str"),
        (
            {"text": ["가"], "reason": "x"},
            "TypeError: Rejected(text, reason): text is a value of type list, expected str",
        ),
    ],
)
def test_a_rejection_without_its_arguments_says_which(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(PluginError) as refused:
        build_augmenter(Rejecting(arguments=arguments), AugmenterContext())(["가"], [Random(1)])
    assert str(refused.value) == f"augmenter {HERE}.Rejecting: {said}"


def test_any_class_that_is_made_without_arguments_is_named_with_them() -> None:
    @dataclass
    class Place:
        row: int
        column: int
        name: str

    with pytest.raises(TypeError) as caught:
        Place()  # type: ignore[call-arg]
    assert describe_error(caught.value) == "Place() lacks its arguments row, column, and name"


def test_what_an_augmenter_rejects_is_counted() -> None:
    made = ["가!", Rejected("나", "too short"), Rejected("다", "too short"), Rejected("라", "too far")]
    augmenter = build_augmenter(Answering(answer=made), AugmenterContext())
    for _ in range(2):
        assert augmenter(list("가나다라"), [Random(0)] * 4) == made
    assert augmenter.total == 8
    assert augmenter.rejected == {"too short": 4, "too far": 2}


# --- objectives -----------------------------------------------------------------------------------------------------

CONTEXT = ObjectiveContext((2, 2), unlabelled_rows=2)


@dataclass(frozen=True)
class Loss(SupervisedObjective):
    answer: Any

    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.answer(logits, labels)


class Losing(SupervisedObjectiveOptions):
    """Give the losses that are given."""

    answer: Any = None

    def build(self, context: ObjectiveContext) -> Any:
        return self.answer and Loss(self.answer)


class Nothing(ObjectiveOptions):
    """Build nothing."""

    def build(self, context: ObjectiveContext) -> Any:
        return None


class FixedLogits:
    """A model that says the same of every row."""

    def logits(self, *groups: Any) -> tuple[torch.Tensor, ...]:
        return tuple(torch.zeros(len(group), 2, requires_grad=True) for group in groups)


def rows_of(count: int) -> TokenRows:
    return TokenRows(torch.zeros(count, dtype=torch.long), np.ones(count, np.int64), None)


def step(options: ObjectiveOptions) -> float:
    batch = Batch(rows_of(4), torch.tensor([0, 1, 0, 1]))
    pairs = UnlabelledBatch(rows_of(2), rows_of(2), torch.arange(2))
    return float(build_objective(options, CONTEXT).step(FixedLogits(), batch, pairs, Progress(0, 10)).loss.detach())


def test_what_is_no_objective_is_refused() -> None:
    for options, expected in (
        (Losing(), "SupervisedObjective"),
        (UdaOptions(supervised=Losing()), "SupervisedObjective"),
        (Nothing(), "Objective"),
    ):
        with pytest.raises(PluginError) as refused:
            step(options)
        name = "Nothing" if isinstance(options, Nothing) else "Losing"
        assert (
            str(refused.value) == f"objective {HERE}.{name}: build returned None, expected one that extends {expected}"
        )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda logits, labels: logits.logsumexp(-1).mean(), "losses() returned shape ()"),
        (lambda logits, labels: logits.logsumexp(-1, keepdim=True), "losses() returned shape (4, 1)"),
        (lambda logits, labels: 0.5, "losses() returned a float"),
        (lambda logits, labels: logits[7], "IndexError: index 7 is out of bounds for dimension 0 with size 4"),
    ],
)
def test_losses_that_are_not_one_per_row_are_refused_inside_others_too(answer: Any, said: str) -> None:
    losing = Losing(answer=answer)
    for options in (losing, UdaOptions(supervised=losing, tsa="linear"), UdaOptions(supervised=losing)):
        with pytest.raises(PluginError) as refused:
            step(options)
        assert str(refused.value).startswith(f"objective {HERE}.Loss: {said}")


def test_losses_per_row_pass() -> None:
    losing = Losing(answer=lambda logits, labels: logits.logsumexp(-1) * (1 + labels))
    assert step(losing) == pytest.approx(1.5 * np.log(2))


def test_a_failed_run_of_a_component_keeps_what_it_says_itself() -> None:
    class Refusing(AugmenterOptions):
        """Say what is missing."""

        def build(self, context: AugmenterContext) -> Any:
            raise RunFailed("the translator is not there; start it")

    with pytest.raises(RunFailed, match=r"^the translator is not there; start it$"):
        build_augmenter(Refusing(), AugmenterContext())
