"""The hooks of plugins: components by name, one hook per kind; commands; and observers of runs.

A plugin is a module named by an entry point in the group ``kexp``; it marks its functions with ``kexp.hookimpl``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from kexp.contracts import (
        AugmenterOptions,
        BackboneOptions,
        DatasetOptions,
        ExecutorOptions,
        FreezingOptions,
        MetricOptions,
        ObjectiveOptions,
        PrunerOptions,
        RunIdentity,
        SamplerOptions,
        SearchSamplerOptions,
        TaskOptions,
        TrackerOptions,
        TranslatorOptions,
    )
    from kexp.options import Options

    KINDS: Mapping[str, type[Options]]
    """The base of the options of every kind."""

hookspec = pluggy.HookspecMarker("kexp")


@hookspec
def kexp_datasets() -> Mapping[str, type[DatasetOptions]]:  # type: ignore[empty-body]
    """Name the datasets of this package."""


@hookspec
def kexp_tasks() -> Mapping[str, type[TaskOptions]]:  # type: ignore[empty-body]
    """Name the tasks of this package."""


@hookspec
def kexp_backbones() -> Mapping[str, type[BackboneOptions]]:  # type: ignore[empty-body]
    """Name the backbones of this package."""


@hookspec
def kexp_objectives() -> Mapping[str, type[ObjectiveOptions]]:  # type: ignore[empty-body]
    """Name the objectives of this package."""


@hookspec
def kexp_freezing_policies() -> Mapping[str, type[FreezingOptions]]:  # type: ignore[empty-body]
    """Name the freezing policies of this package."""


@hookspec
def kexp_samplers() -> Mapping[str, type[SamplerOptions]]:  # type: ignore[empty-body]
    """Name the samplers of this package."""


@hookspec
def kexp_augmenters() -> Mapping[str, type[AugmenterOptions]]:  # type: ignore[empty-body]
    """Name the augmenters of this package."""


@hookspec
def kexp_translators() -> Mapping[str, type[TranslatorOptions]]:  # type: ignore[empty-body]
    """Name the translators of this package."""


@hookspec
def kexp_metrics() -> Mapping[str, type[MetricOptions]]:  # type: ignore[empty-body]
    """Name the metrics of this package."""


@hookspec
def kexp_trackers() -> Mapping[str, type[TrackerOptions]]:  # type: ignore[empty-body]
    """Name the trackers of this package."""


@hookspec
def kexp_search_samplers() -> Mapping[str, type[SearchSamplerOptions]]:  # type: ignore[empty-body]
    """Name the search samplers of this package."""


@hookspec
def kexp_pruners() -> Mapping[str, type[PrunerOptions]]:  # type: ignore[empty-body]
    """Name the pruners of this package."""


@hookspec
def kexp_executors() -> Mapping[str, type[ExecutorOptions]]:  # type: ignore[empty-body]
    """Name the executors of this package."""


@hookspec
def kexp_commands() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Name subcommands: functions with the annotations of Typer."""


@hookspec
def kexp_run_started(run: RunIdentity) -> None:
    """Called when a run begins to train."""


@hookspec
def kexp_epoch_ended(run: RunIdentity, epoch: int, metrics: Mapping[str, float]) -> None:
    """Called when an epoch (from 0) has ended, with the last validation metrics, if any were measured."""


@hookspec
def kexp_run_ended(run: RunIdentity, result: Mapping[str, Any]) -> None:
    """Called when a run has ended, with the object of ``result.json``: status done, interrupted or pruned."""


@hookspec
def kexp_run_failed(run: RunIdentity, reason: str) -> None:
    """Called when a run has failed, with the reason."""


OBSERVER_HOOKS = ("kexp_run_started", "kexp_epoch_ended", "kexp_run_ended", "kexp_run_failed")

HOOK_OF_KIND: Mapping[str, str] = {
    "dataset": "kexp_datasets",
    "task": "kexp_tasks",
    "backbone": "kexp_backbones",
    "objective": "kexp_objectives",
    "freezing": "kexp_freezing_policies",
    "sampler": "kexp_samplers",
    "augmenter": "kexp_augmenters",
    "translator": "kexp_translators",
    "metric": "kexp_metrics",
    "tracker": "kexp_trackers",
    "search-sampler": "kexp_search_samplers",
    "pruner": "kexp_pruners",
    "executor": "kexp_executors",
}


def __getattr__(name: str) -> Any:
    """Make ``KINDS`` when it is first asked for: hooks alone, as of commands, need no contract."""
    if name != "KINDS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kexp import contracts

    bases = (
        contracts.DatasetOptions, contracts.TaskOptions, contracts.BackboneOptions, contracts.ObjectiveOptions,
        contracts.FreezingOptions, contracts.SamplerOptions, contracts.AugmenterOptions, contracts.TranslatorOptions,
        contracts.MetricOptions, contracts.TrackerOptions, contracts.SearchSamplerOptions, contracts.PrunerOptions,
        contracts.ExecutorOptions,
    )  # fmt: skip
    kinds = {base.kind: base for base in bases}
    globals()[name] = kinds
    return kinds
