"""Which metrics can be seen as means over rows, by the kinds of targets that a task is measured as."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

from kexp.contracts.task import CLASS, LABEL_SET, NUMBER, ORDERED_CLASS
from kexp.evaluate.answers import Answers, Measure
from kexp.evaluate.label_set_measures import LABEL_SET_MEASURES
from kexp.evaluate.number_measures import NUMBER_MEASURES
from kexp.evaluate.order_measures import ORDER_MEASURES
from kexp.evaluate.row_scores import ROW_SCORES

if TYPE_CHECKING:
    from kexp.evaluate.answers import Numbers

MEASURES: Mapping[str, Mapping[str, Measure]] = {
    LABEL_SET: LABEL_SET_MEASURES,
    NUMBER: NUMBER_MEASURES,
    ORDERED_CLASS: ORDER_MEASURES,
}


def measures_of(kinds: Collection[str]) -> dict[str, Measure]:
    """Return the measures by metric of some kinds of targets (``TaskOptions.measured_as``); those of classes apart."""
    return {name: measure for kind in kinds for name, measure in MEASURES.get(kind, {}).items()}


def row_scores_of(kinds: Collection[str]) -> dict[str, Callable[[Answers], Numbers]]:
    """Return by metric what every row counts in it, for all metrics of which that is known for these targets."""
    of_classes = {name: partial(_of_classes, name) for name in (ROW_SCORES if CLASS in kinds else ())}
    return {**of_classes, **{name: measure.scores for name, measure in measures_of(kinds).items()}}


def _of_classes(metric: str, answers: Answers) -> Numbers:
    return ROW_SCORES[metric](answers.targets, answers.predictions)
