"""What a study found, as plain data: its trials as rows, how many ended how, the best, the front."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from kexp.plan.search_metrics import Goal
from kexp.search.study import Study, outcome

Row = dict[str, Any]

OUTCOMES = ("complete", "pruned", "failed", "interrupted", "lost", "withdrawn", "running", "waiting")


def counts(study: Study) -> dict[str, int]:
    """Return the number of trials by outcome; ``repeated`` counts those among the complete that were not run again."""
    trials = study.trials()
    found = Counter(outcome(trial) for trial in trials)
    repeated = sum("same as" in trial.user_attrs for trial in trials)
    told = {name: found[name] for name in OUTCOMES if found[name] or name in OUTCOMES[:3]}
    return {**told, "repeated": repeated}


def finished(study: Study) -> int:
    """Return the number of trials that count as done."""
    return sum(outcome(trial) in ("complete", "pruned", "failed") for trial in study.trials())


def front(study: Study) -> list[FrozenTrial]:
    """Return the best trial, or those of the Pareto front, the best in the first goal first; without repetitions."""
    goals = study.question.goals
    done = [trial for trial in study.trials() if outcome(trial) == "complete" and "same as" not in trial.user_attrs]
    best = [trial for trial in done if not any(_dominates(other, trial, goals) for other in done)]

    def worth(trial: FrozenTrial) -> tuple[float, ...]:
        # Of equals, the first that was found.
        signs = [-1 if goal.direction == "maximize" else 1 for goal in goals]
        return (*(sign * value for sign, value in zip(signs, trial.values, strict=True)), trial.number)

    ordered = sorted(best, key=worth)
    return ordered if len(goals) > 1 else ordered[:1]


def _dominates(one: FrozenTrial, other: FrozenTrial, goals: Sequence[Goal]) -> bool:
    pairs = list(zip(goals, one.values, other.values, strict=True))
    better = any(goal.better(a, b) for goal, a, b in pairs)
    return better and not any(goal.better(b, a) for goal, a, b in pairs)


def rows(study: Study) -> list[Row]:
    """Return every trial as a row: number, outcome, goals, parameters by path, seconds, and what else is known."""
    goals = [goal.name for goal in study.question.goals]
    table = []
    for trial in study.trials():
        known = trial.user_attrs
        values = trial.values or [None] * len(goals)
        table.append(
            {
                "trial": trial.number,
                "outcome": outcome(trial),
                **dict(zip(goals, values, strict=True)),
                **{path: trial.params.get(path) for path in study.question.space.parameters},
                "train_seconds": known.get("seconds"),
                "same as": known.get("same as"),
                "reason": known.get("reason"),
                "folder": known.get("folder"),
            }
        )
    return table


def write_table(path: Path, study: Study) -> None:
    """Write the trials as CSV."""
    import pandas as pd

    pd.DataFrame(rows(study)).to_csv(path, index=False)
