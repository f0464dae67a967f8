"""The interface between kexp and components: per kind a class of options, and what its ``build`` takes and returns.

torch, transformers and datasets are imported here for type checking only.
"""

from __future__ import annotations

from kexp.contracts.adapter import Adapter
from kexp.contracts.augmenter import (
    AnyAugmenter,
    Augmenter,
    AugmenterContext,
    AugmenterOptions,
    ClosableAugmenter,
    Rejected,
)
from kexp.contracts.backbone import (
    AnyBackbone,
    BackboneContext,
    BackboneOptions,
    KnownWeights,
    MaskedLanguageModel,
    TokenizerContext,
)
from kexp.contracts.dataset import SPLITS, UNLABELLED, AnyDataset, DatasetContext, DatasetOptions
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
from kexp.contracts.freezing import AnyFreezing, FreezingOptions
from kexp.contracts.metric import AnyMetric, Metric, MetricContext, MetricOptions
from kexp.contracts.objective import (
    AnyObjective,
    Batch,
    Model,
    Objective,
    ObjectiveContext,
    ObjectiveOptions,
    Progress,
    Rows,
    StepLoss,
    SupervisedObjective,
    SupervisedObjectiveOptions,
    UnlabelledBatch,
)
from kexp.contracts.sampler import AnySampler, SamplerOptions
from kexp.contracts.search import (
    AnyPruner,
    AnySearchSampler,
    Parameter,
    PrunerContext,
    PrunerOptions,
    SearchContext,
    SearchSamplerOptions,
    choice_label,
)
from kexp.contracts.tracker import AnyTracker, RunIdentity, Tracker, TrackerOptions
from kexp.contracts.translator import AnyTranslator, Decoding, Translator, TranslatorContext, TranslatorOptions

__all__ = [
    "SPLITS",
    "UNLABELLED",
    "Adapter",
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
    "BackboneContext",
    "BackboneOptions",
    "Batch",
    "ClosableAugmenter",
    "DatasetContext",
    "DatasetOptions",
    "Decoding",
    "Ended",
    "Executor",
    "ExecutorContext",
    "ExecutorOptions",
    "FreezingOptions",
    "KnownWeights",
    "Link",
    "Lost",
    "MaskedLanguageModel",
    "Message",
    "Metric",
    "MetricContext",
    "MetricOptions",
    "Model",
    "Objective",
    "ObjectiveContext",
    "ObjectiveOptions",
    "Parameter",
    "Progress",
    "PrunerContext",
    "PrunerOptions",
    "Rejected",
    "Reported",
    "Rows",
    "RunIdentity",
    "SamplerOptions",
    "SearchContext",
    "SearchSamplerOptions",
    "StepLoss",
    "SupervisedObjective",
    "SupervisedObjectiveOptions",
    "Task",
    "TokenizerContext",
    "Tracker",
    "TrackerOptions",
    "Translator",
    "TranslatorContext",
    "TranslatorOptions",
    "UnlabelledBatch",
    "Work",
    "choice_label",
]
