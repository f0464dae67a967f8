"""What the tests of training share: a model that trains in milliseconds, and a stream of batches for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from kexp.builtin.freezing import NoFreezing
from kexp.builtin.objectives import CrossEntropy
from kexp.contracts import FreezingOptions
from kexp.devices import choose
from kexp.host_batches import HostBatch, HostRows, HostUnlabelledBatch, MicroBatch
from kexp.model.forward import Classifier
from kexp.spec.training_section import Training
from kexp.train.loop import Trainer

ROWS, TOKENS, CLASSES = 40, 9, 3


class OwnBert(BertForSequenceClassification):
    """A model of another package, whose rows are padded."""


WAYS = {"flat": BertForSequenceClassification, "padded": OwnBert}


def model(dropout: float = 0.1, way: str = "flat") -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, num_labels=CLASSES, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    return WAYS[way](config)


class FixedStream:
    """Five micro-batches of eight rows per epoch, the same ones in an order that depends on the epoch."""

    def __init__(self, accumulation: int = 1) -> None:
        generator = np.random.default_rng(0)
        self.ids = generator.integers(0, 50, (ROWS, TOKENS))
        self.labels = self.ids[:, 0] % CLASSES
        self.accumulation = accumulation

    def steps_per_epoch(self) -> int:
        return math.ceil(ROWS / 8 / self.accumulation)

    def epoch(self, number: int, start: int = 0):
        order = np.random.default_rng(number).permutation(ROWS)
        batches = [self.batch(order[first : first + 8]) for first in range(0, ROWS, 8)]
        for first in range(start * self.accumulation, len(batches), self.accumulation):
            yield [MicroBatch(batch) for batch in batches[first : first + self.accumulation]]

    def batch(self, rows) -> HostBatch:
        inputs = HostRows(self.ids[rows].flatten(), np.full(len(rows), TOKENS))
        return HostBatch(inputs, self.labels[rows], rows + 100)


class Pairs(FixedStream):
    """A stream with three unlabelled rows per labelled one."""

    def epoch(self, number: int, start: int = 0):
        for (micro,) in super().epoch(number, start):
            rows = (micro.labelled.numbers[:, None] + np.arange(3)).flatten() % ROWS
            inputs = self.batch(rows).inputs
            other = replace(inputs, ids=inputs.ids[::-1].copy())
            yield [MicroBatch(micro.labelled, HostUnlabelledBatch(inputs, other, rows, rows))]


def trainer(
    folder: Path,
    freezing: FreezingOptions | None = None,
    stream=None,
    objective=None,
    net=None,
    made_from=None,
    **options,
) -> Trainer:
    evaluated = net or model()
    stream = stream or FixedStream()

    def evaluate() -> Mapping[str, float]:
        evaluated.eval()
        with torch.inference_mode():
            logits = evaluated(torch.from_numpy(stream.ids)).logits
        return {"macro_f1": -float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(stream.labels)))}

    settings = Training(learning_rate=1e-2, batch_size=8, **options)
    return Trainer(
        Classifier(evaluated, choose("cpu", options.get("precision", "fp32")), 0), objective or CrossEntropy(0.0, None), freezing or NoFreezing(), stream, evaluate, settings,
        seed=7, greater_is_better=True, folder=folder, made_from=made_from,
    )  # fmt: skip


def bits(net: torch.nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in net.state_dict().items()}
