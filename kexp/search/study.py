"""A study that several processes may share: who runs which trial, how it ended, and who repeats a lost one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from kexp.errors import Problem
from kexp.repeats import Repeat
from kexp.search.default_trial import is_default, is_outside, lacks_default, mark, outside_trial, values_of
from kexp.search.heartbeats import Heartbeats
from kexp.search.history import draw, ends_search, prune
from kexp.search.sampling import PerTrialSampler, params_of
from kexp.search.search_job import SearchJob
from kexp.search.trial import (
    DRAWN,
    FINISHED,
    GIVEN_BACK,
    LAST_ATTEMPT,
    RETRY_OF,
    Trial,
    by_position,
    next_is_last,
    numbered,
    outcome,
    standing,
)

MAX_REPETITIONS = 100
"""Trials in a row that repeat earlier ones, after which a search without a number of trials is over."""

COPIED = ("seeds", "seconds", "reason", "loss")
"""User attributes that a trial takes from an earlier one with the same values."""

MAX_REDRAWS = 3
"""Times that other values are drawn because a trial with the drawn ones is running."""


@dataclass(frozen=True, slots=True)
class Own:
    """An attempt that this process runs: its id in the storage, and the position of its trial."""

    id: int
    position: int


@dataclass(slots=True)
class Study:
    """One process's view of an Optuna study.

    A trial that is stopped or lost is tried again as another trial of Optuna's, an attempt; at most one of them counts.
    ``number`` is always that of an attempt.
    """

    optuna: optuna.Study
    storage: BaseStorage
    job: SearchJob
    heartbeats: Heartbeats
    pruner: BasePruner
    own: dict[int, Own] = field(default_factory=dict)
    """Attempts that this process is running, by number."""
    failures: list[str] = field(default_factory=list)
    """Reasons of the latest trials, as far back as all of them failed."""
    other_rows: str = ""
    """What is said of a trial with other validation rows: its process read other data, so the search must stop."""
    points: int | None = field(init=False)
    """Number of points of the space, where the sampler visits every one."""

    def __post_init__(self) -> None:
        self.points = self.job.space.count_points() if self.job.options.sampler.exhaustive else None

    # --- state of the study ----------------------------------------------------------------------------------------

    def attempts(self) -> list[FrozenTrial]:
        """Return all attempts, by Optuna's number."""
        return self.optuna.get_trials(deepcopy=False)

    def trials(self) -> list[FrozenTrial]:
        """Return the trials of the search, numbered by position: of each the attempt that counts."""
        return numbered(by_position(self.attempts()))

    @property
    def exhausted(self) -> bool:
        """Whether there is no further point to try."""
        return bool(self.optuna.user_attrs.get("exhausted"))

    @property
    def failing(self) -> bool:
        """Whether the search should stop: too many trials failed in a row, or one had other validation rows."""
        return bool(self.other_rows) or len(self.failures) >= self.job.options.max_failures

    def others_running(self) -> bool:
        """Return whether another process is running a trial."""
        return any(outcome(attempt) == "running" and attempt.number not in self.own for attempt in self.attempts())

    # --- the next trial --------------------------------------------------------------------------------------------

    def next_trial(self, target: int | None) -> Trial | None:
        """Take the next trial; None when the study has ``target`` trials, or the space no other point.

        Equal specs give equal results: a trial with the values of an earlier one gets that one's result and is not
        returned. While the earlier one is running, other values are drawn instead, at most ``MAX_REDRAWS`` times.
        """
        repetitions = redraws = 0
        while self._has_more() and (target is None or len(self._counted()) < target):
            number = self._take()
            if reason := self._too_late(number, target):
                self._finish(number, "fail", outcome="withdrawn", reason=reason)
                continue
            trial, problems = self._drawn(number)
            if problems:
                self.fail(number, f"the values make no valid spec: {problems[0]}")
                if self.failing:
                    return None
                continue
            earlier = self._earlier(trial.position)
            running = earlier is not None and outcome(earlier) == "running"
            if earlier is None or (running and redraws == MAX_REDRAWS):
                return trial
            # Where every point is visited, one that was tried before takes no other's place.
            if running or self.points is not None:
                reason = f"trial {earlier.number} {'runs with' if running else 'has'} the same values"
                self._finish(number, "fail", outcome="redrawn", reason=reason)
                redraws += running
                continue
            self._repeat(number, earlier)
            repetitions += 1
            if target is None and repetitions >= MAX_REPETITIONS:
                self.optuna.set_user_attr("exhausted", True)
        return None

    def _has_more(self) -> bool:
        """Return whether there is another point to try, or one to try again."""
        waiting = any(outcome(trial) in ("waiting", *GIVEN_BACK) for trial in self.trials())
        return waiting or not (self.exhausted or self._all_begun())

    def _all_begun(self) -> bool:
        """Return whether the sampler visits every point, and none is left but those that other jobs are trying."""
        begun = [trial for trial in self.trials() if outcome(trial) in (*FINISHED, "running")]
        return self.points is not None and _distinct(begun) >= self.points

    def untried(self) -> int:
        """Return how many points are left that a sampler would visit which visits every point; 0 with any other."""
        ended = [trial for trial in self.trials() if outcome(trial) in FINISHED]
        return 0 if self.points is None else max(0, self.points - _distinct(ended))

    def _counted(self) -> list[int]:
        """Return the positions of the trials that count towards the target."""
        return [trial.number for trial in self.trials() if outcome(trial) in (*FINISHED, "running")]

    def _take(self) -> int:
        """Begin an attempt at the first trial that was given back, or else at a new one, and return its number.

        The attempt is stored in one piece, with the process that runs it and, of a trial that was begun before, with
        its values: whenever this process dies, nothing is left half begun.
        """
        template = self._attempt({})
        for group in by_position(self.attempts()):
            last = standing(group)
            if outcome(last) == "waiting" and self.storage.set_trial_state_values(last._trial_id, TrialState.RUNNING):
                # It was enqueued by means of Optuna.
                self.storage.set_trial_user_attr(last._trial_id, "worker", self.heartbeats.own)
                return self._owned(last._trial_id)
            if outcome(last) in GIVEN_BACK:
                template = self._again(group)
                break
        return self._owned(self.storage.create_new_trial(self.optuna._study_id, template))

    def _owned(self, trial_id: int) -> int:
        number = self.storage.get_trial_number_from_id(trial_id)
        self.own[number] = Own(trial_id, self._position(number))
        return number

    def _position(self, number: int) -> int:
        groups = by_position(self.attempts())
        return next(n for n, group in enumerate(groups) if any(attempt.number == number for attempt in group))

    def _again(self, group: Sequence[FrozenTrial]) -> FrozenTrial:
        """Return a new attempt at a trial, with its values if they were drawn."""
        attributes: dict[str, Any] = {RETRY_OF: group[0].number}
        if next_is_last(group):
            attributes[LAST_ATTEMPT] = True
        drawn = [attempt for attempt in group if DRAWN in attempt.system_attrs]
        return self._attempt(attributes, drawn[-1] if drawn else None)

    def _attempt(self, attributes: Mapping[str, Any], drawn: FrozenTrial | None = None) -> FrozenTrial:
        return create_trial(
            state=TrialState.RUNNING,
            user_attrs={"worker": self.heartbeats.own, **attributes},
            params=drawn.params if drawn else None,
            distributions=drawn.distributions if drawn else None,
            system_attrs=_of_draw(drawn) if drawn else None,
        )

    def _too_late(self, number: int, target: int | None) -> str:
        """Return why other processes leave nothing to do for an attempt, having begun theirs at the same moment."""
        position = self.own[number].position
        if standing(by_position(self.attempts())[position]).number != number:
            return "another process tries the trial again"
        if target is not None and sum(other < position for other in self._counted()) >= target:
            return "the study has enough trials already"
        return ""

    def _drawn(self, number: int) -> tuple[Trial, Sequence[Problem]]:
        """Return an attempt with its values, which are drawn if they never were, and what is wrong with them."""
        own, space = self.own[number], self.job.space
        group = by_position(self.attempts())[own.position]
        attempt = next(attempt for attempt in group if attempt.number == number)
        if DRAWN in attempt.system_attrs:
            values = values_of(attempt, space)
        else:
            values = self._draw(own, attempt.system_attrs.get("fixed_params", {}))
        table, problems = self.job.table_of(values)
        return Trial(number, own.position, 1 + group.index(attempt), values, table), problems

    def _draw(self, own: Own, fixed: Mapping[str, Any]) -> dict[str, Any]:
        space, trials = self.job.space, self.trials()
        as_it_stands = not fixed and lacks_default(trials[: own.position], space)
        default = space.default()
        if as_it_stands and default is None:
            values, drawn = space.as_it_stands(), outside_trial()
        else:
            fixed = params_of(default or {}, space) if as_it_stands else fixed
            values, drawn = draw(self.optuna, trials, own.position, space, fixed, self._sampler(), self.pruner)
        if as_it_stands:
            mark(drawn)
        for path, distribution in drawn.distributions.items():
            internal = distribution.to_internal_repr(drawn.params[path])
            self.storage.set_trial_param(own.id, path, internal, distribution)
        # The mark that nothing is missing comes last.
        for key, value in drawn.system_attrs.items():
            self.storage.set_trial_system_attr(own.id, key, value)
        return values

    def _sampler(self) -> PerTrialSampler:
        return PerTrialSampler(self.job.options.sampler, self.job.space.parameters, self.job.seed)

    def _earlier(self, position: int) -> FrozenTrial | None:
        """Return an earlier trial with the same values: a finished one if there is any, or else one that runs."""
        trials = self.trials()
        own = trials[position]
        alike = [trial for trial in trials[:position] if trial.params == own.params]
        same = [trial for trial in alike if is_outside(trial) == is_outside(own)]
        done = [trial for trial in same if outcome(trial) in ("complete", "pruned")]
        return next(iter(done or [trial for trial in same if outcome(trial) == "running"]), None)

    def _repeat(self, number: int, earlier: FrozenTrial) -> None:
        """End a trial with the result of an earlier one."""
        for step, value in earlier.intermediate_values.items():
            self.storage.set_trial_intermediate_value(self.own[number].id, step, value)
        attributes = {key: value for key, value in earlier.user_attrs.items() if key in COPIED}
        attributes["same as"] = earlier.user_attrs.get("same as", earlier.number)
        values = earlier.values if outcome(earlier) == "complete" else None
        self._finish(number, outcome(earlier), values, **attributes)

    # --- what becomes of a trial -----------------------------------------------------------------------------------

    def report(self, number: int, step: int, value: float) -> bool:
        """Record the value of an evaluation (or a run) and return whether the trial should be pruned.

        The spec as it stands never is: whether another one is better can be said only if it has a value.
        """
        own = self.own[number]
        try:
            self.storage.set_trial_intermediate_value(own.id, step, value)
            decision, stored = prune(self.optuna, self.trials(), own.position, self.pruner)
            for key, attribute in stored.items():
                self.storage.set_trial_system_attr(own.id, key, attribute)
            decision = decision and not is_default(self.storage.get_trial(own.id), self.job.space)
        except UpdateFinishedTrialError:
            # Another process gave it up as lost, so its result is not needed any more.
            return True
        return decision

    def complete(self, number: int, results: Sequence[Mapping[str, Any]], rows: str, folder: str) -> None:
        """Record the means of the metrics over a trial's runs; values that cannot be compared make it a failed one."""
        metrics = self.job.metrics
        known = self.optuna.user_attrs.get("validation rows")
        if known is None:
            self.optuna.set_user_attr("validation rows", rows)
        elif known != rows:
            reason = "its validation rows differ from those of the other trials, so no metric can be compared"
            stopped = f"trial {self.own[number].position} failed, and the search stopped"
            self.other_rows = f"{stopped}: {reason}; the data have changed meanwhile"
            self.fail(number, reason)
            return
        repeats = [Repeat.of(result) for result in results]
        seeds = {
            repeat.key: [metric.of(result) for metric in metrics]
            for repeat, result in zip(repeats, results, strict=True)
        }
        columns = list(zip(*seeds.values(), strict=True))
        if odd := [
            f"{metric.name} of {repeat.name} is {value}"
            for metric, column in zip(metrics, columns, strict=True)
            for repeat, value in zip(repeats, column, strict=True)
            if not math.isfinite(value)
        ]:
            self.fail(number, "; ".join(odd))
            return
        values = [fmean(column) for column in columns]
        seconds = sum(result["train_seconds"] for result in results)
        losses = [loss for result in results if (loss := result.get("validation_loss")) is not None]
        loss = fmean(losses) if len(losses) == len(results) else None
        self._finish(number, "complete", values, seeds=seeds, seconds=seconds, folder=folder, loss=loss)
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
        self._finish(number, "fail", outcome="interrupted", reason=reason)

    def lose(self, number: int, reason: str) -> None:
        """Record that the process of a trial is gone: the trial is given back, or has failed after the last attempt."""
        if LAST_ATTEMPT in self.attempts()[number].user_attrs:
            self.fail(number, f"{reason}; earlier attempts at the trial were lost too")
        else:
            self._finish(number, "fail", outcome="lost", reason=reason)

    def recover_lost(self) -> None:
        """Give back the trials of processes that are gone."""
        attributes = self.optuna.user_attrs
        for attempt in self.attempts():
            if outcome(attempt) == "running" and attempt.number not in self.own:
                worker = attempt.user_attrs.get("worker", "")
                # One of this process's name that it does not run was begun while the storage did not answer.
                if worker == self.heartbeats.own or self.heartbeats.dead(worker, attributes):
                    self.lose(attempt.number, "its process is gone")

    def _finish(self, number: int, state: str, values: Sequence[float] | None = None, **attributes: Any) -> bool:
        """Record the end of a trial; False when another process had recorded one, having given this one up."""
        own = self.own.pop(number, None)
        end = TrialState[state.upper()]
        try:
            if own is not None:
                for key, value in attributes.items():
                    self.storage.set_trial_user_attr(own.id, key, value)
                if attributes.get("outcome") not in GIVEN_BACK and self._is_last(own.position, end, values):
                    self.optuna.set_user_attr("exhausted", True)
            self.optuna.tell(number, values, end)
        except (UpdateFinishedTrialError, ValueError):
            if outcome(self.attempts()[number]) == "running":
                raise
            return False
        return True

    def _is_last(self, position: int, end: TrialState, values: Sequence[float] | None) -> bool:
        trials = self.trials()
        if self.points is not None:
            ended = [trial for trial in trials if trial.number == position or outcome(trial) in FINISHED]
            return _distinct(ended) >= self.points
        return not is_outside(trials[position]) and ends_search(
            self.optuna, trials, position, end, values, self._sampler()
        )


def _distinct(trials: Sequence[FrozenTrial]) -> int:
    """Count the points of trials; one that lies outside the space has no parameters."""
    return len({frozenset(trial.params.items()) for trial in trials} - {frozenset()})


def _of_draw(attempt: FrozenTrial) -> dict[str, Any]:
    """Return what the sampler has stored in an attempt, without what pruners stored later."""
    mark = attempt.system_attrs[DRAWN]
    return {**{key: attempt.system_attrs[key] for key in mark["trial"]}, DRAWN: mark}
