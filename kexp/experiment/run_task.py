"""One run in a worker: what it is given, how it tells of its progress, and what it returns."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kexp.atomic_files import remove_leftovers
from kexp.contracts import Link, Task
from kexp.errors import RunInterrupted, SpecError, describe_os_error
from kexp.experiment.digests import digests, refuse_changes
from kexp.experiment.run_results import ended, finished, write_ended
from kexp.experiment.trackers import RunListeners
from kexp.experiment.train_and_test import Run, record_outcome, remove_checkpoints, trained_and_tested
from kexp.experiment.worker_inputs import worker_inputs
from kexp.plan.resolve import Variant
from kexp.plan.validate import validate
from kexp.repeats import Repeat
from kexp.report.run_folder import finite
from kexp.report.run_lock import waiting_lock

SECONDS = 0.5
"""Between two pieces of news of the same kind, each of which the next one replaces."""


@dataclass(frozen=True, slots=True)
class RunTask:
    """What a worker needs to know of a run; plain data, so that it can be sent to other processes.

    ``table`` is the whole spec of the variant, with secrets: it is never written. ``read`` are the digests of what the
    run reads, by the name that ``digests`` gives them.
    """

    group: str
    variant: str
    repeat: Mapping[str, int]
    table: Mapping[str, Any]
    folder: str
    resume: bool
    read: Mapping[str, Any]
    block: tuple[str, ...] = ()
    local: tuple[Path, ...] = ()
    """Python files that are plugins too, allowed with --allow-local-code when the experiment began."""

    @property
    def identity(self) -> dict[str, Any]:
        """What a result says of which run it is."""
        return {"experiment": self.table["name"], "variant": self.variant, **self.repeat}


def run_task(task: Task, link: Link) -> dict[str, Any]:
    """Do a run in its folder and return the object of its ``result.json``; {} where it was stopped before it began.

    Another process that still works on the folder, left behind by an experiment that was killed, is waited for.
    """
    run = RunTask(**task.payload)
    folder, news = Path(run.folder), News(link)
    news.tell("began")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with waiting_lock(folder, news.phase, link.should_stop):
            if link.should_stop():
                return {}
            result = finished(folder) or _done(run, folder, link, news)
            remove_checkpoints(folder, result)
            return result
    except RunInterrupted:
        return {}
    # Whatever keeps a run from beginning here is its failure alone; the experiment's other runs go on.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        reason = describe_os_error(error) if isinstance(error, OSError) else str(error) or type(error).__name__
        return _failed(folder, reason, run.identity)


def _failed(folder: Path, reason: str, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a run that failed, which is written too, unless the disk is what fails."""
    try:
        return write_ended(folder, "failed", reason, identity)
    except OSError:
        # The experiment's process reports it, and without a result --resume does the run again.
        return ended("failed", reason, identity)


def _done(task: RunTask, folder: Path, link: Link, news: News) -> dict[str, Any]:
    shared = worker_inputs(task.block, task.local)
    shared.progress.listener = news.phase
    spec, problems = validate(task.table, shared.prepared.catalog)
    if spec is None:
        raise SpecError(task.variant, problems)
    variant, repeat = Variant(task.variant, spec), Repeat.of(task.repeat)
    run = Run(variant, repeat, task.group, folder, shared.prepared, news, task.resume)

    def work(listeners: RunListeners) -> Mapping[str, Any]:
        # Files may change while other runs train, or be others on another machine.
        now, rows = digests([(variant, repeat)], shared.prepared)
        experiment = folder.parents[len(Path(repeat.folder).parts)]
        refuse_changes(f"{task.variant} {repeat.name}", task.read, now, rows, experiment, "restore it")
        return trained_and_tested(run, listeners, lambda: nullcontext(link.should_stop))

    remove_leftovers(folder)
    return record_outcome(run, work)


@dataclass(slots=True)
class News:
    """The display of a run in a worker: passes on what is to be shown where the experiment was started."""

    link: Link
    told: dict[str, float] = field(default_factory=dict)
    """When news of a kind that is replaced by the next was told last."""

    def tell(self, what: str, **more: Any) -> None:
        """Pass on a piece of news: plain data, which ``show`` shows."""
        self.link.tell({"what": what, **finite(more)})

    def phase(self, text: str) -> None:
        """Tell what is being done."""
        if not text.endswith("…") or self._is_due("phase"):
            self.tell("phase", text=text)

    def runs_planned(self, runs: Sequence[Any], done: Collection[int] = ()) -> None:
        """Tell nothing: this is one run."""

    def beside(self, variant: str, repeat: Repeat) -> News:
        """Return itself: this is one run."""
        return self

    def run_started(self, variant: str, repeat: Repeat, total_steps: int, done_steps: int) -> None:
        """Tell that the run begins to train."""
        self.tell("started", total=total_steps, done=done_steps)

    def event(self, event: Mapping[str, Any]) -> None:
        """Tell an event; not every step of a fast run."""
        if event["event"] != "step" or self._is_due("step"):
            self.tell("event", event=event)

    def run_ended(self, result: Mapping[str, Any], folder: Path) -> None:
        """Tell nothing: the result of the task says it."""

    def _is_due(self, what: str) -> bool:
        now = time.monotonic()
        if now - self.told.get(what, -SECONDS) < SECONDS:
            return False
        self.told[what] = now
        return True
