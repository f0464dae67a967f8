"""A search that is killed, wherever it is, and continued has the trials of one that was not."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import InMemoryStorage

from kexp.builtin import pruners, search_samplers
from kexp.cli.display import NullSearchDisplay
from kexp.contracts import Answer, Ended, Message, Parameter, Reported, Task
from kexp.errors import Problem
from kexp.plan.search_metrics import SearchMetric
from kexp.search.heartbeats import _place
from kexp.search.loop import TrialLoop
from kexp.search.open_study import open_study
from kexp.search.search_job import SearchJob
from kexp.search.silence_optuna import quiet_optuna
from kexp.search.study import Study
from kexp.search.summary import counts, rows
from kexp.spec.search_section import Search
from kexp.spec.sections import Labelled, Plugins, Spec, Split
from kexp.spec.space import Space

WRITES = ("create_", "set_", "delete_")
EVALUATIONS = 4

RANGES = {"lr": Parameter(low=0.001, high=1.0, log=True), "decay": Parameter(low=0.0, high=0.9)}
STEPS = {"lr": Parameter(low=0.1, high=0.7, step=0.1), "layers": Parameter(low=1, high=3)}
CONDITION = {
    "kind": Parameter(choices=("flat", "steep")),
    "lr": Parameter(low=0.0, high=1.0, when={"kind": "steep"}),
    "decay": Parameter(low=0.0, high=0.9),
}


class Killed(BaseException):
    """Stands for the end of a process: nothing that it does afterwards reaches the study."""


class MortalStorage:
    """Passes everything on until ``writes`` writes are done; from then on all that is called raises ``Killed``."""

    def __init__(self, storage: Any, writes: float) -> None:
        self.storage, self.writes, self.written = storage, writes, 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.storage, name)
        if not callable(method):
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            if name.startswith(WRITES):
                if self.written >= self.writes:
                    raise Killed
                self.written += 1
            return method(*arguments, **options)

        return call


class Job(SearchJob):
    """A search whose specs are all valid."""

    def table_of(self, values: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Problem]]:
        return self.space.apply(values), []


class Objective:
    """An executor that computes a trial's values from its parameters, at once."""

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.task: Task | None = None

    def submit(self, task: Task) -> None:
        self.task = task
        self._evaluate(1)

    def _evaluate(self, step: int) -> None:
        assert self.task is not None
        table = self.task.payload["table"]
        numbers = [value for value in table.values() if isinstance(value, int | float)]
        self.value = math.sin(7 * sum(numbers)) + step * 0.1 * numbers[0]
        self.step = step
        self.messages.append(Reported(self.task.number, step, self.value))

    def wait(self, seconds: float) -> Sequence[Message]:
        return [self.messages.popleft()] if self.messages else []

    def answer(self, number: int, answer: Answer) -> None:
        if answer != "go on":
            status = "pruned" if answer == "prune" else "interrupted"
            self.messages.append(Ended(number, {"status": status, "reason": answer, "rows": "", "results": []}))
        elif self.step < EVALUATIONS:
            self._evaluate(self.step + 1)
        else:
            results = [{"seed": 1, "train_seconds": 1.0, "metrics": {"validation": {"f1": self.value}}}]
            self.messages.append(Ended(number, {"status": "done", "reason": None, "rows": "r", "results": results}))

    def stop(self, number: int) -> None:
        """Stop with the answer to the next report."""

    def close(self) -> None:
        """Have nothing to close."""


def search(sampler: Any, parameters: Mapping[str, Parameter], pruner: Any = None, objectives: int = 1) -> SearchJob:
    names = ["validation.f1", "train_seconds"][:objectives]
    return Job(
        name="s",
        folder=Path("s"),
        spec=Spec.model_construct(seeds=(1,), labelled=Labelled(), split=Split(), plugins=Plugins()),
        options=Search.model_construct(sampler=sampler, pruner=pruner, max_failures=3, jobs=1, seeds_per_trial=1),
        space=Space.of({"lr": -1.0, "decay": 0.0, "kind": "flat", "layers": 1}, parameters),
        metrics=[SearchMetric(name, "maximize") for name in names],
        identity="a",
        catalog=None,
        display=NullSearchDisplay(),
    )


def work(storage: Any, job: SearchJob, target: int, process: int) -> Study:
    """Take part in the study, as a process that is gone whenever another one looks for it."""
    study = open_study(storage, job)
    study.heartbeats.own = f"{_place()}/{2**22 + process}@1.00"
    TrialLoop(study, Objective()).run(target, None)
    return study


def trials_of(study: Study) -> list[Any]:
    return [
        (
            trial.number,
            trial.state,
            trial.params,
            trial.values,
            trial.intermediate_values,
            trial.user_attrs.get("same as"),
        )
        for trial in study.trials()
    ]


@pytest.fixture(autouse=True)
def _silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("kexp.search.open_study.time.sleep", lambda seconds: None)
    with quiet_optuna():
        yield


CASES: dict[str, Callable[[], SearchJob]] = {
    "tpe": lambda: search(search_samplers.TPE(startup_trials=3), CONDITION, pruners.Median(startup_trials=1)),
    "tpe-hyperband": lambda: search(search_samplers.TPE(startup_trials=3), RANGES, pruners.Hyperband()),
    "random-halving": lambda: search(search_samplers.Random(), RANGES, pruners.SuccessiveHalving(reduction=2)),
    "gp": lambda: search(search_samplers.GP(startup_trials=3), RANGES, pruners.NoPruner()),
    "cmaes": lambda: search(search_samplers.CmaEs(population=4), RANGES, pruners.NoPruner()),
    "qmc": lambda: search(search_samplers.QMC(), RANGES),
    "qmc-halton": lambda: search(search_samplers.QMC(sequence="halton"), RANGES),
    "nsga2": lambda: search(search_samplers.NSGA2(population=3), RANGES, objectives=2),
    "grid": lambda: search(search_samplers.Grid(), STEPS),
    "brute-force": lambda: search(search_samplers.BruteForce(), STEPS),
}
TARGET = {"nsga2": 14, "grid": 21, "brute-force": 21}
# At every write, or where a search takes longer at some: primes reach every kind of write of a trial.
DISTANCE = {"tpe": 1, "gp": 37, "grid": 23, "brute-force": 23}


@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_write_and_continued_gives_the_same_trials(case: str) -> None:
    job, target = CASES[case](), TARGET.get(case, 9)
    whole = MortalStorage(InMemoryStorage(), math.inf)
    wanted = trials_of(work(whole, job, target, 0))
    assert len(wanted) == target
    for writes in range(0, whole.written, DISTANCE.get(case, 7)):
        storage = InMemoryStorage()
        with pytest.raises(Killed):
            work(MortalStorage(storage, writes), job, target, 1)
        study = work(storage, job, target, 2)
        assert trials_of(study) == wanted, writes
        assert sum(row["attempts"] for row in rows(study)) == len(study.attempts()) <= target + 1


@pytest.mark.parametrize("case", ["tpe", "qmc", "cmaes"])
def test_killed_again_and_again(case: str) -> None:
    job, target = CASES[case](), 9
    wanted = trials_of(work(InMemoryStorage(), job, target, 0))
    storage = InMemoryStorage()
    kills = 0
    # A trial may be lost once, and at most one is lost in this many writes, the opening of the study included.
    while True:
        kills += 1
        try:
            study = work(MortalStorage(storage, 23), job, target, kills)
            break
        except Killed:
            pass
    assert kills > 3
    assert trials_of(study) == wanted
    assert counts(study)["lost"] >= kills - 2
