"""The model as objectives see it: one pass for several groups of rows, targets without dropout, embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, cast

from kexp.contracts import Rows
from kexp.devices import Hardware
from kexp.distributed import ALONE, World
from kexp.model.dropout import without_dropout
from kexp.model.flat import FlatModel, reason_not_flat
from kexp.model.last_token import logits_of
from kexp.model.token_rows import TokenRows, own

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(eq=False)
class Classifier:
    """A transformers classifier, on the device of its hardware; what ``contracts.Model`` promises to objectives.

    Rows go through it without padding where its family is known (``FlatModel``), else padded with ``pad_id``, the id
    of the tokenizer's padding. The ``hidden`` states of rows are what the first ``known_layers`` layers return, which
    may be fewer from an epoch on.
    """

    module: PreTrainedModel
    hardware: Hardware
    pad_id: int
    known_layers: int = 0
    world: World = ALONE

    @cached_property
    def flat(self) -> FlatModel | None:
        """The forward pass without padding; None for models whose rows are padded."""
        return FlatModel.of(self.module) if self._reason is None else None

    @property
    def way(self) -> str:
        """How rows go through the model: "flat", or "padded" with the reason."""
        return "flat" if self._reason is None else f"padded: {self._reason}"

    @cached_property
    def _reason(self) -> str | None:
        """Why rows are padded, as it was at the first pass."""
        return reason_not_flat(self.module)

    def __call__(self, rows: TokenRows) -> torch.Tensor:
        """Return fp32 logits in whatever mode the module is."""
        return self._forward(self.module, rows)

    def logits(self, *groups: Rows) -> tuple[torch.Tensor, ...]:
        """Return the logits of each group of rows, all from one forward pass in training mode."""
        rows = TokenRows.joined([self._with_hidden(own(group)) for group in groups])
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

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of ``values`` of all processes, without gradient: ``values`` itself where there is one."""
        return self.world.total(values.detach())

    def gather(self, values: torch.Tensor, all_rows: int) -> torch.Tensor:
        """Return ``values``, one per row, of all processes, in the order of the ``all_rows`` rows of the batch.

        Gradients go to the values of this process alone.
        """
        own = slice(self.world.rank, None, self.world.size)
        table = values.new_zeros(all_rows, *values.shape[1:])
        table[own] = values.detach()
        table = self.world.total(table)
        if values.requires_grad:
            table[own] = values
        return table

    def _with_hidden(self, rows: TokenRows) -> TokenRows:
        """Return rows with what the layers make of them that are known of others, so that all share the same pass."""
        if not self.known_layers or rows.hidden is not None or not len(rows):
            return rows
        return replace(rows, hidden=self.hidden(rows, self.known_layers))

    def hidden(self, rows: TokenRows, layers: int) -> torch.Tensor:
        """Return what the first ``layers`` layers make of rows, without dropout and without gradient.

        It goes on from those of the ``known_layers`` where rows have them. Its shape is (tokens, hidden), or
        (rows, hidden) for all layers, of which the head reads first tokens alone.
        Raises ``ValueError`` for a model whose rows are padded.
        """
        import torch

        if self.flat is None:
            raise ValueError(self.way)
        with without_dropout(self.module), torch.no_grad(), self.hardware.autocast():
            if rows.hidden is not None:
                return self.flat.layers(rows.hidden, rows, self.known_layers, layers)
            return self.flat.layers(self.flat.embed(rows), rows, 0, layers)

    def _forward(
        self, module: torch.nn.Module, rows: TokenRows, embeddings: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Run a module; ``embeddings`` take the place of those of the tokens."""
        if not len(rows):
            return self._no_logits(rows, embeddings)
        flat = self.flat if module is self.module else FlatModel.of(module)  # type: ignore[arg-type]
        # A row without tokens, of a tokenizer without special ones, has no first one.
        if not rows.lengths.all():
            flat = None
        with self.hardware.autocast():
            if flat is None:
                logits = self._padded(module, rows, embeddings)
            # A copy has weights of its own.
            elif rows.hidden is not None and embeddings is None and module is self.module:
                logits = flat.head(flat.layers(rows.hidden, rows, self.known_layers, flat.number_of_layers))
            else:
                logits = flat.logits(rows, word_embeddings=embeddings)
        return logits.float()

    def _no_logits(self, rows: TokenRows, embeddings: torch.Tensor | None) -> torch.Tensor:
        """Return the logits of no rows, with a gradient that reaches no weight; another process has the rows."""
        import torch

        labels = self.module.config.num_labels
        assert labels is not None
        logits = torch.zeros(0, labels, device=rows.ids.device)
        if embeddings is not None:
            return logits + embeddings.sum().float()
        return logits.requires_grad_(torch.is_grad_enabled())

    def _padded(self, module: torch.nn.Module, rows: TokenRows, embeddings: torch.Tensor | None) -> torch.Tensor:
        # A mask that masks nothing is looked at, for which a GPU is waited for. Of the library's own models alone it is
        # known that they need none.
        known = type(module).__module__.startswith("transformers.models.")
        unmasked = rows.equally_long and known
        inputs = rows.without_mask(self.pad_id) if unmasked else rows.padded(self.pad_id)
        whole = cast("PreTrainedModel", module)
        given: AbstractContextManager[None] = nullcontext()
        if embeddings is not None and known:
            given = _embedded(whole, rows.spread(embeddings))
        elif embeddings is not None:
            del inputs["input_ids"]
            inputs["inputs_embeds"] = rows.spread(embeddings)
        with _unsuspected(module) if unmasked else nullcontext(), given:
            return logits_of(whole, inputs)


@contextmanager
def _embedded(module: PreTrainedModel, embeddings: torch.Tensor) -> Iterator[None]:
    """Put these in the place of the embeddings that a model looks up, of shape (rows, length, hidden).

    Not as its ``inputs_embeds``: some heads find the last token of a row by its ids, and read padding without them.
    """
    hook = module.get_input_embeddings().register_forward_hook(lambda table, ids, found: embeddings)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _unsuspected(module: torch.nn.Module) -> Iterator[None]:
    """Keep a model from looking for padding in rows without a mask, for which a GPU would be waited for."""
    own = vars(cast("PreTrainedModel", module).base_model)
    own["warn_if_padding_and_no_attention_mask"] = lambda input_ids, attention_mask: None
    try:
        yield
    finally:
        del own["warn_if_padding_and_no_attention_mask"]
