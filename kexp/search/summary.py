"""What a study found, as plain data: its trials as rows, how many ended how, the best, the Pareto front."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from kexp.plan.search_metrics import SearchMetric
from kexp.search.study import Study
from kexp.search.trial import FINISHED, OUTCOMES, by_position, is_repetition, numbered, outcome

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
        "best_params": first.params if first else None,
        "best_spec": None,
        "front": [{"trial": trial.number, "values": trial.values} for trial in best],
        "final": None,
        "gains": [],
        "remarks": [],
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
    """Return the complete trials without repetitions, the best in the first metric first; of equals, the earlier."""
    signs = [-1 if metric.direction == "maximize" else 1 for metric in study.job.metrics]

    def rank(trial: FrozenTrial) -> tuple[float, ...]:
        return (*(sign * value for sign, value in zip(signs, trial.values, strict=True)), trial.number)

    complete = (trial for trial in study.trials() if outcome(trial) == "complete" and not is_repetition(trial))
    return sorted(complete, key=rank)


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
        table.append(
            {
                "trial": trial.number,
                "outcome": outcome(trial),
                **dict(zip(metrics, values, strict=True)),
                **{path: trial.params.get(path) for path in study.job.space.parameters},
                "train_seconds": attributes.get("seconds"),
                "same as": attributes.get("same as"),
                "reason": attributes.get("reason", "its process is gone" if trial.state == TrialState.FAIL else None),
                "folder": attributes.get("folder"),
                "attempts": len(attempts),
            }
        )
    return table


def write_trials(path: Path, study: Study) -> None:
    """Write the trials as CSV."""
    import pandas as pd

    pd.DataFrame(rows(study)).to_csv(path, index=False)
