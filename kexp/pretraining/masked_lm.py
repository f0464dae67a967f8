"""Masked language modelling as an objective of training, with the head of the model on the masked tokens alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from kexp.contracts import Batch, Model, Objective, Progress, StepLoss, UnlabelledBatch
from kexp.errors import KexpError
from kexp.host_batches import HostBatch
from kexp.model.dropout import without_dropout
from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows, own
from kexp.pretraining.masking import IGNORED

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

TOLERANCE = 1e-3
"""Largest difference of logits, relative to the largest of them, that rounding may cause."""


class MaskedTokens(Objective):
    """The mean cross entropy of the masked tokens.

    The head is run on the masked tokens alone: over a vocabulary it costs more than the encoder of a small model. A
    model whose rows are padded is asked whether its head sees each token by itself, by ``check``.
    """

    def __init__(self) -> None:
        self.by_token = True

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the loss of a batch, whose labels, of shape (tokens,), are ``IGNORED`` where nothing is masked."""
        assert isinstance(model, Classifier)
        total, count = self.loss(model, labelled)
        # The loss is a mean over the masked tokens of all processes.
        if labelled.all_rows is not None:
            count = int(model.total(labelled.labels.new_tensor(count)))
        # A batch of few short texts may have no masked token, and then no loss.
        return StepLoss(total / max(count, 1))

    def loss(self, model: Classifier, batch: Batch) -> tuple[torch.Tensor, int]:
        """Return the sum of the losses of the masked tokens, and how many they are."""
        import torch
        from torch.nn.functional import cross_entropy

        if not len(batch.inputs):
            return torch.zeros((), device=batch.labels.device, requires_grad=True), 0
        tokens = (batch.labels != IGNORED).nonzero()[:, 0]
        logits = self.logits(model, own(batch.inputs), tokens)
        return cross_entropy(logits, batch.labels[tokens], reduction="sum"), len(tokens)

    def logits(self, model: Classifier, rows: TokenRows, tokens: torch.Tensor) -> torch.Tensor:
        """Return fp32 logits of shape (tokens, vocabulary) of some tokens, counted over all rows."""
        # A row without tokens, of a tokenizer without special ones, needs padding.
        if model.flat is not None and rows.lengths.all():
            with model.hardware.autocast():
                return model.flat.logits(rows, tokens=tokens).float()
        places = rows.padded_places[tokens]
        if not self.by_token:
            return model(rows).flatten(0, 1)[places]

        def choose(module: torch.nn.Module, given: Any, output: Any) -> Any:
            """Let what comes after the encoder see the chosen tokens alone, as one row."""
            output["last_hidden_state"] = output["last_hidden_state"].flatten(0, 1)[places][None]
            return output

        hook = model.module.base_model.register_forward_hook(choose)
        try:
            return model(rows).flatten(0, 1)
        finally:
            hook.remove()

    def check(self, model: Classifier, batch: HostBatch) -> None:
        """Find out with some rows whether the head sees each token by itself; if not, it is run on all tokens."""
        import torch

        if model.flat is not None:
            return
        rows = TokenRows.of(batch.inputs, model.hardware.device)
        tokens = torch.arange(1, batch.tokens, 2, device=model.hardware.device)
        with without_dropout(model.module), torch.no_grad():
            whole = model(rows).flatten(0, 1)[rows.padded_places[tokens]]
            try:
                alone = self.logits(model, rows, tokens)
                difference = float((alone - whole).abs().max())
                self.by_token = difference <= TOLERANCE * max(1.0, float(whole.abs().max()))
            # A head that needs the shape of the rows fails in its own way.
            except (RuntimeError, ValueError, TypeError, IndexError, KeyError):
                self.by_token = False


def mean_loss(objective: MaskedTokens, model: Classifier, batches: Iterable[HostBatch]) -> float:
    """Return the mean loss of the masked tokens of some batches, without dropout."""
    import torch

    device = model.hardware.device
    total, count = 0.0, 0
    with without_dropout(model.module), torch.no_grad():
        for batch in batches:
            labels = torch.from_numpy(batch.labels).to(device)
            loss, tokens = objective.loss(model, Batch(TokenRows.of(batch.inputs, device), labels))
            total, count = total + float(loss), count + tokens
    return total / max(count, 1)


def shared_weights(source: PreTrainedModel, target: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the weights of the encoder of ``source``, on the CPU, under the names that they have in ``target`` too.

    Raises ``KexpError`` where ``target`` has an encoder of other weights.
    """
    own: Mapping[str, torch.Tensor] = target.state_dict()
    found = {
        name: weights.detach().cpu().clone()
        for name, weights in source.state_dict().items()
        if name in own and own[name].shape == weights.shape
    }
    base = f"{target.base_model_prefix}."
    missing = [name for name in own if name.startswith(base) and "pooler" not in name and name not in found]
    if missing or not found:
        kinds = f"{type(source).__name__} and {type(target).__name__}"
        raise KexpError(f"pretraining: {kinds} do not share {', '.join(missing[:5]) or 'any weights'}")
    return found
