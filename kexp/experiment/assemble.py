"""From the spec and repeat of a run to everything that it needs: model, objective, metrics and streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from kexp.contracts import BackboneContext, ClosableAugmenter, Metric, Objective, ObjectiveContext
from kexp.contracts.augmenter import CheckedAugmenter
from kexp.contracts.objective import build_objective
from kexp.contracts.task import NOTHING, Chosen
from kexp.data.augment_jobs import at_once
from kexp.data.augment_process import AugmentProcess
from kexp.data.batching import PREDICTION_TOKENS, BatchSize, RowsPerBatch, TokensPerBatch, by_length
from kexp.data.encoding import Encoded
from kexp.data.labelled_stream import Augmentation, Collator, Encode, LabelledStream
from kexp.data.rows import Rows
from kexp.data.semi_supervised_stream import (
    SemiSupervisedStream,
    SemiSupervisedTokenStream,
    new_views,
    stored_views,
)
from kexp.data.stored_views import LabelledViews
from kexp.devices import Hardware, out_of_memory
from kexp.errors import RunFailed
from kexp.evaluate.predictions import Predictions, predict
from kexp.experiment.augment_ahead import processes_of
from kexp.experiment.inputs import PreparedInputs
from kexp.experiment.run_inputs import RunInputs, UnlabelledInputs
from kexp.experiment.texts import encode_texts
from kexp.host_batches import HostBatch
from kexp.model.adapter import add_adapter, need_precision, round_base
from kexp.model.forward import Classifier
from kexp.options import build_component, component_title
from kexp.repeats import Repeat
from kexp.seeds import derive, generator
from kexp.spec.sections import Evaluation, Spec
from kexp.spec.training_section import Training
from kexp.train.loop import Stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

WATCHED_ROWS = 2000
"""Unlabelled rows whose predictions are watched during training: enough to know shares to a few per cent."""


@dataclass(frozen=True, slots=True)
class AssembledRun:
    """Everything that one run needs, built."""

    spec: Spec
    repeat: Repeat
    inputs: RunInputs
    classifier: Classifier
    objective: Objective
    metrics_of: Callable[[Chosen], Mapping[str, Metric]]
    """Builds the metrics of decisions for which something was chosen (``TaskOptions.choose``)."""
    greater_is_better: bool
    collator: Collator
    stream: Stream
    augmenters: Mapping[str, CheckedAugmenter | LabelledViews]
    """What makes the texts of an epoch, and counts the rejected ones, by what it augments: labelled, unlabelled."""
    pretraining: Mapping[str, Any] | None = None
    """The record of the pre-training whose weights the model has."""
    hidden_states: Mapping[str, Any] | None = None
    """The record of the hidden states of frozen blocks: which are stored, or why none are."""
    processes: Sequence[AugmentProcess] = ()
    """The processes in which texts are augmented ahead."""
    begin_epoch: Callable[[int], None] = lambda epoch: None
    """Called before an epoch, or before the model of one is used again: hidden states may be of fewer layers then."""

    @property
    def model(self) -> PreTrainedModel:
        """The model itself."""
        return self.classifier.module

    def predict(self, split: str) -> Predictions:
        """Predict a split with the model as it is."""
        return self._predict(self.inputs.data.splits[split], self.inputs.encoded[split])

    def choose(self, validation: Predictions | None) -> Chosen:
        """Return what is chosen for the decisions of a model by its predictions for validation, and by no others."""
        if validation is None:
            return NOTHING
        return self.spec.task.choose(validation.labels, validation.probabilities, self.inputs.data.labels)

    def predict_unlabelled(self) -> Predictions | None:
        """Predict a fixed sample of the unlabelled rows, whose labels training does not see; None without such rows."""
        unlabelled = self.inputs.unlabelled
        if unlabelled is None:
            return None
        rows = generator(0, "watched rows").permutation(len(unlabelled.rows))[:WATCHED_ROWS]
        return self._predict(unlabelled.rows.take(rows), unlabelled.encoded.take(rows))

    def close(self) -> None:
        """End the processes and free the models of augmenters."""
        for process in self.processes:
            process.close()
        for augmenter in self.augmenters.values():
            if isinstance(augmenter, ClosableAugmenter):
                augmenter.close()

    def _predict(self, rows: Rows, encoded: Encoded) -> Predictions:
        shape = (len(rows), len(self.inputs.data.labels))
        batches = self.batches(rows, encoded)
        try:
            return Predictions(rows.labels, predict(self.classifier, batches, shape, self.spec.task.predictions))
        except RuntimeError as error:
            stated = "batch_tokens" if self.spec.evaluation.batch_size is None else "batch_size"
            if message := out_of_memory(error, f"lower evaluation.{stated}", "in an evaluation"):
                raise RunFailed(message) from None
            raise

    def batches(self, rows: Rows, encoded: Encoded) -> Iterator[tuple[NDArray[np.int64], HostBatch]]:
        """Yield rows by length with their numbers, always in the same batches: some of them for each process."""
        all_batches = by_length(encoded.tokens.lengths, _pass_size(self.spec.evaluation))
        world = self.classifier.world
        for numbers in islice(all_batches, world.rank, None, world.size):
            yield numbers, HostBatch(self.collator(encoded, numbers), rows.labels[numbers])


def _pass_size(evaluation: Evaluation) -> BatchSize:
    """Return how large a forward pass of an evaluation is."""
    if evaluation.batch_size is not None:
        return RowsPerBatch(evaluation.batch_size)
    return TokensPerBatch(evaluation.batch_tokens or PREDICTION_TOKENS)


def training_seed(repeat: Repeat) -> int:
    """Return the seed of weights, dropout, order and augmentation: that of the repeat for the first draw and fold.

    Others have one of their own. If draws shared the weights of a seed, they would agree in what these do, and the
    spread between draws would not show it.
    """
    part = (repeat.draw or 1, repeat.fold or 1)
    return repeat.seed if part == (1, 1) else derive(repeat.seed, "draw and fold", *part) % 2**32


def assemble(spec: Spec, repeat: Repeat, prepared: PreparedInputs, hardware: Hardware) -> AssembledRun:
    """Build everything for one run."""
    import torch

    need_precision(spec.backbone.adapter, hardware)
    inputs, seed = prepared.inputs(spec, repeat), training_seed(repeat)
    torch.manual_seed(derive(seed, "weights"))
    outputs = spec.task.outputs(inputs.data.labels)
    model = build_component(spec.backbone, BackboneContext(outputs, inputs.tokenizer))
    round_base(model, spec.backbone.adapter)
    model.to(hardware.device)
    collator = Collator.of(inputs.tokenizer, model)
    unlabelled = inputs.unlabelled
    context = ObjectiveContext(
        spec.task.counts(inputs.data.train.labels, inputs.data.labels),
        0 if unlabelled is None else len(unlabelled.rows),
        seed if prepared.world.first else derive(seed, "process", prepared.world.rank) % 2**32,
        rows=len(inputs.data.train),
        task=spec.task,
    )
    metrics = prepared.metrics(spec, inputs.data.labels)
    directions = {name: made.greater_is_better for name, made in zip(metrics, spec.evaluation.metrics, strict=True)}
    objective = build_objective(spec.objective, context)
    labelled = _labelled_stream(spec, seed, inputs, collator)
    stream = labelled if unlabelled is None else _semi_supervised(spec, unlabelled, labelled)
    # Last: what is built here has to be closed.
    augmenters = _fresh_augmenters(spec, prepared, inputs)
    counted: dict[str, CheckedAugmenter | LabelledViews] = {**augmenters}
    if inputs.labelled_views is not None and spec.augmentation.labelled is not None:
        counted["labelled"] = LabelledViews(component_title(spec.augmentation.labelled), inputs.labelled_views.views)
    processes = processes_of(spec, stream, augmenters)
    stream = _augmented(spec, seed, inputs, stream, {**counted, **processes})
    return AssembledRun(
        spec,
        repeat,
        inputs,
        Classifier(model, hardware, collator.pad_id, world=prepared.world),
        objective,
        lambda chosen: prepared.metrics(spec, inputs.data.labels, chosen) if chosen else metrics,
        # Without validation it need not be among the metrics.
        directions.get(spec.training.monitor, True),
        collator,
        stream,
        counted,
        processes=[*processes.values()],
    )


def with_adapter(assembled: AssembledRun, tell: Callable[[str], None]) -> AssembledRun:
    """Return the run with an adapter in its model, where its spec has one; ``tell`` is told how much it trains."""
    if (adapter := assembled.spec.backbone.adapter) is not None:
        tell(add_adapter(assembled.model, adapter, training_seed(assembled.repeat)))
    return assembled


def _fresh_augmenters(spec: Spec, prepared: PreparedInputs, inputs: RunInputs) -> dict[str, CheckedAugmenter]:
    options, unlabelled = spec.augmentation, inputs.unlabelled
    wanted = {} if inputs.labelled_views is not None else {"labelled": options.labelled}
    if unlabelled is not None and spec.objective.uses_augmented and not unlabelled.views:
        wanted["unlabelled"] = options.unlabelled
    named = {of: augmenter for of, augmenter in wanted.items() if augmenter is not None}
    return dict(zip(named, prepared.augmenters(spec, inputs.data, named.values()), strict=True))


def _labelled_stream(spec: Spec, seed: int, inputs: RunInputs, collator: Collator) -> LabelledStream:
    return LabelledStream(
        rows=inputs.data.train,
        encoded=inputs.encoded["train"],
        sampler=spec.sampler,
        collator=collator,
        seed=seed,
        batch_size=_batch_size(spec.training),
        accumulation=spec.training.gradient_accumulation,
        bucketing=spec.training.length_bucketing,
    )


def _batch_size(training: Training) -> BatchSize:
    """Return how large the batches of training are."""
    if training.batch_tokens is not None:
        return TokensPerBatch(training.batch_tokens)
    assert training.batch_size is not None
    return RowsPerBatch(training.batch_size)


def _semi_supervised(spec: Spec, unlabelled: UnlabelledInputs, labelled: LabelledStream) -> SemiSupervisedStream:
    training = spec.training
    kind = SemiSupervisedStream if training.batch_tokens is None else SemiSupervisedTokenStream
    return kind(
        labelled,
        unlabelled.rows,
        unlabelled.encoded,
        None,
        ratio=training.unlabelled_ratio,
        unlabelled_epochs=training.epochs_of == "unlabelled",
    )


def _augmented(
    spec: Spec,
    seed: int,
    inputs: RunInputs,
    stream: LabelledStream | SemiSupervisedStream,
    makers: Mapping[str, CheckedAugmenter | LabelledViews | AugmentProcess],
) -> LabelledStream | SemiSupervisedStream:
    """Return the stream with the texts that change, which are made by what augments labelled and unlabelled rows."""
    encode = _encoder(spec, inputs)
    made = {of: at_once(maker) if isinstance(maker, CheckedAugmenter) else maker for of, maker in makers.items()}
    labelled = stream.labelled if isinstance(stream, SemiSupervisedStream) else stream
    if "labelled" in made:
        augmentation = Augmentation(made["labelled"], spec.augmentation.probability, encode)
        labelled = replace(labelled, augmentation=augmentation)
    if not isinstance(stream, SemiSupervisedStream):
        return labelled
    augment, unlabelled = None, inputs.unlabelled
    assert unlabelled is not None
    if spec.objective.uses_augmented and unlabelled.views:
        augment = stored_views(unlabelled.views)
    elif "unlabelled" in made:
        augment = new_views(unlabelled.rows, made["unlabelled"], encode, seed)
    return replace(stream, labelled=labelled, augment=augment)


def _encoder(spec: Spec, inputs: RunInputs) -> Encode:
    """Return how augmented texts are encoded: not through the cache on disk, since every epoch's texts are new."""
    return lambda texts, pairs: encode_texts(spec, inputs.tokenizer, texts, pairs)
