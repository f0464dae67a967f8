"""A forward pass before training: a model that cannot be used, or that reads its padding, is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kexp.contracts import BackboneContext
from kexp.data.encoding import Ragged, frame, offsets_of
from kexp.data.labelled_stream import Collator
from kexp.errors import KexpError
from kexp.model.recomputation import recompute_activations
from kexp.model.token_rows import TokenRows
from kexp.options import build_component
from kexp.spec.sections import Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerFast

TOLERANCE = 1e-3
"""Largest difference of logits, relative to the largest of them, that rounding may cause."""


def try_backbone(spec: Spec, labels: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> None:
    """Build the model of a spec and let it read rows of one token and of the greatest length; it is then dropped."""
    import torch

    with torch.random.fork_rng(devices=[]):
        model = build_component(spec.backbone, BackboneContext(labels, tokenizer))
    if spec.training.gradient_checkpointing:
        recompute_activations(model)
    check_padding(model, tokenizer, spec.training.max_length, f"backbone of type {model.config.model_type}")


def check_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, max_length: int, title: str) -> None:
    """Raise ``KexpError`` if the model cannot read a short row, or predicts it differently beside a long one."""
    import torch

    collator = Collator.of(tokenizer, model)
    known = next(number for number in range(len(tokenizer)) if number not in tokenizer.all_special_ids)
    lengths = np.asarray([1, max_length], np.int64)
    rows = Ragged(np.full(1 + max_length, known, np.int32), offsets_of(lengths))
    encoded = frame(rows, None, tokenizer, max_length=max_length, truncation="right")

    def logits(*numbers: int) -> torch.Tensor:
        rows = TokenRows.of(collator(encoded, np.asarray(numbers)), model.device)
        found: Any = model(**rows.padded(collator.pad_id))
        first: torch.Tensor = found.logits[0].float()
        return first

    training = model.training
    model.train(False)
    try:
        with torch.inference_mode():
            alone, padded = logits(0), logits(0, 1)
    # What goes wrong in a model that was made for something else is as varied as models are.
    except Exception as error:
        raise KexpError(f"{title} cannot classify {max_length} tokens: {_reason(error)}; use another model") from error
    finally:
        model.train(training)
    difference = float((alone - padded).abs().max())
    if not difference <= TOLERANCE * max(1.0, float(alone.abs().max())):
        finding = f"{title} reads the padding: the logits of a short row alone and padded are {difference:.2g} apart"
        stated = f"config.json says pad_token_id {model.config.pad_token_id}, the tokenizer pads with {collator.pad_id}"
        raise KexpError(f"{finding}; {stated}; correct it, or use another model")


def _reason(error: Exception) -> str:
    if isinstance(error, IndexError) or (isinstance(error, RuntimeError) and "size" in str(error)):
        return "a token or a position is beyond the tables of its weights; lower training.max_length"
    return str(error).strip().rstrip(".") or type(error).__name__
