"""The forward pass of a classifier over tokens without padding: embeddings, layers, head on first tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kexp.model.token_rows import TokenRows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from kexp.model.flat_families import Family


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
        from kexp.model.flat_families import Inputs
        from kexp.model.flat_layout import layout_of

        types, given = (None if tensor is None else tensor[None] for tensor in (rows.types, word_embeddings))
        layout = layout_of(rows.lengths, rows.ids.device)
        return self.family.embed(self.model.base_model, Inputs(rows.ids[None], types, given), layout)[0]

    def layers(self, hidden: torch.Tensor, rows: TokenRows, first: int, last: int) -> torch.Tensor:
        """Run layers ``first`` to ``last - 1``, from 0, over hidden states of shape (tokens, hidden).

        Where ``last`` is the number of layers, what the head reads is returned, of shape (rows, hidden).
        """
        from kexp.model.flat_layout import layout_of

        layout, count = layout_of(rows.lengths, hidden.device), self.number_of_layers
        for number, layer in enumerate(self._layers[first:last], first):
            hidden = self._run(layer, hidden, layout, number == count - 1)
        return hidden

    def _run(self, layer: Any, hidden: torch.Tensor, layout: Any, first: bool) -> torch.Tensor:
        def run(hidden: torch.Tensor) -> torch.Tensor:
            return self.family.layer(layer, hidden, layout, first)

        if layer.gradient_checkpointing and layer.training:
            recomputed: torch.Tensor = layer._gradient_checkpointing_func(run, hidden)
            return recomputed
        return run(hidden)

    def head(self, first_tokens: torch.Tensor) -> torch.Tensor:
        """Return the logits of what the last layer made of rows, of shape (rows, labels)."""
        return self.family.head(self.model, first_tokens)

    def logits(self, rows: TokenRows, *, word_embeddings: torch.Tensor | None = None) -> torch.Tensor:
        """Return the logits of rows, of shape (rows, labels); ``word_embeddings`` as in ``embed``."""
        hidden = self.embed(rows, word_embeddings=word_embeddings)
        return self.head(self.layers(hidden, rows, 0, self.number_of_layers))


def reason_not_flat(model: PreTrainedModel) -> str | None:
    """Return in one sentence why a model is run padded, None if it is not."""
    from kexp.model.flat_families import family_of

    if family_of(model) is None:
        return f"{type(model).__name__} of {type(model).__module__} has no forward pass without padding."
    return None
