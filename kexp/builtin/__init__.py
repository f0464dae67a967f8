"""kexp's own components, registered through the same hooks as those of plugins."""

from __future__ import annotations

from collections.abc import Mapping

from kexp import hookimpl
from kexp.builtin import (
    augmenters,
    backbones,
    datasets,
    executors,
    freezing,
    metrics,
    objectives,
    pruners,
    samplers,
    search_samplers,
    tasks,
    trackers,
)
from kexp.contracts import (
    AugmenterOptions,
    BackboneOptions,
    DatasetOptions,
    ExecutorOptions,
    FreezingOptions,
    MetricOptions,
    ObjectiveOptions,
    PrunerOptions,
    SamplerOptions,
    SearchSamplerOptions,
    TaskOptions,
    TrackerOptions,
)


@hookimpl
def kexp_datasets() -> Mapping[str, type[DatasetOptions]]:
    """Name the datasets."""
    return {"table": datasets.TableDataset, "hub": datasets.HubDataset}


@hookimpl
def kexp_tasks() -> Mapping[str, type[TaskOptions]]:
    """Name the tasks."""
    return tasks.TASKS


@hookimpl
def kexp_backbones() -> Mapping[str, type[BackboneOptions]]:
    """Name the backbones."""
    return {"hf": backbones.HubBackbone, "tiny": backbones.TinyBackbone}


@hookimpl
def kexp_objectives() -> Mapping[str, type[ObjectiveOptions]]:
    """Name the objectives."""
    return objectives.OBJECTIVES


@hookimpl
def kexp_freezing_policies() -> Mapping[str, type[FreezingOptions]]:
    """Name the freezing policies."""
    return {
        "none": freezing.NoFreezing,
        "embeddings": freezing.FreezeEmbeddings,
        "bottom-layers": freezing.FreezeBottomLayers,
        "layers": freezing.FreezeLayers,
        "all-but-head": freezing.FreezeAllButHead,
        "gradual": freezing.GradualUnfreezing,
    }


@hookimpl
def kexp_samplers() -> Mapping[str, type[SamplerOptions]]:
    """Name the samplers."""
    return {
        "random": samplers.RandomSampler,
        "sequential": samplers.SequentialSampler,
        "balanced": samplers.BalancedSampler,
    }


@hookimpl
def kexp_augmenters() -> Mapping[str, type[AugmenterOptions]]:
    """Name the augmenters."""
    return augmenters.AUGMENTERS


@hookimpl
def kexp_metrics() -> Mapping[str, type[MetricOptions]]:
    """Name the metrics."""
    return metrics.METRICS


@hookimpl
def kexp_search_samplers() -> Mapping[str, type[SearchSamplerOptions]]:
    """Name the search samplers."""
    return {
        "tpe": search_samplers.TPE,
        "gp": search_samplers.GP,
        "cmaes": search_samplers.CmaEs,
        "random": search_samplers.Random,
        "grid": search_samplers.Grid,
        "qmc": search_samplers.QMC,
        "nsga2": search_samplers.NSGA2,
        "brute-force": search_samplers.BruteForce,
    }


@hookimpl
def kexp_pruners() -> Mapping[str, type[PrunerOptions]]:
    """Name the pruners."""
    return {
        "none": pruners.NoPruner,
        "median": pruners.Median,
        "hyperband": pruners.Hyperband,
        "successive-halving": pruners.SuccessiveHalving,
        "wilcoxon": pruners.Wilcoxon,
    }


@hookimpl
def kexp_executors() -> Mapping[str, type[ExecutorOptions]]:
    """Name the executors."""
    return {"local": executors.Local}


@hookimpl
def kexp_trackers() -> Mapping[str, type[TrackerOptions]]:
    """Name the trackers."""
    return trackers.TRACKERS
