"""The forward pass of a model over tokens without padding: embeddings, layers, head on the tokens that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kexp.model.token_rows import TokenRows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from kexp.model.flat_families import Family
    from kexp.model.flat_layout import Layout, Wanted


@dataclass(frozen=True, slots=True)
class FlatModel:
    """The forward pass of a classifier or masked language model over flat tokens, by the modules of the model itself.

    The padded forward pass of the model gives the same logits. The last layer is computed for the tokens alone that the
    head reads: of a classifier the first of each row, of a masked language model those whose logits are asked for.
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

    def layers(
        self, hidden: torch.Tensor, rows: TokenRows, first: int, last: int, *, tokens: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Run layers ``first`` to ``last - 1``, from 0, over hidden states of shape (tokens, hidden).

        Where ``last`` is the number of layers, what the head reads is returned, of shape (rows, hidden), or of the
        ``tokens`` of these places in a masked language model; where ``first`` is too, that is what is given.
        """
        layers, layout = self._layers, self._layout(rows)
        if first == len(layers):
            return hidden
        shared = self.family.share(self.model.base_model, hidden, layout)
        read = self._read(layout, tokens)
        for layer in layers[first:last]:
            hidden = self._run(layer, hidden, layout, shared, read if layer is layers[-1] else None)
        return self.family.pool(self.model, hidden, layout) if last == len(layers) else hidden

    def _read(self, layout: Layout, tokens: torch.Tensor | None) -> Wanted | None:
        """Return the tokens of the last layer's output that are read, None for all of them."""
        from kexp.model.flat_layout import Wanted

        if tokens is not None:
            return Wanted(tokens, first=False)
        return None if self.family.reads_all_tokens(self.model.config) else Wanted(layout.starts, first=True)

    def _run(
        self, layer: Any, hidden: torch.Tensor, layout: Layout, shared: Any, wanted: Wanted | None
    ) -> torch.Tensor:
        def run(hidden: torch.Tensor) -> torch.Tensor:
            return self.family.layer(layer, hidden, layout, shared, wanted)

        # As the layer would do in its own forward pass, which is not called.
        if layer.gradient_checkpointing and layer.training:
            recomputed: torch.Tensor = layer._gradient_checkpointing_func(run, hidden)
            return recomputed
        return run(hidden)

    def head(self, read: torch.Tensor) -> torch.Tensor:
        """Return logits, of shape (rows, labels), of what the last layer returned, of shape (rows, hidden)."""
        return self.family.head(self.model, read)

    def logits(
        self, rows: TokenRows, *, word_embeddings: torch.Tensor | None = None, tokens: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the logits of rows, of shape (rows, labels); ``word_embeddings`` as in ``embed``.

        Those of a masked language model have shape (tokens, vocabulary), for all tokens or for those of some places.
        """
        hidden = self.embed(rows, word_embeddings=word_embeddings)
        return self.head(self.layers(hidden, rows, 0, self.number_of_layers, tokens=tokens))

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


def _is_foreign(part: torch.nn.Module, kind: type[PreTrainedModel]) -> bool:
    """Return whether a module that holds others comes from elsewhere: it may use them in another way."""
    home = type(part).__module__
    holds_others = next(part.children(), None) is not None
    return holds_others and home != kind.__module__ and not home.startswith(("torch.", "transformers."))
