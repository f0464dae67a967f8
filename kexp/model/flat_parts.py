"""The parts of encoders over tokens without padding, by the modules of each family: embeddings, layers, heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PretrainedConfig

from kexp.model.flat_attention import attend, attend_by
from kexp.model.flat_layout import Layout, Wanted

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


# --- embeddings ------------------------------------------------------------------------------------------------------


def check_lengths(layout: Layout, positions: int) -> None:
    """Refuse rows that are longer than a table of positions."""
    if layout.longest > positions:
        raise ValueError(f"a row has {layout.longest} tokens, but the model has positions for {positions}")


def embed_with_types(base: Module, inputs: Inputs, layout: Layout) -> torch.Tensor:
    """Return embeddings of words, places in rows, and token types."""
    embeddings = base.embeddings
    if embeddings.position_embeddings is not None:
        check_lengths(layout, embeddings.position_embeddings.num_embeddings)
    embedded: torch.Tensor = embeddings(
        **inputs.words, token_type_ids=inputs.types, position_ids=layout.positions[None]
    )
    return embedded


def embed_and_project(base: Module, inputs: Inputs, layout: Layout) -> torch.Tensor:
    """Return embeddings as wide as the layers, which they need not be themselves."""
    embedded = embed_with_types(base, inputs, layout)
    projected: torch.Tensor = base.embeddings_project(embedded) if hasattr(base, "embeddings_project") else embedded
    return projected


def embed_after_padding(base: Module, inputs: Inputs, layout: Layout) -> torch.Tensor:
    """Count positions from the one after the padding's, which a padding id among the tokens has too."""
    embeddings = base.embeddings
    padding = embeddings.padding_idx
    check_lengths(layout, embeddings.position_embeddings.num_embeddings - padding - 1)
    tokens = (inputs.ids[0] != padding).long()
    counted = tokens.cumsum(0)
    before = layout.first(counted - tokens)[layout.row_of_token]
    positions = (counted - before) * tokens + padding
    embedded: torch.Tensor = embeddings(**inputs.words, token_type_ids=inputs.types, position_ids=positions[None])
    return embedded


def embed_without_types(base: Module, inputs: Inputs, layout: Layout) -> torch.Tensor:
    """Return embeddings of words and places in rows."""
    check_lengths(layout, base.embeddings.position_embeddings.num_embeddings)
    embedded: torch.Tensor = base.embeddings(**inputs.words, position_ids=layout.positions[None])
    return embedded


def embed_without_positions(base: Module, inputs: Inputs, layout: Layout) -> torch.Tensor:
    """Return embeddings of words alone; layers have positions of their own."""
    embedded: torch.Tensor = base.embeddings(**inputs.words)
    return embedded


# --- layers ----------------------------------------------------------------------------------------------------------


def bert_layer(
    layer: Module, hidden: torch.Tensor, layout: Layout, shared: None, wanted: Wanted | None
) -> torch.Tensor:
    """Run a layer of BERT, ELECTRA or RoBERTa."""
    attention = layer.attention.self
    context = attend_by(attention, ("query", "key", "value"), hidden, layout, wanted)
    attended = layer.attention.output(context, _chosen(hidden, wanted))
    output: torch.Tensor = layer.feed_forward_chunk(attended)
    return output


def distilbert_layer(
    layer: Module, hidden: torch.Tensor, layout: Layout, shared: None, wanted: Wanted | None
) -> torch.Tensor:
    """Run a layer of DistilBERT."""
    attention = layer.attention
    context = attend_by(attention, ("q_lin", "k_lin", "v_lin"), hidden, layout, wanted)
    attended = layer.sa_layer_norm(attention.out_lin(context) + _chosen(hidden, wanted))
    # As a module, which may be compiled, unless it would divide the rows.
    feed_forward = layer.ffn.ff_chunk if layer.ffn.chunk_size_feed_forward else layer.ffn
    output: torch.Tensor = layer.output_layer_norm(feed_forward(attended) + attended)
    return output


def _chosen(tokens: torch.Tensor, wanted: Wanted | None) -> torch.Tensor:
    return tokens if wanted is None else wanted.of(tokens)


def rotary_positions(base: Module, hidden: torch.Tensor, layout: Layout) -> Mapping[str, Any]:
    """Return the rotations of queries and keys, by the kind of a layer's attention."""
    kinds = set(base.config.layer_types)
    return {kind: base.rotary_emb(hidden, layout.positions[None], kind) for kind in kinds}


def modernbert_layer(
    layer: Module, hidden: torch.Tensor, layout: Layout, shared: Mapping[str, Any], wanted: Wanted | None
) -> torch.Tensor:
    """Run a layer of ModernBERT, which attends to all tokens or to those nearby."""
    from transformers.models.modernbert.modeling_modernbert import apply_rotary_pos_emb

    attention = layer.attn
    projected = attention.Wqkv(layer.attn_norm(hidden)).view(len(hidden), 3, -1, attention.head_dim)
    query, key, value = projected.unbind(1)
    cosine, sine = (part[0] for part in shared[layer.attention_type])
    query, key = apply_rotary_pos_emb(query, key, cosine, sine)
    first = wanted is not None and wanted.first
    context = attend(
        layout,
        torch.stack([key, value] if first else [query, key, value], 1),
        layout.first(query) if first else None,
        dropout=attention.attention_dropout if attention.training else 0.0,
        # The module's own is that of kernels which leave the farthest token out.
        window=None if attention.sliding_window is None else attention.sliding_window - 1,
    )
    context = context if first else _chosen(context, wanted)
    attended = _chosen(hidden, wanted) + attention.out_drop(attention.Wo(context))
    output: torch.Tensor = attended + layer.mlp(layer.mlp_norm(attended))
    return output


def relative_positions(base: Module, hidden: torch.Tensor, layout: Layout) -> Mapping[str, Any]:
    """Return the distances between tokens and their embeddings, as DeBERTa's layers take them."""
    encoder = base.encoder
    (group,) = layout.groups
    return {
        "relative_pos": encoder.get_rel_pos(hidden.new_empty(group.longest, 0)),
        "rel_embeddings": encoder.get_rel_embedding(),
    }


def deberta_layer(
    layer: Module, hidden: torch.Tensor, layout: Layout, shared: Mapping[str, Any], wanted: Wanted | None
) -> torch.Tensor:
    """Run a layer of DeBERTa, whose attention by distances takes padded rows."""
    (group,) = layout.groups
    mask = hidden.new_ones((), dtype=torch.bool) if group.mask is None else group.mask
    padded = layout.pad(hidden).view(*group.shape, -1)
    context, _ = layer.attention.self(padded, mask, **shared)
    context = _chosen(layout.unpad(context.flatten(0, 1)), wanted)
    attended = layer.attention.output(context, _chosen(hidden, wanted))
    output: torch.Tensor = layer.output(layer.intermediate(attended), attended)
    return output


# --- heads -----------------------------------------------------------------------------------------------------------


def norm(model: Module, hidden: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Return normalised tokens."""
    normalised: torch.Tensor = model.base_model.final_norm(hidden)
    return normalised


def norm_and_pool(model: Module, hidden: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Return the normalised first tokens of rows, or the means of their tokens."""
    hidden = norm(model, hidden, layout)
    if not pools_means(model.config):
        return hidden
    padded = layout.pad(hidden)
    sums = [padded[group.slots].view(*group.shape, -1).sum(1) for group in layout.groups]
    return layout.unsort(torch.cat(sums)) / layout.tokens_of_row[:, None]


def pools_means(config: PretrainedConfig) -> bool:
    """Return whether the head reads the mean of all tokens."""
    return bool(config.classifier_pooling == "mean")


def head_on_pooled_by_base(model: Module, pooled: torch.Tensor) -> torch.Tensor:
    """Return logits by way of the base model's pooler."""
    logits: torch.Tensor = model.classifier(model.dropout(model.base_model.pooler(pooled[:, None])))
    return logits


def head_with_own_pooler(model: Module, pooled: torch.Tensor) -> torch.Tensor:
    """Return logits by way of the classifier's pooler."""
    logits: torch.Tensor = model.classifier(model.dropout(model.pooler(pooled[:, None])))
    return logits


def head_of_first_token(model: Module, pooled: torch.Tensor) -> torch.Tensor:
    """Return logits of a head that takes the first tokens of rows by itself."""
    logits: torch.Tensor = model.classifier(pooled[:, None])
    return logits


def distilbert_head(model: Module, pooled: torch.Tensor) -> torch.Tensor:
    """Return DistilBERT's logits."""
    logits: torch.Tensor = model.classifier(model.dropout(model.pre_classifier(pooled).relu()))
    return logits


def modernbert_head(model: Module, pooled: torch.Tensor) -> torch.Tensor:
    """Return ModernBERT's logits."""
    logits: torch.Tensor = model.classifier(model.drop(model.head(pooled)))
    return logits


# --- heads of masked language models ---------------------------------------------------------------------------------


def head_over_words(name: str) -> Callable[[Module, torch.Tensor], torch.Tensor]:
    """Return the head that is one module of a masked language model, of this name."""

    def head(model: Module, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model.get_submodule(name)(hidden)
        return logits

    return head


def electra_words(model: Module, hidden: torch.Tensor) -> torch.Tensor:
    """Return the logits of ELECTRA's generator."""
    logits: torch.Tensor = model.generator_lm_head(model.generator_predictions(hidden))
    return logits


def distilbert_words(model: Module, hidden: torch.Tensor) -> torch.Tensor:
    """Return DistilBERT's logits."""
    transformed = model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
    logits: torch.Tensor = model.vocab_projector(transformed)
    return logits


def modernbert_words(model: Module, hidden: torch.Tensor) -> torch.Tensor:
    """Return ModernBERT's logits."""
    logits: torch.Tensor = model.decoder(model.head(hidden))
    return logits


def deberta_words(model: Module, hidden: torch.Tensor) -> torch.Tensor:
    """Return the logits of either of DeBERTa's heads."""
    if model.legacy:
        logits: torch.Tensor = model.cls(hidden)
    else:
        logits = model.lm_predictions(hidden, model.base_model.embeddings.word_embeddings)
    return logits
