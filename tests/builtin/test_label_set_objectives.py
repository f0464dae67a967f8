"""Losses of label sets against NumPy, the task of a single label, and learning of them from unlabelled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from kexp.builtin.objectives import (
    AsymmetricOptions,
    BinaryCrossEntropyOptions,
    BinaryFocalOptions,
    CrossEntropyOptions,
    FocalOptions,
    MeanTeacherOptions,
    UdaOptions,
)
from kexp.contracts import (
    Batch,
    Objective,
    ObjectiveContext,
    ObjectiveOptions,
    Progress,
    StepLoss,
    SupervisedObjectiveOptions,
    UnlabelledBatch,
)
from kexp.contracts.objective import build_objective
from kexp.errors import KexpError

Array = NDArray[np.float64]
NAMES = 4
CONTEXT = ObjectiveContext((3, 0, 50, 20), unlabelled_rows=20, rows=50)


def drawn(rows: int = 40, names: int = NAMES, seed: int = 0) -> tuple[Array, NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    return generator.normal(0, 3, (rows, names)), generator.integers(2, size=(rows, names))


def losses(options: SupervisedObjectiveOptions, logits: Any, labels: Any, context: Any = CONTEXT) -> torch.Tensor:
    return options.build(context).row_losses(torch.as_tensor(logits), torch.as_tensor(labels))


def sigmoid(logits: Array) -> Array:
    return 1 / (1 + np.exp(-logits))


BALANCED = [47 / 3, 50 / 1, 1 / 50, 30 / 20]


@pytest.mark.parametrize(
    ("given", "weights"), [("none", [1.0] * 4), ("balanced", BALANCED), ((0.5, 1.0, 2.0, 9.0), [0.5, 1.0, 2.0, 9.0])]
)
def test_binary_cross_entropy_is_a_loop_over_rows_and_labels(given: Any, weights: list[float]) -> None:
    logits, labels = drawn()
    expected = []
    for row, told in zip(sigmoid(logits), labels, strict=True):
        parts = [-w * np.log(p) if there else -np.log(1 - p) for p, there, w in zip(row, told, weights, strict=True)]
        expected.append(sum(parts) / len(parts))
    np.testing.assert_allclose(losses(BinaryCrossEntropyOptions(pos_weight=given), logits, labels), expected, rtol=1e-6)


def test_balanced_weights_make_both_values_of_a_label_weigh_as_much() -> None:
    labels = np.zeros((50, NAMES), np.int64)
    for name, count in enumerate((3, 10, 40, 20)):
        labels[:count, name] = 1
    context = ObjectiveContext((3, 10, 40, 20), rows=50)
    objective: Any = BinaryCrossEntropyOptions(pos_weight="balanced").build(context)
    by_label = objective.label_losses(torch.zeros(50, NAMES), torch.as_tensor(labels).float()).numpy()
    for name in range(NAMES):
        there = labels[:, name] == 1
        assert by_label[there, name].sum() == pytest.approx(by_label[~there, name].sum(), rel=1e-5)


def test_balanced_weights_need_the_number_of_rows() -> None:
    options = BinaryCrossEntropyOptions(pos_weight="balanced")
    with pytest.raises(KexpError, match=r"objective.pos_weight: balanced needs .* rows is 0 and class_counts up to 5"):
        build_objective(options, ObjectiveContext((5, 2)))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("alpha", ["none", 0.25, (0.0, 0.25, 0.5, 1.0)])
def test_binary_focal_is_the_formula(gamma: float, alpha: Any) -> None:
    logits, labels = drawn()
    p = sigmoid(logits)
    right = np.where(labels == 1, p, 1 - p)
    positive, negative = (1.0, 1.0) if alpha == "none" else (np.array(alpha), 1 - np.array(alpha))
    weight = np.where(labels == 1, positive, negative)
    expected = (-weight * (1 - right) ** gamma * np.log(right)).mean(1)
    found = losses(BinaryFocalOptions(gamma=gamma, alpha=alpha), logits, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-12)


def test_binary_focal_without_gamma_is_binary_cross_entropy() -> None:
    logits, labels = drawn()
    plain = losses(BinaryCrossEntropyOptions(), logits, labels)
    torch.testing.assert_close(losses(BinaryFocalOptions(gamma=0.0), logits, labels), plain)


def test_a_label_is_a_task_of_two_classes() -> None:
    logits, labels = drawn(names=1)
    two = np.concatenate([np.zeros_like(logits), logits], 1)
    for of_set, of_class in (
        (BinaryCrossEntropyOptions(), CrossEntropyOptions()),
        (BinaryFocalOptions(gamma=1.5), FocalOptions(gamma=1.5)),
    ):
        expected = losses(of_class, two, labels[:, 0], ObjectiveContext((1, 1)))
        torch.testing.assert_close(losses(of_set, logits, labels), expected)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize(
    ("negative", "positive", "clip"), [(4.0, 0.0, 0.05), (4.0, 1.0, 0.0), (0.5, 0.5, 0.2), (0.0, 0.0, 0.0)]
)
def test_asymmetric_is_a_loop_over_rows_and_labels(
    negative: float, positive: float, clip: float, reduction: Any
) -> None:
    logits, labels = drawn()
    expected = []
    for row, told in zip(sigmoid(logits), labels, strict=True):
        total = 0.0
        for p, there in zip(row, told, strict=True):
            q = max(p - clip, 0.0)
            total -= (1 - p) ** positive * np.log(p) if there else q**negative * np.log(1 - q)
        expected.append(total / (NAMES if reduction == "mean" else 1))
    options = AsymmetricOptions(gamma_negative=negative, gamma_positive=positive, clip=clip, reduction=reduction)
    np.testing.assert_allclose(losses(options, logits, labels), expected, rtol=1e-6, atol=1e-12)


def test_asymmetric_leaves_out_what_is_hardly_predicted_and_has_the_gradient_of_the_formula() -> None:
    logits = torch.tensor([[-4.0, -2.0, 1.0]], dtype=torch.float64, requires_grad=True)
    losses(AsymmetricOptions(), logits, [[0, 0, 0]]).sum().backward()
    assert logits.grad is not None
    step, values = 1e-6, logits.detach().numpy()[0]

    def loss(z: float) -> float:
        q = max(float(sigmoid(np.array(z))) - 0.05, 0.0)
        return float(-(q**4) * np.log(1 - q))

    slopes = [(loss(z + step) - loss(z - step)) / (2 * step) for z in values]
    assert logits.grad[0, 0] == 0.0
    np.testing.assert_allclose(logits.grad[0], slopes, rtol=1e-5, atol=1e-12)


ALL = [
    BinaryCrossEntropyOptions(pos_weight="balanced"),
    *(BinaryFocalOptions(gamma=gamma, alpha=0.25) for gamma in (0.0, 0.3, 2.0)),
    *(AsymmetricOptions(gamma_negative=gamma, gamma_positive=gamma, clip=clip) for gamma in (0.0, 0.3, 4.0) for clip in (0.0, 1e-9, 0.05, 0.99)),
]  # fmt: skip


@pytest.mark.parametrize("options", ALL, ids=str)
def test_gradients_are_finite_for_extreme_logits(options: SupervisedObjectiveOptions) -> None:
    for size in (0.0, 1e-3, 15.0, 17.0, 90.0, 104.0, 1e4, 1e30):
        logits = torch.tensor([[size, -size, size, -size]], requires_grad=True)
        found = losses(options, logits, [[1, 1, 0, 0]])
        found.sum().backward()
        assert logits.grad is not None
        assert torch.isfinite(found).all()
        assert found >= 0
        assert torch.isfinite(logits.grad).all()


def test_numbers_of_weights_are_checked() -> None:
    assert list(BinaryCrossEntropyOptions(pos_weight=(1.0, 2.0)).label_problems(3)) == [
        "pos_weight: 2 weights are given for 3 labels"
    ]
    assert list(BinaryCrossEntropyOptions(pos_weight=(1.0, 0.0)).label_problems(2)) == [
        "pos_weight: weights must be finite and above 0"
    ]
    assert list(BinaryFocalOptions(alpha=(0.2,)).label_problems(2)) == ["alpha: 1 weights are given for 2 labels"]
    for options in (BinaryCrossEntropyOptions(), BinaryFocalOptions(alpha=0.25), AsymmetricOptions()):
        assert list(options.label_problems(2)) == []
    for table in ({"alpha": 1.5}, {"alpha": [-0.1]}, {"gamma": -1.0}):
        with pytest.raises(ValidationError):
            BinaryFocalOptions.model_validate(table)


# --- unlabelled rows ------------------------------------------------------------------------------------------------


class Given:
    """A model that returns the logits that stand for the texts."""

    module: Any = torch.nn.Linear(1, 1)

    def logits(self, *groups: Any) -> tuple[torch.Tensor, ...]:
        return tuple(group["logits"] for group in groups)

    def target_logits(self, inputs: Any, module: Any = None) -> torch.Tensor:
        found: torch.Tensor = inputs["logits"].detach()
        return found


class Views:
    """Logits and labels of a step: those of two classes when asked for."""

    def __init__(self, names: int = NAMES, rows: int = 7, seed: int = 0) -> None:
        self.seen, self.labels = drawn(5, names, seed)
        (self.original, _), (self.augmented, _) = drawn(rows, names, seed + 1), drawn(rows, names, seed + 2)

    def run(self, options: ObjectiveOptions, *, two: bool = False, step: int = 90) -> tuple[StepLoss, list[Any]]:
        arrays = [self.seen, self.original, self.augmented]
        leaves = [torch.tensor(array, requires_grad=True) for array in arrays]
        given = [torch.cat([torch.zeros_like(leaf), leaf], 1) for leaf in leaves] if two else leaves
        labels = torch.as_tensor(self.labels[:, 0] if two else self.labels)
        first, second, third = ({"logits": each} for each in given)
        objective: Objective = build_objective(options, CONTEXT)
        batch: Any = Batch(first, labels)  # type: ignore[arg-type]
        pairs: Any = UnlabelledBatch(second, third, torch.arange(len(self.original)))  # type: ignore[arg-type]
        model: Any = Given()
        found = objective.step(model, batch, pairs, Progress(step, 100))
        found.loss.backward()
        return found, [leaf.grad for leaf in leaves]


def bernoulli_kl(p: float, q: float) -> float:
    return float(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))


def test_uda_of_label_sets_is_a_loop_over_rows_and_labels() -> None:
    views = Views()
    options = UdaOptions(coefficient=3.0, temperature=0.5, confidence=0.8, supervised=BinaryCrossEntropyOptions())
    found, gradients = views.run(options)
    divergences, confident = [], []
    for original, augmented in zip(views.original.flat, views.augmented.flat, strict=True):
        p = float(sigmoid(np.array(original)))
        confident.append(max(p, 1 - p) > 0.8)
        target = float(sigmoid(np.array(original / 0.5)))
        divergences.append(bernoulli_kl(target, float(sigmoid(np.array(augmented)))) * confident[-1])
    supervised = float(losses(BinaryCrossEntropyOptions(), views.seen, views.labels).mean())
    assert float(found.loss.detach()) == pytest.approx(supervised + 3 * np.mean(divergences))
    assert float(found.logs["confident"]) == pytest.approx(np.mean(confident))
    same = (views.original > 0) == (views.augmented > 0)
    assert float(found.logs["agreement"]) == pytest.approx(same.mean())
    assert 0 < float(found.logs["target_balance"]) <= 1
    assert gradients[1] is None
    assert gradients[2] is not None


@pytest.mark.parametrize("divergence", ["kl", "js", "mse"])
@pytest.mark.parametrize("target_mode", ["train", "eval"])
def test_uda_of_one_label_is_that_of_two_classes(divergence: Any, target_mode: Any) -> None:
    views = Views(names=1)
    shared: Any = {"divergence": divergence, "temperature": 0.5, "confidence": 0.8, "target_mode": target_mode}
    of_sets, first = views.run(UdaOptions(**shared, supervised=BinaryCrossEntropyOptions()))
    of_classes, second = views.run(UdaOptions(**shared), two=True)
    torch.testing.assert_close(of_sets.loss, of_classes.loss)
    assert of_sets.logs.keys() == of_classes.logs.keys()
    for name, value in of_classes.logs.items():
        torch.testing.assert_close(of_sets.logs[name], value)
    torch.testing.assert_close(first[2], second[2])


def test_mean_teacher_of_label_sets_is_the_squared_difference_of_sigmoids() -> None:
    views = Views()
    options = MeanTeacherOptions(coefficient=7.0, rampup=0.0, supervised=BinaryFocalOptions())
    found, _ = views.run(options)
    supervised = float(losses(BinaryFocalOptions(), views.seen, views.labels).mean())
    difference = np.mean((sigmoid(views.original) - sigmoid(views.augmented)) ** 2)
    assert float(found.loss.detach()) == pytest.approx(supervised + 7 * difference)


def test_mean_teacher_of_one_label_is_that_of_two_classes() -> None:
    views = Views(names=1)
    of_sets, first = views.run(MeanTeacherOptions(supervised=BinaryCrossEntropyOptions()))
    of_classes, second = views.run(MeanTeacherOptions(), two=True)
    torch.testing.assert_close(of_sets.loss, of_classes.loss)
    for name, value in of_classes.logs.items():
        torch.testing.assert_close(of_sets.logs[name], value)
    torch.testing.assert_close(first[2], second[2])


def test_what_is_defined_for_classes_alone_is_refused_with_label_sets() -> None:
    options = UdaOptions(tsa="linear", distribution_alignment="uniform", supervised=BinaryCrossEntropyOptions())
    assert [str(problem) for problem in options.problems()] == [
        'tsa: leaves out rows whose true class is probable; the labelled rows have no class; set it to "none"',
        "distribution_alignment: aligns the shares of classes, which add up to 1; the labelled rows have no class; set "
        'it to "none"',
    ]
    assert list(UdaOptions(supervised=BinaryCrossEntropyOptions()).problems()) == []


def test_a_confidence_that_masks_nothing_is_that_of_two_outcomes_per_label() -> None:
    options = UdaOptions(confidence=0.4, supervised=BinaryCrossEntropyOptions())
    (warning,) = options.label_warnings(30)
    assert warning == "confidence: 0.4 masks nothing; the largest of 2 probabilities is at least 0.5"
    assert list(UdaOptions(confidence=0.4).label_warnings(30)) == []


def test_a_label_set_nests_no_loss_of_another_kind_of_targets() -> None:
    class OfPairs(BinaryCrossEntropyOptions):
        """A loss of something else."""

        targets = ("pair",)

    with pytest.raises(KexpError, match=r"objective.supervised: is a loss of pair, expected one of class or label-set"):
        _ = UdaOptions(supervised=OfPairs()).outcomes
