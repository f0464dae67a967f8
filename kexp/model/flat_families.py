"""How each family of encoders is run over tokens without padding, by the modules of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from kexp.model.flat_attention import attend_by
from kexp.model.flat_layout import Layout

Module = Any  # A module of transformers, whose parts have no types.


@dataclass(frozen=True, slots=True)
class Inputs:
    """Flat tokens as one row: each of shape (1, tokens), word embeddings (1, tokens, width) where they are given."""

    ids: torch.Tensor
    types: torch.Tensor | None
    word_embeddings: torch.Tensor | None

    @property
    def words(self) -> dict[str, torch.Tensor | None]:
        """What the embeddings take in place of one another."""
        if self.word_embeddings is None:
            return {"input_ids": self.ids}
        return {"input_ids": None, "inputs_embeds": self.word_embeddings}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The parts of a sequence classifier.

    ``embed(base, inputs, layout)`` returns the output of the embeddings, of shape (1, tokens, hidden).
    ``layers`` is where the base model has the list of its layers. ``layer(module, hidden, layout, first)`` runs one
    over (tokens, hidden), and if ``first`` returns the first tokens of rows alone. ``head(model, first_tokens)``
    returns logits.
    """

    embed: Callable[[Module, Inputs, Layout], torch.Tensor]
    layers: str
    layer: Callable[[Module, torch.Tensor, Layout, bool], torch.Tensor]
    head: Callable[[Module, torch.Tensor], torch.Tensor]


# --- embeddings ------------------------------------------------------------------------------------------------------


def _embed_with_types(base: Module, inputs: Inputs, layout: Layout) -> torch.Tensor:
    embedded: torch.Tensor = base.embeddings(
        **inputs.words, token_type_ids=inputs.types, position_ids=layout.positions[None]
    )
    return embedded


# --- layers ----------------------------------------------------------------------------------------------------------


def _bert_layer(layer: Module, hidden: torch.Tensor, layout: Layout, first: bool) -> torch.Tensor:
    attention = layer.attention.self
    context = attend_by(
        attention.query,
        attention.key,
        attention.value,
        hidden,
        layout,
        size=attention.attention_head_size,
        dropout=attention.dropout.p if attention.training else 0.0,
        first=first,
    )
    attended = layer.attention.output(context, layout.first(hidden) if first else hidden)
    output: torch.Tensor = layer.feed_forward_chunk(attended)
    return output


# --- heads -----------------------------------------------------------------------------------------------------------


def _pooled_by_base(model: Module, first_tokens: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = model.classifier(model.dropout(model.base_model.pooler(first_tokens[:, None])))
    return logits


# The folder of a family in transformers, and how its sequence classifier is run.
FAMILIES: Mapping[str, Family] = {
    "bert": Family(embed=_embed_with_types, layers="encoder.layer", layer=_bert_layer, head=_pooled_by_base),
}


def family_of(model: PreTrainedModel) -> Family | None:
    """Return the family of a model, None unless its class is the sequence classifier of a known family."""
    kind = type(model)
    package, _, name = kind.__module__.removeprefix("transformers.models.").partition(".")
    known = kind.__module__.startswith("transformers.models.") and name == f"modeling_{package}"
    return FAMILIES.get(package) if known and kind.__name__.endswith("ForSequenceClassification") else None
