"""The section ``[search]`` of a spec."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from pydantic import Field, PositiveInt, field_validator

from kexp.contracts import AnyExecutor, AnyPruner, AnySearchSampler
from kexp.errors import Problem
from kexp.options import Address, Section
from kexp.spec.space import Parameters

Direction = Literal["maximize", "minimize"]
NEVER_SEARCHED = ("name", "description", "seeds", "evaluation", "trackers", "search", "execution", "plugins")
"""Sections that a search may not change: trials could not be compared."""
VALIDATION_ROWS = ("dataset", "cleaning", "split")
"""Sections that decide which rows validation has, and what is in them."""
TRAIN_ROWS = ("dataset.limit.train", "dataset.limit.unlabelled", "dataset.unlabelled", "dataset.augmented")
"""Options of these sections that reach train alone."""


class Search(Section):
    """What ``kexp tune`` searches, where, and with how much work."""

    metric: tuple[str, ...] | None = Field(
        None, description="validation.NAME or train_seconds; several give a Pareto front. The monitor if not given."
    )
    direction: tuple[Direction, ...] | None = Field(
        None, description="One per metric; as the metric says when not given."
    )
    trials: PositiveInt | None = Field(
        None,
        description="Finished trials of the study, over all its processes; grid and brute-force end by themselves.",
    )
    timeout: str | None = Field(None, description="Time after which no trial begins: 2h, 90m or 1h30m.")
    sampler: AnySearchSampler = Field("tpe")  # type: ignore[assignment]
    pruner: AnyPruner | None = Field(None, description="Median when not given; none with several metrics.")
    seeds_per_trial: PositiveInt = Field(1, description="The first seeds of the spec, whose mean is a trial's value.")
    folds_per_trial: PositiveInt = Field(
        1, description="The first folds of the spec, over which a trial's value is the mean too."
    )
    max_failures: PositiveInt = Field(3, description="Trials that fail one after the other before the search stops.")
    storage: Address = Field(
        "journal",  # type: ignore[assignment]
        description="A file in the study's folder; or a database URL, or grpc://HOST:PORT.",
    )
    jobs: PositiveInt = Field(1, description="Trials at once.")
    executor: AnyExecutor = Field("local")  # type: ignore[assignment]
    space: Parameters = Field(min_length=1, description="Paths of the spec with ranges or choices.")

    @property
    def runs_per_trial(self) -> int:
        """The number of runs whose mean is a trial's value."""
        return self.seeds_per_trial * self.folds_per_trial

    @field_validator("storage")
    @classmethod
    def _place(cls, value: Address) -> Address:
        place = value.get_secret_value()
        proxy = place.startswith("grpc://") and not re.fullmatch(
            r"grpc://(\[[\da-fA-F:]+\]|[^\s/@:]+)(:\d{1,5})?/?", place
        )
        if proxy or (place != "journal" and not re.match(r"\w+(\+\w+)?://", place)):
            raise ValueError(f'expected "journal", a database URL or grpc://HOST:PORT, found "{value}"')
        return value

    @field_validator("timeout")
    @classmethod
    def _duration(cls, value: str | None) -> str | None:
        if value is not None and not seconds_of(value):
            raise ValueError(f'expected a duration such as 2h, 90m or 1h30m, found "{value}"')
        return value

    def problems(self) -> Iterable[Problem]:
        """Yield a search without an end, directions that do not fit the metrics, and paths that may not change."""
        if self.trials is None and self.timeout is None and not self.sampler.exhaustive:
            yield Problem("trials", "nothing ends the search", "set trials, timeout or both")
        if self.metric is not None and len(set(self.metric)) < len(self.metric):
            yield Problem("metric", "a metric is given twice")
        if self.direction is not None and len(self.direction) != len(self.metric or ("monitor",)):
            yield Problem(
                "direction", f"{len(self.direction)} directions for {len(self.metric or ('monitor',))} metrics"
            )
        for path in self.space:
            section = path.split(".")[0]
            if section in VALIDATION_ROWS and path not in TRAIN_ROWS:
                message = "cannot be searched: it changes the validation rows, so trials could not be compared"
                yield Problem(f"space.{path}", message, "compare such specs as variants, by their test results")
            elif section in NEVER_SEARCHED or path == "labelled.draws":
                yield Problem(f"space.{path}", "cannot be searched: trials could not be compared")


def seconds_of(duration: str) -> int:
    """Return the seconds of a duration such as 1h30m; 0 for any other text."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", duration)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    return hours * 3600 + minutes * 60 + seconds
