"""Forward passes before training: a model that cannot be used, or that reads its padding, is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kexp.contracts import BackboneContext
from kexp.data.encoding import frame
from kexp.data.labelled_stream import Collator
from kexp.data.ragged import Ragged, offsets_of
from kexp.errors import KexpError, Problem, SpecError, plugin_call
from kexp.experiment.hardware import hardware_of
from kexp.model.adapter import add_adapter, need_precision
from kexp.model.flat import FlatModel
from kexp.model.last_token import logits_of, reads_last_token
from kexp.model.recomputation import recompute_activations
from kexp.model.token_rows import TokenRows
from kexp.options import build_component, component_title
from kexp.plan.cross_checks import precision_remedy
from kexp.pretrained import fp16_problem
from kexp.spec.sections import Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

TOLERANCE = 1e-3
"""Largest difference of logits, relative to the largest of them, that rounding may cause."""


def try_backbone(spec: Spec, outputs: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> None:
    """Build the model of a spec and let it read rows of one token and of the greatest length; it is then dropped."""
    import torch

    with torch.random.fork_rng(devices=[]):
        model = build_component(spec.backbone, BackboneContext(outputs, tokenizer))
    _check_precision(spec, model)
    if spec.backbone.adapter is not None:
        need_precision(spec.backbone.adapter, hardware_of(spec.training))
        add_adapter(model, spec.backbone.adapter, spec.seeds[0])
    if spec.training.gradient_checkpointing:
        recompute_activations(model)
    check_padding(model, tokenizer, spec.training.max_length, f"backbone of type {model.config.model_type}")


def _check_precision(spec: Spec, model: PreTrainedModel) -> None:
    """Repeat the spec's check, since the type of a hub model is known only now, and that of another's model."""
    precision = spec.training.precision
    if precision == "auto":
        return
    own = fp16_problem(model.config.model_type) if precision == "fp16" else ""
    with plugin_call(f"{component_title(spec.backbone)}, precision_problem()"):
        stated = spec.backbone.precision_problem(precision)
    if problem := stated or own:
        raise SpecError(spec.name, [Problem("training.precision", problem, precision_remedy(precision))])


def check_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, max_length: int, title: str) -> None:
    """Raise ``KexpError`` if the model cannot read a short row, or predicts it differently beside a long one.

    So it does if the forward pass without padding predicts another thing than the model itself: the modules of each
    family are known as they are now, and a later version of transformers may run them in another way.
    """
    import torch
    import transformers

    collator = Collator.of(tokenizer, model)
    known = next(number for number in range(len(tokenizer)) if number not in tokenizer.all_special_ids)
    lengths = np.asarray([1, max_length], np.int64)
    tokens = Ragged(np.full(1 + max_length, known, np.int32), offsets_of(lengths))
    encoded = frame(tokens, None, tokenizer, max_length=max_length, truncation="right")

    def rows(*numbers: int) -> TokenRows:
        return TokenRows.of(collator(encoded, np.asarray(numbers)), model.device)

    def logits(rows: TokenRows) -> torch.Tensor:
        found: torch.Tensor = model(**rows.padded(collator.pad_id)).logits
        return found.float()

    training, flat = model.training, FlatModel.of(model)
    model.train(False)
    try:
        with torch.inference_mode():
            (alone,), both = logits(rows(0)), logits(rows(0, 1))
            last, without = both, both if flat is None else flat.logits(rows(0, 1)).float()
            if reads_last_token(model):
                last = logits_of(model, rows(0, 1).padded(collator.pad_id)).float()
    # What goes wrong in a model that was made for something else is as varied as models are.
    except Exception as error:
        raise KexpError(f"{title} cannot classify {max_length} tokens: {_reason(error)}; use another model") from error
    finally:
        model.train(training)
    if (difference := _apart(alone, both[0])) is not None:
        finding = f"{title} reads the padding: the logits of a short row alone and padded are {difference:.2g} apart"
        stated = f"config.json says pad_token_id {model.config.pad_token_id}, the tokenizer pads with {collator.pad_id}"
        raise KexpError(f"{finding}; {stated}; correct it, or use another model")
    if (difference := _apart(both, last)) is not None:
        finding = f"{title} reads another token than the last one of a row: logits are {difference:.2g} apart"
        raise KexpError(f"{finding}; use another model")
    if (difference := _apart(both, without)) is not None:
        finding = (
            f"{title}: the forward pass without padding gives logits that are {difference:.2g} apart from those of"
        )
        version = f"transformers {transformers.__version__}, which runs such models in another way"
        raise KexpError(f"{finding} {version}; install another version of transformers, and report this")


def _apart(first: torch.Tensor, other: torch.Tensor) -> float | None:
    """Return the largest difference of logits, None if rounding explains it."""
    difference = float((first - other).abs().max())
    return None if difference <= TOLERANCE * max(1.0, float(first.abs().max())) else difference


def _reason(error: Exception) -> str:
    if isinstance(error, IndexError) or (isinstance(error, RuntimeError) and "size" in str(error)):
        return "a token or a position is beyond the tables of its weights; lower training.max_length"
    return str(error).strip().rstrip(".") or type(error).__name__
