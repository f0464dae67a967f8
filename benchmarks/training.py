"""Time one epoch of the same training four ways and print the ratios: a notebook's loop, Trainer twice, and kexp.

    python benchmarks/training.py --model FOLDER_OR_ID --data reviews.csv --text text --rows 2000

All four train the same model on the same rows with AdamW, batch 32 and fp32. They differ in how batches are made:
the notebook pads everything to max_length, Trainer pads to the longest row of a random batch, Trainer with
group_by_length sorts rows roughly by length, kexp cuts length-sorted stretches of a random order. Loading the model,
reading and tokenising are not timed; the order of the contestants changes from round to round.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import parser, reviews, turns
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
)

from kexp.builtin.freezing import NoFreezing
from kexp.builtin.objectives import CrossEntropy
from kexp.builtin.samplers import RandomSampler
from kexp.data.encoding import encode, tokenise
from kexp.data.labelled_stream import Collator, LabelledStream
from kexp.data.rows import Rows
from kexp.devices import choose
from kexp.model.forward import Classifier
from kexp.spec.sections import Training
from kexp.train.loop import Trainer as KexpTrainer

BATCH = 32


def notebook(
    model: PreTrainedModel, tokenizer, texts: list[str], labels: np.ndarray, max_length: int
) -> Callable[[], None]:
    inputs = tokenizer(texts, padding="max_length", truncation=True, max_length=max_length, return_tensors="pt")
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5)
    truth = torch.from_numpy(labels)

    def epoch() -> None:
        model.train()
        for rows in torch.randperm(len(truth)).split(BATCH):
            loss = model(**{name: values[rows] for name, values in inputs.items()}, labels=truth[rows]).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return epoch


def trainer(
    model: PreTrainedModel, tokenizer, texts: list[str], labels: np.ndarray, max_length: int, sampling: str
) -> Callable[[], None]:
    encoded = tokenizer(texts, truncation=True, max_length=max_length)
    dataset = Dataset.from_dict({**encoded, "labels": labels})
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=BATCH, num_train_epochs=1, learning_rate=2e-5,
        train_sampling_strategy=sampling, report_to=[], save_strategy="no", logging_steps=10, disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(), dataloader_pin_memory=False,
    )  # fmt: skip
    runner = Trainer(model, arguments, DataCollatorWithPadding(tokenizer), dataset)
    return lambda: runner.train() and None


def ours(
    model: PreTrainedModel, tokenizer, texts: list[str], labels: np.ndarray, max_length: int
) -> Callable[[], None]:
    encoded = encode(texts, None, tokenizer, max_length=max_length, truncation="right", tokenise=tokenise)
    rows = Rows(texts, None, labels, np.arange(len(texts)))
    collator = Collator(tokenizer.pad_token_id, token_types=True)
    stream = LabelledStream(rows, encoded, RandomSampler(), collator, seed=0, batch_size=BATCH)

    hardware = choose("auto", "fp32")
    classifier = Classifier(model.to(hardware.device), hardware, tokenizer.pad_token_id)

    def epoch() -> None:
        run = KexpTrainer(
            classifier, CrossEntropy(0.0, None), NoFreezing(), stream, lambda: {"macro_f1": 0.0},
            Training(epochs=1, learning_rate=2e-5, batch_size=BATCH, checkpoint=False, keep="last"),
            seed=0, greater_is_better=True, folder=Path(tempfile.mkdtemp()),
        )  # fmt: skip
        for _ in run.events():
            pass

    return epoch


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--max-length", type=int, default=64)
    options = arguments.parse_args()
    frame = reviews(options)
    texts, labels = frame[options.text].tolist(), frame["label"].astype("int64").to_numpy()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    contestants: dict[str, Callable[..., Callable[[], None]]] = {
        "notebook loop, fixed padding": notebook,
        "Trainer, dynamic padding": lambda *given: trainer(*given, sampling="random"),
        "Trainer, grouped by length": lambda *given: trainer(*given, sampling="group_by_length"),
        "kexp": ours,
    }
    epochs = {}
    for name, make in contestants.items():
        model = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=len(set(labels)))
        epochs[name] = make(model, tokenizer, texts, labels, options.max_length)
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for name in turns(epochs, options.rounds):
        started = time.perf_counter()
        epochs[name]()
        seconds[name].append(time.perf_counter() - started)
    base = statistics.median(seconds["notebook loop, fixed padding"])
    print(f"{'':32}{'seconds':>10}{'rows/s':>10}{'times as fast':>15}")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"{name:32}{median:10.1f}{len(texts) / median:10.0f}{base / median:15.2f}")


if __name__ == "__main__":
    main()
