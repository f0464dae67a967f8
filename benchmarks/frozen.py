"""Time training with frozen blocks three ways and print the ratios: Trainer, kexp, and kexp with reused hidden states.

    python benchmarks/frozen.py --model FOLDER_OR_ID --data ratings_train.txt --rows 2000

All three train the same model on the same rows with AdamW, batch 32 and fp32, with the same blocks frozen: everything
below the head, and the embeddings with the lower half of the layers. Trainer has parameters without gradients, and
length groups. The last contestant runs the frozen blocks once for every row and trains the rest of the model; that one
pass is part of its time. Loading the model, reading, tokenising and evaluation are not timed; the order of the
contestants changes from round to round.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from common import parser, reviews, turns
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from kexp.builtin.freezing import FreezeBottomLayers
from kexp.builtin.objectives import CrossEntropy
from kexp.builtin.samplers import RandomSampler
from kexp.data.batching import by_length
from kexp.data.encoding import Encoded, encode, tokenise
from kexp.data.labelled_stream import Collator, LabelledStream
from kexp.data.rows import Rows
from kexp.data.stored_hidden_states import StoredHiddenStates
from kexp.devices import choose
from kexp.model.blocks import find_blocks
from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows
from kexp.spec.sections import Training
from kexp.train.loop import Trainer as KexpTrainer

BATCH, RATE = 32, 2e-5


def trainer(model: PreTrainedModel, tokenizer, rows: Rows, encoded: Encoded, layers: int, epochs: int) -> float:
    blocks = find_blocks(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(blocks.block_of[name.rpartition(".")[0]] not in blocks.names[: 1 + layers])
    ids = [encoded.tokens.row(number).tolist() for number in range(len(encoded))]
    dataset = Dataset.from_dict({"input_ids": ids, "labels": rows.labels})
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=BATCH, num_train_epochs=epochs, learning_rate=RATE,
        train_sampling_strategy="group_by_length", report_to=[], save_strategy="no", logging_steps=10,
        disable_tqdm=True, use_cpu=not torch.cuda.is_available(), dataloader_pin_memory=False,
    )  # fmt: skip
    runner = Trainer(model, arguments, DataCollatorWithPadding(tokenizer), dataset)
    runner.remove_callback(PrinterCallback)
    started = time.perf_counter()
    runner.train()
    return time.perf_counter() - started


def ours(
    model: PreTrainedModel, tokenizer, rows: Rows, encoded: Encoded, layers: int, epochs: int, *, reuse: bool
) -> float:
    collator = Collator(tokenizer.pad_token_id, token_types=True)
    stream = LabelledStream(rows, encoded, RandomSampler(), collator, seed=0, batch_size=BATCH)
    hardware = choose("auto", "fp32")
    classifier = Classifier(model.to(hardware.device), hardware, tokenizer.pad_token_id)
    started = time.perf_counter()
    if reuse:
        classifier, stream = with_hidden_states(classifier, stream, layers)
    run = KexpTrainer(
        classifier, CrossEntropy(0.0, None), FreezeBottomLayers(layers=layers), stream, lambda: {"macro_f1": 0.0},
        Training(epochs=epochs, learning_rate=RATE, batch_size=BATCH, checkpoint=False, keep="last"),
        seed=0, greater_is_better=True, folder=None,
    )  # fmt: skip
    for _ in run.events():
        pass
    return time.perf_counter() - started


def with_hidden_states(
    classifier: Classifier, stream: LabelledStream, layers: int
) -> tuple[Classifier, LabelledStream]:
    """Do what ``kexp.experiment.reuse_frozen.reuse_frozen`` does, without validation."""
    encoded, lengths = stream.encoded, stream.encoded.tokens.lengths
    stored = None
    for rows in by_length(lengths, 128):
        given = TokenRows.of(stream.collator(encoded, rows), classifier.hardware.device)
        hidden = classifier.hidden(given, layers)
        if stored is None:
            room = np.ones_like(lengths) if len(hidden) == len(rows) else lengths
            stored = StoredHiddenStates.empty(room, hidden)
        stored.put(rows, hidden)
    assert stored is not None
    return replace(classifier, known_layers=layers), replace(stream, encoded=replace(encoded, hidden=stored.of))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--max-length", type=int, default=64)
    arguments.add_argument("--epochs", type=int, default=3)
    options = arguments.parse_args()
    frame = reviews(options)
    texts, labels = frame[options.text].tolist(), frame["label"].astype("int64").to_numpy()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    encoded = encode(texts, None, tokenizer, max_length=options.max_length, truncation="right", tokenise=tokenise)
    rows = Rows(texts, None, labels, np.arange(len(texts)))
    contestants: dict[str, Callable[..., float]] = {
        "Trainer, grouped by length": trainer,
        "kexp, all blocks every step": lambda *given: ours(*given, reuse=False),
        "kexp, frozen blocks once": lambda *given: ours(*given, reuse=True),
    }

    def fresh() -> PreTrainedModel:
        return AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=len(set(labels.tolist())))

    count = fresh().config.num_hidden_layers
    for title, layers in (("all but the head frozen", count), (f"{count // 2} of {count} layers frozen", count // 2)):
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for name in turns(contestants, options.rounds):
            seconds[name].append(contestants[name](fresh(), tokenizer, rows, encoded, layers, options.epochs))
        base = statistics.median(seconds["kexp, all blocks every step"])
        print(f"{title + f', {options.epochs} epochs':42}{'seconds':>10}{'rows/s':>10}{'times as fast':>15}")
        for name, times in seconds.items():
            median = statistics.median(times)
            print(f"  {name:40}{median:10.1f}{options.epochs * len(texts) / median:10.0f}{base / median:15.2f}")


if __name__ == "__main__":
    main()
