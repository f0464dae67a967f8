"""Virtual adversarial training (Miyato et al. 2018, arXiv 1704.03976) on word embeddings (Miyato et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, PositiveInt

from kexp.builtin.objectives.divergence import kl
from kexp.contracts import (
    Batch,
    Model,
    Objective,
    ObjectiveContext,
    Progress,
    Rows,
    StepLoss,
    SupervisedObjective,
    UnlabelledBatch,
)
from kexp.seeds import derive
from kexp.semi_supervised import (
    SemiSupervisedObjective,
    SemiSupervisedOptions,
    ViewLogits,
    agreement,
    require_unlabelled,
    target_logs,
)

if TYPE_CHECKING:
    import torch


class VatOptions(SemiSupervisedOptions):
    """Predictions must not change where a small change of the embeddings changes them most (Miyato et al. 2018)."""

    several_processes: ClassVar[bool] = True

    epsilon: float = Field(
        0.1,
        gt=0,
        allow_inf_nan=False,
        description="Length of the change over all embeddings of a row; the option that has to be tuned.",
    )
    xi: float = Field(
        0.1, gt=0, allow_inf_nan=False, description="Length of the trial change that finds the worst direction."
    )
    iterations: PositiveInt = Field(1, description="Power iterations, each a forward and a backward pass.")

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""
        return Vat(self, self.build_supervised(context), context.seed)


class Vat(SemiSupervisedObjective):
    """``mean supervised loss + coefficient / N sum_u KL(p(x_u) || p(x_u + r_u))``.

    The change r of length epsilon is found by power iteration (section 3.3, algorithm 1): from a random direction d,
    ``d = grad_r KL(p(x) || p(x + r))`` at ``r = xi d``, normalised over the tokens of the row.
    The paper's xi of 1e-6 is near the rounding of fp32 embeddings; 0.1 is that of the authors' code for text. Their
    embeddings are normalised and epsilon is 5. Those of a pre-trained model have a norm of about 1 a token: a small
    Korean BERT fine-tuned on film reviews changes a quarter of its predictions at 0.1, and half of them at 1.
    """

    def __init__(self, options: VatOptions, supervised: SupervisedObjective, seed: int) -> None:
        super().__init__(supervised)
        self.options = options
        self.seed = seed

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the loss: a pass of the labelled rows and ``iterations + 2`` of the unlabelled ones."""
        unlabelled = require_unlabelled(unlabelled)
        (logits,) = model.logits(labelled.inputs)
        views = ViewLogits.gathered(
            model, labelled, unlabelled, logits, *self._predictions(model, unlabelled.original, progress)
        )
        supervised = self.supervised.row_losses(views.labelled, views.labels).mean()
        unsupervised, logs = self._smoothness(views.original, views.augmented)
        loss = supervised + self.options.coefficient * unsupervised
        return StepLoss(labelled.part(loss), {"supervised_loss": supervised.detach(), **logs})

    def _predictions(self, model: Model, inputs: Rows, progress: Progress) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log-probabilities without gradient of rows as they are, and logits of their changed embeddings."""
        import torch

        embeddings = model.embed(inputs).detach()
        with torch.no_grad():
            # By the same way as the changed ones: another way's rounding would drown a change as small as xi.
            target = model.embedded_logits(embeddings, inputs).detach().log_softmax(-1)
        change = self._worst(model, inputs, embeddings, target, progress)
        return target, model.embedded_logits(embeddings + change, inputs)

    def _smoothness(self, target: torch.Tensor, changed: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the mean local distributional smoothness (equation 5), and what to log."""
        loss = kl(target, changed.log_softmax(-1)).mean()
        probabilities = target.exp()
        return loss, {
            "unsupervised_loss": loss.detach(),
            **target_logs(probabilities, probabilities, probabilities.new_ones(len(probabilities))),
            "agreement": agreement(target, changed),
        }

    def _worst(
        self, model: Model, inputs: Rows, embeddings: torch.Tensor, target: torch.Tensor, progress: Progress
    ) -> torch.Tensor:
        """Return the change of length epsilon that moves the predictions most, of the embeddings' shape."""
        import torch

        stream = derive(self.seed, "vat", progress.step, progress.batch)
        generator = torch.Generator(embeddings.device).manual_seed(stream)
        noise = torch.randn(embeddings.shape, generator=generator, device=embeddings.device, dtype=embeddings.dtype)
        rows = inputs.row_of_token
        direction = _unit(noise, rows, len(inputs))
        for _ in range(self.options.iterations):
            trial = (self.options.xi * direction).requires_grad_()
            with torch.enable_grad():
                predicted = model.embedded_logits(embeddings + trial, inputs).log_softmax(-1)
                # The sum, so that a row's direction does not depend on the rows beside it.
                (gradient,) = torch.autograd.grad(kl(target, predicted).sum(), trial)
            direction = _unit(gradient, rows, len(inputs))
        return self.options.epsilon * direction


def _unit(changes: torch.Tensor, row_of_token: torch.Tensor, rows: int) -> torch.Tensor:
    """Return changes of shape (tokens, hidden) with length 1 over the tokens of each row; a row of zeros stays so."""
    # First by the largest entry: squares of gradients as small as those of a sure model would vanish.
    largest = changes.new_zeros(rows).scatter_reduce(0, row_of_token, changes.abs().amax(1), "amax")
    changes = changes / largest.clamp(min=1e-30)[row_of_token, None]
    lengths = changes.new_zeros(rows).index_add(0, row_of_token, (changes**2).sum(1)).sqrt()
    return changes / lengths.clamp(min=1e-12)[row_of_token, None]
