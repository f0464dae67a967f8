"""From a resolved spec to a live experiment, in written order."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kexp.contracts import HostBatch, Inputs, Metric, Objective, ObjectiveContext
from kexp.contracts.augmenter import CheckedAugmenter
from kexp.contracts.objective import build_objective
from kexp.data.batching import by_length
from kexp.data.encoding import Encoded, tokenise
from kexp.data.rows import Rows
from kexp.data.semi_supervised import AugmentPool, SemiSupervisedStream, fresh, kept
from kexp.data.stream import Augmentation, Collator, Encode, LabelledStream
from kexp.errors import KexpError
from kexp.evaluate.predictions import Predictions, predict
from kexp.experiment.prepare import Materials, Pool, Workshop, encode_texts
from kexp.seeds import derive, generator
from kexp.spec.sections import Spec
from kexp.train.loop import Stream

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

WATCHED_ROWS = 2000
"""Rows of the pool on which predictions are watched during training; as many tell the shares to a few per cent."""

Logits = Callable[[Inputs], "torch.Tensor"]


@dataclass(slots=True)
class Experiment:
    """Everything that one run needs, built."""

    spec: Spec
    seed: int
    materials: Materials
    model: PreTrainedModel
    objective: Objective
    metrics: Mapping[str, Metric]
    greater_is_better: bool
    collator: Collator
    stream: Stream
    augmenters: Mapping[str, CheckedAugmenter]
    """Those that make new texts every epoch, by what they augment: labelled, unlabelled."""

    def evaluate(self, split: str, logits: Logits) -> Predictions:
        """Predict a split."""
        return self._predict(self.materials.data.splits[split], self.materials.encoded[split], logits)

    def watch_pool(self, logits: Logits) -> Predictions | None:
        """Predict a fixed sample of the pool, whose labels training does not see; None where there is no pool."""
        pool = self.materials.pool
        if pool is None:
            return None
        rows = generator(0, "watched rows").permutation(len(pool.rows))[:WATCHED_ROWS]
        return self._predict(pool.rows.take(rows), pool.encoded.take(rows), logits)

    def _predict(self, rows: Rows, encoded: Encoded, logits: Logits) -> Predictions:
        shape = (len(rows), len(self.materials.data.labels))
        return predict(self.model, logits, self.batches(rows, encoded), shape, self.model.device)

    def batches(self, rows: Rows, encoded: Encoded) -> Iterator[tuple[NDArray[np.int64], HostBatch]]:
        """Yield rows by length with their numbers, always in the same batches."""
        lengths = encoded.tokens.lengths
        for numbers in by_length(lengths, self.spec.evaluation.batch_size):
            inputs, tokens = self.collator(encoded, numbers), int(lengths[numbers].sum())
            yield numbers, HostBatch(inputs, rows.labels[numbers], tokens, encoded.hidden_of(numbers))


def assemble(spec: Spec, seed: int, workshop: Workshop) -> Experiment:
    """Build model, objective, metrics and streams for one seed."""
    import torch

    materials = workshop.materials(spec, seed)
    torch.manual_seed(derive(seed, "weights"))
    model = spec.backbone.build(materials.data.labels, materials.tokenizer)
    collator = Collator(_pad_id(materials.tokenizer), takes_token_types(model))
    pool = materials.pool
    context = ObjectiveContext(materials.data.class_counts(), 0 if pool is None else len(pool.rows))
    metrics = workshop.metrics(spec, materials.data.labels)
    monitored = spec.evaluation.metrics[list(metrics).index(spec.training.monitor)]
    augmenters = _fresh_augmenters(spec, workshop, materials)
    labelled = _labelled_stream(spec, seed, materials, collator, augmenters.get("labelled"))
    stream: Stream = labelled
    if pool is not None:
        stream = _semi_supervised(spec, seed, materials, pool, labelled, augmenters.get("unlabelled"))
    return Experiment(
        spec,
        seed,
        materials,
        model,
        build_objective(spec.objective, context),
        metrics,
        monitored.greater_is_better,
        collator,
        stream,
        augmenters,
    )


def _fresh_augmenters(spec: Spec, workshop: Workshop, materials: Materials) -> dict[str, CheckedAugmenter]:
    options, pool = spec.augmentation, materials.pool
    wanted = {"labelled": options.labelled}
    if pool is not None and spec.objective.uses_augmented and not pool.copies:
        wanted["unlabelled"] = options.unlabelled
    return {
        of: workshop.augmenter(spec, materials.data, augmenter)
        for of, augmenter in wanted.items()
        if augmenter is not None
    }


def _labelled_stream(
    spec: Spec, seed: int, materials: Materials, collator: Collator, augmenter: CheckedAugmenter | None
) -> LabelledStream:
    augmentation = None
    if augmenter is not None:
        augmentation = Augmentation(augmenter, spec.augmentation.probability, _encoder(spec, materials))
    return LabelledStream(
        rows=materials.data.train,
        encoded=materials.encoded["train"],
        sampler=spec.sampler,
        collator=collator,
        seed=seed,
        batch_size=spec.training.batch_size,
        accumulation=spec.training.gradient_accumulation,
        bucketing=spec.training.length_bucketing,
        augmentation=augmentation,
    )


def _semi_supervised(
    spec: Spec,
    seed: int,
    materials: Materials,
    pool: Pool,
    labelled: LabelledStream,
    augmenter: CheckedAugmenter | None,
) -> SemiSupervisedStream:
    augment: AugmentPool | None = None
    if spec.objective.uses_augmented and pool.copies:
        augment = kept(pool.copies)
    elif augmenter is not None:
        augment = fresh(pool.rows, augmenter, _encoder(spec, materials), seed)
    training = spec.training
    return SemiSupervisedStream(
        labelled,
        pool.rows,
        pool.encoded,
        augment,
        batch_size=training.batch_size * training.unlabelled_ratio,
        pool_epochs=training.epochs_of == "unlabelled",
    )


def _encoder(spec: Spec, materials: Materials) -> Encode:
    """Return how augmented texts are encoded: not through the cache on disk, since every epoch's texts are new."""
    return lambda texts, pairs: encode_texts(spec, materials.tokenizer, texts, pairs, tokenise)


def _pad_id(tokenizer: PreTrainedTokenizerFast) -> int:
    pad_id = tokenizer.pad_token_id
    if not isinstance(pad_id, int):
        raise KexpError("the backbone's tokenizer has no padding token")
    return pad_id


def takes_token_types(model: PreTrainedModel) -> bool:
    """Tell whether the model distinguishes the two texts of a pair; some take the argument but know one type only."""
    return (
        getattr(model.config, "type_vocab_size", 0) > 1
        and "token_type_ids" in inspect.signature(model.forward).parameters
    )


def cache_folder() -> Path:
    """Return the folder of what is kept between experiments: ``KEXP_CACHE_DIR``, or the platform's cache folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("KEXP_CACHE_DIR") or user_cache_path("kexp"))
