"""What frozen blocks make of a row never changes: run a model up to a block once, and from there on in every step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kexp.contracts import FreezingOptions
from kexp.devices import Hardware
from kexp.host_batches import HostBatch
from kexp.model.blocks import Blocks
from kexp.model.token_rows import TokenRows
from kexp.seeds import derive

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

logger = logging.getLogger("kexp")


def always_frozen(freezing: FreezingOptions, names: Sequence[str], epochs: int) -> int:
    """Return how many blocks, from the input upwards, are frozen in every epoch."""
    frozen = [set(freezing.frozen(names, epoch)) for epoch in range(epochs)]
    return next((number for number, name in enumerate(names) if not all(name in few for few in frozen)), len(names))


@dataclass(frozen=True, slots=True)
class Prefix:
    """The lowest blocks of a model, frozen as long as this is used: embeddings and layers by their outermost modules.

    The rest of the model is run by the model's own code, masks and all: for one pass the modules of the prefix do
    nothing but return the hidden states that are known, as layers return them (``others`` is what stands beside them
    in a tuple). ``tokens`` is how many tokens of a row the rest needs: all (None), or the first alone, where no more
    than a head is left that reads nothing else.
    """

    blocks: Blocks
    names: Sequence[str]
    embeddings: Sequence[torch.nn.Module]
    layers: Sequence[torch.nn.Module]
    others: tuple[None, ...] | None = None
    tokens: int | None = None

    def output(self, inputs: Mapping[str, torch.Tensor]) -> Any:
        """Return what the last layer of the prefix returns; nothing above it is run."""

        def leave(module: torch.nn.Module, arguments: Any, output: Any) -> None:
            raise _Reached(output)

        hook = self.layers[-1].register_forward_hook(leave)
        try:
            self.blocks.model(**inputs)
        except _Reached as reached:
            return reached.args[0]
        finally:
            hook.remove()
        raise ValueError(f"{self.names[-1]} takes no part in a pass")

    def hidden(self, rows: TokenRows, pad_id: int) -> torch.Tensor:
        """Return the hidden states that leave the prefix, of shape (tokens, hidden), or of first tokens alone."""
        output = self.output(rows.padded(pad_id))
        hidden: torch.Tensor = output if self.others is None else output[0]
        if self.tokens:
            return hidden[:, 0]
        # Some models pad rows further by themselves, and cannot go on from fewer tokens: Longformer, BigBird.
        return hidden[:, : int(rows.lengths.max())].flatten(0, 1)[rows.padded_places]

    def rest(self, inputs: Mapping[str, torch.Tensor], rows: TokenRows) -> Any:
        """Return the model's output for rows whose hidden states are known."""
        assert rows.hidden is not None
        hidden = rows.hidden[:, None] if self.tokens else rows.spread(rows.hidden)
        with self._bypassed(hidden):
            return self.blocks.model(**{name: tensor[:, : hidden.shape[1]] for name, tensor in inputs.items()})

    @contextmanager
    def _bypassed(self, hidden: torch.Tensor) -> Iterator[None]:
        output = hidden if self.others is None else (hidden, *self.others)
        for module in self.embeddings:
            module.forward = lambda *given, **named: hidden
        for module in self.layers:
            module.forward = lambda *given, **named: output
        try:
            yield
        finally:
            for module in (*self.embeddings, *self.layers):
                del module.forward

    def run(
        self,
        batches: Iterable[tuple[NDArray[np.int64], HostBatch]],
        lengths: NDArray[np.int64],
        hardware: Hardware,
        pad_id: int,
    ) -> StoredHiddenStates:
        """Run the prefix over batches of (row numbers, rows) and store the hidden states; rows have these ``lengths``.

        The last bits depend on how rows are put into batches, so equal runs need equal batches.
        """
        import torch

        stored: StoredHiddenStates | None = None
        self.blocks.apply_freezing(self.names)
        for rows, batch in batches:
            with torch.no_grad(), hardware.autocast():
                hidden = self.hidden(TokenRows.of(batch.inputs, hardware.device), pad_id).cpu()
            stored = stored or StoredHiddenStates.empty(self.stored_lengths(lengths), hidden)
            stored.put(rows, hidden)
        assert stored is not None
        return stored

    def stored_lengths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many tokens are stored of rows of these lengths."""
        return lengths if self.tokens is None else np.minimum(lengths, self.tokens)


class _Reached(Exception):
    """Leaves a pass with the output of a layer."""


@dataclass(frozen=True, slots=True)
class StoredHiddenStates:
    """Hidden states of rows, without padding, in the host's memory: row i begins at ``starts[i]``."""

    values: torch.Tensor
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def empty(cls, lengths: NDArray[np.int64], like: torch.Tensor) -> StoredHiddenStates:
        """Return room for rows of these lengths."""
        return cls(like.new_empty(int(lengths.sum()), like.shape[-1]), np.cumsum(lengths) - lengths, lengths)

    def put(self, rows: NDArray[np.int64], hidden: torch.Tensor) -> None:
        """Store the hidden states of some rows."""
        import torch

        self.values[torch.from_numpy(self._places(rows))] = hidden

    def of(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return the hidden states of some rows, of shape (tokens, hidden)."""
        import torch

        return self.values.index_select(0, torch.from_numpy(self._places(rows)))

    def _places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.concatenate([np.arange(self.starts[row], self.starts[row] + self.lengths[row]) for row in rows])


def find_prefix(blocks: Blocks, count: int, short: TokenRows, long: TokenRows, pad_id: int) -> Prefix | None:
    """Return the ``count`` lowest blocks of a model, or None where the rest of it needs more than what they give.

    Two groups of rows are run through them apart, and through the rest together, padded: logits and gradients have to
    be those of the whole model, in training mode and with its dropout. This finds a part of the prefix that is trained
    after all, that drops at random, or that looks at padding.
    """
    names, model = blocks.names[:count], blocks.model
    found: dict[str, list[torch.nn.Module]] = {name: [] for name in blocks.names}
    for name, module in model.named_modules():
        if blocks.block_of[name] != blocks.block_of[name.rpartition(".")[0]]:
            found[blocks.block_of[name]].append(module)
    layers = [module for name in names[1:] for module in found[name]]
    # Relative positions are embeddings too, but the layers above read them.
    before = [module for module in model.base_model.children() if module in found["embeddings"]]
    prefix = Prefix(blocks, names, before, layers)
    blocks.apply_freezing(names)
    # Where other people's code is run in a way that it was not written for, it may fail in any way.
    try:
        output = prefix.output(long.padded(pad_id))
        if isinstance(output, tuple):
            prefix = replace(prefix, others=output[1:])
        kinds = [replace(prefix, tokens=1), prefix] if count == len(blocks.names) - 1 else [prefix]
        return next((kind for kind in kinds if _fits(kind, short, long, pad_id)), None)
    except Exception as error:  # noqa: BLE001
        logger.info("%s cannot be left out: %s: %s", names[-1], type(error).__name__, error)
        return None


def _fits(prefix: Prefix, short: TokenRows, long: TokenRows, pad_id: int) -> bool:
    import torch

    model = prefix.blocks.model
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def outcome(run: Callable[[], Any]) -> list[torch.Tensor]:
        torch.manual_seed(derive(0, "prefix"))
        logits = run().logits.float()
        loss = -logits.log_softmax(-1)[:, 0].mean()
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        return [logits.detach(), torch.cat([gradient.flatten() for gradient in gradients])]

    known = TokenRows.joined([replace(rows, hidden=prefix.hidden(rows, pad_id)) for rows in (short, long)])
    if known.hidden is None or known.hidden.requires_grad:
        return False
    inputs = known.padded(pad_id)
    pairs = zip(outcome(lambda: model(**inputs)), outcome(lambda: prefix.rest(inputs, known)), strict=True)
    return all(torch.allclose(b, a, rtol=1e-3, atol=1e-5 * float(a.abs().max())) for a, b in pairs)
