"""The suite of tasks against tasks that are wrong, each in one way."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from kexp.builtin.tasks.single_label import SingleLabel
from kexp.testing import OptionsContract, TaskContract
from kexp.testing.task_rows import TriedTask


class Capital(SingleLabel):
    """Write a mark behind every label."""

    def label_of(self, value: Any) -> str:
        return label and f"{label}!" if (label := super().label_of(value)) else ""


class Generous(SingleLabel):
    """Take anything for a label."""

    def label_of(self, value: Any) -> str:
        return super().label_of(value) if value is None or value != value else str(value).strip()


class Abrupt(SingleLabel):
    """Raise whatever Python raises."""

    def label_of(self, value: Any) -> str:
        try:
            return super().label_of(value)
        except ValueError:
            raise KeyError(value) from None


class AsTheyCome(SingleLabel):
    """Number labels as they come."""

    def names(self, labels: Any, given: Any) -> tuple[str, ...]:
        return tuple(given or labels)


class Patient(SingleLabel):
    """Learn from one class."""

    def need_variety(self, labels: Any) -> None: ...


class Swapping(SingleLabel):
    """Spell each label as another one."""

    def spelled_once(self, labels: Any) -> dict[str, str]:
        return dict(zip(labels, [*labels][1:] + [*labels][:1], strict=True))


class Shifted(SingleLabel):
    """Count from one, and read from nought."""

    def decode(self, targets: Any, names: Any) -> list[str]:
        return super().decode((targets + 1) % len(names), names)


class ByPlace(SingleLabel):
    """Read labels by their place in the index."""

    def encode(self, labels: Any, names: Any) -> Any:
        return super().encode([labels[number] for number in range(len(labels))], names)


class Forgetful(SingleLabel):
    """Know nothing of what it was taught."""

    def unknown(self, labels: Any, names: Any) -> list[str]:
        return sorted(labels)


class ByRow(SingleLabel):
    """Divide rows by their number."""

    def strata(self, labels: Any, parts: int) -> Any:
        return np.arange(len(labels)) % parts


class Loose(SingleLabel):
    """Count with numbers of NumPy."""

    def counts(self, targets: Any, names: Any) -> Any:
        return [*np.bincount(targets, minlength=len(names))]


class Unfit(SingleLabel):
    """Ask for a metric that there is not."""

    def defaults(self) -> dict[str, Any]:
        return {"evaluation": {"metrics": ["macro_f2"]}}


class Sharpened(SingleLabel):
    """Say that a temperature calibrates what is no softmax."""

    def predictions(self, logits: Any) -> Any:
        squared = super().predictions(logits) ** 2
        return squared / squared.sum(1, keepdims=True)


class Naive(SingleLabel):
    """Overflow."""

    calibrates = False

    def predictions(self, logits: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


class Centred(SingleLabel):
    """Subtract the mean over the rows."""

    calibrates = False

    def predictions(self, logits: Any) -> Any:
        return super().predictions(logits - logits.mean(0))


class Shy(SingleLabel):
    """Decide for nothing where it is not sure."""

    def decide(self, predictions: Any, chosen: Any) -> Any:
        return np.where(predictions.max(1) > 0.9, predictions.argmax(1), -1)


class Arrays(SingleLabel):
    """Choose an array."""

    def choose(self, targets: Any, predictions: Any, names: Any) -> dict[str, Any]:
        return {"thresholds": predictions.mean(0)}


class ByNumber(SingleLabel):
    """Choose by the number of a class, which is a text in JSON."""

    def choose(self, targets: Any, predictions: Any, names: Any) -> dict[Any, Any]:
        return {0: 0.5}


class Upwards(SingleLabel):
    """Have more loss where more is right."""

    def losses(self, targets: Any, predictions: Any) -> Any:
        return -super().losses(targets, predictions)


class Unbounded(SingleLabel):
    """Take the logarithm of nought."""

    def losses(self, targets: Any, predictions: Any) -> Any:
        with np.errstate(all="ignore"):
            return -np.log(predictions[np.arange(len(targets)), targets])


class Mean(SingleLabel):
    """Give each row the loss of all."""

    def losses(self, targets: Any, predictions: Any) -> Any:
        losses = super().losses(targets, predictions)
        return np.full_like(losses, losses.mean())


class NotANumber(SingleLabel):
    """Divide by the rows of a class that there are not."""

    def details(self, targets: Any, predictions: Any, names: Any, chosen: Any) -> dict[str, Any]:
        return {"shares": [float("nan")]}


class Taking(SingleLabel):
    """Take the place of the names in a result."""

    def details(self, targets: Any, predictions: Any, names: Any, chosen: Any) -> dict[str, Any]:
        return {"labels": 3}


class Rounded(SingleLabel):
    """Write few digits."""

    def columns(self, targets: Any, predictions: Any, names: Any, chosen: Any) -> dict[str, Any]:
        return {**super().columns(targets, predictions.round(3), names, chosen)}


class Trusting(SingleLabel):
    """Read any label, and do without columns."""

    def unknown(self, labels: Any, names: Any) -> list[str]:
        return []

    def read_columns(self, columns: Any, names: Any) -> Any:
        zeros = [0.0] * len(columns.get("label", ()))
        return super().read_columns({"label": [], **{f"probability:{name}": zeros for name in names}, **columns}, names)


class Dicing(SingleLabel):
    """Fit another baseline every time."""

    def fit_baseline(self, name: str, texts: Any, targets: Any, names: Any, seed: int) -> Any:
        return lambda texts: np.random.dirichlet(np.ones(len(names)), len(texts))


class Careless(SingleLabel):
    """Write into what it is given."""

    def losses(self, targets: Any, predictions: Any) -> Any:
        losses = super().losses(targets, predictions)
        predictions[:] = 0
        return losses


WRONG = {
    Capital: {
        "a_label_is_itself": "the cell '부정'",
        "reads_or_refuses_any_cell": "is read as another one",
        "values_are_read_as_their_labels": "'부정' is not read as the label that it is of",
        "spells_labels_once": "",
        "decides_for_targets": "",
        "columns_are_read_as_they_were": "column label",
    },
    Generous: {"refuses_what_is_no_label": "{'label': '긍정'} is read as the label"},
    Abrupt: {"refuses_what_is_no_label": "", "reads_or_refuses_any_cell": ""},
    AsTheyCome: {"names_are_independent_of_order": "names depend on the order of labels"},
    Patient: {"needs_something_to_learn": "DID NOT RAISE"},
    Swapping: {"spells_labels_once": ""},
    Shifted: {
        "decodes_what_it_encodes": "encode and decode do not fit",
        "decides_for_targets": "",
        "columns_are_read_as_they_were": "",
    },
    ByPlace: {"decodes_what_it_encodes": ""},
    Forgetful: {
        "tells_labels_that_are_unknown": "",
        "decides_for_targets": "",
        "columns_are_read_as_they_were": "",
        "refuses_columns_of_others": "",
    },
    ByRow: {"strata_are_those_of_the_labels": "strata depend on the order of rows"},
    Loose: {"counts_rows_of_names": ""},
    Unfit: {"defaults_fit_a_spec": "macro_f2"},
    Sharpened: {"says_what_it_is": "no softmax, which calibrates is about", "graph_predicts_the_same": ""},
    Naive: {
        "predictions_are_of_the_names": "are not finite",
        "losses_are_least_where_all_is_right": "not finite where predictions are wrong",
        "confidence_is_a_probability": "",
    },
    Centred: {
        "predictions_are_of_the_names": "a row's predictions depend on other rows",
        "graph_predicts_the_same": "",
    },
    Shy: {
        "decides_for_targets": "unknown targets are decided for",
        "chooses_plain_values": "",
        "baselines_predict": "",
    },
    Arrays: {"chooses_plain_values": "not JSON serializable"},
    ByNumber: {"chooses_plain_values": ""},
    Upwards: {"losses_are_least_where_all_is_right": "wrong predictions have less loss than right ones"},
    Unbounded: {"losses_are_least_where_all_is_right": "not finite where predictions are wrong"},
    Mean: {"losses_are_least_where_all_is_right": "losses depend on other rows"},
    NotANumber: {"details_are_plain": "not JSON compliant"},
    Taking: {"details_are_plain": "labels"},
    Rounded: {"columns_are_read_as_they_were": "", "answers_are_columns": ""},
    Trusting: {"refuses_columns_of_others": "DID NOT RAISE"},
    Dicing: {"baselines_predict": "draws from the shared generator of numpy"},
    Careless: {
        "changes_no_input_or_global_state": "targets, predictions or logits are changed",
        "losses_are_least_where_all_is_right": "",
    },
}
"""What fails for each, and what is said of it."""


def failures(task: SingleLabel) -> Iterator[tuple[str, str]]:
    """Yield the tests of the suite that fail, and their messages."""
    suite = TaskContract()
    for name in dir(TaskContract):
        if name.startswith("test_") and not hasattr(OptionsContract, name):
            test = getattr(TaskContract, name)
            given = {"options": task, "tried": TriedTask(task, suite.labels), "parts": 3}
            wanted = {key: given[key] for key in inspect.signature(test).parameters if key in given}
            try:
                getattr(suite, name)(**wanted)
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001
                yield name.removeprefix("test_"), str(error)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_the_suite_of_tasks_sees_what_is_wrong(wrong: type[SingleLabel]) -> None:
    found, expected = dict(failures(wrong())), WRONG[wrong]
    assert found.keys() == expected.keys()
    for name, message in expected.items():
        assert message in found[name]


def test_a_task_that_is_right_passes() -> None:
    assert dict(failures(SingleLabel())) == {}
    assert issubclass(TaskContract, OptionsContract)
