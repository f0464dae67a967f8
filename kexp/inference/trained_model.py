"""Trained models in memory: texts in, predictions out; several models are one that averages them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kexp.contracts import TaskOptions
from kexp.contracts.task import NOTHING, Chosen
from kexp.data.batching import PREDICTION_TOKENS, BatchSize, RowsPerBatch, TokensPerBatch, by_length
from kexp.data.encoding import Encoded, unknown_rows
from kexp.data.labelled_stream import Collator
from kexp.devices import out_of_memory
from kexp.errors import KexpError
from kexp.evaluate.calibration import calibrated
from kexp.evaluate.predictions import predict
from kexp.evaluate.selective import check_threshold
from kexp.host_batches import HostBatch
from kexp.inference.columns import TextColumns
from kexp.inference.model_folders import Place
from kexp.inference.provenance import Provenance
from kexp.inference.text_pipeline import TextPipeline
from kexp.model.forward import Classifier

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Answers:
    """Predictions of shape (rows, labels), and numbers of rows: truncated, without a token, of unknown tokens alone.

    Predictions are probabilities, or what else the task has (``TaskOptions.predictions``). Rows without a token are
    predicted from the special tokens alone.
    """

    probabilities: NDArray[np.float64]
    truncated: int
    blank: int
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """Texts as models read them: tokens by pipeline, and the numbers of rows of ``Answers``."""

    encoded: Sequence[tuple[TextPipeline, Encoded]]
    truncated: int
    blank: int
    unknown: int


@dataclass(slots=True)
class Member:
    """One model, ready to predict on its hardware."""

    place: Place
    provenance: Provenance
    labels: tuple[str, ...]
    task: TaskOptions
    classifier: Classifier
    pipeline: TextPipeline
    collator: Collator
    temperature: float = 1.0
    """By which the logits are divided, where the model was calibrated."""
    chosen: Chosen = field(default_factory=dict)
    """What was chosen for its decisions (``TaskOptions.choose``)."""

    @property
    def module(self) -> PreTrainedModel:
        """The model itself."""
        return self.classifier.module

    @property
    def has_own_predictions(self) -> bool:
        """Whether predictions are something else than the softmax of the logits."""
        import torch

        return self.task.graph_predictions(torch.zeros(1, len(self.task.outputs(self.labels)))) is not None

    def probabilities(self, encoded: Encoded, size: BatchSize) -> NDArray[np.float64]:
        """Predict encoded rows, those of similar length together; the probabilities are calibrated."""
        unknown = np.zeros(len(encoded), np.int64)
        lengths = encoded.tokens.lengths
        batches = ((rows, HostBatch(self.collator(encoded, rows), unknown[rows])) for rows in by_length(lengths, size))
        shape = (len(encoded), len(self.labels))
        return calibrated(predict(self.classifier, batches, shape, self.task.predictions), self.temperature)


@dataclass(slots=True)
class TrainedModel:
    """What ``load`` returns. ``labels`` are the columns of what ``predict`` returns; ``notes`` are for the user.

    A forward pass takes ``batch_size`` rows; None stands for as many as have 4,096 tokens.
    """

    labels: Sequence[str]
    members: Sequence[Member]
    notes: Sequence[str]
    batch_size: int | None = None

    @property
    def columns(self) -> TextColumns:
        """The columns that the models were trained on."""
        return next((m.provenance.columns for m in self.members if m.provenance.columns.known), TextColumns())

    @property
    def task(self) -> TaskOptions:
        """What the models predict."""
        return self.members[0].task

    @property
    def chosen(self) -> Chosen:
        """What was chosen for decisions on the validation rows of the models: of several, on none for their mean."""
        return self.members[0].chosen if len(self.members) == 1 else NOTHING

    @property
    def max_length(self) -> int:
        """Tokens that the models read of a text, at most."""
        return max(member.pipeline.max_length for member in self.members)

    def predict(self, texts: Sequence[Any], pairs: Sequence[Any] | None = None) -> NDArray[np.float64]:
        """Return probabilities of shape (rows, labels), in the order of the texts; safe to call from threads.

        Of a regression it is the number, of shape (rows, 1). With several labels per row each has its own probability.
        A model of several text columns takes a tuple of texts for each row, or a mapping of columns to texts.
        """
        return self.answer(texts, pairs).probabilities

    def classify(
        self, texts: Sequence[Any], pairs: Sequence[Any] | None = None, *, abstain: float | None = None
    ) -> list[Any]:
        """Return what is decided for every text: its label; None where the probability of that is below ``abstain``.

        With several labels per row it is the list of those that reach their thresholds, and of a regression a number.
        ``abstain`` is a probability, above 1/K for a model of K labels: a lower one never abstains, and is warned of.
        Raises ``KexpError`` for what is no probability, and where decisions of the task have none.
        """
        if warning := self.check_abstain(abstain):
            warnings.warn(warning, stacklevel=2)
        return self.decided(self.predict(texts, pairs), abstain)

    def decided(self, predictions: NDArray[np.float64], abstain: float | None = None) -> list[Any]:
        """Return what predictions of shape (rows, labels) decide for, as ``classify`` does."""
        labels = self.task.decode(self.task.decide(predictions, self.chosen), self.labels)
        values = [self.task.value_of(label) for label in labels]
        sure = None if abstain is None else self.task.confidence(predictions, self.chosen)
        if sure is None or abstain is None:
            return values
        return [value if enough else None for value, enough in zip(values, sure >= abstain, strict=True)]

    def check_abstain(self, threshold: float | None, option: str = "abstain") -> str:
        """Return a warning about a probability below which the model abstains; "" without one, or for a useful one.

        Raises ``KexpError`` for what is no probability, and for models whose decisions have none.
        """
        if threshold is None:
            return ""
        if self.task.confidence(np.empty((0, len(self.labels))), self.chosen) is None:
            name = self.members[0].provenance.task.name
            finding = f'a decision of task "{name}" ({self.task.decision}) has no probability of its own'
            raise KexpError(f"{option} {threshold:g}: {finding}; leave it out")
        return check_threshold(threshold, len(self.labels), option)

    def answer(self, texts: Sequence[Any], pairs: Sequence[Any] | None = None) -> Answers:
        """Return the mean of the models' predictions, and the largest counts that any of them has.

        Texts are joined, normalised, cleaned and cut as in training. Raises ``KexpError`` for one text where the models
        were trained on several columns or on pairs.
        """
        return self.answer_joined(*self.columns.texts_of(texts, pairs))

    def answer_joined(
        self, texts: Sequence[Any], pairs: Sequence[Any] | None, size: BatchSize | None = None
    ) -> Answers:
        """Answer texts whose columns are joined, in passes of ``size``."""
        return self.answer_read(self.read(texts, pairs), size)

    def read(self, texts: Sequence[Any], pairs: Sequence[Any] | None) -> Reading:
        """Return the tokens of texts whose columns are joined; models that read alike share them."""
        known: list[tuple[TextPipeline, Encoded]] = []
        for member in self.members:
            if all(pipeline != member.pipeline for pipeline, _ in known):
                known.append((member.pipeline, member.pipeline.encode(texts, pairs)))
        blank = max(
            int((encoded.tokens.lengths == pipeline.specials[pairs is not None]).sum()) for pipeline, encoded in known
        )
        return Reading(
            known,
            max(encoded.truncated for _, encoded in known),
            blank,
            max(unknown_rows(encoded, pipeline.tokenizer) for pipeline, encoded in known),
        )

    def answer_read(self, reading: Reading, size: BatchSize | None = None) -> Answers:
        """Answer texts that were read, in passes of ``size``."""
        if size is None:
            size = TokensPerBatch(PREDICTION_TOKENS) if self.batch_size is None else RowsPerBatch(self.batch_size)
        total: Any = 0.0
        for member in self.members:
            encoded = next(made for pipeline, made in reading.encoded if pipeline == member.pipeline)
            order = [member.labels.index(label) for label in self.labels]
            with _memory(self.batch_size):
                total = total + member.probabilities(encoded, size)[:, order]
        return Answers(total / len(self.members), reading.truncated, reading.blank, reading.unknown)


@contextmanager
def _memory(batch_size: int | None) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        remedy = "set a small --batch-size, such as 4" if batch_size is None else "lower --batch-size"
        if message := out_of_memory(error, remedy):
            raise KexpError(message) from None
        raise
