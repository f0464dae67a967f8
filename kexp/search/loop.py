"""The search itself: claims trials, hands them to the executor, and records what becomes of them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kexp.contracts import Ended, Executor, Lost, Message, Reported, Task
from kexp.errors import RunFailed, RunInterrupted
from kexp.experiment.interrupt import graceful_stop
from kexp.search.study import Claim, Study, outcome
from kexp.search.trial import Trial
from kexp.spec.sections import Plugins

POLL = 1.0
"""Seconds between two looks at what other processes of the study do."""


LOOK = 5.0
"""Seconds between two looks for trials whose process is gone."""


class Watcher(Protocol):
    """What a person sees of a search."""

    def trial_started(self, claim: Claim) -> None:
        """Show that a trial begins."""

    def trial_reported(self, number: int, step: int, value: float) -> None:
        """Show an intermediate value."""

    def trial_ended(self, number: int, status: str, text: str) -> None:
        """Show how a trial ended."""


@dataclass(slots=True)
class Searcher:
    """One process's part in a study, trial by trial."""

    study: Study
    executor: Executor
    watcher: Watcher
    folder: Path
    seeds: tuple[int, ...]
    jobs: int
    plugins: Plugins
    running: dict[int, Path] = field(default_factory=dict)
    stopping: bool = False
    looked: float = -math.inf

    def search(self, wanted: int | None, seconds: float | None) -> None:
        """Do trials until ``wanted`` of the study are finished or the time is over; running ones are finished first.

        Raises ``RunFailed`` after too many failures in a row, and ``RunInterrupted`` when a person stops it: its trials
        are then given back to the study, for whoever continues it.
        """
        end = None if seconds is None else time.monotonic() + seconds
        with graceful_stop() as should_stop:
            try:
                while self._fill(wanted, end) or self.running or self._wait_for_others(wanted, end):
                    if should_stop() and not self.stopping:
                        self._stop()
                    for message in self.executor.wait(POLL):
                        self._take(message)
                    self._recover()
            finally:
                # Whatever ends the loop, no trial stays behind as running.
                for number in list(self.running):
                    self.study.interrupt(number, "the search ended")
            if self.stopping:
                raise RunInterrupted("interrupted")
        failures = self.study.failures
        if len(failures) >= self.study.question.options.max_failures:
            raise RunFailed(f"{len(failures)} trials in a row failed, and the search stopped; the last: {failures[-1]}")

    def _stop(self) -> None:
        self.stopping = True
        for number in self.running:
            self.executor.stop(number)

    def _fill(self, wanted: int | None, end: float | None) -> bool:
        """Begin trials up to the number of jobs; tell whether one was begun."""
        before = len(self.running)
        while len(self.running) < self.jobs and self._may_go_on(end):
            claim = self.study.claim(wanted)
            if claim is None:
                break
            self._begin(claim)
        return len(self.running) > before

    def _may_go_on(self, end: float | None) -> bool:
        failing = len(self.study.failures) >= self.study.question.options.max_failures
        return not failing and not self.stopping and (end is None or time.monotonic() < end)

    def _wait_for_others(self, wanted: int | None, end: float | None) -> bool:
        """Tell whether other processes have trials under way, one of which may be lost and need a second attempt."""
        return wanted is not None and self._may_go_on(end) and not self.study.exhausted and self.study.others()

    def _begin(self, claim: Claim) -> None:
        self.watcher.trial_started(claim)
        folder = self.folder / "trials" / f"{claim.number:04d}"
        self.running[claim.number] = folder
        goals, pruner = self.study.question.goals, self.study.question.options.pruner
        trial = Trial(
            name=f"trial-{claim.number:04d}",
            group=self.study.optuna.study_name,
            table=claim.table,
            seeds=self.seeds,
            # Workers may stand in another folder than this process.
            folder=str(folder.resolve()),
            reports=goals[0].metric if len(goals) == 1 else None,
            by_seed=pruner is not None and pruner.compares_seeds,
            block=self.plugins.block,
            local=self.plugins.local,
        )
        self.executor.submit(Task(claim.number, asdict(trial)))

    def _recover(self) -> None:
        if time.monotonic() - self.looked > LOOK:
            self.looked = time.monotonic()
            self.study.recover()

    def _take(self, message: Message) -> None:
        number = message.number
        if isinstance(message, Reported):
            self.watcher.trial_reported(number, message.step, message.value)
            pruned = self.study.report(number, message.step, message.value)
            self.executor.answer(number, "stop" if self.stopping else "prune" if pruned else "go on")
            return
        folder = self.running.pop(number)
        if isinstance(message, Lost):
            # Of a search that ends, trials that are lost were not lost by accident.
            (self.study.interrupt if self.stopping else self.study.lose)(number, message.reason)
            self.watcher.trial_ended(number, "lost", message.reason)
        elif isinstance(message, Ended):
            self._record(number, message.result, str(folder))

    def _record(self, number: int, result: Mapping[str, Any], folder: str) -> None:
        status, reason = result["status"], result["reason"] or ""
        if status == "done":
            self.study.complete(number, result["results"], result["rows"], folder)
        elif status == "pruned":
            self.study.prune(number, reason, folder)
        elif status == "interrupted":
            self.study.interrupt(number, reason)
        else:
            self.study.fail(number, reason)
        trial = self.study.trials()[number]
        ended = outcome(trial)
        values = ", ".join(f"{value:.4f}" for value in trial.values or ()) if ended == "complete" else ""
        self.watcher.trial_ended(number, ended, values or trial.user_attrs.get("reason", reason))
