"""Searches for tests of how processes share a study: one whose trials are only drawn, and the spec of a real one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage

from kexp.builtin.search_samplers import Random
from kexp.cli.display import NullSearchDisplay
from kexp.contracts import Parameter
from kexp.errors import Problem
from kexp.plan.search_metrics import SearchMetric
from kexp.search.open_study import open_study
from kexp.search.search_job import SearchJob
from kexp.search.study import Study
from kexp.spec.search_section import Search
from kexp.spec.sections import Spec
from kexp.spec.space import Space

RANGE = {"lr": Parameter(low=0.0, high=1.0)}


SHARED_STUDY = """
[dataset]
use = "table"
path = "{data}"
[backbone]
use = "tiny"
layers = 1
hidden = 32
heads = 2
vocabulary = 300
[training]
epochs = 4
max_length = 16
batch_size = 4
[search]
trials = {trials}
pruner = {{use = "none"}}
[search.space]
"training.learning_rate" = {{low = 1e-4, high = 1e-2, log = true}}
"""
"""A real search over reviews, which several processes share."""


class Job(SearchJob):
    """A search of which every spec is valid that has another ``lr`` than 9."""

    def table_of(self, values: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Problem]]:
        table = self.space.apply(values)
        return table, [Problem("lr", "too high")] if table["lr"] == 9 else []


def search(
    parameters: Mapping[str, Parameter] = RANGE,
    sampler: Any = None,
    identity: str = "a",
    base: Mapping[str, Any] = {"lr": -1.0},
    **options: Any,
) -> SearchJob:
    return Job(
        name="s",
        folder=Path("s"),
        spec=Spec.model_construct(seeds=(1,)),
        options=Search.model_construct(
            sampler=sampler or Random(), seeds_per_trial=1, max_failures=3, **{"pruner": None, **options}
        ),
        space=Space.of(base, parameters),
        metrics=[SearchMetric("validation.f1", "maximize")],
        identity=identity,
        catalog=None,
        display=NullSearchDisplay(),
    )


def join(storage: BaseStorage, own: str, job: SearchJob | None = None) -> Study:
    """Take part in the study as the process ``own``."""
    study = open_study(storage, job or search())
    study.heartbeats.own = own
    return study
