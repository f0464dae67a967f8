"""Objectives against the formulas of their papers in NumPy, and gradients that stay finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.metrics import brier_score_loss

from kexp.builtin.metrics import MSE
from kexp.builtin.objectives import CrossEntropyOptions, FocalOptions, MeanSquaredErrorOptions, RDropOptions
from kexp.contracts import Batch, MetricContext, ObjectiveContext, Progress, StepLoss
from kexp.model.token_rows import TokenRows

COUNTS = [50, 30, 20]


def drawn(rows: int = 40, labels: int = 3, scale: float = 3.0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    generator = np.random.default_rng(0)
    return generator.normal(0, scale, (rows, labels)), generator.integers(labels, size=rows)


def log_probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


Supervised = CrossEntropyOptions | FocalOptions | MeanSquaredErrorOptions


def losses(options: Supervised, logits: Any, labels: Any, counts: Any = COUNTS) -> torch.Tensor:
    objective = options.build(ObjectiveContext(class_counts=list(counts)))
    return objective.losses(torch.as_tensor(logits), torch.as_tensor(labels))


def balanced(counts: list[int]) -> NDArray[np.float64]:
    return sum(counts) / (len(counts) * np.array(counts))


WEIGHTS = {"none": np.ones(3), "balanced": balanced(COUNTS), (0.5, 2.0, 0.0): np.array([0.5, 2.0, 0.0])}


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_is_the_formula_with_smoothing_and_weights(smoothing: float, weights: Any) -> None:
    logits, labels = drawn()
    log_p = log_probabilities(logits)
    own = log_p[np.arange(len(labels)), labels]
    expected = WEIGHTS[weights][labels] * (-(1 - smoothing) * own - smoothing / 3 * log_p.sum(1))
    found = losses(CrossEntropyOptions(label_smoothing=smoothing, class_weights=weights), logits, labels)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
    assert found.shape == (40,)


@pytest.mark.parametrize("alpha", WEIGHTS)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_loss_is_the_formula_with_gamma_and_alpha(gamma: float, alpha: Any) -> None:
    logits, labels = drawn()
    own = log_probabilities(logits)[np.arange(len(labels)), labels]
    expected = -WEIGHTS[alpha][labels] * (1 - np.exp(own)) ** gamma * own
    found = losses(FocalOptions(gamma=gamma, alpha=alpha), logits, labels)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_squared_error_is_the_formula_with_weights(reduction: str, weights: Any) -> None:
    logits, labels = drawn()
    probabilities = np.exp(log_probabilities(logits))
    expected = []
    for row, label in enumerate(labels):
        errors = [(probabilities[row, k] - (1 if k == label else 0)) ** 2 for k in range(3)]
        expected.append(WEIGHTS[weights][label] * sum(errors) / (3 if reduction == "mean" else 1))
    found = losses(MeanSquaredErrorOptions(reduction=reduction, class_weights=weights), logits, labels)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-12)
    assert found.shape == (40,)


def test_squared_error_is_that_of_torch_and_of_the_metric_and_its_sum_the_brier_score() -> None:
    logits, labels = drawn()
    probabilities = torch.as_tensor(logits).softmax(-1)
    one_hot = torch.nn.functional.one_hot(torch.as_tensor(labels), 3).double()
    found = losses(MeanSquaredErrorOptions(), logits, labels).mean()
    torch.testing.assert_close(found, torch.nn.MSELoss()(probabilities, one_hot))
    metric = MSE().build(MetricContext(("a", "b", "c")))
    assert float(found) == pytest.approx(metric(labels, probabilities.numpy()))
    brier = brier_score_loss(labels, probabilities.numpy(), scale_by_half=False)
    assert float(losses(MeanSquaredErrorOptions(reduction="sum"), logits, labels).mean()) == pytest.approx(brier)


def test_focal_loss_without_gamma_is_cross_entropy() -> None:
    logits, labels = drawn()
    plain = losses(CrossEntropyOptions(), logits, labels)
    torch.testing.assert_close(losses(FocalOptions(gamma=0.0), logits, labels), plain)


def test_focal_loss_discounts_what_is_well_classified() -> None:
    ratio = [
        float(losses(FocalOptions(gamma=2.0), [[size, 0.0]], [0]) / losses(CrossEntropyOptions(), [[size, 0.0]], [0]))
        for size in (-3.0, 0.0, 3.0, 6.0)
    ]
    assert ratio == sorted(ratio, reverse=True)
    assert ratio[0] > 0.9
    assert ratio[-1] < 1e-4


def test_focal_loss_is_exact_where_the_probability_is_nearly_one() -> None:
    # In float32 1 - exp(log p) has no digit left here; p = 1 / (1 + exp(-14)).
    found = losses(FocalOptions(gamma=1.0), torch.tensor([[14.0, 0.0]]), [0])
    miss = np.exp(-14.0) / (1 + np.exp(-14.0))
    assert float(found) == pytest.approx(miss * -np.log1p(-miss), rel=1e-4)


def test_balanced_weights_have_a_mean_of_one_over_the_rows() -> None:
    labels = np.repeat([0, 1, 2], COUNTS)
    even = np.zeros((100, 3))
    found = losses(CrossEntropyOptions(class_weights="balanced"), even, labels)
    assert float(found.mean()) == pytest.approx(np.log(3))
    by_class = [float(found[torch.as_tensor(labels == label)].sum()) for label in range(3)]
    assert by_class == pytest.approx([by_class[0]] * 3)


def test_a_class_without_rows_does_not_make_balanced_weights_infinite() -> None:
    logits, _ = drawn(4)
    found = losses(CrossEntropyOptions(class_weights="balanced"), logits, [0, 1, 2, 2], [5, 0, 5])
    assert torch.isfinite(found).all()


OPTIONS = [
    CrossEntropyOptions(),
    CrossEntropyOptions(label_smoothing=0.1, class_weights="balanced"),
    MeanSquaredErrorOptions(),
    MeanSquaredErrorOptions(reduction="sum", class_weights=(1.0, 3.0, 0.5)),
    *(FocalOptions(gamma=gamma, alpha=alpha) for gamma in (0.0, 0.5, 1.0, 2.0) for alpha in ("none", (1.0, 3.0, 0.5))),
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradients_are_finite_for_extreme_logits(options: Supervised) -> None:
    for size in (0.0, 1e-3, 15.0, 17.0, 90.0, 1e4):
        for label in (0, 1, 2):
            logits = torch.tensor([[size, -size, 0.0]], requires_grad=True)
            loss = losses(options, logits, [label])
            loss.sum().backward()
            assert torch.isfinite(loss).all()
            assert loss >= 0
            assert logits.grad is not None
            assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_step_against_the_gradient_lowers_the_loss(options: Supervised) -> None:
    logits, labels = drawn(scale=1.0)
    given = torch.tensor(logits, requires_grad=True)
    before = losses(options, given, labels).mean()
    before.backward()
    assert given.grad is not None
    after = losses(options, given.detach() - 0.1 * given.grad, labels).mean()
    assert after < before


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradients_are_those_of_the_loss(options: Supervised) -> None:
    logits, labels = drawn(6, scale=2.0)
    given = torch.tensor(logits, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: losses(options, values, labels), (given,))


def rows_of(count: int) -> TokenRows:
    return TokenRows(torch.zeros(count, dtype=torch.long), np.ones(count, np.int64), None)


class FixedModel:
    """Gives the same logits whatever it is asked, and remembers what that was."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.module = torch.nn.Identity()
        self.fixed = logits
        self.asked: list[Any] = []

    def logits(self, *groups: Any) -> tuple[torch.Tensor, ...]:
        self.asked += groups
        return tuple(self.fixed for _ in groups)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_step_is_the_mean_over_the_rows_of_the_batch(options: Supervised) -> None:
    logits, labels = drawn()
    batch = Batch(rows_of(40), torch.as_tensor(labels))
    model = FixedModel(torch.as_tensor(logits))
    step = options.build(ObjectiveContext(class_counts=COUNTS)).step(model, batch, None, Progress(0, 10))
    torch.testing.assert_close(step.loss, losses(options, logits, labels).mean())
    assert step.loss.shape == ()
    assert model.asked == [batch.inputs]


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        (CrossEntropyOptions, "label_smoothing", 1.0),
        (CrossEntropyOptions, "label_smoothing", -0.1),
        (CrossEntropyOptions, "label_smoothing", float("nan")),
        (CrossEntropyOptions, "label_smoothing", "0.1"),
        (CrossEntropyOptions, "class_weights", "even"),
        (CrossEntropyOptions, "class_weights", ["1", "2"]),
        (CrossEntropyOptions, "smoothing", 0.1),
        (FocalOptions, "gamma", -0.5),
        (FocalOptions, "gamma", 20.5),
        (FocalOptions, "gamma", True),
        (FocalOptions, "alpha", 0.25),
        (MeanSquaredErrorOptions, "reduction", "none"),
        (MeanSquaredErrorOptions, "class_weights", 0.25),
        (MeanSquaredErrorOptions, "label_smoothing", 0.1),
    ],
)
def test_options_out_of_bounds_are_refused(kind: Any, option: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        kind(**{option: value})
    assert {str(error["loc"][0]) for error in caught.value.errors()} == {option}


WEIGHTED = [(CrossEntropyOptions, "class_weights"), (FocalOptions, "alpha"), (MeanSquaredErrorOptions, "class_weights")]


@pytest.mark.parametrize(("kind", "option"), WEIGHTED)
def test_weights_that_do_not_fit_the_labels_are_reported(kind: Any, option: str) -> None:
    def result(weights: object) -> list[str]:
        return list(kind(**{option: weights}).label_problems(3))

    assert result("none") == result("balanced") == result([1.0, 0.0, 2.0]) == []
    assert result([1.0, 2.0]) == ["2 weights are given for 3 labels"]
    (message,) = result([1.0, -1.0, 1.0])
    assert "not negative" in message or "not be negative" in message
    assert result([0.0, 0.0, 0.0]) == [message]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(("kind", "option"), WEIGHTED)
def test_weights_that_are_no_numbers_are_refused(kind: Any, option: str, value: float) -> None:
    """TOML knows nan and inf; both would only show as a loss that is not finite."""
    try:
        result = list(kind(**{option: [1.0, value, 1.0]}).label_problems(3))
    except ValidationError as error:
        result = [str(error)]
    assert result != []


# --- R-Drop ----------------------------------------------------------------------------------------------------------


class TwoPasses:
    """Gives other logits for each of the two groups, as two draws of dropout do."""

    def __init__(self, first: torch.Tensor, second: torch.Tensor) -> None:
        self.module = torch.nn.Identity()
        self.both = (first, second)
        self.passes: list[tuple[Any, ...]] = []

    def logits(self, *groups: Any) -> tuple[torch.Tensor, ...]:
        self.passes.append(groups)
        return self.both


def r_drop(first: Any, second: Any, labels: Any, options: RDropOptions) -> tuple[StepLoss, TwoPasses, Batch]:
    model = TwoPasses(torch.as_tensor(first), torch.as_tensor(second))
    batch = Batch(rows_of(len(labels)), torch.as_tensor(labels))
    step = options.build(ObjectiveContext(class_counts=COUNTS)).step(model, batch, None, Progress(0, 10))  # type: ignore[arg-type]
    return step, model, batch


@pytest.mark.parametrize("alpha", [0.0, 0.5, 4.0])
def test_r_drop_is_cross_entropy_and_the_divergence_in_both_directions(alpha: float) -> None:
    first, labels = drawn()
    second = first + np.random.default_rng(1).normal(0, 1, first.shape)
    one, two = log_probabilities(first), log_probabilities(second)
    cross_entropy = -(one + two)[np.arange(40), labels] / 2
    divergence = ((np.exp(one) - np.exp(two)) * (one - two)).sum(1) / 2
    result, model, batch = r_drop(first, second, labels, RDropOptions(alpha=alpha))
    assert float(result.loss) == pytest.approx((cross_entropy + alpha * divergence).mean(), rel=1e-12)
    assert float(result.logs["supervised_loss"]) == pytest.approx(cross_entropy.mean())
    assert float(result.logs["divergence"]) == pytest.approx(divergence.mean())
    # One pass, in which the rows stand twice.
    assert model.passes == [(batch.inputs, batch.inputs)]


def test_r_drop_smooths_and_weighs_as_cross_entropy_does() -> None:
    logits, labels = drawn()
    result, _, _ = r_drop(logits, logits, labels, RDropOptions(label_smoothing=0.1, class_weights="balanced"))
    plain = losses(CrossEntropyOptions(label_smoothing=0.1, class_weights="balanced"), logits, labels).mean()
    torch.testing.assert_close(result.loss, plain)


def test_r_drop_has_a_gradient_through_both_passes() -> None:
    logits, labels = drawn(4)
    first, second = (torch.tensor(logits + shift, requires_grad=True) for shift in (0.0, np.eye(4, 3)))
    assert torch.autograd.gradcheck(
        lambda *both: r_drop(*both, labels, RDropOptions(alpha=2.0))[0].loss, (first, second)
    )
