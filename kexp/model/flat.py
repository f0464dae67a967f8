"""The forward pass of a model over tokens without padding: embeddings, layers, head on the tokens that it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from kexp.model.dropout import without_dropout
from kexp.model.token_rows import TokenRows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from kexp.model.flat_families import Family
    from kexp.model.flat_layout import Layout, Wanted

Run = Callable[["torch.Tensor"], "torch.Tensor"]


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
        if layer.gradient_checkpointing and _has_gradient(layer, hidden):
            recomputed: torch.Tensor = layer._gradient_checkpointing_func(_in_mode_of(layer, run), hidden)
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
    """Return in one sentence why a model is run padded, None if it is not.

    Without padding, modules see other shapes, and some are passed by. So every part has to be the library's own, as
    it is there: neither of another class, nor with a hook or a forward method by others.
    """
    from kexp.model.flat_families import family_of

    kind, family = type(model), family_of(model)
    if family is None:
        return f"{kind.__name__} of {kind.__module__} has no forward pass without padding."
    changed = (_how_changed(name or kind.__name__, part, kind) for name, part in model.named_modules())
    if reason := next(filter(None, changed), None):
        return reason
    if attention := _other_attention(model):
        return f"The attention of {kind.__name__} is computed by {attention}."
    # Several configurations have neither; where one has, the library attends to earlier tokens if no row is padded.
    if any(getattr(model.config, name, False) for name in ("is_decoder", "is_causal")):
        return f"{kind.__name__} has attention to earlier tokens alone, which needs padded rows."
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


_LIBRARIES = ("torch.", "transformers.")
_ADAPTERS = "peft.tuners.lora."


def _how_changed(name: str, part: torch.nn.Module, kind: type[PreTrainedModel]) -> str | None:
    """Return in one sentence what a module of a model has that is not the library's, None if all is."""
    home = type(part).__module__
    if "forward" in vars(part) or not type(part).forward.__module__.startswith((home, *_LIBRARIES)):
        return f"The forward method of {name} was replaced by another."
    # A model of transformers is built of parts of its own file and of PyTorch's, and of activations from elsewhere.
    holds_others = next(part.children(), None) is not None
    # Linear maps of an adapter are called as modules, like those in whose place they stand.
    others = ("torch.", _ADAPTERS) if holds_others else (*_LIBRARIES, _ADAPTERS)
    if home != kind.__module__ and not home.startswith(others):
        return f"A part of {kind.__name__} is {type(part).__name__} of {home}."
    hooks = (part._forward_pre_hooks, part._forward_hooks, part._backward_pre_hooks, part._backward_hooks)
    for hook in chain.from_iterable(registered.values() for registered in hooks):
        # Those of PyTorch prepare weights, as pruning does; those of transformers record outputs that are asked for.
        if not (of := str(getattr(hook, "__module__", None))).startswith(_LIBRARIES):
            return f"A hook of {of} is registered on {name}."
    return None


def _other_attention(model: PreTrainedModel) -> str | None:
    """Return where a function comes from that was registered for the attention of a model, None for the library's."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    name = model.config._attn_implementation
    home = str(getattr(ALL_ATTENTION_FUNCTIONS.get(name), "__module__", None))
    known = name not in ALL_ATTENTION_FUNCTIONS or home.startswith("transformers.")
    return None if known else f'"{name}" of {home}'
