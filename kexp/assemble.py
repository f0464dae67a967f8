"""From a resolved spec to a live experiment, in written order."""

from __future__ import annotations

import inspect
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kexp.contracts import HostBatch, Inputs, Metric, Objective, ObjectiveContext
from kexp.data.batching import by_length
from kexp.data.encoding import Encoded, tokenise
from kexp.data.pool import AugmentPool, SemiSupervisedStream, fresh, kept
from kexp.data.rows import Rows
from kexp.data.stream import Augmentation, Collator, Encode, LabelledStream
from kexp.errors import KexpError
from kexp.evaluate import Predictions, predict
from kexp.seeds import derive, generator
from kexp.spec import Spec
from kexp.train.loop import Stream, Trainer
from kexp.train.prefix import Prefix, always_frozen, find_prefix
from kexp.workshop import Materials, Pool, Workshop, encode_texts

if TYPE_CHECKING:
    import numpy as np
    import torch
    from accelerate import Accelerator
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

WATCHED_ROWS = 2000
"""Rows of the pool on which predictions are watched during training; as many tell the shares to a few per cent."""

KEPT_SPLITS = ("train", "validation")
"""Splits that a run sees again and again."""
KEPT_BYTES = 2 * 2**30
"""Most memory that hidden states may take: on every machine the same, so that equal specs give equal bits."""
PROBED_ROWS = 4

Logits = Callable[[Inputs], "torch.Tensor"]

logger = logging.getLogger("kexp")


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

    def probe(self, device: torch.device) -> tuple[Inputs, Inputs]:
        """Return some of the shortest and some of the longest train rows, to try a way to run the model."""
        import numpy as np

        encoded, labels = self.materials.encoded["train"], self.materials.data.train.labels
        order = np.argsort(encoded.tokens.lengths, kind="stable")
        few = min(PROBED_ROWS, len(order) // 2)
        short, long = (HostBatch(self.collator(encoded, rows), labels[rows], 0) for rows in (order[:few], order[-few:]))
        return short.inputs_on(device), long.inputs_on(device)

    def hidden_bytes(self, prefix: Prefix, some: Inputs, accelerator: Accelerator) -> int:
        """Return the memory that ``keep_hidden`` will take; ``some`` rows tell the precision."""
        with accelerator.autocast():
            hidden = prefix.hidden(some)
        lengths = (self.materials.encoded[split].tokens.lengths for split in KEPT_SPLITS)
        tokens = sum(int(prefix.kept_lengths(found).sum()) for found in lengths)
        return tokens * hidden.shape[-1] * hidden.element_size()

    def keep_hidden(self, prefix: Prefix, accelerator: Accelerator) -> None:
        """Run frozen blocks over train and validation; from now on their batches bring what these blocks gave."""
        data, encoded = self.materials.data, dict(self.materials.encoded)
        for split in KEPT_SPLITS:
            rows = encoded[split]
            kept = prefix.keep(self._batches(data.splits[split], rows), rows.tokens.lengths, accelerator)
            encoded[split] = replace(rows, hidden=kept.of)
        self.materials = replace(self.materials, encoded=encoded)
        assert isinstance(self.stream, LabelledStream)
        self.stream = replace(self.stream, encoded=encoded["train"])

    def _predict(self, rows: Rows, encoded: Encoded, logits: Logits) -> Predictions:
        shape = (len(rows), len(self.materials.data.labels))
        return predict(self.model, logits, self._batches(rows, encoded), shape, self.model.device)

    def _batches(self, rows: Rows, encoded: Encoded) -> Iterator[tuple[NDArray[np.int64], HostBatch]]:
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
    metrics = workshop.metrics(spec)
    monitored = spec.evaluation.metrics[list(metrics).index(spec.training.monitor)]
    labelled = _labelled_stream(spec, seed, workshop, materials, collator)
    stream = labelled if pool is None else _semi_supervised(spec, seed, workshop, materials, pool, labelled)
    return Experiment(
        spec,
        seed,
        materials,
        model,
        spec.objective.build(context),
        metrics,
        monitored.greater_is_better,
        collator,
        stream,
    )


def reuse_frozen(experiment: Experiment, trainer: Trainer) -> None:
    """Let a run train on hidden states that are computed once, where a part of the model is frozen from the input up.

    They are those of its own rows, so augmented rows and the pool need the whole model; so do rows whose hidden states
    take too much memory. The log tells.
    """
    spec = experiment.spec
    epochs = -(-trainer.total_steps // trainer.steps_per_epoch)
    count = always_frozen(trainer.freezing, trainer.blocks.names, epochs)
    applies = spec.training.reuse_frozen and experiment.materials.pool is None and spec.augmentation.labelled is None
    # Embeddings alone are cheap to look up, and what is seen once cannot be reused.
    if not applies or count < 2 or epochs < 2:
        return
    started, accelerator = time.perf_counter(), trainer.accelerator
    found = f"frozen up to {trainer.blocks.names[count - 1]}: "
    plainly = "; the frozen blocks are run in every step"
    short, long = experiment.probe(accelerator.device)
    prefix = find_prefix(trainer.blocks, count, short, long)
    if prefix is None:
        logger.info(found + "this model cannot go on from hidden states alone" + plainly)
        return
    needed = experiment.hidden_bytes(prefix, short, accelerator)
    found += f"hidden states of {sum(len(experiment.materials.encoded[split]) for split in KEPT_SPLITS)} rows "
    if needed > KEPT_BYTES:
        limit = f"more than {KEPT_BYTES / 2**20:,.0f} MiB"
        logger.info(found + f"would take {needed / 2**20:,.1f} MiB, {limit}" + plainly)
        return
    experiment.keep_hidden(prefix, accelerator)
    trainer.reuse(experiment.stream, prefix, time.perf_counter() - started)
    which = "first token" if prefix.tokens else "every token"
    logger.info(found + f"were computed once and are kept, {needed / 2**20:.1f} MiB ({which})")


def _labelled_stream(
    spec: Spec, seed: int, workshop: Workshop, materials: Materials, collator: Collator
) -> LabelledStream:
    options, augmentation = spec.augmentation, None
    if options.labelled is not None:
        augmenter = options.labelled.build(workshop.augmenter_context(spec, materials.data))
        augmentation = Augmentation(augmenter, options.probability, _encoder(spec, materials))
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
    spec: Spec, seed: int, workshop: Workshop, materials: Materials, pool: Pool, labelled: LabelledStream
) -> SemiSupervisedStream:
    augment: AugmentPool | None = None
    if spec.objective.uses_augmented and pool.copies:
        augment = kept(pool.copies)
    elif spec.objective.uses_augmented and spec.augmentation.unlabelled is not None:
        augmenter = spec.augmentation.unlabelled.build(workshop.augmenter_context(spec, materials.data))
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
