"""Time one step of UDA as kexp does it beside the same step as three separate passes, and print the ratio.

    python benchmarks/uda_step.py --model FOLDER_OR_ID --data ratings_train.txt

Both take the same labelled, original and augmented rows through forward and backward. The peer pads every group to
max_length and calls the model three times, as ported notebooks do; a second peer pads each of the three groups to its
own longest row. kexp sends labelled and augmented rows through one pass, whose batches were matched by length, and the
originals through one without gradient. The contestants take turns on the same rows; optimiser steps and tokenising are
left out of all.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy, kl_div, pad
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kexp.builtin.augmenters import RandomDeletion
from kexp.builtin.objectives import UdaOptions
from kexp.builtin.samplers import RandomSampler
from kexp.contracts import AugmenterContext, Batch, ObjectiveContext, Progress, UnlabelledBatch
from kexp.cross_entropy import CrossEntropyOptions
from kexp.data.encoding import Encoded, encode, tokenise
from kexp.data.labelled_stream import Collator, LabelledStream
from kexp.data.rows import Rows
from kexp.data.semi_supervised_stream import SemiSupervisedStream, new_views
from kexp.devices import choose
from kexp.files import read_delimited
from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows, own
from kexp.train.step import to_device

Step = Callable[[Batch, UnlabelledBatch], torch.Tensor]


def fused(classifier: Classifier) -> Step:
    objective = UdaOptions(supervised=CrossEntropyOptions()).build(ObjectiveContext([1, 1], 1))
    return lambda labelled, pairs: objective.step(classifier, labelled, pairs, Progress(0, 1)).loss


def separate(classifier: Classifier, width: int | None) -> Step:
    def logits(rows: TokenRows) -> torch.Tensor:
        inputs = rows.padded(classifier.pad_id)
        more = 0 if width is None else width - int(rows.lengths.max())
        return classifier.module(**{name: pad(tensor, (0, more)) for name, tensor in inputs.items()}).logits

    def step(labelled: Batch, pairs: UnlabelledBatch) -> torch.Tensor:
        loss = cross_entropy(logits(own(labelled.inputs)), labelled.labels)
        target = logits(own(pairs.original)).log_softmax(-1).detach()
        predicted = logits(own(pairs.augmented)).log_softmax(-1)
        return loss + kl_div(predicted, target, reduction="batchmean", log_target=True)

    return step


def stream(options: argparse.Namespace, tokenizer) -> SemiSupervisedStream:
    frame = read_delimited(options.data, separator="\t", quoting=False)
    frame = frame[frame["document"].str.strip() != ""].sample(4100, random_state=0)
    texts, labels = frame["document"].tolist(), frame["label"].astype("int64").to_numpy()

    def encoded(texts: list[str], pairs: None = None) -> Encoded:
        return encode(texts, pairs, tokenizer, max_length=options.max_length, truncation="right", tokenise=tokenise)

    few = Rows(texts[:100], None, labels[:100], np.arange(100))
    unlabelled = Rows(texts[100:], None, np.full(4000, -1), np.arange(4000))
    labelled = LabelledStream(
        few,
        encoded(few.texts),
        RandomSampler(),
        Collator(tokenizer.pad_token_id, token_types=True),
        0,
        options.labelled,
    )
    augment = new_views(unlabelled, RandomDeletion(p=0.2).build(AugmenterContext()), encoded, 0)
    rows = encoded(unlabelled.texts)
    return SemiSupervisedStream(labelled, unlabelled, rows, augment, options.unlabelled, unlabelled_epochs=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--labelled", type=int, default=4)
    parser.add_argument("--unlabelled", type=int, default=64)
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=2).train()
    classifier = Classifier(model, choose("cpu", "fp32"), tokenizer.pad_token_id)
    contestants: dict[str, Step] = {
        "three passes, fixed padding": separate(classifier, options.max_length),
        "three passes, dynamic padding": separate(classifier, None),
        "kexp": fused(classifier),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number, (micro,) in zip(range(options.steps + 1), stream(options, tokenizer).epoch(0), strict=False):
        labelled, pairs = to_device(micro, torch.device("cpu"))
        for name, step in contestants.items():
            started = time.perf_counter()
            step(labelled, pairs).backward()
            model.zero_grad()
            # The first step warms up.
            seconds[name] += [time.perf_counter() - started] if number else []
    base = statistics.fmean(seconds["three passes, fixed padding"])
    print(f"{'':32}{'ms a step':>10}{'times as fast':>15}")
    for name, times in seconds.items():
        print(f"{name:32}{statistics.fmean(times) * 1000:10.0f}{base / statistics.fmean(times):15.2f}")


if __name__ == "__main__":
    main()
