"""What a study found, as plain data: its trials as rows, how many ended how, the best, the Pareto front."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from kexp.atomic_files import replacing
from kexp.contracts import choice_label
from kexp.plan.search_metrics import SearchMetric
from kexp.search.default_trial import is_default, values_of
from kexp.search.study import Study
from kexp.search.trial import FINISHED, OUTCOMES, by_position, is_repetition, numbered, outcome
from kexp.spec.space import Space

Row = dict[str, Any]


def summary(study: Study, best: Sequence[FrozenTrial]) -> dict[str, Any]:
    """Return the object of ``study.json`` before the final run; ``best`` are the trials of ``best_trials``."""
    job, first = study.job, best[0] if best else None
    return {
        "study": job.name,
        "folder": str(job.folder),
        "storage": str(job.options.storage),
        "goals": {metric.name: metric.direction for metric in job.metrics},
        "trials": counts(study),
        "exhausted": study.exhausted,
        "best_trial": first.number if first else None,
        "best_value": (first.values[0] if len(first.values) == 1 else first.values) if first else None,
        "best_params": shown_params(first, job.space) if first else None,
        "no_gain": _no_gain(best, job.space) if first else None,
        "best_spec": None,
        "front": [{"trial": trial.number, "values": trial.values} for trial in best],
        "final": None,
        "gains": [],
        "remarks": remarks(study, best) if first else [],
    }


def counts(study: Study) -> dict[str, int]:
    """Return the number of trials by outcome, with those that were stopped and tried again.

    ``repeated`` are those of the finished that were not run.
    """
    trials = study.attempts()
    found = Counter(map(outcome, trials))
    by_outcome = {name: found[name] for name in OUTCOMES if found[name] or name in FINISHED}
    return {**by_outcome, "repeated": sum(map(is_repetition, trials))}


def finished(study: Study) -> int:
    """Return the number of trials that count as done."""
    return sum(outcome(trial) in FINISHED for trial in study.trials())


def ranked(study: Study) -> list[FrozenTrial]:
    """Return the complete trials without repetitions, the best in the first metric first (see ``rank``)."""
    directions, space = [metric.direction for metric in study.job.metrics], study.job.space
    complete = (trial for trial in study.trials() if outcome(trial) == "complete" and not is_repetition(trial))
    return sorted(complete, key=lambda trial: rank(trial, directions, default=is_default(trial, space)))


def rank(trial: FrozenTrial, directions: Sequence[str], *, default: bool) -> tuple[float, ...]:
    """Return what is smaller, the better a complete trial is; ``directions`` are maximize or minimize.

    Of equals that with the lower validation loss is better, then the spec as it stands, then the earlier one.
    """
    pairs = zip(directions, trial.values, strict=True)
    values = (-value if direction == "maximize" else value for direction, value in pairs)
    return (*values, _loss(trial), not default, trial.number)


def _loss(trial: FrozenTrial) -> float:
    """Return the validation loss of a complete trial: more than any number where it is none.

    Less than any where it is not known, as in a trial of an earlier version: the earlier of equals stays the best.
    """
    loss = trial.user_attrs.get("loss", -math.inf)
    return math.inf if loss is None else float(loss)


def _no_gain(front: Sequence[FrozenTrial], space: Space) -> bool:
    """Return whether nothing beats the spec as it stands, which is the first of the best trials then.

    On a Pareto front with other values, trials beside it are better in another metric.
    """
    return is_default(front[0], space) and all(trial.values == front[0].values for trial in front)


def remarks(study: Study, front: Sequence[FrozenTrial]) -> list[str]:
    """Say where the best trial is no gain, by what it was chosen among equal ones, and what was not tried.

    ``front`` are the trials of ``best_trials``.
    """
    space, complete, best = study.job.space, ranked(study), front[0]
    equal = [trial for trial in complete if trial.values == best.values]
    found = []
    if _no_gain(front, space):
        found.append("no gain: no trial is better than the spec as it stands")
    elif trial := next((trial for trial in front if is_default(trial, space)), None):
        found.append(
            f"the spec as it stands, trial {trial.number}, is on the Pareto front: no trial is better in one metric "
            "without being worse in another"
        )
    elif not any(is_default(trial, space) for trial in complete):
        found.append("whether this is a gain is not known: no trial of the spec as it stands was completed")
    if len(equal) > 1:
        by = "the earliest"
        if is_default(best, space):
            by = "the spec as it stands"
        if any(_loss(trial) != _loss(best) for trial in equal):
            by = "the one with the lowest validation loss"
        names = " and ".join(metric.name for metric in study.job.metrics)
        found.append(f"{len(equal)} trials have the same {names}; trial {best.number} is {by}")
    if untried := study.untried():
        counted = "search.trials counts the spec as it stands too"
        found.append(f"{untried:,} of the {study.points:,} points of the space were not tried; {counted}")
    return found


def shown_params(trial: FrozenTrial, space: Space) -> dict[str, Any]:
    """Return the values of a trial by path as tables show them."""
    return {path: choice_label(value) for path, value in values_of(trial, space).items()}


def best_trials(study: Study) -> list[FrozenTrial]:
    """Return the best trial, or with several metrics those of the Pareto front, the best in the first metric first."""
    metrics, complete = study.job.metrics, ranked(study)
    if len(metrics) == 1:
        return complete[:1]
    return [trial for trial in complete if not any(_dominates(other, trial, metrics) for other in complete)]


def _dominates(one: FrozenTrial, other: FrozenTrial, metrics: Sequence[SearchMetric]) -> bool:
    pairs = list(zip(metrics, one.values, other.values, strict=True))
    better = any(metric.better(a, b) for metric, a, b in pairs)
    return better and not any(metric.better(b, a) for metric, a, b in pairs)


def rows(study: Study) -> list[Row]:
    """Return every trial as a row: number, outcome, metrics, parameters by path, seconds, reason, folder, attempts."""
    metrics = [metric.name for metric in study.job.metrics]
    groups = by_position(study.attempts())
    table = []
    for trial, attempts in zip(numbered(groups), groups, strict=True):
        attributes = trial.user_attrs
        values = trial.values or [None] * len(metrics)
        shown = shown_params(trial, study.job.space)
        table.append(
            {
                "trial": trial.number,
                "outcome": outcome(trial),
                **dict(zip(metrics, values, strict=True)),
                **{path: shown.get(path) for path in study.job.space.parameters},
                "validation_loss": attributes.get("loss"),
                "train_seconds": attributes.get("seconds"),
                "same as": attributes.get("same as"),
                "reason": attributes.get("reason", "its process is gone" if trial.state == TrialState.FAIL else None),
                "folder": attributes.get("folder"),
                "attempts": len(attempts),
            }
        )
    return table


def write_trials(path: Path, study: Study) -> None:
    """Write the trials as CSV, whole or not at all."""
    import pandas as pd

    with replacing(path) as part:
        pd.DataFrame(rows(study)).to_csv(part, index=False)
