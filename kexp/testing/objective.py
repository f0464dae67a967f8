"""What every objective has to get right."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from kexp.contracts import ObjectiveOptions, Progress, SupervisedObjective, SupervisedObjectiveOptions
from kexp.options import Options
from kexp.testing.objective_processes import Processes, check_parts
from kexp.testing.objective_steps import (
    LABELS,
    GivenLogits,
    StepRows,
    backward,
    build,
    check_loss,
    judged,
    saved,
    train,
)
from kexp.testing.options import OptionsContract
from kexp.testing.targets import rows_for

if TYPE_CHECKING:
    import torch

STEPS = (0, 45, 90)
PROCESSES = ((2, 5, 7), (3, 4, 2), (3, 2, 5), (2, 1, 1))
"""How many processes there are, and the labelled and unlabelled rows of a step, which they divide among them."""
LARGE = (1e4, 100.0, 0.0)


class ObjectiveContract(OptionsContract):
    """Promises of objectives: a finite loss whose gradient trains the whole classifier, and a state that resumes.

    Of a ``SupervisedObjective``, also that it has a loss for every row, which does not depend on other rows.
    ``targets_take_gradient`` is whether gradients flow through the predictions of the originals; in most methods these
    are targets without gradient. ``is_random`` is whether random numbers are drawn, of which each of several processes
    draws others. Objectives whose class uses unlabelled rows are given some. Targets are of the first kind of
    ``targets`` that objectives nested in an example share: see ``kexp.testing.targets``.
    """

    base: ClassVar[type[Options]] = ObjectiveOptions
    targets_take_gradient: ClassVar[bool] = False
    is_random: ClassVar[bool] = False

    @pytest.fixture(params=[False, True], ids=["flat", "padded"])
    def rows(self, options: ObjectiveOptions, request: pytest.FixtureRequest) -> StepRows:
        """Return a tiny classifier with labelled rows and, where the objective uses them, unlabelled ones."""
        return StepRows(options, padded=request.param)

    def test_loss_and_logs_are_finite_scalars(self, options: ObjectiveOptions, rows: StepRows) -> None:
        """The loss is a scalar with a gradient, logs are scalars without one, from the first step to the last."""
        objective = build(options)
        for step in STEPS:
            check_loss(rows.step(objective, step))

    def test_padded_rows_give_the_same_losses(self, options: ObjectiveOptions) -> None:
        """The loss does not depend on whether the rows of the classifier are padded."""
        losses = []
        for padded in (False, True):
            rows, objective = StepRows(options, padded=padded), build(options)
            rows.leave_out_dropout()
            losses.append([float(rows.step(objective, step).loss.detach()) for step in STEPS])
        assert losses[1] == pytest.approx(losses[0], rel=1e-3)

    def test_trains_the_whole_classifier(self, options: ObjectiveOptions, rows: StepRows) -> None:
        """Every parameter that is to be trained gets a finite gradient, and not all gradients are zero."""
        objective = build(options)
        for step in STEPS:
            rows.module.zero_grad()
            backward(rows.step(objective, step))
            gradients = {name: parameter.grad for name, parameter in rows.module.named_parameters()}
            assert not [name for name, gradient in gradients.items() if gradient is None]
            assert all(bool(gradient.isfinite().all()) for gradient in gradients.values() if gradient is not None)
            assert any(bool(gradient.any()) for gradient in gradients.values() if gradient is not None)

    def test_changes_no_weights_or_modes(self, options: ObjectiveOptions, rows: StepRows) -> None:
        """A step changes no weight, no mode of a module, and not what is to be trained."""
        import torch

        before = {name: value.clone() for name, value in rows.module.state_dict().items()}
        rows.module.get_input_embeddings().requires_grad_(False).eval()
        modes = [module.training for module in rows.module.modules()]
        trained = [parameter.requires_grad for parameter in rows.module.parameters()]
        objective = build(options)
        for step in STEPS:
            backward(rows.step(objective, step))
            objective.stepped(rows.model, Progress(step + 1, 100))
        assert all(torch.equal(before[name], value) for name, value in rows.module.state_dict().items())
        assert modes == [module.training for module in rows.module.modules()]
        assert trained == [parameter.requires_grad for parameter in rows.module.parameters()]

    def test_equal_seeds_give_equal_losses(self, options: ObjectiveOptions) -> None:
        """With the same weights, rows and dropout, training goes the same way."""
        assert train(options, 4) == train(options, 4)

    def test_resuming_continues_identically(self, options: ObjectiveOptions) -> None:
        """The state, saved and loaded as a checkpoint is, gives the losses of a run that was not interrupted."""
        assert train(options, 6, resume_at=3) == pytest.approx(train(options, 6), rel=1e-6)

    def test_a_step_can_be_done_again(self, options: ObjectiveOptions, rows: StepRows) -> None:
        """A step changes no tensor of the state in place: one that ran out of memory is done again from that state."""
        import torch

        objective = build(options)
        rows.step(objective, 0)
        objective.stepped(rows.model, Progress(1, 100))
        state = dict(objective.state_dict())
        first = rows.step(objective, 1).loss.detach()
        objective.load_state_dict(state)
        assert torch.equal(rows.step(objective, 1).loss.detach(), first)

    def test_initial_state_can_be_loaded(self, options: ObjectiveOptions, rows: StepRows) -> None:
        """What an objective saves before its first step, another one takes."""
        state = build(options).state_dict()
        objective = build(options)
        objective.load_state_dict(saved(state))
        check_loss(rows.step(objective, 0))

    def test_an_average_that_is_evaluated_is_a_copy_of_the_model(
        self, options: ObjectiveOptions, rows: StepRows
    ) -> None:
        """``averaged`` returns a module with the model's weights by name where the options say so, else None."""
        objective = build(options)
        rows.step(objective, 0)
        objective.stepped(rows.model, Progress(1, 100))
        averaged = objective.averaged(rows.model)
        assert (averaged is not None) is options.evaluates_average
        if averaged is not None:
            assert averaged is not rows.module
            assert {name: value.shape for name, value in averaged.state_dict().items()} == {
                name: value.shape for name, value in rows.module.state_dict().items()
            }

    def test_accepts_a_single_row(self, options: ObjectiveOptions) -> None:
        """The last batch of an epoch may hold one row."""
        rows, objective = StepRows(options, labelled=1, unlabelled=1), build(options)
        for step in STEPS:
            result = rows.step(objective, step)
            check_loss(result)
            backward(result)

    @pytest.mark.parametrize("size", LARGE)
    def test_extreme_logits_stay_finite(self, options: ObjectiveOptions, size: float) -> None:
        """Loss, logs and gradients are finite for a model that is certain, rightly or wrongly, or uncertain."""
        objective, model = build(options), GivenLogits(size, options)
        for step in STEPS:
            model.begin()
            result = objective.step(model, model.labelled(), model.unlabelled(options), Progress(step, 100))
            check_loss(result)
            backward(result)
            objective.stepped(model, Progress(step + 1, 100))
            assert all(bool(leaf.grad.isfinite().all()) for leaf in model.leaves() if leaf.grad is not None)

    @pytest.mark.parametrize("rows", [1, 2, 9])
    def test_losses_are_one_per_row(self, options: ObjectiveOptions, rows: int) -> None:
        """``losses`` are finite and of shape (rows,), so that others can weight rows or leave them out."""
        objective = build(options)
        if not isinstance(objective, SupervisedObjective):
            return
        losses = objective.losses(*judged(options, rows))
        assert losses.shape == (rows,), "expected one loss per row; do not average over the rows"
        assert losses.isfinite().all()

    def test_loss_of_a_row_is_independent_of_other_rows(self, options: ObjectiveOptions) -> None:
        """The loss of a row is the same whatever rows stand beside it."""
        import torch

        if not isinstance(build(options), SupervisedObjective):
            return
        logits, labels = judged(options, 9)
        together = losses_of(options, logits, labels)
        alone = [losses_of(options, logits[row : row + 1], labels[row : row + 1]) for row in range(9)]
        torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-6)

    def test_targets_have_no_gradient(self, options: ObjectiveOptions) -> None:
        """Where rows have two views, the prediction of the original is a target, through which no gradient flows."""
        if not options.uses_augmented:
            return
        objective, model = build(options), GivenLogits(2.0, options)
        for step in STEPS:
            backward(objective.step(model, model.labelled(), model.unlabelled(options), Progress(step, 100)))
        gradient = model.given["original"].grad
        assert (gradient is not None and bool(gradient.any())) is self.targets_take_gradient

    @pytest.mark.parametrize(("size", "labelled", "unlabelled"), PROCESSES)
    def test_parts_of_processes_add_up(
        self, options: ObjectiveOptions, size: int, labelled: int, unlabelled: int
    ) -> None:
        """With ``several_processes``, losses and gradients of all processes add up to those of one with all rows.

        Logs and states are those of one process, and equal in all. Some processes have no rows of a step.
        """
        import torch

        if not type(options).several_processes:
            return
        rows, alone = StepRows(options, labelled, unlabelled), build(options)
        rows.leave_out_dropout()
        rows.spread_predictions()
        # How rows are divided then changes no logit by rounding.
        rows.module.double()
        processes, optimiser = Processes(options, rows, size), torch.optim.SGD(rows.module.parameters(), lr=3e-5)
        for step in STEPS:
            check_parts(rows, alone, processes, Progress(step, 100), is_random=self.is_random)
            # Spread predictions make large gradients.
            torch.nn.utils.clip_grad_norm_(rows.module.parameters(), 1.0)
            optimiser.step()

    def test_label_problems_and_warnings_are_messages(self, options: ObjectiveOptions) -> None:
        """Three labels are no problem for the examples; problems and warnings of other numbers are messages."""
        assert list(options.label_problems(len(rows_for(options).names(LABELS)))) == []
        for labels in range(2, 12):
            for message in (*options.label_problems(labels), *options.label_warnings(labels)):
                assert isinstance(message, str)
                assert message

    def test_step_warnings_are_messages(self, options: ObjectiveOptions) -> None:
        """Warnings of any number of steps and batches are messages."""
        for steps, batches in ((1, 1), (1, 8), (160, 160), (100_000, 200_000)):
            for message in options.step_warnings(steps, batches):
                assert isinstance(message, str)
                assert message

    def test_class_declares_a_loss_per_row(self, options: ObjectiveOptions) -> None:
        """Options that build a ``SupervisedObjective`` extend ``SupervisedObjectiveOptions``, and only those."""
        supervised = isinstance(build(options), SupervisedObjective)
        assert supervised is isinstance(options, SupervisedObjectiveOptions)

    def test_augmented_views_need_unlabelled_rows(self, options: ObjectiveOptions) -> None:
        """An objective that uses augmented views uses unlabelled rows."""
        assert type(options).uses_unlabelled or not type(options).uses_augmented


def losses_of(options: ObjectiveOptions, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the losses of an objective that has not seen a row before, flat."""
    objective = build(options)
    assert isinstance(objective, SupervisedObjective)
    return objective.losses(logits, labels).reshape(-1)
