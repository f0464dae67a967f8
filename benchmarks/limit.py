"""Compute how fast a machine could train at best: useful FLOP of real tokens over its measured rate of matrix products.

    python benchmarks/limit.py --model FOLDER_OR_ID --data ratings_train.txt --max-length 64

Useful is what reaches the loss: tokens without padding, the last layer for first tokens alone (its keys and values for
all tokens), frozen blocks once per row instead of once per epoch, and no gradient that no parameter needs. A product of
matrices has two FLOP for each multiplication. Everything else, such as softmax, norms, activations and the optimiser,
counts as nothing, so no program can be as fast as this.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from common import LIMIT, parser, report, reviews
from contestants import device, synchronised
from transformers import AutoConfig, AutoTokenizer

SECONDS = 0.4
"""How long a shape is measured, after one product that warms up."""


@dataclass(frozen=True)
class Encoder:
    """The sizes of an encoder of the kind of BERT."""

    layers: int
    hidden: int
    inner: int
    labels: int = 2

    @classmethod
    def of(cls, config: Any) -> Encoder:
        inner = getattr(config, "intermediate_size", None) or config.hidden_dim
        return cls(config.num_hidden_layers, config.hidden_size, inner)

    def layer(self, lengths: np.ndarray, *, first_token: bool = False) -> float:
        """FLOP of one layer's forward pass, for all tokens or, the keys and values apart, for first tokens alone."""
        tokens, rows = float(lengths.sum()), float(len(lengths))
        asking = rows if first_token else tokens
        keys = 4 * self.hidden**2 * tokens
        pairs = tokens if first_token else float((lengths.astype(float) ** 2).sum())
        rest = (4 * self.hidden**2 + 4 * self.hidden * self.inner) * asking
        return keys + 4 * self.hidden * pairs + rest

    def head(self, rows: int) -> float:
        """FLOP of a pooler and a classifier."""
        return rows * (2.0 * self.hidden**2 + 2 * self.hidden * self.labels)

    def forward(self, lengths: np.ndarray) -> float:
        """FLOP of predicting rows."""
        layers = (self.layer(lengths, first_token=number == self.layers - 1) for number in range(self.layers))
        return sum(layers) + self.head(len(lengths))

    def training(self, lengths: np.ndarray, epochs: int = 1, frozen: int = 0) -> float:
        """FLOP of training on rows, with the ``frozen`` lowest layers run once for all epochs.

        A backward pass has twice the FLOP of its forward pass, half of them for the gradient of the input. The lowest
        trained layer needs that half too where the embeddings below it are trained.
        """
        total = 0.0
        for number in range(self.layers):
            forward = self.layer(lengths, first_token=number == self.layers - 1)
            if number < frozen:
                total += forward
                continue
            total += epochs * 3 * forward
            if frozen and number == frozen:
                # Its input needs no gradient: that of three of its products is left out.
                total -= epochs * 2 * self.hidden**2 * self._inputs(lengths, last=number == self.layers - 1)
        heads = 2 if frozen == self.layers else 3
        return total + epochs * heads * self.head(len(lengths))

    def _inputs(self, lengths: np.ndarray, *, last: bool) -> float:
        """How often the input of a layer is multiplied: as keys and values, and as queries."""
        return 2 * float(lengths.sum()) + float(len(lengths) if last else lengths.sum())


def matmul_rate(encoder: Encoder, precision: str = "fp32", name: str = "auto") -> float:
    """Return the highest FLOP per second of products as an encoder has them, over several numbers of tokens."""
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    best = 0.0
    on = device(name)
    for rows in (512, 1024, 2048) if on.type == "cpu" else (4096, 16384):
        for width, out in ((encoder.hidden, encoder.hidden), (encoder.hidden, encoder.inner)):
            left, right = (torch.randn(shape, device=on, dtype=kind) for shape in ((rows, width), (width, out)))
            best = max(best, 2.0 * rows * width * out / _seconds(left, right))
    return best


def _seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    """Return the fewest seconds of a product, of several groups of them."""
    _ = left @ right
    best, ends = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < ends:
        started = synchronised()
        for _ in range(8):
            _ = left @ right
        best = min(best, (synchronised() - started) / 8)
    return best


def lengths_of(texts: Sequence[str], tokenizer: Any, max_length: int) -> np.ndarray:
    """Return the numbers of tokens of texts that are cut to a length."""
    ids = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    return np.array([len(row) for row in ids])


def limit_row(flop: float, precision: str, encoder: Encoder) -> tuple[str, list[float], dict[str, float]]:
    """Return the name and the seconds of a table's row for the limit, and what it was computed from."""
    rate = matmul_rate(encoder, precision)
    return f"{LIMIT}: {flop:.2e} useful FLOP", [flop / rate], {"flop": flop, "matmul_flop_per_second": rate}


def main() -> None:
    arguments: argparse.ArgumentParser = parser(__doc__)
    arguments.add_argument("--max-length", type=int, default=64)
    arguments.add_argument("--epochs", type=int, default=1)
    arguments.add_argument("--frozen", type=int, default=0, help="number of lowest layers that are frozen")
    options = arguments.parse_args()
    encoder = Encoder.of(AutoConfig.from_pretrained(options.model))
    texts = reviews(options)["text"].tolist()
    lengths = lengths_of(texts, AutoTokenizer.from_pretrained(options.model), options.max_length)
    rate = matmul_rate(encoder, options.precision)
    flop = {
        f"training, {options.epochs} epochs": encoder.training(lengths, options.epochs, options.frozen),
        "prediction": encoder.forward(lengths),
    }
    print(f"{rate / 1e9:,.1f} GFLOP/s, {lengths.sum()} tokens in {len(lengths)} rows of at most {lengths.max()}")
    for name, count in flop.items():
        print(f"{name}: {count:.3e} FLOP, at least {count / rate:.2f} s")
    figures = {name: {"flop": count, "seconds": count / rate} for name, count in flop.items()}
    report(options, [], matmul_flop_per_second=rate, tokens=int(lengths.sum()), limits=figures)


if __name__ == "__main__":
    main()
