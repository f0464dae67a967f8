"""Trainer of transformers as a contestant: as people run it, and at its best."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from contestants import Outcome, Work, device, load_classifier, synchronised
from datasets import Dataset
from transformers import (
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)


class CountingTrainer(Trainer):
    """Trainer that counts rows and keeps losses, for which no device is waited for."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.losses: list[torch.Tensor] = []
        self.rows = 0

    def compute_loss(self, model: Any, inputs: Any, *given: Any, **named: Any) -> Any:
        self.rows += len(inputs["labels"])
        loss = super().compute_loss(model, inputs, *given, **named)
        self.losses.append(loss.detach())
        return loss


class Loop(TrainerCallback):
    """Times the training loop alone: what Trainer prepares before it is no part of it."""

    started = ended = 0.0

    def on_train_begin(self, *given: Any, **named: Any) -> None:
        self.started = synchronised()

    def on_train_end(self, *given: Any, **named: Any) -> None:
        self.ended = synchronised()


def trainer(work: Work, sampling: str = "random") -> Outcome:
    """Train by Trainer, which pads each batch to its longest row; ``sampling`` is random or group_by_length."""
    model, tokenizer = load_classifier(work), AutoTokenizer.from_pretrained(work.model)
    encoded = tokenizer(work.rows["text"].tolist(), truncation=True, max_length=work.max_length)
    dataset = Dataset.from_dict({**encoded, "labels": work.rows["label"].to_numpy()})
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, per_device_train_batch_size=work.batch_size, num_train_epochs=work.epochs,
            learning_rate=work.learning_rate, lr_scheduler_type="constant", train_sampling_strategy=sampling,
            report_to=[], save_strategy="no", logging_steps=work.log_every, disable_tqdm=True,
            use_cpu=device(work.device).type == "cpu", dataloader_pin_memory=device(work.device).type != "cpu",
            bf16=work.precision == "bf16",
        )  # fmt: skip
        loop = Loop()
        runner = CountingTrainer(model, arguments, DataCollatorWithPadding(tokenizer), dataset, callbacks=[loop])
        runner.remove_callback(PrinterCallback)
        runner.train()
    return Outcome(
        loop.ended - loop.started, runner.rows, runner.state.global_step, [float(loss) for loss in runner.losses]
    )


def trainer_at_its_best(work: Work) -> Outcome:
    """Train by Trainer on groups of rows of similar length."""
    return trainer(work, "group_by_length")
