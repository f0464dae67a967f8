"""What plugins and the core promise each other: one options class per kind, and what its ``build`` returns.

torch, transformers and datasets are imported here for type checking only.
"""

from __future__ import annotations

from collections.abc import Mapping

from kexp.contracts.augmenter import AnyAugmenter, Augmenter, AugmenterContext, AugmenterOptions, Rejected
from kexp.contracts.backbone import AnyBackbone, BackboneOptions
from kexp.contracts.dataset import SPLITS, UNLABELLED, AnyDataset, DatasetOptions
from kexp.contracts.executor import (
    Answer,
    AnyExecutor,
    Ended,
    Executor,
    ExecutorContext,
    ExecutorOptions,
    Link,
    Lost,
    Message,
    Reported,
    Task,
    Work,
)
from kexp.contracts.freezing import AnyFreezing, FreezingOptions, block_names
from kexp.contracts.metric import AnyMetric, Metric, MetricOptions
from kexp.contracts.objective import (
    AnyObjective,
    Batch,
    HostBatch,
    HostUnlabelledBatch,
    Inputs,
    KnownInputs,
    MicroBatch,
    Model,
    Objective,
    ObjectiveContext,
    ObjectiveOptions,
    Progress,
    StepLoss,
    SupervisedObjective,
    UnlabelledBatch,
    known_hidden,
)
from kexp.contracts.sampler import AnySampler, SamplerOptions
from kexp.contracts.search import (
    AnyPruner,
    AnySearchSampler,
    Parameter,
    PrunerOptions,
    Sampling,
    SearchSamplerOptions,
    choice_label,
)
from kexp.contracts.tracker import AnyTracker, RunIdentity, Tracker, TrackerOptions
from kexp.contracts.translator import AnyTranslator, Decoding, Translator, TranslatorContext, TranslatorOptions
from kexp.options import Options

KINDS: Mapping[str, type[Options]] = {
    base.kind: base
    for base in (
        DatasetOptions, BackboneOptions, ObjectiveOptions, FreezingOptions,
        SamplerOptions, AugmenterOptions, TranslatorOptions, MetricOptions, TrackerOptions,
        SearchSamplerOptions, PrunerOptions, ExecutorOptions,
    )
}  # fmt: skip

__all__ = [
    "KINDS",
    "SPLITS",
    "UNLABELLED",
    "Answer",
    "AnyAugmenter",
    "AnyBackbone",
    "AnyDataset",
    "AnyExecutor",
    "AnyFreezing",
    "AnyMetric",
    "AnyObjective",
    "AnyPruner",
    "AnySampler",
    "AnySearchSampler",
    "AnyTracker",
    "AnyTranslator",
    "Augmenter",
    "AugmenterContext",
    "AugmenterOptions",
    "BackboneOptions",
    "Batch",
    "DatasetOptions",
    "Decoding",
    "Ended",
    "Executor",
    "ExecutorContext",
    "ExecutorOptions",
    "FreezingOptions",
    "HostBatch",
    "HostUnlabelledBatch",
    "Inputs",
    "KnownInputs",
    "Link",
    "Lost",
    "Message",
    "Metric",
    "MetricOptions",
    "MicroBatch",
    "Model",
    "Objective",
    "ObjectiveContext",
    "ObjectiveOptions",
    "Parameter",
    "Progress",
    "PrunerOptions",
    "Rejected",
    "Reported",
    "RunIdentity",
    "SamplerOptions",
    "Sampling",
    "SearchSamplerOptions",
    "StepLoss",
    "SupervisedObjective",
    "Task",
    "Tracker",
    "TrackerOptions",
    "Translator",
    "TranslatorContext",
    "TranslatorOptions",
    "UnlabelledBatch",
    "Work",
    "block_names",
    "choice_label",
    "known_hidden",
]
