"""The forward pass of a classifier over tokens without padding: embeddings, layers, head on first tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kexp.model.dropout import without_dropout
from kexp.model.token_rows import TokenRows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from kexp.model.flat_families import Family
    from kexp.model.flat_layout import Layout

Run = Callable[["torch.Tensor"], "torch.Tensor"]


@dataclass(frozen=True, slots=True)
class FlatModel:
    """The forward pass of a classifier over flat tokens, by the modules of the model itself.

    The padded forward pass of the model gives the same logits. The last layer is computed for the first token of each
    row alone, since the head reads nothing else.
    """

    model: PreTrainedModel
    family: Family

    @classmethod
    def of(cls, model: PreTrainedModel) -> FlatModel | None:
        """Return the flat forward pass of a model, None where there is none; ``reason_not_flat`` says why."""
        from kexp.model.flat_families import family_of

        family = None if reason_not_flat(model) else family_of(model)
        return None if family is None else cls(model, family)

    @property
    def number_of_layers(self) -> int:
        """How many layers stand between the embeddings and the head."""
        return len(self._layers)

    @property
    def _layers(self) -> Any:
        return self.model.base_model.get_submodule(self.family.layers)

    def embed(self, rows: TokenRows, *, word_embeddings: torch.Tensor | None = None) -> torch.Tensor:
        """Return the output of the embeddings, of shape (tokens, hidden).

        ``word_embeddings`` of shape (tokens, width) take the place of those of the ids.
        """
        from kexp.model.flat_parts import Inputs

        types, given = (None if tensor is None else tensor[None] for tensor in (rows.types, word_embeddings))
        return self.family.embed(self.model.base_model, Inputs(rows.ids[None], types, given), self._layout(rows))[0]

    def layers(self, hidden: torch.Tensor, rows: TokenRows, first: int, last: int) -> torch.Tensor:
        """Run layers ``first`` to ``last - 1``, from 0, over hidden states of shape (tokens, hidden).

        Where ``last`` is the number of layers, what the head reads is returned, of shape (rows, hidden); where
        ``first`` is too, that is what is given.
        """
        layers, layout = self._layers, self._layout(rows)
        if first == len(layers):
            return hidden
        shared = self.family.share(self.model.base_model, hidden, layout)
        all_tokens = self.family.reads_all_tokens(self.model.config)
        for layer in layers[first:last]:
            hidden = self._run(layer, hidden, layout, shared, layer is layers[-1] and not all_tokens)
        return self.family.pool(self.model, hidden, layout) if last == len(layers) else hidden

    def _run(self, layer: Any, hidden: torch.Tensor, layout: Layout, shared: Any, first: bool) -> torch.Tensor:
        def run(hidden: torch.Tensor) -> torch.Tensor:
            return self.family.layer(layer, hidden, layout, shared, first)

        # As the layer would do in its own forward pass, which is not called.
        if layer.gradient_checkpointing and _has_gradient(layer, hidden):
            recomputed: torch.Tensor = layer._gradient_checkpointing_func(_in_mode_of(layer, run), hidden)
            return recomputed
        return run(hidden)

    def head(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return logits, of shape (rows, labels), of what the last layer returned, of shape (rows, hidden)."""
        return self.family.head(self.model, pooled)

    def logits(self, rows: TokenRows, *, word_embeddings: torch.Tensor | None = None) -> torch.Tensor:
        """Return the logits of rows, of shape (rows, labels); ``word_embeddings`` as in ``embed``."""
        hidden = self.embed(rows, word_embeddings=word_embeddings)
        return self.head(self.layers(hidden, rows, 0, self.number_of_layers))

    def _layout(self, rows: TokenRows) -> Layout:
        from kexp.model.flat_layout import layout_of

        if not len(rows):
            raise ValueError("a forward pass needs at least one row, but none was given")
        if not rows.lengths.all():
            raise ValueError(f"row {int(rows.lengths.argmin())} has no tokens, but a model reads the first of each row")
        return layout_of(rows.lengths, rows.ids.device, self.family.grouping)


def reason_not_flat(model: PreTrainedModel) -> str | None:
    """Return in one sentence why a model is run padded, None if it is not."""
    from kexp.model.flat_families import family_of

    kind, family = type(model), family_of(model)
    if family is None:
        return f"{kind.__name__} of {kind.__module__} has no forward pass without padding."
    replaced = next((name for name, module in model.named_modules() if "forward" in vars(module)), None)
    if replaced is not None:
        return f"The forward method of {replaced or kind.__name__} was replaced by another."
    foreign = next((part for part in model.modules() if _is_foreign(part, kind)), None)
    if foreign is not None:
        return f"A part of {kind.__name__} is {type(foreign).__name__} of {type(foreign).__module__}."
    if family.not_flat(model.config):
        return f"{kind.__name__} has {family.obstacle}, which needs padded rows."
    if next(model.base_model.get_submodule(family.layers).children(), None) is None:
        return f"{kind.__name__} has no layers."
    return None


def _has_gradient(layer: torch.nn.Module, hidden: torch.Tensor) -> bool:
    """Return whether the backward pass goes through a layer, or ends in its weights."""
    import torch

    needed = hidden.requires_grad or any(weights.requires_grad for weights in layer.parameters())
    return needed and torch.is_grad_enabled()


def _in_mode_of(layer: torch.nn.Module, run: Run) -> Run:
    """Return a function that runs a layer without dropout if it has none now, also once the model trains again."""
    if layer.training:
        return run

    def run_without_dropout(hidden: torch.Tensor) -> torch.Tensor:
        with without_dropout(layer):
            return run(hidden)

    return run_without_dropout


def _is_foreign(part: torch.nn.Module, kind: type[PreTrainedModel]) -> bool:
    """Return whether a module that holds others comes from elsewhere: it may use them in another way."""
    home = type(part).__module__
    holds_others = next(part.children(), None) is not None
    return holds_others and home != kind.__module__ and not home.startswith(("torch.", "transformers."))
