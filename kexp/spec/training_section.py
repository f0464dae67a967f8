"""The section ``[training]`` of a spec."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from pydantic import Field, PositiveInt

from kexp.errors import Problem
from kexp.options import Section
from kexp.packages import is_installed


class Training(Section):
    """Length, batches, optimiser, schedule, evaluation and hardware."""

    epochs: PositiveInt = Field(3, description="Passes over the labelled train rows, unless steps is given.")
    steps: PositiveInt | None = Field(None, description="Optimiser steps in all; replaces epochs.")
    batch_size: PositiveInt | None = Field(
        None, description="Rows per forward pass; 32 where batch_tokens is not given either."
    )
    gradient_accumulation: PositiveInt = Field(1, description="Batches per optimiser step.")
    unlabelled_ratio: PositiveInt = Field(
        3, description="Unlabelled rows per labelled row, for objectives that use them."
    )
    epochs_of: Literal["labelled", "unlabelled"] = Field(
        "labelled", description="Whether an epoch is a pass over the labelled or the unlabelled rows."
    )
    max_length: int = Field(128, ge=3, description="Tokens per row, special tokens included; longer rows are cut.")
    truncation: Literal["right", "left"] = Field("right", description="Which end of a row that is too long is cut off.")
    length_bucketing: bool = Field(
        True, description="Group rows of similar length in a batch, so that little is padded."
    )
    reuse_frozen: bool = Field(
        True,
        description="Run blocks that stay frozen once for every row, not in every step, and keep what they return.",
    )

    learning_rate: float = Field(5e-5, gt=0, lt=1, description="Peak learning rate.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay; biases and norms have none.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Moment decay rates of AdamW.")
    epsilon: float = Field(1e-8, gt=0, description="Epsilon of AdamW.")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="Factor of the learning rate from a block to the one below."
    )
    schedule: Literal["linear", "constant", "cosine", "exponential"] = Field(
        "linear", description="Learning rate after the warm-up; exponential multiplies it by gamma after every epoch."
    )
    gamma: float = Field(0.9, gt=0, le=1, description="Factor per epoch of the exponential schedule.")
    warmup_ratio: float = Field(0.0, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    warmup_steps: int = Field(0, ge=0, description="Steps in which the learning rate rises; replaces warmup_ratio.")
    gradient_clip: float = Field(1.0, ge=0, description="Largest norm of the gradient; 0 switches clipping off.")

    log_every: PositiveInt = Field(10, description="Steps between two step events, which hold means over these steps.")
    evaluate_every: PositiveInt | None = Field(
        None, description="Steps between evaluations; every epoch when not given."
    )
    monitor: str = Field("macro_f1", description="Validation metric that chooses the model.")
    patience: PositiveInt | None = Field(
        None, description="Evaluations without improvement of the monitored metric before training stops."
    )
    keep: Literal["best", "last"] | PositiveInt = Field(
        "best",
        description="Which model is kept, by the monitored metric and of equals by the lower validation loss; "
        "a number keeps that many of the best.",
    )
    ema: float = Field(
        0,
        ge=0,
        lt=1,
        description="Decay per step of a moving average of the weights, which is evaluated and kept; 0 is off.",
    )
    average: PositiveInt = Field(
        1,
        description="Number of the last evaluations whose mean weights are evaluated and kept; 1 is off.",
    )
    checkpoint: bool = Field(True, description="Save the state at every evaluation, so that a run can be resumed.")
    checkpoint_every_steps: PositiveInt | None = Field(
        None, description="Steps between two checkpoints, besides those at evaluations; none when not given."
    )
    checkpoint_every_minutes: float = Field(
        10, ge=0, allow_inf_nan=False, description="Minutes after which a checkpoint is due; 0 for none by time."
    )
    skip_bad_steps: int = Field(
        0, ge=0, description="Steps that may be left out because their loss or gradient is not finite."
    )

    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto is bf16 on a GPU that multiplies it natively, else fp32."
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Compute activations again in the backward pass: steps take longer and need less memory.",
    )
    optimizer: Literal["adamw", "adamw-8bit", "adafactor"] = Field(
        "adamw",
        description="adamw-8bit (of bitsandbytes, on CUDA) and adafactor, which has no betas, keep fewer bytes.",
    )
    tf32: bool = Field(True, description="Let matrix products use TF32 in fp32 on a GPU that has it.")
    deterministic: bool = Field(
        True,
        description="Equal specs give equal bits on a GPU too, by deterministic algorithms; false is faster.",
    )
    compile: bool = Field(False, description="Compile parts of the layers with torch.compile; a compiler is needed.")
    batch_tokens: PositiveInt | None = Field(
        None, description="Tokens per forward pass, about; instead of batch_size. At least max_length."
    )

    def problems(self) -> Iterable[Problem]:
        """Yield options that exclude each other."""
        if self.warmup_steps and self.warmup_ratio:
            yield Problem("warmup_ratio", "warmup_steps and warmup_ratio both set the warm-up", "set one of them")
        if self.steps is not None and self.warmup_steps >= self.steps:
            yield Problem("warmup_steps", f"{self.warmup_steps} steps of warm-up leave none of the {self.steps} steps")
        if self.batch_size is not None and self.batch_tokens is not None:
            message = "batch_size and batch_tokens both say how large a batch is"
            yield Problem("batch_tokens", message, "remove one of them")
        if self.batch_tokens is not None and self.batch_tokens < self.max_length:
            message = f"{self.batch_tokens} tokens are fewer than those of one row, max_length = {self.max_length}"
            yield Problem("batch_tokens", message, "raise it, or lower training.max_length")
        if self.ema and self.average > 1:
            yield Problem("average", "ema and average both say which weights are evaluated", "set one of them")
        if self.precision == "fp16" and self.device == "cpu":
            yield Problem("precision", "fp16 needs a GPU", 'use "bf16" or "fp32" on a CPU')
        if self.checkpoint_every_steps is not None and not self.checkpoint:
            yield Problem("checkpoint_every_steps", "checkpoint = false writes none", "remove one of them")
        if self.optimizer == "adamw-8bit" and self.device in ("cpu", "mps"):
            message = f'"adamw-8bit" needs a CUDA device, not {self.device}'
            yield Problem("optimizer", message, 'use "adafactor" or "adamw"')
        elif self.optimizer == "adamw-8bit" and not is_installed("bitsandbytes"):
            message = '"adamw-8bit" needs the package bitsandbytes'
            yield Problem("optimizer", message, "pip install 'kexp[adamw-8bit]'")
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            yield Problem("device", f'expected auto, cpu, cuda, cuda:N or mps, found "{self.device}"')
        if not all(0 <= beta < 1 for beta in self.betas):
            yield Problem("betas", f"expected two numbers in [0, 1), found {list(self.betas)}")

    def warnings(self) -> Iterable[Problem]:
        """Yield options without effect, and fewer evaluations than are averaged, where these options say how many."""
        if self.optimizer == "adafactor":
            for name in ("betas", "epsilon"):
                if getattr(self, name) != Training.model_fields[name].default:
                    yield Problem(name, "adafactor has none", "leave it out")
        evaluations = None
        if self.evaluate_every is None and self.steps is None:
            evaluations = self.epochs
        elif self.evaluate_every is not None and self.steps is not None:
            evaluations = -(-self.steps // self.evaluate_every)
        if evaluations is not None and self.average > evaluations:
            message = f"the weights of {self.average} evaluations cannot be averaged: there are {evaluations}"
            yield Problem("average", message, "lower it, or evaluate more often with evaluate_every")

    @property
    def models_kept(self) -> int:
        """Number of the best evaluations whose weights are kept; 0 where the last model is kept."""
        return {"best": 1, "last": 0}[self.keep] if isinstance(self.keep, str) else self.keep

    @property
    def batch_option(self) -> str:
        """The option by which the size of batches is stated."""
        return "training.batch_size" if self.batch_tokens is None else "training.batch_tokens"
