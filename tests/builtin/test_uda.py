"""UDA against its formulas in NumPy, and against every mistake that ports of it are known to make."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from kexp.builtin.objectives import CrossEntropyOptions, FocalOptions, RDropOptions, UdaOptions
from kexp.builtin.objectives.alignment import WINDOW
from kexp.builtin.objectives.uda import Uda, reached_at, tsa_threshold
from kexp.contracts import Batch, Objective, ObjectiveContext, Progress, StepLoss, UnlabelledBatch
from kexp.errors import KexpError

Array = NDArray[np.float64]


class GivenModel:
    """Gives the logits that stand in its inputs, and counts the passes that would have made them."""

    def __init__(self) -> None:
        self.module = torch.nn.Identity()
        self.passes: list[int] = []
        self.target_passes = 0

    def logits(self, *groups: Any) -> tuple[torch.Tensor, ...]:
        self.passes.append(len(groups))
        return tuple(group["logits"] for group in groups)

    def target_logits(self, inputs: Any, module: torch.nn.Module | None = None) -> torch.Tensor:
        self.target_passes += 1
        return inputs.get("without_dropout", inputs["logits"]).detach()

    def embed(self, inputs: Any) -> torch.Tensor:
        raise NotImplementedError

    def embedded_logits(self, embeddings: torch.Tensor, inputs: Any) -> torch.Tensor:
        raise NotImplementedError


def leaf(values: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float64, requires_grad=True)


class Case:
    """Random logits of one step, in float64."""

    def __init__(
        self, labels: int = 3, labelled: int = 6, unlabelled: int = 9, seed: int = 0, scale: float = 2.0
    ) -> None:
        generator = np.random.default_rng(seed)
        self.classes = labels
        self.seen: Array = generator.normal(0, scale, (labelled, labels))
        self.original: Array = generator.normal(0, scale, (unlabelled, labels))
        self.augmented: Array = generator.normal(0, scale, (unlabelled, labels))
        self.labels = generator.integers(labels, size=labelled)

    def run(self, objective: Objective, step: int = 0, total: int = 100, model: GivenModel | None = None) -> StepLoss:
        self.tensors = [leaf(values) for values in (self.seen, self.original, self.augmented)]
        seen, original, augmented = self.tensors
        batch = Batch({"logits": seen}, torch.as_tensor(self.labels))
        pairs = UnlabelledBatch({"logits": original}, {"logits": augmented}, torch.arange(len(original)))
        return objective.step(model or GivenModel(), batch, pairs, Progress(step, total))


def build(counts: Any = (10, 10, 10), **options: Any) -> Uda:
    objective = UdaOptions(**options).build(ObjectiveContext(class_counts=list(counts), unlabelled_rows=100))
    assert isinstance(objective, Uda)
    return objective


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def kl(target: Array, predicted: Array) -> Array:
    return (np.exp(target) * (target - predicted)).sum(1)


def cross_entropy(logits: Array, labels: Any) -> Array:
    return -log_softmax(logits)[np.arange(len(labels)), labels]


def value(tensor: torch.Tensor) -> float:
    return float(tensor.detach())


# --- the formula ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [2, 3, 7])
@pytest.mark.parametrize("temperature", [1.0, 0.85, 0.4])
@pytest.mark.parametrize("confidence", [0.0, 0.6])
@pytest.mark.parametrize("tsa", ["none", "linear", "log", "exp"])
def test_the_loss_is_that_of_the_paper(labels: int, temperature: float, confidence: float, tsa: Any) -> None:
    case = Case(labels)
    result = case.run(
        build([5] * labels, tsa=tsa, temperature=temperature, confidence=confidence, coefficient=2.5), step=40
    )

    x = 0.4
    share = {"none": None, "linear": x, "log": 1 - np.exp(-5 * x), "exp": np.exp(5 * (x - 1))}[tsa]
    threshold = 1.0 if share is None else share * (1 - 1 / labels) + 1 / labels
    true = np.exp(-cross_entropy(case.seen, case.labels))
    kept = true <= threshold
    supervised = cross_entropy(case.seen, case.labels)[kept].sum() / max(kept.sum(), 1)
    sure = np.exp(log_softmax(case.original)).max(1) > confidence
    unsupervised = (kl(log_softmax(case.original / temperature), log_softmax(case.augmented)) * sure).sum() / 9

    assert value(result.loss) == pytest.approx(supervised + 2.5 * unsupervised, rel=1e-12)
    logs = {name: value(log) for name, log in result.logs.items()}
    assert logs["supervised_loss"] == pytest.approx(supervised)
    assert logs["unsupervised_loss"] == pytest.approx(unsupervised)
    assert logs["tsa_threshold"] == pytest.approx(threshold)
    assert logs["tsa_left_out"] == pytest.approx(1 - kept.mean())
    assert logs["confident"] == pytest.approx(sure.mean())
    assert logs["target_confidence"] == pytest.approx(np.exp(log_softmax(case.original)).max(1).mean())
    assert logs["agreement"] == pytest.approx((case.original.argmax(1) == case.augmented.argmax(1)).mean())
    mean = np.exp(log_softmax(case.original / temperature)).mean(0)
    assert logs["target_balance"] == pytest.approx(-(mean * np.log(mean)).sum() / np.log(labels))


def test_logs_are_scalars_without_gradient() -> None:
    result = Case().run(build(tsa="linear", confidence=0.5))
    assert result.loss.shape == ()
    for name, log in result.logs.items():
        assert log.shape == (), name
        assert not log.requires_grad, name


@pytest.mark.parametrize("divergence", ["kl", "js", "mse"])
def test_divergences_are_summed_over_the_classes(divergence: Any) -> None:
    case = Case(4)
    target, predicted = log_softmax(case.original), log_softmax(case.augmented)
    middle = np.log((np.exp(target) + np.exp(predicted)) / 2)
    expected = {
        "kl": kl(target, predicted),
        "js": (kl(target, middle) + kl(predicted, middle)) / 2,
        "mse": ((np.exp(target) - np.exp(predicted)) ** 2).sum(1),
    }[divergence]
    result = case.run(build([1] * 4, divergence=divergence))
    assert value(result.logs["unsupervised_loss"]) == pytest.approx(expected.mean(), rel=1e-12)


@pytest.mark.parametrize("divergence", ["kl", "js", "mse"])
def test_equal_views_have_no_divergence(divergence: Any) -> None:
    case = Case()
    case.augmented = case.original.copy()
    result = case.run(build(divergence=divergence))
    assert value(result.logs["unsupervised_loss"]) == pytest.approx(0, abs=1e-12)
    assert value(result.logs["agreement"]) == 1


# --- schedules ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "at"),
    [("linear", [0.55, 0.75, 0.95]), ("exp", [0.506, 0.541, 0.803]), ("log", [0.697, 0.959, 0.994])],
)
def test_annealing_has_the_figures_of_the_paper_for_two_labels(schedule: Any, at: list[float]) -> None:
    assert [round(tsa_threshold(schedule, x, 2), 3) for x in (0.1, 0.5, 0.9)] == at


@pytest.mark.parametrize("schedule", ["linear", "exp", "log"])
@pytest.mark.parametrize("labels", [2, 4, 60])
def test_annealing_rises_from_chance_towards_one(schedule: Any, labels: int) -> None:
    found = [tsa_threshold(schedule, step / 100, labels) for step in range(101)]
    assert found == sorted(found)
    assert 1 / labels <= found[0] <= 1 / labels + 0.01
    assert 0.99 <= found[-1] <= 1


@pytest.mark.parametrize("schedule", ["linear", "exp", "log"])
@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.95])
def test_when_a_threshold_is_reached_is_the_inverse_of_the_schedule(schedule: Any, threshold: float) -> None:
    reached = reached_at(schedule, threshold, 3)
    assert 0 <= reached <= 1
    assert tsa_threshold(schedule, reached, 3) == pytest.approx(max(threshold, tsa_threshold(schedule, 0, 3)), abs=1e-9)


def test_the_coefficient_rises_after_the_supervised_warm_up() -> None:
    objective = build(coefficient=2.0, supervised_warmup=10, coefficient_rampup=4)
    case = Case()
    found = []
    for step in (9, 10, 11, 12, 13, 14, 50):
        result = case.run(objective, step=step)
        logs = result.logs
        found.append(
            value(result.loss - logs["supervised_loss"]) / value(logs.get("unsupervised_loss", torch.tensor(1.0)))
        )
    assert found == pytest.approx([0, 0, 0.5, 1.0, 1.5, 2.0, 2.0])


def test_the_supervised_warm_up_sends_no_unlabelled_rows_through_the_model() -> None:
    objective, model, case = build(supervised_warmup=1, tsa="linear", target_mode="eval"), GivenModel(), Case()
    result = case.run(objective, step=0, model=model)
    assert (model.passes, model.target_passes) == ([1], 0)
    assert set(result.logs) == {"supervised_loss", "tsa_threshold", "tsa_left_out", "confident"}
    assert value(result.logs["confident"]) == 0
    case.run(objective, step=1, model=model)
    assert (model.passes, model.target_passes) == ([1, 2], 1)


# --- what other ports get wrong -------------------------------------------------------------------------------------


def test_kl_is_not_divided_by_the_number_of_classes() -> None:
    case = Case(2)
    result = case.run(build([1, 1]))
    own = kl(log_softmax(case.original), log_softmax(case.augmented))
    elements = np.exp(log_softmax(case.original)) * (log_softmax(case.original) - log_softmax(case.augmented))
    assert value(result.logs["unsupervised_loss"]) == pytest.approx(own.mean())
    assert elements.mean() == pytest.approx(own.mean() / 2)


def test_the_annealed_loss_is_divided_by_the_rows_that_stay() -> None:
    case = Case(2, labelled=4)
    case.seen, case.labels = np.array([[5.0, 0], [0, 0], [5.0, 0], [0, 1.0]]), np.array([0, 0, 0, 0])
    result = case.run(build([1, 1], tsa="linear"), step=50)
    kept = cross_entropy(case.seen, case.labels)[[1, 3]]
    assert value(result.logs["supervised_loss"]) == pytest.approx(kept.sum() / 2)
    assert value(result.logs["supervised_loss"]) != pytest.approx(kept.sum() / 4)
    assert value(result.logs["tsa_left_out"]) == 0.5


def test_a_batch_that_is_left_out_whole_costs_nothing() -> None:
    case = Case(2)
    case.seen, case.labels = np.array([[9.0, 0], [9.0, 0]]), np.array([0, 0])
    result = case.run(build([1, 1], tsa="linear"))
    assert value(result.logs["supervised_loss"]) == 0
    result.loss.backward()
    assert case.tensors[0].grad is not None
    assert not case.tensors[0].grad.any()


def test_the_unlabelled_loss_is_divided_by_all_rows_masked_ones_too() -> None:
    case = Case(2, unlabelled=4)
    case.original = np.array([[4.0, 0], [0.1, 0], [0, 0.1], [0, 4.0]])
    result = case.run(build([1, 1], confidence=0.9))
    own = kl(log_softmax(case.original), log_softmax(case.augmented))
    assert value(result.logs["unsupervised_loss"]) == pytest.approx((own[0] + own[3]) / 4)
    assert value(result.logs["confident"]) == 0.5


@pytest.mark.parametrize(("confidence", "labels", "result"), [(0.5, 2, 1), (0.51, 2, 0), (0.3, 3, 1), (0.0, 2, 0)])
def test_a_confidence_that_masks_nothing_gets_a_warning(confidence: float, labels: int, result: int) -> None:
    warnings = list(UdaOptions(confidence=confidence).label_warnings(labels))
    assert len(warnings) == result
    if result:
        assert f"{confidence:g} masks nothing" in warnings[0]
        # And it is true: no random row is masked.
        case = Case(labels, unlabelled=200, scale=0.5)
        assert value(case.run(build([1] * labels, confidence=confidence)).logs["confident"]) == 1


def test_a_confidence_that_masks_everything_gets_a_warning() -> None:
    assert [problem.path for problem in UdaOptions(confidence=1.0).warnings()] == ["confidence"]
    assert value(Case(scale=9.0).run(build(confidence=1.0)).logs["confident"]) == 0


def test_a_confidence_that_annealing_keeps_out_of_reach_gets_a_warning() -> None:
    (warning,) = UdaOptions(tsa="linear", confidence=0.95).label_warnings(2)
    assert "90% of training" in warning
    assert not list(UdaOptions(tsa="log", confidence=0.95).label_warnings(2))
    assert not list(UdaOptions(tsa="none", confidence=0.95).label_warnings(2))
    assert not list(UdaOptions(tsa="linear", confidence=0.0).label_warnings(2))


def test_annealing_looks_at_the_true_class_and_not_at_the_largest_probability() -> None:
    case = Case(2)
    # Sure and wrong: exactly what has to be learnt.
    case.seen, case.labels = np.array([[6.0, 0.0], [6.0, 0.0]]), np.array([1, 0])
    result = case.run(build([1, 1], tsa="linear"), step=50)
    assert value(result.logs["tsa_left_out"]) == 0.5
    assert value(result.logs["supervised_loss"]) == pytest.approx(cross_entropy(case.seen[:1], [1])[0])


@pytest.mark.parametrize("labels", [2, 3, 7])
def test_a_row_at_the_threshold_itself_stays(labels: int) -> None:
    objective = build([1] * labels, tsa="linear")
    batch = Batch({"logits": torch.zeros(4, labels)}, torch.arange(4) % labels)
    views = {"logits": torch.zeros(2, labels)}
    result = objective.step(GivenModel(), batch, UnlabelledBatch(views, views, torch.arange(2)), Progress(0, 10))
    assert value(result.logs["tsa_left_out"]) == 0
    assert value(result.loss) == pytest.approx(math.log(labels))


def test_only_the_originals_are_sharpened() -> None:
    case = Case()
    result = case.run(build(temperature=0.5))
    own = kl(log_softmax(case.original / 0.5), log_softmax(case.augmented)).mean()
    both = kl(log_softmax(case.original / 0.5), log_softmax(case.augmented / 0.5)).mean()
    assert value(result.logs["unsupervised_loss"]) == pytest.approx(own)
    assert own != pytest.approx(both)


def test_the_confidence_is_that_of_the_unsharpened_prediction() -> None:
    case = Case(2, unlabelled=1)
    case.original, case.augmented = np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]])
    assert np.exp(log_softmax(case.original)).max() < 0.8 < np.exp(log_softmax(case.original / 0.1)).max()
    result = case.run(build([1, 1], temperature=0.1, confidence=0.8))
    assert value(result.logs["confident"]) == 0
    assert value(result.logs["unsupervised_loss"]) == 0


def test_consistency_is_a_divergence_and_not_a_cross_entropy() -> None:
    case = Case()
    case.augmented = case.original.copy()
    result = case.run(build())
    entropy = -(np.exp(log_softmax(case.original)) * log_softmax(case.original)).sum(1).mean()
    assert entropy > 0.1
    assert value(result.logs["unsupervised_loss"]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("options", [{}, {"tsa": "log", "confidence": 0.4, "distribution_alignment": "uniform"}])
def test_a_batch_of_one_row_is_a_batch(options: dict[str, Any]) -> None:
    case = Case(2, labelled=1, unlabelled=1)
    result = case.run(build([1, 1], **options), step=50)
    assert result.loss.shape == ()
    assert math.isfinite(value(result.loss))
    assert value(case.run(build([1, 1])).logs["supervised_loss"]) == pytest.approx(
        cross_entropy(case.seen, case.labels)[0]
    )


# --- what a spec may say all the same, to repeat such a port ----------------------------------------------------------


@pytest.mark.parametrize("labels", [2, 3, 5])
def test_a_coefficient_of_one_over_the_classes_is_the_mean_over_rows_and_classes(labels: int) -> None:
    """``KLDivLoss("mean")`` of the augmented log-probabilities and the original probabilities, as in a notebook."""
    case = Case(labels)
    result = case.run(build([1] * labels, coefficient=1 / labels))
    result.loss.backward()
    target, predicted = log_softmax(case.original), log_softmax(case.augmented)
    elements = np.exp(target) * (target - predicted)
    assert elements.shape == (9, labels)
    supervised = cross_entropy(case.seen, case.labels).sum() / 6
    assert value(result.loss) == pytest.approx(supervised + elements.sum() / (9 * labels), rel=1e-12)
    gradient = (np.exp(predicted) - np.exp(target)) / (9 * labels)
    np.testing.assert_allclose(case.tensors[2].grad, gradient, atol=1e-12)
    torch_loss = torch.nn.KLDivLoss(reduction="none")(torch.tensor(predicted), torch.tensor(np.exp(target))).mean()
    assert value(torch_loss) == pytest.approx(elements.mean(), rel=1e-12)


@pytest.mark.parametrize("step", [0, 20, 50, 99])
@pytest.mark.parametrize("schedule", ["none", "linear", "log", "exp"])
def test_the_annealed_loss_may_be_divided_by_the_whole_batch(schedule: Any, step: int) -> None:
    case = Case(2, labelled=12)
    result = case.run(build([6, 6], tsa=schedule, tsa_divisor="batch", coefficient=0), step=step)
    result.loss.backward()
    x = step / 100
    share = {"none": 1.0, "linear": x, "log": 1 - np.exp(-5 * x), "exp": np.exp(5 * (x - 1))}[schedule]
    losses = cross_entropy(case.seen, case.labels)
    mask = np.exp(-losses) <= share * 0.5 + 0.5
    assert value(result.loss) == pytest.approx((losses * mask).sum() / 12, rel=1e-12)
    assert value(result.logs["supervised_loss"]) == pytest.approx((losses * mask).mean(), rel=1e-12)
    gradient = mask[:, None] * (np.exp(log_softmax(case.seen)) - np.eye(2)[case.labels]) / 12
    np.testing.assert_allclose(case.tensors[0].grad, gradient, atol=1e-12)


def test_a_divisor_without_annealing_gets_a_warning() -> None:
    assert [problem.path for problem in UdaOptions(tsa_divisor="batch").warnings()] == ["tsa_divisor"]
    assert not list(UdaOptions(tsa="linear", tsa_divisor="batch").warnings())
    with pytest.raises(ValidationError):
        UdaOptions(tsa_divisor="rows")  # type: ignore[arg-type]


# --- gradients ------------------------------------------------------------------------------------------------------

SETTINGS: list[dict[str, Any]] = [
    {},
    {"tsa": "linear", "temperature": 0.85, "confidence": 0.5},
    {"divergence": "js", "distribution_alignment": "labelled"},
    {"divergence": "mse", "temperature": 0.4, "coefficient": 3.0},
    {"target_mode": "eval", "tsa": "log"},
]


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_no_gradient_goes_through_the_target(options: dict[str, Any]) -> None:
    case = Case()
    case.run(build(**options), step=50).loss.backward()
    seen, original, augmented = case.tensors
    assert original.grad is None
    assert seen.grad is not None
    assert seen.grad.any()
    assert augmented.grad is not None
    assert augmented.grad.any()


def test_the_gradients_are_those_of_the_formula() -> None:
    case = Case()
    case.run(build(temperature=0.85, confidence=0.6, coefficient=1.5)).loss.backward()
    # d KL(t || softmax(z)) / dz = softmax(z) - t, and d CE / dz = softmax(z) - onehot.
    sure = (np.exp(log_softmax(case.original)).max(1) > 0.6)[:, None]
    target = np.exp(log_softmax(case.original / 0.85))
    augmented = 1.5 / 9 * sure * (np.exp(log_softmax(case.augmented)) - target)
    seen = (np.exp(log_softmax(case.seen)) - np.eye(3)[case.labels]) / 6
    np.testing.assert_allclose(case.tensors[2].grad, augmented, atol=1e-12)
    np.testing.assert_allclose(case.tensors[0].grad, seen, atol=1e-12)


def test_the_annealing_mask_takes_no_gradient() -> None:
    case = Case(2)
    case.seen, case.labels = np.array([[5.0, 0], [0, 1.0]]), np.array([0, 0])
    case.run(build([1, 1], tsa="linear"), step=50).loss.backward()
    gradient = case.tensors[0].grad
    assert gradient is not None
    assert not gradient[0].any()
    np.testing.assert_allclose(gradient[1], np.exp(log_softmax(case.seen))[1] - [1, 0], atol=1e-12)


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_gradcheck(options: dict[str, Any]) -> None:
    case = Case(labelled=3, unlabelled=4)
    original = leaf(case.original).detach()

    def loss(seen: torch.Tensor, augmented: torch.Tensor) -> torch.Tensor:
        batch = Batch({"logits": seen}, torch.as_tensor(case.labels))
        pairs = UnlabelledBatch({"logits": original}, {"logits": augmented}, torch.arange(4))
        return build(**options).step(GivenModel(), batch, pairs, Progress(50, 100)).loss

    assert torch.autograd.gradcheck(loss, (leaf(case.seen), leaf(case.augmented)))


@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_extreme_logits_stay_finite(options: dict[str, Any], size: float) -> None:
    logits = torch.tensor([[size, -size, 0.0], [-size, size, 0.0], [0.0, 0.0, size], [0.0, 0.0, 0.0]])
    seen, augmented = (logits.clone().requires_grad_() for _ in range(2))
    batch = Batch({"logits": seen}, torch.tensor([1, 1, 0, 2]))
    pairs = UnlabelledBatch({"logits": logits.flip(0)}, {"logits": augmented}, torch.arange(4))
    result = build(**options).step(GivenModel(), batch, pairs, Progress(50, 100))
    result.loss.backward()
    assert torch.isfinite(result.loss)
    assert all(torch.isfinite(log) for log in result.logs.values())
    for tensor in (seen, augmented):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()


# --- forward passes -------------------------------------------------------------------------------------------------


def test_originals_go_without_gradient_and_the_others_share_a_pass_in_training_mode() -> None:
    model = GivenModel()
    Case().run(build(), model=model)
    assert (model.passes, model.target_passes) == ([1, 2], 0)


def test_targets_without_dropout_come_from_a_pass_of_their_own() -> None:
    model, case = GivenModel(), Case()
    seen, original, augmented = (leaf(values) for values in (case.seen, case.original, case.augmented))
    pairs = UnlabelledBatch(
        {"logits": original, "without_dropout": 2 * original}, {"logits": augmented}, torch.arange(9)
    )
    batch = Batch({"logits": seen}, torch.as_tensor(case.labels))
    result = build(target_mode="eval").step(model, batch, pairs, Progress(0, 10))
    assert (model.passes, model.target_passes) == ([2], 1)
    expected = kl(log_softmax(2 * case.original), log_softmax(case.augmented)).mean()
    assert value(result.logs["unsupervised_loss"]) == pytest.approx(expected)


# --- distribution alignment -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "prior"), [("uniform", [1 / 3] * 3), ("labelled", [0.5, 0.3, 0.2])])
def test_alignment_rescales_by_the_prior_over_the_running_mean(name: Any, prior: list[float]) -> None:
    objective = build([50, 30, 20], distribution_alignment=name, temperature=0.7)
    means: list[Array] = [np.full(3, 1 / 3)] * WINDOW
    for step in range(5):
        case = Case(seed=step)
        result = case.run(objective, step=step)
        p = np.exp(log_softmax(case.original))
        aligned = p * prior / np.mean(means, 0)
        aligned = aligned / aligned.sum(1, keepdims=True)
        sharp = aligned ** (1 / 0.7)
        target = np.log(sharp / sharp.sum(1, keepdims=True))
        expected = kl(target, log_softmax(case.augmented)).mean()
        # The running mean is kept in float32.
        assert value(result.logs["unsupervised_loss"]) == pytest.approx(expected, rel=1e-5)
        means = [*means[1:], p.mean(0)]


def test_the_window_forgets_what_is_older() -> None:
    objective = build([1, 1], distribution_alignment="uniform")
    early, late = Case(2, seed=1), Case(2, seed=2)
    early.run(objective)
    for _ in range(WINDOW):
        late.run(objective)
    np.testing.assert_allclose(objective.alignment.means.mean(0), np.exp(log_softmax(late.original)).mean(0), rtol=1e-5)


def test_alignment_draws_a_collapsed_model_apart() -> None:
    objective = build([1, 1], distribution_alignment="uniform")
    case = Case(2, unlabelled=50)
    case.original = case.original + np.array([3.0, 0.0])
    found = [value(case.run(objective).logs["target_balance"]) for _ in range(WINDOW)]
    assert found[0] < 0.8
    assert found[-1] > 0.9


def test_a_class_without_labelled_rows_keeps_alignment_finite() -> None:
    result = Case().run(build([5, 0, 5], distribution_alignment="labelled"))
    assert math.isfinite(value(result.loss))


def test_a_collapse_shows_in_the_balance_of_the_targets() -> None:
    case = Case(2, unlabelled=4)
    case.original = np.array([[9.0, 0], [9.0, 0], [9.0, 0], [9.0, 0]])
    assert value(case.run(build([1, 1])).logs["target_balance"]) < 0.01
    case.original = np.array([[9.0, 0], [0, 9.0], [9.0, 0], [0, 9.0]])
    assert value(case.run(build([1, 1])).logs["target_balance"]) == pytest.approx(1)


def test_a_restored_state_continues_identically() -> None:
    options = {"distribution_alignment": "uniform", "confidence": 0.5}
    one, other = build(**options), build(**options)
    for step in range(3):
        Case(seed=step).run(one, step=step)
    state = one.state_dict()
    saved = copy.deepcopy(state)
    assert list(state) == ["alignment.means"]
    other.load_state_dict(saved)
    for step in range(3, 6):
        assert torch.equal(Case(seed=step).run(one, step=step).loss, Case(seed=step).run(other, step=step).loss)
    # What was saved does not move with the objective.
    assert torch.equal(state["alignment.means"], saved["alignment.means"])


def test_without_alignment_there_is_no_state() -> None:
    objective = build()
    Case().run(objective)
    assert objective.state_dict() == {}
    objective.load_state_dict({})


# --- options --------------------------------------------------------------------------------------------------------


def test_the_supervised_objective_can_be_another_loss_per_row() -> None:
    case = Case()
    result = case.run(build(supervised=FocalOptions(gamma=2.0)))
    own = cross_entropy(case.seen, case.labels)
    assert value(result.logs["supervised_loss"]) == pytest.approx(((1 - np.exp(-own)) ** 2 * own).mean())


def test_an_objective_that_is_no_loss_per_row_cannot_be_nested() -> None:
    nested = UdaOptions(supervised=RDropOptions())
    assert [str(problem) for problem in nested.problems()] == [
        "supervised: is not a loss per labelled row; name another objective, such as cross-entropy or focal"
    ]
    with pytest.raises(KexpError, match=r"objective\.supervised: is not a loss per labelled row"):
        nested.build(ObjectiveContext(class_counts=[1, 1, 1]))
    (problem,) = UdaOptions(supervised=UdaOptions()).problems()
    assert (problem.path, problem.message) == ("supervised", "is not a loss per labelled row")
    assert list(UdaOptions().problems()) == []
    assert list(UdaOptions().label_problems(3)) == []


def test_what_is_wrong_with_the_nested_objective_is_reported() -> None:
    nested = UdaOptions(supervised=CrossEntropyOptions(class_weights=(1.0, 2.0)))
    assert list(nested.label_problems(3)) == ["supervised: 2 weights are given for 3 labels"]


def test_a_step_without_unlabelled_rows_says_what_is_missing() -> None:
    batch = Batch({"logits": torch.zeros(2, 3)}, torch.tensor([0, 1]))
    for options in ({}, {"supervised_warmup": 5}):
        with pytest.raises(KexpError, match=r"\[labelled\].* or use a dataset with an unlabelled split"):
            build(**options).step(GivenModel(), batch, None, Progress(0, 10))


def test_it_says_that_it_needs_pairs() -> None:
    assert UdaOptions.uses_unlabelled
    assert UdaOptions.uses_augmented


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("tsa", "cosine"),
        ("temperature", 0.0),
        ("temperature", -1.0),
        ("temperature", 11.0),
        ("temperature", float("nan")),
        ("confidence", 1.1),
        ("confidence", -0.1),
        ("coefficient", -1.0),
        ("coefficient", float("inf")),
        ("coefficient_rampup", -1),
        ("supervised_warmup", 1.5),
        ("distribution_alignment", "balanced"),
        ("divergence", "ce"),
        ("target_mode", "test"),
        ("supervised", 3),
        ("temprature", 0.85),
    ],
)
def test_options_out_of_bounds_are_refused(option: str, wrong: object) -> None:
    with pytest.raises(ValidationError) as caught:
        UdaOptions.model_validate({option: wrong})
    assert {str(error["loc"][0]) for error in caught.value.errors()} == {option}


def test_questionable_options_get_warnings() -> None:
    assert [problem.path for problem in UdaOptions(temperature=2.0, coefficient=0.0).warnings()] == [
        "coefficient",
        "temperature",
    ]
    assert list(UdaOptions().warnings()) == []


def test_the_schema_shows_the_default_of_the_nested_objective() -> None:
    schema = UdaOptions.model_json_schema()
    assert schema["properties"]["supervised"]["default"] == "cross-entropy"
    json.dumps(schema)
    assert all(field.get("description") for field in schema["properties"].values())
