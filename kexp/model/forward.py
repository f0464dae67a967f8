"""The model as objectives see it: one pass for several groups of rows, targets without dropout, embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kexp.contracts import Rows
from kexp.devices import Hardware
from kexp.model.hidden_states import Prefix
from kexp.model.token_rows import TokenRows, own

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Classifier:
    """A transformers classifier, on the device of its hardware; what ``contracts.Model`` promises to objectives.

    ``pad_id`` is the id of the tokenizer's padding. ``prefix`` is the part of the model that is not run for rows whose
    hidden states are known.
    """

    module: PreTrainedModel
    hardware: Hardware
    pad_id: int
    prefix: Prefix | None = None

    def __call__(self, rows: TokenRows) -> torch.Tensor:
        """Return fp32 logits in whatever mode the module is."""
        return self._forward(self.module, rows)

    def logits(self, *groups: Rows) -> tuple[torch.Tensor, ...]:
        """Return the logits of each group of rows, all from one forward pass in training mode."""
        rows = TokenRows.joined([own(group) for group in groups])
        logits: tuple[torch.Tensor, ...] = self(rows).split([len(group) for group in groups])  # type: ignore[no-untyped-call]
        return logits

    def target_logits(self, inputs: Rows, module: torch.nn.Module | None = None) -> torch.Tensor:
        """Return logits without dropout and without gradient, of the model or of a copy such as a teacher."""
        import torch

        chosen = module or self.module
        with without_dropout(chosen), torch.no_grad():
            return self._forward(chosen, own(inputs))

    def embed(self, inputs: Rows) -> torch.Tensor:
        """Return the word embeddings of the tokens, of shape (tokens, hidden), without gradient."""
        embeddings: torch.Tensor = self.module.get_input_embeddings()(own(inputs).ids)
        return embeddings.detach()

    def embedded_logits(self, embeddings: torch.Tensor, inputs: Rows) -> torch.Tensor:
        """Return logits without dropout, with gradient, of rows whose word embeddings are given."""
        with without_dropout(self.module):
            return self._forward(self.module, own(inputs), embeddings)

    def _forward(
        self, module: torch.nn.Module, rows: TokenRows, embeddings: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Run a module; ``embeddings`` take the place of those of the tokens."""
        inputs = rows.padded(self.pad_id)
        if embeddings is not None:
            del inputs["input_ids"]
            inputs["inputs_embeds"] = rows.spread(embeddings)
        known = self.prefix is not None and rows.hidden is not None and module is self.module and embeddings is None
        with self.hardware.autocast():
            output = self.prefix.rest(inputs, rows) if known and self.prefix else module(**inputs)
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
