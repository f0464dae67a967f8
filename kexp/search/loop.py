"""The search itself: takes trials, hands them to the executor, and records what becomes of them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kexp.contracts import Ended, Executor, Lost, Message, Reported, Task
from kexp.errors import RunFailed, RunInterrupted
from kexp.experiment.interrupt import graceful_stop
from kexp.search.study import Study
from kexp.search.summary import finished
from kexp.search.trial import Trial, outcome
from kexp.search.trial_training import TrialRun

POLL = 1.0
"""Seconds to wait for a message of the executor before looking at the study again."""

RECOVER_EVERY = 5.0
"""Seconds between two checks for trials whose process is gone."""


@dataclass(slots=True)
class TrialLoop:
    """One process's part in a study, trial by trial."""

    study: Study
    executor: Executor
    running: dict[int, Trial] = field(default_factory=dict)
    """Trials that the executor runs, by number."""
    target: int | None = None
    stopping: bool = False
    recovered: float = -math.inf

    def run(self, target: int | None, seconds: float | None) -> None:
        """Run trials until ``target`` of the study are finished or the time is over; running ones are finished first.

        Raises ``RunFailed`` after too many failures in a row or when the data have changed, and ``RunInterrupted`` when
        a person stops it: its trials are then given back to the study, to be run when it is continued.
        """
        end = None if seconds is None else time.monotonic() + seconds
        self.target = target
        self._tell_progress()
        with graceful_stop() as should_stop:
            try:
                # Trials that were lost before come before new ones, which are drawn from what those give.
                self._recover_lost()
                while self._fill(target, end) or self.running or self._waits_for_others(target, end):
                    if should_stop() and not self.stopping:
                        self._stop()
                    for message in self.executor.wait(POLL):
                        self._handle(message)
                    self._recover_lost()
            finally:
                # Whatever ends the loop, no trial stays behind as running.
                for number in list(self.running):
                    self.study.interrupt(number, "the search ended")
            if self.stopping:
                raise RunInterrupted("interrupted")
        if self.study.other_rows:
            raise RunFailed(self.study.other_rows)
        if self.study.failing:
            failures = self.study.failures
            raise RunFailed(f"{len(failures)} trials in a row failed, and the search stopped; the last: {failures[-1]}")

    def _tell_progress(self) -> None:
        """Tell how many trials of the study are finished, by whichever process, and how many there will be."""
        known = [number for number in (self.target, self.study.points) if number is not None]
        jobs = self.study.job.options.jobs
        self.study.job.display.trials_planned(min(known, default=None), finished(self.study), jobs)

    def _stop(self) -> None:
        self.stopping = True
        for number in self.running:
            self.executor.stop(number)

    def _fill(self, target: int | None, end: float | None) -> bool:
        """Begin trials up to the number of jobs; return whether one was begun."""
        before = len(self.running)
        while len(self.running) < self.study.job.options.jobs and self._may_go_on(end):
            trial = self.study.next_trial(target)
            if trial is None:
                break
            self._begin(trial)
        return len(self.running) > before

    def _may_go_on(self, end: float | None) -> bool:
        return not self.study.failing and not self.stopping and (end is None or time.monotonic() < end)

    def _waits_for_others(self, target: int | None, end: float | None) -> bool:
        """Return whether other processes run trials, one of which may be lost and need a second attempt."""
        shared = target is not None or self.study.points is not None
        return shared and self._may_go_on(end) and not self.study.exhausted and self.study.others_running()

    def _begin(self, trial: Trial) -> None:
        job = self.study.job
        job.display.trial_started(trial)
        self.running[trial.number] = trial
        pruner = job.options.pruner
        run = TrialRun(
            name=f"trial-{trial.position:04d}",
            group=self.study.optuna.study_name,
            table=trial.table,
            repeats=tuple(repeat.keys() for repeat in job.trial_repeats),
            # Workers may have another working directory than this process.
            folder=str(self._folder(trial).resolve()),
            reports=job.metrics[0].validation_metric if len(job.metrics) == 1 else None,
            by_run=pruner is not None and pruner.compares_seeds,
            block=job.spec.plugins.block,
            local=job.spec.plugins.local,
        )
        self.executor.submit(Task(trial.number, asdict(run)))

    def _folder(self, trial: Trial) -> Path:
        return self.study.job.folder / "trials" / trial.folder

    def _recover_lost(self) -> None:
        if time.monotonic() - self.recovered > RECOVER_EVERY:
            self.recovered = time.monotonic()
            self.study.recover_lost()

    def _handle(self, message: Message) -> None:
        number, display = message.number, self.study.job.display
        position = self.running[number].position
        if isinstance(message, Reported):
            display.trial_reported(position, message.step, message.value)
            pruned = self.study.report(number, message.step, message.value)
            self.executor.answer(number, "stop" if self.stopping else "prune" if pruned else "go on")
            return
        trial = self.running.pop(number)
        if isinstance(message, Lost):
            # A trial that is lost while the search stops was not lost by accident.
            (self.study.interrupt if self.stopping else self.study.lose)(number, message.reason)
            self._tell_progress()
            display.trial_ended(position, "lost", message.reason)
        elif isinstance(message, Ended):
            self._record(trial, message.result)

    def _record(self, trial: Trial, result: Mapping[str, Any]) -> None:
        number, folder = trial.number, str(self._folder(trial))
        status, reason = result["status"], result["reason"] or ""
        if status == "done":
            self.study.complete(number, result["results"], result["rows"], folder)
        elif status == "pruned":
            self.study.prune(number, reason, folder)
        elif status == "interrupted":
            self.study.interrupt(number, reason)
        else:
            self.study.fail(number, reason)
        attempt = self.study.attempts()[number]
        ended = outcome(attempt)
        values = ", ".join(f"{value:.4f}" for value in attempt.values or ()) if ended == "complete" else ""
        text = values or attempt.user_attrs.get("reason", reason)
        self._tell_progress()
        self.study.job.display.trial_ended(trial.position, ended, text)
