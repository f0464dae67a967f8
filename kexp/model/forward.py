"""The model as objectives see it: one pass for several groups of rows, targets without dropout, embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kexp.contracts import Inputs
from kexp.devices import Hardware
from kexp.host_batches import known_hidden
from kexp.model.fuse import fuse
from kexp.model.hidden_states import Prefix

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Classifier:
    """A transformers classifier, on the device of its hardware; what ``contracts.Model`` promises to objectives.

    ``prefix`` is the part of it that is not run for inputs whose hidden states are known.
    """

    module: PreTrainedModel
    hardware: Hardware
    prefix: Prefix | None = None

    def __call__(self, inputs: Inputs) -> torch.Tensor:
        """Return fp32 logits in whatever mode the module is."""
        return self._forward(self.module, inputs)

    def logits(self, *groups: Inputs) -> tuple[torch.Tensor, ...]:
        """Return the logits of each group of rows, all from one forward pass in training mode."""
        sizes = [len(group["input_ids"]) for group in groups]
        logits: tuple[torch.Tensor, ...] = self._forward(self.module, fuse(groups)).split(sizes)  # type: ignore[no-untyped-call]
        return logits

    def target_logits(self, inputs: Inputs, module: torch.nn.Module | None = None) -> torch.Tensor:
        """Return logits without dropout and without gradient, of the model or of a copy such as a teacher."""
        import torch

        chosen = module or self.module
        with without_dropout(chosen), torch.no_grad():
            return self._forward(chosen, inputs)

    def embed(self, inputs: Inputs) -> torch.Tensor:
        """Return the word embeddings of the tokens, of shape (rows, tokens, hidden), without gradient."""
        embeddings: torch.Tensor = self.module.get_input_embeddings()(inputs["input_ids"])
        return embeddings.detach()

    def embedded_logits(self, embeddings: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        """Return logits without dropout, with gradient, of rows whose word embeddings are given."""
        others = {name: tensor for name, tensor in inputs.items() if name != "input_ids"}
        with without_dropout(self.module):
            return self._forward(self.module, {"inputs_embeds": embeddings, **others})

    def _forward(self, module: torch.nn.Module, inputs: Inputs) -> torch.Tensor:
        prefix, hidden = self.prefix, known_hidden(inputs) if module is self.module else None
        with self.hardware.autocast():
            output = module(**inputs) if prefix is None or hidden is None else prefix.rest(inputs, hidden)
        logits: torch.Tensor = output.logits
        return logits.float()


@contextmanager
def without_dropout(module: torch.nn.Module) -> Iterator[None]:
    """Put a module into eval mode and give every part its own mode back: frozen parts never train."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
