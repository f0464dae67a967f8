"""How each family of encoders is run over tokens without padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

from kexp.model import flat_parts as parts
from kexp.model.flat_layout import Grouping, Layout, all_together
from kexp.model.flat_parts import Inputs, Module


def _nothing_shared(base: Module, hidden: torch.Tensor, layout: Layout) -> None:
    """Layers need nothing but hidden states."""


def _as_it_is(model: Module, hidden: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Return first tokens as the last layer made them."""
    return hidden


def _never(config: PretrainedConfig) -> bool:
    """Hold for no model."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The parts of a sequence classifier, as functions of its modules.

    ``embed(base, inputs, layout)`` returns the output of the embeddings, of shape (1, tokens, hidden).

    ``layers`` is where the base model has the list of its layers. ``layer(module, hidden, layout, shared, first)`` runs
    one over (tokens, hidden), and if ``first`` returns the first tokens of rows alone; ``shared`` is what
    ``share(base, hidden, layout)`` computed for all layers.

    ``pool(model, hidden, layout)`` returns what the head reads, of shape (rows, hidden), of the last layer's output,
    which is that of first tokens alone unless ``reads_all_tokens(config)``. ``head(model, pooled)`` returns logits.

    ``grouping`` tells which rows are padded together where attention needs it. Models for which ``not_flat(config)``
    holds have a part, named by ``obstacle``, that cannot be run without padding.
    """

    embed: Callable[[Module, Inputs, Layout], torch.Tensor]
    layers: str
    layer: Callable[[Module, torch.Tensor, Layout, Any, bool], torch.Tensor]
    head: Callable[[Module, torch.Tensor], torch.Tensor]
    share: Callable[[Module, torch.Tensor, Layout], Any] = _nothing_shared
    pool: Callable[[Module, torch.Tensor, Layout], torch.Tensor] = _as_it_is
    reads_all_tokens: Callable[[PretrainedConfig], bool] = _never
    grouping: Grouping | None = None
    not_flat: Callable[[PretrainedConfig], bool] = _never
    obstacle: str = ""


def _has_convolution(config: PretrainedConfig) -> bool:
    return bool(getattr(config, "conv_kernel_size", 0) > 0)


_BERT = Family(
    embed=parts.embed_with_types,
    layers="encoder.layer",
    layer=parts.bert_layer,
    head=parts.head_on_pooled_by_base,
)
_ROBERTA = replace(_BERT, embed=parts.embed_after_padding, head=parts.head_of_first_token)

# The class of the sequence classifier in transformers, and how it is run.
FAMILIES: Mapping[str, Family] = {
    "BertForSequenceClassification": _BERT,
    "ElectraForSequenceClassification": replace(_BERT, embed=parts.embed_and_project, head=parts.head_of_first_token),
    "RobertaForSequenceClassification": _ROBERTA,
    "XLMRobertaForSequenceClassification": _ROBERTA,
    "CamembertForSequenceClassification": _ROBERTA,
    "DistilBertForSequenceClassification": Family(
        embed=parts.embed_without_types,
        layers="transformer.layer",
        layer=parts.distilbert_layer,
        head=parts.distilbert_head,
    ),
    "ModernBertForSequenceClassification": Family(
        embed=parts.embed_without_positions,
        layers="layers",
        layer=parts.modernbert_layer,
        head=parts.modernbert_head,
        share=parts.rotary_positions,
        pool=parts.norm_and_pool,
        reads_all_tokens=parts.pools_means,
    ),
    "DebertaV2ForSequenceClassification": Family(
        embed=parts.embed_with_types,
        layers="encoder.layer",
        layer=parts.deberta_layer,
        head=parts.head_with_own_pooler,
        share=parts.relative_positions,
        # Relative positions are projected, and dropped at random, once for all rows that are padded together.
        grouping=all_together,
        not_flat=_has_convolution,
        obstacle="a convolution over tokens",
    ),
}


def family_of(model: PreTrainedModel) -> Family | None:
    """Return the family of a model, None unless its class is one of ``FAMILIES`` in transformers itself."""
    kind = type(model)
    return FAMILIES.get(kind.__name__) if kind.__module__.startswith("transformers.models.") else None
