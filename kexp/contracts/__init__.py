"""What plugins and the core promise each other: one options class per kind, and what its ``build`` returns.

torch, transformers and datasets are imported here for type checking only.
"""

from __future__ import annotations

from collections.abc import Mapping

from kexp.contracts.augmenter import AnyAugmenter, Augmenter, AugmenterContext, AugmenterOptions, Rejected
from kexp.contracts.backbone import AnyBackbone, BackboneOptions
from kexp.contracts.dataset import POOL, SPLITS, AnyDataset, DatasetOptions
from kexp.contracts.freezing import AnyFreezing, FreezingOptions, block_names
from kexp.contracts.metric import AnyMetric, Metric, MetricOptions
from kexp.contracts.objective import (
    AnyObjective,
    Batch,
    HostBatch,
    HostPairs,
    Inputs,
    MicroBatch,
    Model,
    Objective,
    ObjectiveContext,
    ObjectiveOptions,
    Pairs,
    Progress,
    StepLoss,
    SupervisedObjective,
)
from kexp.contracts.sampler import AnySampler, SamplerOptions
from kexp.contracts.tracker import AnyTracker, RunIdentity, Tracker, TrackerOptions
from kexp.contracts.translator import AnyTranslator, Decoding, Translator, TranslatorContext, TranslatorOptions
from kexp.options import Options

KINDS: Mapping[str, type[Options]] = {
    base.kind: base
    for base in (
        DatasetOptions, BackboneOptions, ObjectiveOptions, FreezingOptions,
        SamplerOptions, AugmenterOptions, TranslatorOptions, MetricOptions, TrackerOptions,
    )
}  # fmt: skip

__all__ = [
    "KINDS",
    "POOL",
    "SPLITS",
    "AnyAugmenter",
    "AnyBackbone",
    "AnyDataset",
    "AnyFreezing",
    "AnyMetric",
    "AnyObjective",
    "AnySampler",
    "AnyTracker",
    "AnyTranslator",
    "Augmenter",
    "AugmenterContext",
    "AugmenterOptions",
    "BackboneOptions",
    "Batch",
    "DatasetOptions",
    "Decoding",
    "FreezingOptions",
    "HostBatch",
    "HostPairs",
    "Inputs",
    "Metric",
    "MetricOptions",
    "MicroBatch",
    "Model",
    "Objective",
    "ObjectiveContext",
    "ObjectiveOptions",
    "Pairs",
    "Progress",
    "Rejected",
    "RunIdentity",
    "SamplerOptions",
    "StepLoss",
    "SupervisedObjective",
    "Tracker",
    "TrackerOptions",
    "Translator",
    "TranslatorContext",
    "TranslatorOptions",
    "block_names",
]
