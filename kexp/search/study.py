"""A study that several processes may share: who does which trial, how it ended, and what became of lost ones."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from kexp.contracts import Parameter, label
from kexp.errors import Problem
from kexp.search.question import Question, open_optuna
from kexp.search.workers import Workers

COPIES = 100
"""Trials in a row that repeat earlier ones, after which a search without a number of trials is over."""

TWINS = 3
"""Times that another point is drawn because the drawn one is being tried at this moment."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial that this process is to do: the values of its parameters, and the experiment with them."""

    number: int
    values: Mapping[str, Any]
    table: Mapping[str, Any]


def open_study(name: str, storage: BaseStorage, question: Question) -> Study:
    """Make the study or take part in it; raises ``KexpError`` when one of this name is about something else."""
    study = open_optuna(name, storage, question)
    return Study(study, question, Workers(study), exhausted=bool(study.user_attrs.get("exhausted")))


@dataclass(slots=True)
class Study:
    """One process's view of an Optuna study."""

    optuna: optuna.Study
    question: Question
    workers: Workers
    mine: dict[int, Trial] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    """Reasons of the trials that failed one after the other, until now."""
    exhausted: bool = False

    # --- what there is ---------------------------------------------------------------------------------------------

    def trials(self) -> list[FrozenTrial]:
        """Return all trials."""
        return self.optuna.get_trials(deepcopy=False)

    def others(self) -> bool:
        """Tell whether another process has trials under way."""
        return any(outcome(trial) == "running" and trial.number not in self.mine for trial in self.trials())

    def final_of(self, trial: int) -> dict[str, Any]:
        """Return what is known of the test of a trial's spec."""
        known: dict[str, Any] = self.optuna.user_attrs.get("final", {})
        return known if known.get("trial") == trial else {}

    def keep_final(self, trial: int, known: Mapping[str, Any]) -> None:
        """Keep what became of the test of a trial's spec, and let others test the next one."""
        self.optuna.set_user_attr("final", {"trial": trial, **known})
        self.optuna.set_user_attr("finalist", "")

    def take_final(self) -> bool:
        """Tell whether this process is to test the best spec: nobody does, or who did is gone.

        Of several processes that ask within a moment, the last one gets it.
        """
        attributes = self.optuna.user_attrs
        holder = attributes.get("finalist", "")
        if holder not in ("", self.workers.own) and not self.workers.dead(holder, attributes):
            return False
        self.optuna.set_user_attr("finalist", self.workers.own)
        if any(key.startswith("worker ") and key != f"worker {self.workers.own}" for key in attributes):
            time.sleep(1)
        return bool(self.optuna.user_attrs["finalist"] == self.workers.own)

    # --- taking trials ---------------------------------------------------------------------------------------------

    def claim(self, wanted: int | None) -> Claim | None:
        """Take the next trial; None when all that are wanted are taken, or the space has no other.

        A trial with the values of an earlier one gets what that one found and is not given out: equal specs give equal
        results. While the earlier one is under way, another is drawn instead, if that helps.
        """
        copies = twins = 0
        while self._has_more() and (wanted is None or len(self._taken()) < wanted):
            claim, problems = self._ask()
            # Another process may have asked at the same moment: the lower number wins.
            if wanted is not None and sum(number < claim.number for number in self._taken()) >= wanted:
                self._end(claim.number, "fail", outcome="withdrawn", reason="enough trials were taken already")
                continue
            if problems:
                self.fail(claim.number, f"the values make no spec: {problems[0]}")
                if len(self.failures) >= self.question.options.max_failures:
                    return None
                continue
            earlier = self._earlier(claim.number)
            if earlier is None or (outcome(earlier) == "running" and twins == TWINS):
                return claim
            if outcome(earlier) == "running":
                self._end(claim.number, "fail", outcome="withdrawn", reason=f"trial {earlier.number} tries the same")
                twins += 1
                continue
            self._copy(claim.number, earlier)
            copies += 1
            if wanted is None and copies >= COPIES:
                self._exhaust()
        return None

    def _has_more(self) -> bool:
        """Tell whether there is another point to try, or one to try again."""
        return not self.exhausted or any(outcome(trial) == "waiting" for trial in self.trials())

    def _ask(self) -> tuple[Claim, Sequence[Problem]]:
        space = self.question.space
        trial = self.optuna.ask()
        self.mine[trial.number] = trial
        trial.set_user_attr("worker", self.workers.own)
        values: dict[str, Any] = {}
        for path, parameter in space.parameters.items():
            if space.active(path, space.apply(values)):
                values[path] = self._suggest(trial, path, parameter)
        table, problems = self.question.resolve(space.apply(values))
        return Claim(trial.number, values, table), problems

    def _suggest(self, trial: Trial, path: str, parameter: Parameter) -> Any:
        if parameter.choices is not None:
            return parameter.named(trial.suggest_categorical(path, list(map(label, parameter.choices))))
        assert parameter.low is not None
        assert parameter.high is not None
        if parameter.whole:
            step = int(parameter.step or 1)
            return trial.suggest_int(path, int(parameter.low), int(parameter.high), step=step, log=parameter.log)
        value = trial.suggest_float(path, parameter.low, parameter.high, step=parameter.step, log=parameter.log)
        # Steps add up to a little more or less than what is meant: 0.7000000000000001.
        return value if parameter.step is None else min(parameter.values or (), key=lambda meant: abs(meant - value))

    def _taken(self) -> list[int]:
        return [trial.number for trial in self.trials() if outcome(trial) in TAKEN]

    def _earlier(self, number: int) -> FrozenTrial | None:
        """Return a trial with the same values, one that is finished if there is, or else one that runs."""
        trials = self.trials()
        same = [trial for trial in trials[:number] if trial.params == trials[number].params]
        done = [trial for trial in same if outcome(trial) in ("complete", "pruned")]
        return next(iter(done or [trial for trial in same if outcome(trial) == "running"]), None)

    def _copy(self, number: int, earlier: FrozenTrial) -> None:
        for step, value in earlier.intermediate_values.items():
            self.mine[number].report(value, step)
        told = {key: value for key, value in earlier.user_attrs.items() if key in ("seeds", "seconds", "reason")}
        same_as = earlier.user_attrs.get("same as", earlier.number)
        if outcome(earlier) == "pruned":
            self._end(number, "pruned", **told, **{"same as": same_as})
        else:
            self._end(number, "complete", earlier.values, **told, **{"same as": same_as})

    # --- how trials go ---------------------------------------------------------------------------------------------

    def report(self, number: int, step: int, value: float) -> bool:
        """Record the value of an evaluation (or a seed) and tell whether the trial should be pruned."""
        trial = self.mine[number]
        try:
            trial.report(value, step)
        except UpdateFinishedTrialError:
            # Another process gave it up for lost; whatever comes of it is not wanted any more.
            return True
        return bool(trial.should_prune())

    def complete(self, number: int, results: Sequence[Mapping[str, Any]], rows: str, folder: str) -> None:
        """Record the goals' means over a trial's seeds; values that cannot be compared make it a failed one."""
        known = self.optuna.user_attrs.get("validation rows")
        if known is None:
            self.optuna.set_user_attr("validation rows", rows)
        elif known != rows:
            self.fail(number, "its validation rows differ from those of the other trials, so no metric can be compared")
            return
        seeds = {str(result["seed"]): [goal.of(result) for goal in self.question.goals] for result in results}
        values = [math.fsum(column) / len(seeds) for column in zip(*seeds.values(), strict=True)]
        if not all(map(math.isfinite, values)):
            told = ", ".join(f"{goal.name} is {value}" for goal, value in zip(self.question.goals, values, strict=True))
            self.fail(number, told)
            return
        seconds = sum(result["train_seconds"] for result in results)
        self._end(number, "complete", values, seeds=seeds, seconds=seconds, folder=folder)
        self.failures.clear()

    def prune(self, number: int, reason: str, folder: str) -> None:
        """Record that a trial was ended early."""
        self._end(number, "pruned", reason=reason, folder=folder)
        self.failures.clear()

    def fail(self, number: int, reason: str) -> None:
        """Record that a trial failed by itself."""
        self.failures.append(reason)
        self._end(number, "fail", outcome="failed", reason=reason)

    def interrupt(self, number: int, reason: str) -> None:
        """Record that a trial was stopped from outside, and let whoever continues do it again."""
        trial = self.trials()[number]
        if self._end(number, "fail", outcome="interrupted", reason=reason):
            self._again(trial, {key: trial.user_attrs[key] for key in ("retry of",) if key in trial.user_attrs})

    def lose(self, number: int, reason: str) -> None:
        """Record that what did a trial is gone, and have it tried once more; the second time it counts as failed."""
        trial = self.trials()[number]
        if "retry of" in trial.user_attrs:
            first = trial.user_attrs["retry of"]
            self.fail(number, f"{reason}; trial {first}, which it repeats, was lost too")
        elif self._end(number, "fail", outcome="lost", reason=reason):
            self._again(trial, {"retry of": number})

    def _again(self, trial: FrozenTrial, attributes: Mapping[str, Any]) -> None:
        self.optuna.enqueue_trial(trial.params, user_attrs=dict(attributes))

    def recover(self) -> None:
        """Give up the trials of processes that are gone."""
        attributes = self.optuna.user_attrs
        for trial in self.trials():
            worker = trial.user_attrs.get("worker", "")
            if outcome(trial) == "running" and trial.number not in self.mine and self.workers.dead(worker, attributes):
                self.lose(trial.number, "its process is gone")

    def _end(self, number: int, state: str, values: Sequence[float] | None = None, **attributes: Any) -> bool:
        """Tell the end of a trial; False when another process told one before, having given this one up."""
        mine = self.mine.pop(number, None)
        try:
            for key, value in attributes.items():
                if mine is not None:
                    mine.set_user_attr(key, value)
            self.optuna.tell(number, values, TrialState[state.upper()])
        except (UpdateFinishedTrialError, ValueError):
            if outcome(self.trials()[number]) == "running":
                raise
            return False
        except RuntimeError as error:
            # What Optuna's samplers raise outside of Study.optimize when every point was visited; it is told by then.
            if "Study.stop" not in str(error):
                raise
            self._exhaust()
        return True

    def _exhaust(self) -> None:
        self.exhausted = True
        self.optuna.set_user_attr("exhausted", True)


TAKEN = ("complete", "pruned", "failed", "running")
"""Outcomes that count towards the number of trials: not those that are tried again."""


def outcome(trial: FrozenTrial) -> str:
    """Return complete, pruned, failed, running, waiting, interrupted, lost or withdrawn.

    A failed trial that does not say how was given up by another process; one that was a second attempt has failed.
    """
    if trial.state != TrialState.FAIL:
        return trial.state.name.lower()
    given_up = "failed" if "retry of" in trial.user_attrs else "lost"
    return str(trial.user_attrs.get("outcome", given_up))
