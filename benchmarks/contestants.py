"""Ways to train a classifier on the same rows, a plain loop and kexp, and checks that they do equal work.

Each one is given a ``Work`` and returns an ``Outcome``; that of transformers is in ``trainers``. Loading the model,
reading, tokenising and evaluating are timed in none of them.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.utils import logging
from typer.testing import CliRunner

from kexp.model.blocks import find_blocks

logging.disable_progress_bar()
# What a checkpoint lacks, such as the head of a classifier, is made anew in all.
logging.set_verbosity_error()

FIRST, LATER = 1e-4, 2e-3
"""Largest relative differences of fp32 losses of the first step, and of those after updates of the weights."""
LOOSER = 30
"""How much larger the differences may be where products are rounded to fewer digits."""


@dataclass(frozen=True)
class Work:
    """What is trained on what; the ``frozen`` lowest layers do not train, and the embeddings with them."""

    model: Path
    rows: pd.DataFrame
    max_length: int = 64
    epochs: int = 1
    frozen: int = 0
    batch_size: int = 32
    learning_rate: float = 2e-5
    precision: str = "fp32"
    log_every: int = 10
    device: str = "auto"

    @property
    def steps(self) -> int:
        return self.epochs * -(-len(self.rows) // self.batch_size)


@dataclass(frozen=True)
class Outcome:
    """Seconds of training, rows and steps that were trained on, and losses as far as they were logged."""

    seconds: float
    rows: int
    steps: int
    losses: Sequence[float]
    details: Mapping[str, Any] = field(default_factory=dict)


Contestant = Callable[[Work], Outcome]


# --- the model ------------------------------------------------------------------------------------------------------


def save_classifier(source: str | Path, folder: Path, *, dropout: bool = True) -> Path:
    """Write the classifier that all contestants begin with: with one head, and with or without dropout."""
    config = AutoConfig.from_pretrained(source, id2label={0: "0", 1: "1"}, label2id={"0": 0, "1": 1})
    if not dropout:
        named = [name for name in vars(config) if "dropout" in name or name.endswith("_drop")]
        config.update({name: 0.0 for name in named if name not in ("id2label", "label2id")})
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(source, config=config, dtype=torch.float32)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


def load_classifier(work: Work) -> PreTrainedModel:
    """Load the classifier with the lowest layers frozen; all that is frozen needs no gradient."""
    model = AutoModelForSequenceClassification.from_pretrained(work.model)
    blocks = find_blocks(model)
    frozen = blocks.names[: 1 + work.frozen] if work.frozen else ()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(blocks.block_of[name.rpartition(".")[0]] not in frozen)
    return model.to(device(work.device))


def device(name: str = "auto") -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def synchronised() -> float:
    """Return the time when the device has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def autocast(precision: str, name: str = "auto") -> Any:
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(device(name).type, kinds[precision]) if precision in kinds else nullcontext()


# --- a loop, as in notebooks ----------------------------------------------------------------------------------------


def notebook(work: Work) -> Outcome:
    """Train in a plain loop over batches that are padded to max_length."""
    model, tokenizer = load_classifier(work), AutoTokenizer.from_pretrained(work.model)
    given = {"padding": "max_length", "truncation": True, "max_length": work.max_length, "return_tensors": "pt"}
    inputs = tokenizer(work.rows["text"].tolist(), **given).to(model.device)
    truth = torch.tensor(work.rows["label"].to_numpy(), device=model.device)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=work.learning_rate, weight_decay=0.0)
    scaler = torch.amp.GradScaler(model.device.type, enabled=work.precision == "fp16")
    losses: list[torch.Tensor] = []
    seen = 0
    started = synchronised()
    model.train()
    for _ in range(work.epochs):
        for chosen in torch.randperm(len(truth)).split(work.batch_size):
            with autocast(work.precision, work.device):
                loss = model(**{name: values[chosen] for name, values in inputs.items()}, labels=truth[chosen]).loss
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.detach())
            seen += len(chosen)
    return Outcome(synchronised() - started, seen, len(losses), [float(loss) for loss in losses])


# --- kexp -----------------------------------------------------------------------------------------------------------


def kexp(work: Work, settings: Mapping[str, Any] | None = None) -> Outcome:
    """Train by ``kexp run``; ``settings`` are further keys of the spec."""
    settings = settings or {}
    if work.frozen:
        settings = {"freezing.use": "bottom-layers", "freezing.layers": work.frozen, **settings}
    return run_kexp(work, {"train": work.rows}, settings)


def run_kexp(work: Work, files: Mapping[str, pd.DataFrame], settings: Mapping[str, Any]) -> Outcome:
    """Call ``kexp run`` with an empty cache on tables of rows, by the dataset's option that names each of them.

    Its seconds are those of the whole training loop without evaluation, the writing of its log and the hidden states of
    frozen blocks included, as the record of the run has them.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {**files, "test": work.rows.head(8)}
        spec = write_spec(folder, work, files, settings)
        started = time.perf_counter()
        call_kexp("run", spec, "--runs-dir", folder / "runs", "--quiet", cache=folder / "cache")
        whole = time.perf_counter() - started
        (path,) = folder.glob("runs/*/*/*/seed-0")
        record = json.loads((path / "result.json").read_text("utf-8"))
        lines = (path / "metrics.jsonl").read_text("utf-8").splitlines()
    losses = [event["loss"] for event in map(json.loads, lines) if event["event"] == "step"]
    shares, trained = record["time_shares"], record["train_seconds"]
    loop = trained / (shares["data"] + shares["steps"]) * (1 - shares["evaluation"])
    rows = round(record["examples_per_second"] * trained)
    details = {"command_seconds": whole, "train_seconds": trained, "time_shares": shares}
    details |= {key: record[key] for key in ("tf32", "compiled") if key in record}
    return Outcome(loop, rows, record["steps"], losses, details)


def write_spec(folder: Path, work: Work, files: Mapping[str, pd.DataFrame], settings: Mapping[str, Any]) -> Path:
    """Write a spec for a work and the tables that it reads; settings are keys with dots, which replace others."""
    stated: dict[str, Any] = {"name": "benchmark", "seeds": [0], "dataset.use": "table", "dataset.text": "text"}
    for option, rows in files.items():
        path = folder / f"{option}.parquet"
        rows.to_parquet(path)
        stated[f"dataset.{option}"] = str(path)
    stated |= {
        "cleaning.duplicates": "keep", "cleaning.overlap": "keep", "cleaning.contradictions": "keep",
        "split.validation": 0, "backbone.use": "hf", "backbone.path": str(work.model), "backbone.keep_head": True,
        "training.epochs": work.epochs, "training.batch_size": work.batch_size,
        "training.max_length": work.max_length, "training.learning_rate": work.learning_rate,
        "training.schedule": "constant", "training.weight_decay": 0,
        # As the others multiply.
        "training.precision": work.precision, "training.tf32": False, "training.device": work.device,
        "training.log_every": work.log_every, "training.checkpoint": False, "training.keep": "last",
        "evaluation.baselines": [],
    }  # fmt: skip
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in {**stated, **settings}.items()]
    spec = folder / "benchmark.toml"
    spec.write_text("\n".join(lines) + "\n", "utf-8")
    return spec


def call_kexp(*command: Any, cache: Path, status: int = 0) -> str:
    """Call kexp in this process and return its standard output; another status than expected ends the benchmark."""
    # Here, so that a process that trains otherwise need not hold it.
    from kexp.cli import app

    done = CliRunner().invoke(app, [str(word) for word in command], env={"KEXP_CACHE_DIR": str(cache)})
    if done.exit_code != status:
        raise SystemExit(f"kexp {command[0]} failed with status {done.exit_code}: {done.output}{done.exception or ''}")
    return done.stdout


# --- equal work -----------------------------------------------------------------------------------------------------


def need_equal_work(work: Work, outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, Any]:
    """Return rows and steps of the work, once every contestant is found to have trained on exactly these."""
    for name, found in outcomes.items():
        for outcome in found:
            expected = (work.epochs * len(work.rows), work.steps)
            if (outcome.rows, outcome.steps) != expected:
                raise SystemExit(f"{name}: {outcome.rows} rows in {outcome.steps} steps, expected {expected}")
    return {"rows": work.epochs * len(work.rows), "steps": work.steps}


def need_equal_losses(contestants: Mapping[str, Contestant], work: Work, source: str | Path) -> dict[str, Any]:
    """Return the losses of every contestant in three steps on one batch without dropout; they must agree.

    The batch is all there is, so every step has the same rows in whatever order; the losses of the second and third
    show that the same parameters were updated alike.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = save_classifier(source, Path(folder), dropout=False)
        # Short ones beside long ones: padding must not change a loss.
        rows = work.rows.head(work.batch_size)
        small = replace(work, model=model, rows=rows, epochs=3, log_every=1)
        losses = {name: list(contestant(small).losses) for name, contestant in contestants.items()}
    return check_losses(losses, work.precision)


def check_losses(losses: Mapping[str, Sequence[float]], precision: str = "fp32") -> dict[str, Any]:
    """Return losses by contestant and their largest differences from those of the first one; raise if they differ."""
    base = np.array(next(iter(losses.values())))
    factor = 1 if precision == "fp32" and not torch.cuda.is_available() else LOOSER
    for name, values in losses.items():
        same = len(values) == len(base) and np.isfinite(values).all()
        difference = np.abs(np.array(values) / base - 1) if same else np.full(len(base), np.inf)
        if difference[0] > factor * FIRST or difference.max() > factor * LATER:
            raise SystemExit(f"{name}: losses {list(values)}, expected {base.tolist()}")
    differences = {name: float(np.abs(np.array(values) / base - 1)[0]) for name, values in losses.items()}
    return {"losses": {name: list(values) for name, values in losses.items()}, "first_step_difference": differences}


def details(outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, Any]:
    """Return what the outcomes have beside seconds, by contestant, for a report."""
    return {name: [asdict(outcome)["details"] for outcome in found] for name, found in outcomes.items()}
