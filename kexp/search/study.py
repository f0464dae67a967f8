"""A study that several processes may share: who runs which trial, how it ended, and who repeats a lost one."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.pruners import MedianPruner, NopPruner
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState
from optuna.trial import Trial as OptunaTrial

from kexp.contracts import PrunerContext
from kexp.errors import KexpError, Problem
from kexp.search.heartbeats import Heartbeats
from kexp.search.sampling import PerTrialSampler, params_of, suggest
from kexp.search.search_job import SearchJob
from kexp.search.trial import FINISHED, Trial, outcome

IDENTITY = "kexp"
"""Attribute of the study that holds the identity of its search."""

MAX_REPETITIONS = 100
"""Trials in a row that repeat earlier ones, after which a search without a number of trials is over."""

MAX_REDRAWS = 3
"""Times that other values are drawn because a trial with the drawn ones is running."""


@dataclass(slots=True)
class Study:
    """One process's view of an Optuna study."""

    optuna: optuna.Study
    job: SearchJob
    heartbeats: Heartbeats
    sampler: PerTrialSampler
    own: dict[int, OptunaTrial] = field(default_factory=dict)
    """Trials that this process is running."""
    failures: list[str] = field(default_factory=list)
    """Reasons of the latest trials, as far back as all of them failed."""
    other_rows: str = ""
    """What is said of a trial with other validation rows: its process read other data, so the search must stop."""

    # --- state of the study ----------------------------------------------------------------------------------------

    def trials(self) -> list[FrozenTrial]:
        """Return all trials."""
        return self.optuna.get_trials(deepcopy=False)

    @property
    def exhausted(self) -> bool:
        """Whether there is no further point to try."""
        return self.sampler.exhausted or bool(self.optuna.user_attrs.get("exhausted"))

    @property
    def failing(self) -> bool:
        """Whether the search should stop: too many trials failed in a row, or one had other validation rows."""
        return bool(self.other_rows) or len(self.failures) >= self.job.options.max_failures

    def others_running(self) -> bool:
        """Return whether another process is running a trial."""
        return any(outcome(trial) == "running" and trial.number not in self.own for trial in self.trials())

    # --- the next trial --------------------------------------------------------------------------------------------

    def next_trial(self, target: int | None) -> Trial | None:
        """Take the next trial; None when the study has ``target`` trials, or the space no other point.

        Equal specs give equal results: a trial with the values of an earlier one gets that one's result and is not
        returned. While the earlier one is running, other values are drawn instead, at most ``MAX_REDRAWS`` times.
        """
        repetitions = redraws = 0
        while self._has_more() and (target is None or len(self._counted()) < target):
            trial, problems = self._ask()
            # Another process may have taken a trial at the same moment: the lower number wins.
            if target is not None and sum(number < trial.number for number in self._counted()) >= target:
                self._finish(trial.number, "fail", outcome="withdrawn", reason="the study has enough trials already")
                continue
            if problems:
                self.fail(trial.number, f"the values make no valid spec: {problems[0]}")
                if self.failing:
                    return None
                continue
            earlier = self._earlier(trial.number)
            if earlier is None or (outcome(earlier) == "running" and redraws == MAX_REDRAWS):
                return trial
            if outcome(earlier) == "running":
                reason = f"trial {earlier.number} runs with the same values"
                self._finish(trial.number, "fail", outcome="withdrawn", reason=reason)
                redraws += 1
                continue
            self._repeat(trial.number, earlier)
            repetitions += 1
            if target is None and repetitions >= MAX_REPETITIONS:
                self.optuna.set_user_attr("exhausted", True)
        return None

    def _has_more(self) -> bool:
        """Return whether there is another point to try, or one to try again."""
        return not self.exhausted or any(outcome(trial) == "waiting" for trial in self.trials())

    def _counted(self) -> list[int]:
        """Return the numbers of the trials that count towards the target."""
        return [trial.number for trial in self.trials() if outcome(trial) in (*FINISHED, "running")]

    def _ask(self) -> tuple[Trial, Sequence[Problem]]:
        drawn = self.optuna.ask()
        self.own[drawn.number] = drawn
        drawn.set_user_attr("worker", self.heartbeats.own)
        values = suggest(drawn, self.job.space)
        table, problems = self.job.table_of(values)
        return Trial(drawn.number, values, table), problems

    def _earlier(self, number: int) -> FrozenTrial | None:
        """Return an earlier trial with the same values: a finished one if there is any, or else one that runs."""
        trials = self.trials()
        same = [trial for trial in trials[:number] if trial.params == trials[number].params]
        done = [trial for trial in same if outcome(trial) in ("complete", "pruned")]
        return next(iter(done or [trial for trial in same if outcome(trial) == "running"]), None)

    def _repeat(self, number: int, earlier: FrozenTrial) -> None:
        """End a trial with the result of an earlier one."""
        for step, value in earlier.intermediate_values.items():
            self.own[number].report(value, step)
        attributes = {key: value for key, value in earlier.user_attrs.items() if key in ("seeds", "seconds", "reason")}
        attributes["same as"] = earlier.user_attrs.get("same as", earlier.number)
        values = earlier.values if outcome(earlier) == "complete" else None
        self._finish(number, outcome(earlier), values, **attributes)

    # --- what becomes of a trial -----------------------------------------------------------------------------------

    def report(self, number: int, step: int, value: float) -> bool:
        """Record the value of an evaluation (or a seed) and return whether the trial should be pruned."""
        trial = self.own[number]
        try:
            trial.report(value, step)
        except UpdateFinishedTrialError:
            # Another process gave it up as lost, so its result is not needed any more.
            return True
        return bool(trial.should_prune())

    def complete(self, number: int, results: Sequence[Mapping[str, Any]], rows: str, folder: str) -> None:
        """Record the means of the metrics over a trial's seeds; values that cannot be compared make it a failed one."""
        metrics = self.job.metrics
        known = self.optuna.user_attrs.get("validation rows")
        if known is None:
            self.optuna.set_user_attr("validation rows", rows)
        elif known != rows:
            reason = "its validation rows differ from those of the other trials, so no metric can be compared"
            self.other_rows = (
                f"trial {number} failed, and the search stopped: {reason}; the data have changed meanwhile"
            )
            self.fail(number, reason)
            return
        seeds = {str(result["seed"]): [metric.of(result) for metric in metrics] for result in results}
        values = [math.fsum(column) / len(seeds) for column in zip(*seeds.values(), strict=True)]
        if not all(map(math.isfinite, values)):
            pairs = zip(metrics, values, strict=True)
            self.fail(number, ", ".join(f"{metric.name} is {value}" for metric, value in pairs))
            return
        seconds = sum(result["train_seconds"] for result in results)
        self._finish(number, "complete", values, seeds=seeds, seconds=seconds, folder=folder)
        self.failures.clear()

    def prune(self, number: int, reason: str, folder: str) -> None:
        """Record that a trial was ended early."""
        self._finish(number, "pruned", reason=reason, folder=folder)
        self.failures.clear()

    def fail(self, number: int, reason: str) -> None:
        """Record that a trial failed by itself."""
        self.failures.append(reason)
        self._finish(number, "fail", outcome="failed", reason=reason)

    def interrupt(self, number: int, reason: str) -> None:
        """Record that a trial was stopped from outside, and give it back to the study."""
        trial = self.trials()[number]
        if self._finish(number, "fail", outcome="interrupted", reason=reason):
            self._enqueue(trial, {key: trial.user_attrs[key] for key in ("retry of",) if key in trial.user_attrs})

    def lose(self, number: int, reason: str) -> None:
        """Record that the process of a trial is gone, and give the trial back; the second time it counts as failed."""
        trial = self.trials()[number]
        if "retry of" in trial.user_attrs:
            first = trial.user_attrs["retry of"]
            self.fail(number, f"{reason}; trial {first}, which it repeats, was lost too")
        elif self._finish(number, "fail", outcome="lost", reason=reason):
            self._enqueue(trial, {"retry of": number})

    def _enqueue(self, trial: FrozenTrial, attributes: Mapping[str, Any]) -> None:
        self.optuna.enqueue_trial(trial.params, user_attrs=dict(attributes))

    def recover_lost(self) -> None:
        """Give back the trials of processes that are gone."""
        attributes = self.optuna.user_attrs
        for trial in self.trials():
            others = outcome(trial) == "running" and trial.number not in self.own
            if others and self.heartbeats.dead(trial.user_attrs.get("worker", ""), attributes):
                self.lose(trial.number, "its process is gone")

    def _finish(self, number: int, state: str, values: Sequence[float] | None = None, **attributes: Any) -> bool:
        """Record the end of a trial; False when another process had recorded one, having given this one up."""
        own = self.own.pop(number, None)
        try:
            for key, value in attributes.items():
                if own is not None:
                    own.set_user_attr(key, value)
            self.optuna.tell(number, values, TrialState[state.upper()])
        except (UpdateFinishedTrialError, ValueError):
            if outcome(self.trials()[number]) == "running":
                raise
            return False
        if self.sampler.exhausted:
            self.optuna.set_user_attr("exhausted", True)
        return True


# --- opening -------------------------------------------------------------------------------------------------------


def open_study(storage: BaseStorage, job: SearchJob) -> Study:
    """Create the study of a search or join it; raises ``KexpError`` when one of this name is about something else.

    The spec without a search is the first trial, where its values lie in the space.
    """
    options, space = job.options, job.space
    default = NopPruner() if len(job.metrics) > 1 else MedianPruner()
    pruner = options.pruner.build(PrunerContext(options.seeds_per_trial)) if options.pruner else default
    sampler = PerTrialSampler(options.sampler, space.parameters, job.seed)
    directions = [metric.direction for metric in job.metrics]
    try:
        study = optuna.create_study(
            storage=storage, sampler=sampler, pruner=pruner, study_name=job.name, directions=directions
        )
        study.set_user_attr(IDENTITY, job.identity)
        if not options.sampler.exhaustive and (values := space.default()) is not None:
            study.enqueue_trial(params_of(values, space))
    except DuplicatedStudyError:
        study = optuna.load_study(study_name=job.name, storage=storage, sampler=sampler, pruner=pruner)
        _check_identity(study, job.identity)
    return Study(study, job, Heartbeats(study), sampler)


def _check_identity(study: optuna.Study, identity: str) -> None:
    for _ in range(50):
        if IDENTITY in study.user_attrs:
            break
        # Another process is creating it at this moment.
        time.sleep(0.1)
    found = study.user_attrs.get(IDENTITY)
    if found != identity:
        what = "is about another experiment or another space" if found else "was not made by kexp"
        raise KexpError(f'study "{study.study_name}" {what}; choose another name with --study, or change the spec back')
