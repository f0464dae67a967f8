"""Several runs of an experiment at once: given to the processes of an executor, shown, stopped, and recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from kexp.builtin.executors import Local
from kexp.contracts import Ended, Executor, ExecutorContext, Lost, Message, Reported, Task, Told
from kexp.distributed import ALONE, World
from kexp.errors import KexpError
from kexp.experiment.digests import runs_name
from kexp.experiment.interrupt import graceful_stop
from kexp.experiment.run_results import finished, write_ended
from kexp.experiment.run_task import RunTask, run_task
from kexp.experiment.train_and_test import Display, Run, remove_checkpoints
from kexp.plan.resolve import Plan
from kexp.plan.validate import dump_with_secrets
from kexp.report.run_folder import RunFolder

Json = Mapping[str, Any]

POLL = 1.0
"""Seconds to wait for a message of the executor before looking whether a person wants to stop."""


@dataclass(slots=True)
class Workers:
    """An executor that has begun, and how many runs it does at once."""

    executor: Executor
    jobs: int
    closed: bool = False

    def results(self, runs: Sequence[Run], done: Mapping[int, dict[str, Any]], read: Json) -> list[dict[str, Any]]:
        """Do the runs that are not among those ``done``, by their places, and return all results in their order.

        ``read`` are the digests of what the runs read. After Ctrl-C the results of runs that had not begun are missing.
        """
        for place, result in done.items():
            remove_checkpoints(runs[place].folder, result)
        loop = RunLoop(self, runs, read, [place for place in range(len(runs)) if place not in done], dict(done))
        loop.run()
        # The processes hold models, and what follows needs memory too.
        self.close()
        return [loop.results[place] for place in sorted(loop.results)]

    def close(self) -> None:
        """End the processes at once, unless that is done."""
        if not self.closed:
            self.closed = True
            self.executor.close()


@contextmanager
def started_workers(
    plan: Plan, resume: RunFolder | None, tell: Callable[[str], None], world: World = ALONE
) -> Iterator[Workers | None]:
    """Start the executor of a plan, and close it at the end; None where its runs are done in this process.

    Raises ``KexpError`` where its machines cannot be reached, and where several processes train every run together.
    """
    options = plan.base.execution
    if options is None:
        yield None
        return
    left = [
        variant
        for variant, repeat in plan.runs()
        if resume is None or finished(resume.run(variant.name, repeat)) is None
    ]
    if not left:
        yield None
        return
    jobs = min(options.jobs, len(left))
    here = isinstance(options.executor, Local) and jobs == 1
    if world.size > 1 and not (here and options.jobs == 1):
        remedy = "start kexp without it, or leave jobs and executor away"
        found = f"a launcher (WORLD_SIZE is {world.size}) trains one run in {world.size} processes, and not"
        raise KexpError(f"{found} {options.jobs}: {remedy}")
    if jobs < options.jobs:
        runs = "1 run is" if jobs == 1 else f"{jobs} runs are"
        tell(f"{options.jobs} jobs are more than needed: {runs} to be done, for which {jobs} will do")
    if here:
        yield None
        return
    devices = dict.fromkeys(variant.spec.training.device for variant in left)
    context = ExecutorContext(run_task, jobs, _device([*devices]))
    workers = Workers(options.executor.build(context), jobs)
    try:
        yield workers
    finally:
        workers.close()


def _device(devices: Sequence[str]) -> str:
    """Return the device by which GPUs are given to the processes: of several, one that names its GPU itself first."""
    named = [device for device in devices if device.startswith("cuda:")]
    shared = [device for device in devices if device in ("cuda", "auto")]
    return [*named, *shared, *devices][0]


@dataclass(slots=True)
class RunLoop:
    """Gives runs to an executor, by their places in the experiment, and takes their results."""

    workers: Workers
    runs: Sequence[Run]
    read: Json
    waiting: list[int]
    results: dict[int, dict[str, Any]]
    running: dict[int, Display | None] = field(default_factory=dict)
    """Displays of the runs that were given to the executor, None of those that no process has begun with yet."""
    stopping: bool = False

    def run(self) -> None:
        """Do all runs; the first Ctrl-C ends those under way after their step, a second one ends them at once."""
        with graceful_stop() as should_stop:
            try:
                while self.running or (self.waiting and not self.stopping):
                    if should_stop() and not self.stopping:
                        self._stop()
                    while self.waiting and not self.stopping and len(self.running) < self.workers.jobs:
                        self._begin(self.waiting.pop(0))
                    for message in self.workers.executor.wait(POLL):
                        self._handle(message)
            except KeyboardInterrupt:
                self.stopping = True
                self.workers.close()
                for place in list(self.running):
                    self._lost(place, "stopped at once")

    def _stop(self) -> None:
        self.stopping = True
        for place in self.running:
            self.workers.executor.stop(place)

    def _begin(self, place: int) -> None:
        run = self.runs[place]
        name = runs_name(run.variant, run.repeat)
        task = RunTask(
            group=run.group,
            variant=run.variant.name,
            repeat=run.repeat.keys(),
            table=dump_with_secrets(run.variant.spec, run.prepared.catalog),
            # Workers may have another working directory than this process.
            folder=str(run.folder.resolve()),
            resume=run.resume,
            read={name: self.read[name]},
            block=run.variant.spec.plugins.block,
            local=run.variant.spec.plugins.local,
        )
        self.running[place] = None
        self.workers.executor.submit(Task(place, asdict(task)))

    def _handle(self, message: Message) -> None:
        place = message.number
        if isinstance(message, Told):
            self._show(place, message.news)
        elif isinstance(message, Reported):
            self.workers.executor.answer(place, "stop" if self.stopping else "go on")
        elif isinstance(message, Lost):
            self._lost(place, message.reason)
        elif isinstance(message, Ended):
            self._ended(place, message.result)

    def _show(self, place: int, news: Json) -> None:
        run = self.runs[place]
        display = self.running[place] = self._display(place)
        match news["what"]:
            case "phase":
                display.phase(news["text"])
            case "started":
                display.run_started(run.variant.name, run.repeat, news["total"], news["done"])
            case "event":
                display.event(news["event"])

    def _display(self, place: int) -> Display:
        run = self.runs[place]
        return self.running[place] or run.display.beside(run.variant.name, run.repeat)

    def _lost(self, place: int, reason: str) -> None:
        """Record that the process of a run is gone: it failed, unless it was to stop. One not begun leaves nothing."""
        run = self.runs[place]
        # It may have been lost after its last file was written.
        if (result := finished(run.folder)) is None and (self.running[place] is not None or not self.stopping):
            identity = {"experiment": run.variant.spec.name, "variant": run.variant.name, **run.repeat.keys()}
            result = write_ended(run.folder, "interrupted" if self.stopping else "failed", reason, identity)
        self._ended(place, result or {})

    def _ended(self, place: int, result: Json) -> None:
        display, run = self._display(place), self.runs[place]
        del self.running[place]
        if result:
            self.results[place] = dict(result)
            remove_checkpoints(run.folder, result)
        unbegun = {"status": "interrupted", "reason": "stopped before it began", "variant": run.variant.name}
        display.run_ended(result or unbegun, run.folder)
