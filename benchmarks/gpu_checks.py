"""The checks of ``gpu.py``; each one raises ``SystemExit`` or ``CheckFailed``, or returns what it found in one line."""

from __future__ import annotations

import gc
import hashlib
import json
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import torch
from contestants import Work, autocast, call_kexp, check_losses, device, kexp, notebook, save_classifier, write_spec
from limit import Encoder, lengths_of, matmul_rate
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PretrainedConfig,
    RobertaConfig,
)

from kexp.model.flat import FlatModel
from kexp.model.token_rows import TokenRows
from kexp.testing import korean_texts, tiny_classifier
from kexp.train.step import OptimizerStep

DATASHEETS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12, "T4": 65e12}
"""FLOP per second of dense products in 16 bits, by a part of the GPU's name, as its maker states them."""
CLOSE = {"fp32": 1e-4, "bf16": 5e-2, "fp16": 1e-2}
"""Largest difference of the flat pass from the padded one, relative to the largest number."""


class CheckFailed(Exception):
    """What a check found is not so."""


@dataclass(frozen=True)
class Size:
    """The size of a random model of the kind of BERT, and of the rows that it is given."""

    layers: int
    hidden: int
    rows: int
    words: int = 60
    max_length: int = 128


SMALL = Size(2, 64, 64, words=12, max_length=32)
BASE = Size(12, 768, 4096)


# --- random models and texts ----------------------------------------------------------------------------------------


def save_random(folder: Path, size: Size, *, dropout: bool = True) -> Path:
    """Write a classifier of random weights with a tokenizer that has learnt a few Korean texts."""
    tokenizer = tiny_classifier()[1]
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=size.hidden, num_hidden_layers=size.layers,
        num_attention_heads=max(1, size.hidden // 64), intermediate_size=4 * size.hidden,
        max_position_embeddings=size.max_length, pad_token_id=tokenizer.pad_token_id, initializer_range=0.1,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        torch.manual_seed(0)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(name)
        tokenizer.save_pretrained(name)
        return save_classifier(name, folder, dropout=dropout)


def texts(size: Size) -> pd.DataFrame:
    """Return different rows of up to ``size.words`` words, most of them short, and labels."""
    draw = random.Random(0)
    words = [word for text in korean_texts() for word in text.split()]
    made = [
        " ".join([*draw.choices(words, k=1 + int(size.words * draw.random() ** 2)), str(number)])
        for number in range(size.rows)
    ]
    return pd.DataFrame({"text": made, "label": [number % 2 for number in range(size.rows)]})


def work_of(model: Path, size: Size, precision: str, name: str, **more: Any) -> Work:
    return Work(model, texts(size), size.max_length, precision=precision, device=name, **more)


# --- checks ---------------------------------------------------------------------------------------------------------


def training(folder: Path, size: Size, precision: str, name: str) -> str:
    """Six steps of kexp have the losses of a plain loop over the same batch."""
    model = save_random(folder / f"training {precision}", size, dropout=False)
    work = work_of(model, Size(size.layers, size.hidden, 32, size.words, size.max_length), precision, name)
    work = replace(work, epochs=6, log_every=1, learning_rate=1e-4)
    losses = {"plain loop": notebook(work).losses, "kexp": kexp(work).losses}
    found = check_losses(losses, precision)
    return f"6 losses, the first {losses['kexp'][0]:.5f}, {found['first_step_difference']['kexp']:.0e} from the loop's"


def resuming(folder: Path, size: Size, precision: str, name: str) -> str:
    """A run that is stopped in the middle and resumed has the weights of one that never stopped."""
    model = save_random(folder / f"resuming {precision}", size)
    digests = []
    for stop_after in (None, 3):
        place = folder / f"resuming {precision} {stop_after}"
        place.mkdir()
        work = work_of(model, size, precision, name, epochs=3)
        settings = {"training.checkpoint": True}
        spec = write_spec(place, work, {"train": work.rows, "test": work.rows.head(8)}, settings)
        command = ("run", spec, "--runs-dir", place / "runs", "--quiet")
        if stop_after is None:
            call_kexp(*command, cache=place / "cache")
        else:
            with patch("kexp.experiment.train_and_test.graceful_stop", stopping(stop_after)):
                call_kexp(*command, cache=place / "cache", status=130)
            (started,) = place.glob("runs/*/*")
            call_kexp("run", "--resume", started, "--quiet", cache=place / "cache")
        (weights,) = place.glob("runs/*/*/*/seed-0/model/model.safetensors")
        digests.append(hashlib.sha256(weights.read_bytes()).hexdigest())
    if digests[0] != digests[1]:
        raise CheckFailed(f"the weights of the resumed run are others: {digests[1][:12]}, expected {digests[0][:12]}")
    return f"stopped after step 3 of {work.steps}, the same weights in the end"


def repeating(folder: Path, size: Size, precision: str, name: str) -> str:
    """Two runs of a spec have the same bits, with and without padding, dropout included, and say that they have."""
    model = save_random(folder / f"repeating {precision}", size)
    work = work_of(model, size, precision, name, epochs=3)
    found: dict[str, set[str]] = {}
    # Both ways of attention: that of rows without padding, and that of padded ones, which has a mask.
    ways = {"flat": nullcontext(), "padded": patch("kexp.model.flat_families.family_of", lambda model: None)}
    for way, patched in ways.items():
        for number in range(2):
            place = folder / f"repeating {precision} {way} {number}"
            place.mkdir()
            spec = write_spec(place, work, {"train": work.rows, "test": work.rows.head(8)}, {})
            with patched:
                call_kexp("run", spec, "--runs-dir", place / "runs", "--quiet", cache=place / "cache")
            (weights,) = place.glob("runs/*/*/*/seed-0/model/model.safetensors")
            result = json.loads((weights.parent.parent / "result.json").read_text("utf-8"))
            if not result["deterministic"]:
                raise CheckFailed(f"the result of a run by rows that are {way} says that it is not deterministic")
            if result["forward"].partition(":")[0] != way:
                raise CheckFailed(f"rows went through the model {result['forward']}, expected {way}")
            found.setdefault(way, set()).add(hashlib.sha256(weights.read_bytes()).hexdigest())
    if other := [way for way, digests in found.items() if len(digests) > 1]:
        raise CheckFailed(f"the weights of two equal runs differ where rows are {' or '.join(other)}")
    return f"the same weights twice after {work.steps} steps, by flat and by padded rows"


def waiting(folder: Path, size: Size, precision: str, name: str) -> str:
    """No step waits for the GPU: PyTorch raises an error where one does, and a step is given without numbers to log."""
    model = save_random(folder / f"waiting {precision}", size)
    work = replace(work_of(model, size, precision, name, epochs=2), log_every=10_000)
    step, waits = OptimizerStep.__call__, []

    def watched(self: OptimizerStep, *given: Any) -> Any:
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                return step(self, *given)
        finally:
            torch.cuda.set_sync_debug_mode(before)
            waits.append([str(one.message) for one in caught if "synchroniz" in str(one.message)])

    with patch.object(OptimizerStep, "__call__", watched):
        kexp(work)
    if any(waits):
        raise CheckFailed(f"{sum(map(bool, waits))} of {len(waits)} steps wait: {next(filter(None, waits))[0]}")
    return f"none of {len(waits)} steps waits for the device"


def stopping(steps: int) -> Callable[[], Any]:
    """Return what stands for a Ctrl-C after a number of steps."""

    @contextmanager
    def stop() -> Iterator[Callable[[], bool]]:
        asked = iter(range(1, 1_000_000))
        yield lambda: next(asked) >= steps

    return stop


def families(vocabulary: int) -> dict[str, PretrainedConfig]:
    """Return small configurations of the kinds of models that have a flat pass, without dropout."""
    same: dict[str, Any] = {
        "vocab_size": vocabulary, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 128, "max_position_embeddings": 80, "pad_token_id": 0,
    }  # fmt: skip
    off: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    distil = {"dim": 64, "hidden_dim": 128, "n_layers": 2, "n_heads": 2, "dropout": 0.0, "attention_dropout": 0.0}
    modern = {"attention_dropout": 0.0, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
    return {
        "BERT": BertConfig(**same, **off),
        "RoBERTa": RobertaConfig(**{**same, "pad_token_id": 1}, **off),
        "ELECTRA": ElectraConfig(**same, **off, embedding_size=32),
        "DistilBERT": DistilBertConfig(
            vocab_size=vocabulary, max_position_embeddings=80, pad_token_id=0, seq_classif_dropout=0.0, **distil
        ),
        "ModernBERT": ModernBertConfig(**same, **modern, classifier_dropout=0.0),
        "DeBERTa-v2": DebertaV2Config(
            **same, **off, relative_attention=True, pos_att_type=["p2c", "c2p"], pooler_dropout=0.0
        ),
    }


def flat(folder: Path, size: Size, precision: str, name: str) -> str:
    """The pass without padding has the logits and gradients of the padded one, for every kind of model."""
    lengths = [3, 40, 7, 64, 21, 3, 33, 15]
    worst = (0.0, "")
    for family, config in families(200).items():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config).to(device(name)).train()
        ids = torch.randint(5, 200, (sum(lengths),), device=model.device)
        rows = TokenRows(ids, pd.Series(lengths).to_numpy(), None)
        passes = FlatModel.of(model)
        if passes is None:
            raise CheckFailed(f"{family} has no pass without padding")
        padded = rows.padded(config.pad_token_id)
        expected = _outcome(model, precision, name, lambda padded=padded, model=model: model(**padded).logits)
        got = _outcome(model, precision, name, lambda passes=passes, rows=rows: passes.logits(rows))
        for part, one in expected.items():
            scale = max(float(one.abs().max()), 1e-3)
            worst = max(worst, (float((got[part] - one).abs().max()) / scale, f"{part} of {family}"))
    if not worst[0] <= CLOSE[precision]:
        raise CheckFailed(f"{worst[1]}: {worst[0]:.1e} from those of the padded pass")
    return f"{len(families(200))} kinds of models, at most {worst[0]:.0e} ({worst[1]}) from the padded pass"


def _outcome(model: Any, precision: str, name: str, run: Callable[[], torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the logits, and the gradient of every parameter that has one."""
    model.zero_grad()
    with autocast(precision, name):
        logits = run()
    logits.float().logsumexp(-1).sum().backward()
    gradients = {key: value.grad.clone() for key, value in model.named_parameters() if value.grad is not None}
    return {"logits": logits.detach().float(), **gradients}


def tf32(folder: Path, size: Size, precision: str, name: str) -> str:
    """Matrix products use TF32 where the GPU has it and it was asked for, none do after the run; losses stay near."""
    work = work_of(save_random(folder / "tf32", size, dropout=False), size, precision, name)
    before = torch.get_float32_matmul_precision()
    found = {asked: kexp(replace(work, log_every=1), {"training.tf32": asked}) for asked in (False, True)}
    if (after := torch.get_float32_matmul_precision()) != before:
        raise CheckFailed(f"fp32 matrix products are left with precision {after!r}, before they had {before!r}")
    on = device(name)
    expected = on.type == "cuda" and not torch.version.hip and torch.cuda.get_device_capability(on) >= (8, 0)
    used = {asked: outcome.details["tf32"] for asked, outcome in found.items()}
    if used != {False: False, True: expected}:
        raise CheckFailed(f"recorded as used, by what was asked: {used}, expected {expected} where it was asked for")
    first, other = (found[asked].losses for asked in (False, True))
    if (first == other) is expected:
        raise CheckFailed(f"losses {'are equal with and without it' if expected else 'differ though it is not there'}")
    apart = check_losses({"exact": first, "TF32": other}, "bf16")["first_step_difference"]["TF32"]
    return f"the first loss is {apart:.0e} from that of exact products" if expected else "there is none"


def compiled(folder: Path, size: Size, precision: str, name: str) -> str:
    """Steps with compiled parts have the losses of steps without, dropout included."""
    work = replace(work_of(save_random(folder / "compiled", size), size, precision, name), epochs=3, log_every=1)
    plain, other = (kexp(work, {"training.compile": asked}) for asked in (False, True))
    if not other.details.get("compiled"):
        raise CheckFailed("no module is recorded as compiled")
    apart = check_losses({"as it is": plain.losses, "compiled": other.losses}, precision)["first_step_difference"]
    return f"{len(other.losses)} losses, the first is {apart['compiled']:.0e} from that without, dropout included"


def memory(folder: Path, size: Size, precision: str, name: str, runs: int = 4) -> str:
    """Bytes of tensors do not grow from run to run."""
    model = save_random(folder / f"memory {precision}", size)
    work = work_of(model, size, precision, name)
    held = []
    for _ in range(runs):
        kexp(work)
        held.append(bytes_held(name))
    # The first run fills what is made once.
    if held[-1] > held[1]:
        raise CheckFailed(f"bytes of tensors after each run: {held}")
    return f"{held[-1] / 2**20:.1f} MiB of tensors after {runs} runs, {held[1] / 2**20:.1f} after 2"


def bytes_held(name: str) -> int:
    """Return the bytes of all tensors that are alive on a device."""
    gc.collect()
    on = device(name)
    if on.type == "cuda":
        return torch.cuda.memory_allocated(on)
    # Many things raise when they are asked whether they are tensors.
    tensors = [item for item in gc.get_objects() if issubclass(type(item), torch.Tensor)]
    stores = [tensor.untyped_storage() for tensor in tensors if tensor.layout == torch.strided]
    # What torch.compile traces with has a shape, and no memory: its storage is on no device.
    return sum({store.data_ptr(): store.nbytes() for store in stores if store.device == on}.values())


def speed(folder: Path, size: Size, precision: str, name: str, *, settings: Mapping[str, Any] | None = None) -> str:
    """Tokens per second of an epoch, and the useful FLOP of it as a share of the chip's rate."""
    model = save_random(folder / f"speed {precision} {size.hidden}", size)
    work = work_of(model, size, precision, name)
    # Kernels are chosen and compiled in a first run.
    kexp(replace(work, rows=work.rows.head(4 * work.batch_size)), settings)
    seconds = kexp(work, settings).seconds
    lengths = lengths_of(work.rows["text"], AutoTokenizer.from_pretrained(model), size.max_length)
    encoder = Encoder(size.layers, size.hidden, 4 * size.hidden)
    flop, rate = encoder.training(lengths), matmul_rate(encoder, precision, name)
    said = f"{lengths.sum() / seconds:,.0f} tokens/s, {flop / seconds / 1e12:.3g} TFLOP/s: "
    said += f"{flop / seconds / rate:.1%} of the measured rate of products"
    gpu = torch.cuda.get_device_name(device(name)) if device(name).type == "cuda" else ""
    stated = next((value for part, value in DATASHEETS.items() if part in gpu), None)
    return said + (f", {flop / seconds / stated:.1%} of the data sheet's" if stated and precision != "fp32" else "")


Check = Callable[[Path, Size, str, str], str]


def planned(
    precisions: Sequence[str], small: Size, base: Size, *, compiles: bool, on_cuda: bool
) -> Iterator[tuple[str, Check, Size, str]]:
    """Yield title, check, size of the model and precision of everything that is checked.

    What needs a compiler is checked if ``compiles``, and what is about a CUDA GPU alone if ``on_cuda``.
    """
    for precision in precisions:
        yield f"training equals a plain loop, {precision}", training, small, precision
        yield f"two equal runs have equal bits, {precision}", repeating, small, precision
        yield f"a resumed run equals a whole one, {precision}", resuming, small, precision
        yield f"no padding equals padding, {precision}", flat, small, precision
    if on_cuda and "fp32" in precisions:
        # In fp16 the scaler reads whether gradients are finite.
        yield "no step waits for the device, fp32", waiting, small, "fp32"
    yield "products in TF32, fp32", tf32, small, "fp32"
    if compiles:
        yield f"compiled parts compute the same, {precisions[0]}", compiled, small, precisions[0]
    yield f"memory does not grow, {precisions[-1]}", memory, small, precisions[-1]
    for precision in precisions:
        yield f"speed of a small model, {precision}", speed, small, precision
        yield f"speed of a base-size model, {precision}", speed, base, precision
        if on_cuda:
            settings = {"training.deterministic": False}
            check = partial(speed, settings=settings)
            yield f"speed of a base-size model, {precision}, not deterministic", check, base, precision
    yield "speed of a base-size model, fp32 with TF32", partial(speed, settings={"training.tf32": True}), base, "fp32"
    # The precision that is chosen by default.
    if compiles and "bf16" in precisions:
        settings = {"training.compile": True}
        yield "speed of a base-size model, bf16 and compiled", partial(speed, settings=settings), base, "bf16"
