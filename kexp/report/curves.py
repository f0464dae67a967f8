"""The figures of one run, from the events of its ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kexp.report.figures import Series, draw

Json = dict[str, Any]

MASKS = {
    "confident": "share of the unlabelled rows in the loss",
    "tsa_left_out": "share of the labelled rows left out",
    "tsa_threshold": "true-class probability above which a labelled row is left out",
    "threshold_lowest": "lowest threshold of a class",
    "threshold_highest": "highest threshold of a class",
    "confidence_mean": "mean of the confidence, the centre of the weights",
    "confidence_deviation": "its deviation",
}
TARGETS = {
    "target_confidence": "mean largest probability",
    "target_balance": "1 if all classes are equally frequent, 0 if only one occurs",
    "agreement": "share of rows whose two views get the same label",
}
UNLABELLED = {
    "oracle_accuracy": "share of correct predictions, by hidden labels",
    # Of runs of earlier versions.
    "accuracy": "share of correct predictions, by hidden labels",
    "confidence": "mean largest probability",
    "balance": "1 if all classes are equally frequent, 0 if only one occurs",
    "largest_share": "share of the most frequent prediction",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn figure, as a data URI, with its title and the lines of its legend."""

    title: str
    lines: Sequence[Series]
    image: str


@dataclass(frozen=True, slots=True)
class Curves:
    """A run's figures: learning curves, what the objective logs, and the optimiser's work."""

    learning: list[Figure]
    objective: list[Figure]
    work: list[Figure]


def curves(monitor: str, events: Sequence[Json], chosen: float | None) -> Curves:
    """Draw every figure for which there are events; ``chosen`` is the epoch of the kept model."""
    evaluations = [event for event in events if event["event"] == "evaluation"]
    steps = [event for event in events if event["event"] == "step"]
    validation = _Points(evaluations, lambda event: event["metrics"])
    at_evaluation = _Points(evaluations, lambda event: event)
    by_step, logs = _Points(steps, lambda event: event), _Points(steps, lambda event: event.get("logs", {}))
    unlabelled = _Points(evaluations, lambda event: event.get("pool", {}))
    learning = {
        "Loss": [
            by_step.line("loss", 0, "train, by step", faint=True),
            at_evaluation.line("train_loss", 0, "train, mean between evaluations"),
            validation.line("cross_entropy", 1, "validation"),
        ],
        f"Validation {monitor}": [validation.line(monitor, 2, "the metric that chooses the model")],
    }
    objective = {**_of_objective(logs), "Predictions for the unlabelled rows": unlabelled.known(UNLABELLED)}
    work = {
        "Learning rate": [by_step.line("learning_rate", 3)],
        "Gradient norm": [by_step.line("gradient_norm", 1, "before clipping")],
        "Examples per second": [by_step.line("examples_per_second", 2)],
        "Tokens per second": [by_step.line("tokens_per_second", 2)],
    }
    return Curves(*(list(_drawn(titled, chosen)) for titled in (learning, objective, work)))


def _of_objective(logs: _Points) -> dict[str, list[Series]]:
    """Group what an objective logs: one figure for losses, masks and targets each, and one for every other value."""
    names = logs.names()
    losses = [name for name in names if name.endswith("_loss")]
    others = [name for name in names if name not in (*losses, *MASKS, *TARGETS)]
    return {
        "Losses of the objective": [logs.line(name, number) for number, name in enumerate(losses)],
        "Masks and thresholds": logs.known(MASKS),
        "Targets of the unlabelled rows": logs.known(TARGETS),
        **{name: [logs.line(name, number)] for number, name in enumerate(others)},
    }


@dataclass(frozen=True, slots=True)
class _Points:
    """Events, and a function from an event to the values that are drawn."""

    events: Sequence[Json]
    of: Callable[[Json], Mapping[str, Any]]

    def names(self) -> list[str]:
        """Return the names of all values, in their order."""
        return list(dict.fromkeys(name for event in self.events for name in self.of(event)))

    def line(self, name: str, colour: int, legend: str = "", *, faint: bool = False) -> Series:
        """Return the values of a name over the epochs; the four colours repeat."""
        epochs = [event["epoch"] for event in self.events]
        values = [self.of(event).get(name) for event in self.events]
        return Series(legend or name.replace("_", " "), epochs, values, colour % 4, faint)

    def known(self, meanings: Mapping[str, str]) -> list[Series]:
        """Return a line for each name that has a meaning and occurs."""
        found = [name for name in self.names() if name in meanings]
        return [replace(self.line(name, number), meaning=meanings[name]) for number, name in enumerate(found)]


def _drawn(titled: Mapping[str, Iterable[Series]], chosen: float | None) -> Iterable[Figure]:
    for title, series in titled.items():
        if lines := [line for line in series if any(value is not None for value in line.values)]:
            yield Figure(title, lines, draw(lines, chosen))
