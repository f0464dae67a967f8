"""FreeMatch: thresholds that set themselves, and a penalty for unfair classes (Wang et al. 2023, arXiv 2205.07246)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kexp.builtin.objectives.hard_targets import Weights, hard_consistency
from kexp.contracts import (
    Batch,
    Model,
    Objective,
    ObjectiveContext,
    Progress,
    StepLoss,
    SupervisedObjective,
    UnlabelledBatch,
)
from kexp.semi_supervised import (
    SemiSupervisedObjective,
    SemiSupervisedOptions,
    momentum_warnings,
    require_unlabelled,
    view_logits,
)

if TYPE_CHECKING:
    import torch

SMALLEST = 1e-12
"""Added inside a logarithm, and least divisor: a class may be missing from a batch."""


class FreeMatchOptions(SemiSupervisedOptions):
    """FixMatch with a self-adaptive threshold per class and a fairness term (Wang et al. 2023, section 4)."""

    uses_augmented: ClassVar[bool] = True
    several_processes: ClassVar[bool] = True

    momentum: float = Field(0.999, ge=0, lt=1, description="Of the running confidence and class shares (lambda).")
    fairness: float = Field(0.01, ge=0, allow_inf_nan=False, description="Weight of the fairness loss (w_f).")

    def step_warnings(self, steps: int, batches: int) -> Iterable[str]:
        """Yield a momentum that cannot act."""
        yield from super().step_warnings(steps, batches)
        yield from momentum_warnings("momentum", self.momentum, batches)

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""
        thresholds = SelfAdaptive(self.momentum, len(context.class_counts))
        return FreeMatch(self, self.build_supervised(context), thresholds)


class SelfAdaptive:
    """Weight 1 for rows whose largest probability is above ``tau * p_c / max_c p_c`` of their class c, else 0.

    ``tau`` is the moving average of the batches' mean confidence (equation 5), ``p`` that of their mean prediction
    (equation 6), and ``shares`` that of the shares of the predicted labels; all begin at 1/K.
    """

    def __init__(self, momentum: float, labels: int) -> None:
        import torch

        self.momentum = momentum
        self.tau = torch.tensor(1 / labels)
        self.mean = torch.full((labels,), 1 / labels)
        self.shares = torch.full((labels,), 1 / labels)

    def __call__(self, probabilities: torch.Tensor, rows: torch.Tensor) -> Weights:
        """Move the averages by this batch, then weigh each row."""
        confidence, labels = probabilities.max(-1)
        self.tau = self._moved(self.tau, confidence.mean())
        self.mean = self._moved(self.mean, probabilities.mean(0))
        self.shares = self._moved(self.shares, label_shares(labels, probabilities))
        thresholds = self.tau * self.mean / self.mean.max()
        weights = (confidence > thresholds[labels]).to(probabilities.dtype)
        return Weights(weights, {"threshold_lowest": thresholds.min(), "threshold_highest": thresholds.max()})

    def unfairness(self, augmented: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return ``-H(norm(p / shares), norm(q / h))``, H the cross entropy; the gradient goes through q alone.

        ``q`` is the mean prediction of the augmented views of the rows that count and ``h`` the shares of their labels.
        A class missing from ``h`` has a ratio of 0; without a row that counts the loss is 0.
        """
        import torch

        predicted = augmented.softmax(-1)
        counted = weights.sum().clamp(min=1)
        q = (predicted * weights[:, None]).sum(0) / counted
        h = label_shares(augmented.detach().argmax(-1), predicted, weights / counted * len(weights))
        ratio = torch.where(h > 0, q / h.clamp(min=SMALLEST), 0)
        ratio = ratio / ratio.sum().clamp(min=SMALLEST)
        expected = self.mean / self.shares.clamp(min=SMALLEST)
        expected = expected / expected.sum()
        return (expected * (ratio + SMALLEST).log()).sum() * (weights.sum() > 0)

    def _moved(self, last: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        return self.momentum * last.to(batch.device) + (1 - self.momentum) * batch

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the moving averages."""
        return {"tau": self.tau, "mean": self.mean, "shares": self.shares}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore them."""
        self.tau, self.mean, self.shares = state["tau"], state["mean"], state["shares"]


def label_shares(
    labels: torch.Tensor, probabilities: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the share of each class among ``labels`` of shape (rows,), weighted; shape (classes,), no gradient."""
    from torch.nn.functional import one_hot

    found = one_hot(labels, probabilities.shape[-1]).to(probabilities.dtype)
    return (found if weights is None else found * weights[:, None]).mean(0)


class FreeMatch(SemiSupervisedObjective):
    """``mean supervised loss + coefficient * hard consistency + fairness * unfairness``."""

    def __init__(self, options: FreeMatchOptions, supervised: SupervisedObjective, thresholds: SelfAdaptive) -> None:
        super().__init__(supervised, thresholds=thresholds)
        self.options = options
        self.thresholds = thresholds

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the loss of the labelled rows and of the unlabelled ones."""
        unlabelled = require_unlabelled(unlabelled)
        views = view_logits(model, labelled, unlabelled)
        supervised = self.supervised.row_losses(views.labelled, views.labels).mean()
        consistency = hard_consistency(views, self.thresholds)
        unfairness = self.thresholds.unfairness(views.augmented, consistency.weights)
        loss = supervised + self.options.coefficient * consistency.loss + self.options.fairness * unfairness
        own = {"supervised_loss": supervised.detach(), "fairness_loss": unfairness.detach()}
        return StepLoss(labelled.part(loss), {**own, **consistency.logs})
