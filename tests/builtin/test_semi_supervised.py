"""The semi-supervised objectives besides UDA, against their papers' formulas in NumPy."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from kexp.builtin.objectives import (
    OBJECTIVES,
    AdaMatchOptions,
    CrossEntropyOptions,
    FixMatchOptions,
    FlexMatchOptions,
    FocalOptions,
    FreeMatchOptions,
    MeanTeacherOptions,
    PseudoLabelOptions,
    RDropOptions,
    SoftMatchOptions,
    UdaOptions,
    VatOptions,
)
from kexp.builtin.objectives.vat import _unit
from kexp.contracts import (
    Batch,
    Objective,
    ObjectiveContext,
    ObjectiveOptions,
    Progress,
    StepLoss,
    SupervisedObjective,
    SupervisedObjectiveOptions,
    UnlabelledBatch,
)
from kexp.errors import KexpError
from kexp.model.token_rows import TokenRows
from kexp.moving_average import decay_warnings, momentum_that_acts
from kexp.seeds import derive
from kexp.semi_supervised import SemiSupervisedOptions, momentum_warnings

Array = NDArray[np.float64]


class GivenModel:
    """Gives the logits that stand in its inputs, and counts the passes that would have made them."""

    def __init__(self) -> None:
        self.module: torch.nn.Module = torch.nn.Identity()
        self.passes: list[int] = []

    def logits(self, *groups: Any) -> tuple[torch.Tensor, ...]:
        self.passes.append(len(groups))
        return tuple(group["logits"] for group in groups)

    def target_logits(self, inputs: Any, module: torch.nn.Module | None = None) -> torch.Tensor:
        raise NotImplementedError

    def embed(self, inputs: Any) -> torch.Tensor:
        raise NotImplementedError

    def embedded_logits(self, embeddings: torch.Tensor, inputs: Any) -> torch.Tensor:
        raise NotImplementedError


class Network(torch.nn.Module):
    """The mean of the tokens' embeddings through one hidden layer, and a statistic that is no weight."""

    def __init__(self, labels: int = 3) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(20, 5)
        self.hidden = torch.nn.Linear(5, 8)
        self.head = torch.nn.Linear(8, labels)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            for parameter in self.parameters():
                torch.nn.init.normal_(parameter)

    def embedded(self, embeddings: torch.Tensor, rows: TokenRows) -> torch.Tensor:
        sums = embeddings.new_zeros(len(rows), 5).index_add(0, rows.row_of_token, embeddings)
        return self.head(torch.tanh(self.hidden(sums / torch.from_numpy(rows.lengths)[:, None])))


class NetworkModel:
    """``contracts.Model`` around a small network whose training mode adds noise to the logits, as dropout would."""

    def __init__(self, network: Network | None = None, noise: float = 0.0) -> None:
        self.module = network or Network().double()
        self.noise = noise
        self.passes: list[str] = []
        self.copies: list[torch.nn.Module | None] = []

    def logits(self, *groups: Any) -> tuple[torch.Tensor, ...]:
        self.passes.append(f"train {len(groups)}")
        found = [self._through(self.module, group) for group in groups]
        return tuple(logits + self.noise * torch.randn_like(logits) if self.noise else logits for logits in found)

    def target_logits(self, inputs: Any, module: torch.nn.Module | None = None) -> torch.Tensor:
        self.passes.append("target")
        self.copies.append(module)
        with torch.no_grad():
            return self._through(module or self.module, inputs)

    def embed(self, inputs: Any) -> torch.Tensor:
        return self.module.words(inputs.ids).detach()

    def embedded_logits(self, embeddings: torch.Tensor, inputs: Any) -> torch.Tensor:
        self.passes.append("embedded")
        return self.module.embedded(embeddings, inputs)

    def _through(self, module: Any, inputs: Any) -> torch.Tensor:
        return module.embedded(module.words(inputs.ids), inputs)


def tokens(rows: int, seed: int, longest: int = 4) -> TokenRows:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest + 1, rows)
    return TokenRows(torch.as_tensor(generator.integers(1, 20, lengths.sum())), lengths, None)


def token_step(
    objective: Objective, model: NetworkModel, step: int = 0, total: int = 100, seed: int = 0, batch: int = 0
) -> StepLoss:
    rows = Batch(tokens(4, seed), torch.arange(4) % 3)
    pairs = UnlabelledBatch(tokens(6, seed + 100), tokens(6, seed + 200), torch.arange(6))
    return objective.step(model, rows, pairs, Progress(step, total, batch))


def leaf(values: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float64, requires_grad=True)


class Case:
    """Random logits of one step, in float64."""

    def __init__(
        self, labels: int = 3, labelled: int = 6, unlabelled: int = 9, seed: int = 0, scale: float = 2.0
    ) -> None:
        generator = np.random.default_rng(seed)
        self.seen: Array = generator.normal(0, scale, (labelled, labels))
        self.original: Array = generator.normal(0, scale, (unlabelled, labels))
        self.augmented: Array = generator.normal(0, scale, (unlabelled, labels))
        self.labels = generator.integers(labels, size=labelled)
        self.rows = generator.permutation(UNLABELLED_ROWS)[:unlabelled]

    def run(self, objective: Objective, step: int = 0, total: int = 100, model: GivenModel | None = None) -> StepLoss:
        self.tensors = [leaf(values) for values in (self.seen, self.original, self.augmented)]
        seen, original, augmented = self.tensors
        batch = Batch({"logits": seen}, torch.as_tensor(self.labels))
        pairs = UnlabelledBatch({"logits": original}, {"logits": augmented}, torch.as_tensor(self.rows))
        return objective.step(model or GivenModel(), batch, pairs, Progress(step, total))

    @property
    def supervised(self) -> float:
        return float(cross_entropy(self.seen, self.labels).mean())


UNLABELLED_ROWS = 20


def build(options: ObjectiveOptions, labels: int = 3, rows: int = UNLABELLED_ROWS, seed: int = 0) -> Objective:
    return options.build(ObjectiveContext(class_counts=[5] * labels, unlabelled_rows=rows, seed=seed))


def softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def cross_entropy(logits: Array, labels: Any) -> Array:
    return -np.log(softmax(logits)[np.arange(len(labels)), labels])


def kl(target: Array, predicted: Array) -> Array:
    return (target * (np.log(target) - np.log(predicted))).sum(1)


def value(tensor: torch.Tensor) -> float:
    return float(tensor.detach())


def array(tensor: torch.Tensor) -> Array:
    return tensor.detach().numpy()


# --- what holds for all ---------------------------------------------------------------------------------------------

SEMI_SUPERVISED = [name for name, options in OBJECTIVES.items() if options.uses_unlabelled]
VIEWS = ["uda", "fixmatch", "flexmatch", "softmatch", "freematch", "adamatch"]


def test_what_each_objective_needs() -> None:
    needs = {name: (options.uses_unlabelled, options.uses_augmented) for name, options in OBJECTIVES.items()}
    assert needs == {
        "cross-entropy": (False, False),
        "focal": (False, False),
        "mean-squared-error": (False, False),
        "r-drop": (False, False),
        "binary-cross-entropy": (False, False),
        "binary-focal": (False, False),
        "asymmetric": (False, False),
        "squared-error": (False, False),
        "absolute-error": (False, False),
        "huber": (False, False),
        "ordinal": (False, False),
        "pseudo-label": (True, False),
        "uda": (True, True),
        "fixmatch": (True, True),
        "flexmatch": (True, True),
        "softmatch": (True, True),
        "freematch": (True, True),
        "adamatch": (True, True),
        "mean-teacher": (True, True),
        "vat": (True, False),
    }


@pytest.mark.parametrize("name", SEMI_SUPERVISED)
def test_a_step_without_unlabelled_rows_says_what_is_missing(name: str) -> None:
    batch = Batch(tokens(2, 0), torch.tensor([0, 1]))
    with pytest.raises(KexpError, match=r"\[labelled\].* or use a dataset with an unlabelled split"):
        build(OBJECTIVES[name]()).step(NetworkModel(), batch, None, Progress(0, 10))


@pytest.mark.parametrize("name", SEMI_SUPERVISED)
def test_every_objective_nests_a_loss_per_row_only(name: str) -> None:
    options = OBJECTIVES[name]
    assert list(options(supervised=FocalOptions()).problems()) == []
    assert [problem.path for problem in options(supervised=RDropOptions()).problems()] == ["supervised"]
    assert [problem.path for problem in options(supervised=options()).problems()] == ["supervised"]
    with pytest.raises(KexpError, match="not a loss per labelled row"):
        build(options(supervised=RDropOptions()))
    result = list(options(supervised=CrossEntropyOptions(class_weights=(1.0,))).label_problems(3))
    assert result == ["supervised: 1 weights are given for 3 labels"]


class Unbuilt(ObjectiveOptions):
    """An objective of which only the class is known."""

    def build(self, context: ObjectiveContext) -> Objective:
        raise NotImplementedError


class UnbuiltLoss(SupervisedObjectiveOptions):
    """A loss per row of which only the class is known."""

    def build(self, context: ObjectiveContext) -> SupervisedObjective:
        raise NotImplementedError


@pytest.mark.parametrize("name", SEMI_SUPERVISED)
def test_what_can_be_nested_is_known_without_building_it(name: str) -> None:
    assert list(OBJECTIVES[name](supervised=UnbuiltLoss()).problems()) == []
    (problem,) = OBJECTIVES[name](supervised=Unbuilt()).problems()
    assert str(problem) == (
        "supervised: is not a loss per labelled row; name another objective, such as cross-entropy or focal"
    )


def test_builtin_objectives_that_are_a_loss_per_row() -> None:
    names = {name for name, options in OBJECTIVES.items() if issubclass(options, SupervisedObjectiveOptions)}
    assert names == {
        "cross-entropy",
        "focal",
        "mean-squared-error",
        "binary-cross-entropy",
        "binary-focal",
        "asymmetric",
        "squared-error",
        "absolute-error",
        "huber",
        "ordinal",
    }


@pytest.mark.parametrize("name", [name for name, options in OBJECTIVES.items() if "class" in options.targets])
def test_every_step_gives_a_finite_loss_with_gradient_and_plain_logs(name: str) -> None:
    model, objective = NetworkModel(noise=0.1), build(OBJECTIVES[name]())
    for step in (0, 30, 90):
        result = token_step(objective, model, step=step)
        result.loss.backward()
        objective.stepped(model, Progress(step + 1, 100))
        assert result.loss.shape == ()
        assert torch.isfinite(result.loss)
        for log in result.logs.values():
            assert log.shape == ()
            assert not log.requires_grad
            assert torch.isfinite(log)
        for parameter in model.module.parameters():
            assert parameter.grad is not None
            assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("name", SEMI_SUPERVISED)
def test_every_semi_supervised_objective_logs_what_shows_a_collapse(name: str) -> None:
    result = token_step(build(OBJECTIVES[name]()), NetworkModel(), step=90)
    assert {"supervised_loss", "unsupervised_loss", "confident", "target_confidence", "target_balance"} <= set(
        result.logs
    )
    assert 0 <= value(result.logs["target_balance"]) <= 1 + 1e-9


@pytest.mark.parametrize("name", SEMI_SUPERVISED)
def test_without_a_coefficient_only_the_supervised_loss_is_left(name: str) -> None:
    options = OBJECTIVES[name].model_validate({"coefficient": 0.0} | ({"fairness": 0.0} if name == "freematch" else {}))
    assert [problem.path for problem in options.warnings()] == ["coefficient"]
    result = token_step(build(options), NetworkModel(), step=90)
    torch.testing.assert_close(result.loss.detach(), result.logs["supervised_loss"])


@pytest.mark.parametrize("name", VIEWS)
def test_the_views_with_a_gradient_share_one_pass_and_no_gradient_goes_through_the_original(name: str) -> None:
    model, case = GivenModel(), Case(scale=5.0)
    case.run(build(OBJECTIVES[name]()), step=50, model=model).loss.backward()
    assert model.passes == [1, 2]
    seen, original, augmented = case.tensors
    assert original.grad is None
    assert seen.grad is not None
    assert augmented.grad is not None
    assert augmented.grad.any()


@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
@pytest.mark.parametrize("name", [*VIEWS, "pseudo-label", "r-drop"])
def test_extreme_logits_stay_finite(name: str, size: float) -> None:
    logits = torch.tensor([[size, -size, 0.0], [-size, size, 0.0], [0.0, 0.0, size], [0.0, 0.0, 0.0]])
    seen, original, augmented = (logits.clone().requires_grad_() for _ in range(3))
    batch = Batch({"logits": seen}, torch.tensor([1, 1, 0, 2]))
    objective = build(OBJECTIVES[name]())
    for _ in range(3):
        pairs = UnlabelledBatch({"logits": original.flip(0)}, {"logits": augmented}, torch.arange(4))
        result = objective.step(GivenModel(), batch, pairs, Progress(90, 100))
        result.loss.backward()
        assert torch.isfinite(result.loss)
        assert all(torch.isfinite(log) for log in result.logs.values())
    for tensor in (seen, augmented):
        assert tensor.grad is None or torch.isfinite(tensor.grad).all()


@pytest.mark.parametrize("name", [*VIEWS, "pseudo-label"])
def test_a_batch_of_one_row_is_a_batch(name: str) -> None:
    case, objective = Case(labelled=1, unlabelled=1, scale=5.0), build(OBJECTIVES[name]())
    for _ in range(3):
        result = case.run(objective, step=90)
        assert result.loss.shape == ()
        assert math.isfinite(value(result.loss))


REMEMBERS: dict[str, dict[str, Any]] = {
    "uda": {"distribution_alignment": "labelled"},
    "adamatch": {},
    "flexmatch": {"confidence": 0.7},
    "softmatch": {"momentum": 0.5},
    "freematch": {"momentum": 0.5},
    "mean-teacher": {"decay": 0.9},
}


@pytest.mark.parametrize("name", SEMI_SUPERVISED)
def test_a_restored_state_continues_identically(name: str) -> None:
    def continued(objective: Objective, model: NetworkModel, steps: range) -> Iterator[float]:
        optimizer = torch.optim.SGD(model.module.parameters(), lr=0.1)
        for step in steps:
            optimizer.zero_grad()
            result = token_step(objective, model, step=step, total=8, seed=step)
            result.loss.backward()
            optimizer.step()
            objective.stepped(model, Progress(step + 1, 8))
            yield value(result.loss)

    options = OBJECTIVES[name].model_validate(REMEMBERS.get(name, {}))
    one, model = build(options, rows=6), NetworkModel()
    list(continued(one, model, range(4)))
    state = copy.deepcopy(one.state_dict())
    assert all(isinstance(saved, torch.Tensor) for saved in state.values())
    weights = copy.deepcopy(model.module)
    expected = list(continued(one, model, range(4, 8)))

    other = build(options, rows=6)
    other.load_state_dict(copy.deepcopy(state))
    again = other.state_dict()
    assert state.keys() == again.keys()
    assert all(torch.equal(state[key], again[key]) for key in state)
    assert list(continued(other, NetworkModel(copy.deepcopy(weights)), range(4, 8))) == expected
    # What is restored matters: without it, training goes another way.
    fresh = list(continued(build(options, rows=6), NetworkModel(weights), range(4, 8)))
    assert (fresh != expected) == (name in REMEMBERS)


def test_options_do_not_load_torch() -> None:
    script = (
        "import sys\n"
        "from kexp.builtin.objectives import OBJECTIVES\n"
        "for options in OBJECTIVES.values():\n"
        "    made = options()\n"
        "    list(made.problems()), list(made.warnings()), list(made.label_problems(2)), list(made.label_warnings(2))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# --- pseudo-labels --------------------------------------------------------------------------------------------------


def test_pseudo_labels_are_the_most_probable_classes() -> None:
    case, model = Case(), GivenModel()
    result = case.run(build(PseudoLabelOptions()), step=70, model=model)
    own = cross_entropy(case.original, case.original.argmax(1)).mean()
    assert value(result.loss) == pytest.approx(case.supervised + 3.0 * own)
    assert model.passes == [2]
    result.loss.backward()
    expected = 3.0 * (softmax(case.original) - np.eye(3)[case.original.argmax(1)]) / 9
    np.testing.assert_allclose(case.tensors[1].grad, expected, atol=1e-12)


def test_the_weight_of_pseudo_labels_rises_between_two_shares_of_training() -> None:
    objective = PseudoLabelOptions(coefficient=2.0, start=0.2, full=0.6).build(ObjectiveContext(class_counts=[1, 1]))
    found = [objective.alpha(Progress(step, 10)) for step in range(10)]  # type: ignore[attr-defined]
    assert found == pytest.approx([0, 0, 0, 0.5, 1.0, 1.5, 2, 2, 2, 2])
    at_once = PseudoLabelOptions(coefficient=2.0, start=0.5, full=0.5).build(ObjectiveContext(class_counts=[1, 1]))
    assert [at_once.alpha(Progress(step, 4)) for step in range(4)] == [0, 0, 2, 2]  # type: ignore[attr-defined]


def test_no_unlabelled_row_is_predicted_before_it_counts() -> None:
    case, model = Case(), GivenModel()
    result = case.run(build(PseudoLabelOptions()), step=10, model=model)
    assert model.passes == [1]
    assert value(result.loss) == pytest.approx(case.supervised)
    assert value(result.logs["confident"]) == 0


# --- FixMatch -------------------------------------------------------------------------------------------------------


def test_fixmatch_is_cross_entropy_with_confident_labels_over_all_rows() -> None:
    case = Case(scale=3.0)
    result = case.run(build(FixMatchOptions(confidence=0.8, coefficient=2.0)))
    p = softmax(case.original)
    kept = p.max(1) >= 0.8
    assert 0 < kept.sum() < 9
    own = (cross_entropy(case.augmented, p.argmax(1)) * kept).sum() / 9
    assert value(result.loss) == pytest.approx(case.supervised + 2.0 * own)
    assert value(result.logs["confident"]) == pytest.approx(kept.mean())
    assert value(result.logs["agreement"]) == pytest.approx(
        (case.original.argmax(1) == case.augmented.argmax(1)).mean()
    )
    shares = np.bincount(p.argmax(1), minlength=3) / 9
    assert value(result.logs["target_balance"]) == pytest.approx(
        -sum(share * math.log(share) for share in shares if share) / math.log(3)
    )
    result.loss.backward()
    expected = 2.0 / 9 * kept[:, None] * (softmax(case.augmented) - np.eye(3)[p.argmax(1)])
    np.testing.assert_allclose(case.tensors[2].grad, expected, atol=1e-12)


def test_a_threshold_that_masks_nothing_or_everything_gets_a_warning() -> None:
    for options in (FixMatchOptions, FlexMatchOptions):
        assert list(options(confidence=0.95).label_warnings(2)) == []
        assert len(list(options(confidence=0.5).label_warnings(2))) == 1
        assert [problem.path for problem in options(confidence=1.0).warnings()] == ["confidence"]


# --- FlexMatch ------------------------------------------------------------------------------------------------------


def test_flexmatch_lowers_the_threshold_of_classes_that_are_learnt_slowly() -> None:
    objective = build(FlexMatchOptions(confidence=0.7))
    memory = np.full(UNLABELLED_ROWS, -1)
    for step in range(12):
        case = Case(seed=step, scale=1.5)
        case.original = case.original + np.array([1.0, 0.0, -1.0])
        result = case.run(objective, step=step)
        sigma = np.array([(memory == label).sum() for label in range(3)])
        beta = sigma / max(sigma.max(), (memory == -1).sum())
        thresholds = 0.7 * beta / (2 - beta)
        p = softmax(case.original)
        kept = p.max(1) > thresholds[p.argmax(1)]
        own = (cross_entropy(case.augmented, p.argmax(1)) * kept).sum() / 9
        assert value(result.loss) == pytest.approx(case.supervised + own, rel=1e-6)
        assert value(result.logs["threshold_lowest"]) == pytest.approx(thresholds.min())
        assert value(result.logs["threshold_highest"]) == pytest.approx(thresholds.max())
        sure = p.max(1) > 0.7
        memory[case.rows[sure]] = p.argmax(1)[sure]
    assert (memory >= 0).sum() > 10
    np.testing.assert_array_equal(objective.state_dict()["weighting.remembered"], memory)
    assert thresholds.max() == pytest.approx(0.7)
    assert thresholds.min() < 0.3


def test_flexmatch_keeps_thresholds_low_while_most_rows_are_unused() -> None:
    objective = build(FlexMatchOptions(confidence=0.9), labels=2)
    case = Case(2, unlabelled=2)
    case.original = np.array([[9.0, 0], [9.0, 0]])
    case.run(objective)
    result = case.run(objective)
    # Two of twenty rows: beta = 2 / 18, not 2 / 2.
    assert value(result.logs["threshold_highest"]) == pytest.approx(0.9 * (2 / 18) / (2 - 2 / 18))


def test_flexmatch_needs_unlabelled_rows() -> None:
    with pytest.raises(KexpError, match="unlabelled row"):
        FlexMatchOptions().build(ObjectiveContext(class_counts=[1, 1]))


# --- SoftMatch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sigmas", [1.0, 2.0])
def test_softmatch_weighs_by_a_truncated_gaussian(aligned: bool, sigmas: float) -> None:
    objective = build(SoftMatchOptions(momentum=0.8, sigmas=sigmas, uniform_alignment=aligned))
    mean, variance, shares = 1 / 3, 1.0, None
    for step in range(6):
        case = Case(seed=step)
        result = case.run(objective, step=step)
        p = softmax(case.original)
        shares = p.mean(0) if shares is None else 0.8 * shares + 0.2 * p.mean(0)
        q = p / shares / (p / shares).sum(1, keepdims=True) if aligned else p
        confidence = q.max(1)
        mean = 0.8 * mean + 0.2 * confidence.mean()
        variance = 0.8 * variance + 0.2 * confidence.var(ddof=1)
        weights = np.where(confidence < mean, np.exp(-((confidence - mean) ** 2) / (2 * variance / sigmas**2)), 1.0)
        own = (weights * cross_entropy(case.augmented, p.argmax(1))).mean()
        assert value(result.loss) == pytest.approx(case.supervised + own, rel=1e-6)
        assert value(result.logs["confident"]) == pytest.approx(weights.mean(), rel=1e-6)
        assert value(result.logs["confidence_mean"]) == pytest.approx(mean, rel=1e-6)
        assert value(result.logs["confidence_deviation"]) == pytest.approx(math.sqrt(variance), rel=1e-6)


def test_softmatch_stays_finite_when_all_rows_are_alike() -> None:
    case = Case()
    case.original = np.tile([1.0, 0.0, 0.0], (9, 1))
    result = case.run(build(SoftMatchOptions(momentum=0.0)))
    assert value(result.logs["confident"]) == pytest.approx(1)


# --- FreeMatch ------------------------------------------------------------------------------------------------------


def test_freematch_sets_its_thresholds_and_penalises_unfair_classes() -> None:
    objective = build(FreeMatchOptions(momentum=0.9, fairness=0.3))
    tau, mean, shares = 1 / 3, np.full(3, 1 / 3), np.full(3, 1 / 3)
    for step in range(6):
        case = Case(seed=step)
        result = case.run(objective, step=step)
        p, q = softmax(case.original), softmax(case.augmented)
        tau = 0.9 * tau + 0.1 * p.max(1).mean()
        mean = 0.9 * mean + 0.1 * p.mean(0)
        shares = 0.9 * shares + 0.1 * np.bincount(p.argmax(1), minlength=3) / 9
        thresholds = mean / mean.max() * tau
        kept = p.max(1) > thresholds[p.argmax(1)]
        assert kept.any()
        own = (cross_entropy(case.augmented, p.argmax(1)) * kept).mean()

        h = np.bincount(q[kept].argmax(1), minlength=3) / 9
        ratio = np.divide(q[kept].sum(0) / 9, h, out=np.zeros(3), where=h > 0)
        expected = mean / shares / (mean / shares).sum()
        fairness = (expected * np.log(ratio / ratio.sum() + 1e-12)).sum()

        assert value(result.logs["threshold_lowest"]) == pytest.approx(thresholds.min(), rel=1e-6)
        assert value(result.logs["fairness_loss"]) == pytest.approx(fairness, rel=1e-6)
        assert value(result.loss) == pytest.approx(case.supervised + own + 0.3 * fairness, rel=1e-6)


def test_freematch_without_a_confident_row_has_no_fairness_loss() -> None:
    objective = build(FreeMatchOptions(momentum=0.999))
    case = Case()
    case.original = np.zeros((9, 3))
    result = case.run(objective)
    assert value(result.logs["confident"]) == 0
    assert value(result.logs["fairness_loss"]) == 0
    result.loss.backward()
    assert case.tensors[2].grad is not None
    assert not case.tensors[2].grad.any()


def test_the_gradient_of_fairness_goes_through_the_predictions_alone() -> None:
    case = Case(labelled=2, unlabelled=5)

    def loss(augmented: torch.Tensor) -> torch.Tensor:
        batch = Batch({"logits": torch.as_tensor(case.seen)}, torch.as_tensor(case.labels))
        views = UnlabelledBatch(
            {"logits": torch.as_tensor(case.original)}, {"logits": augmented}, torch.as_tensor(case.rows)
        )
        objective = build(FreeMatchOptions(momentum=0.5, fairness=1.0))
        return objective.step(GivenModel(), batch, views, Progress(0, 10)).loss

    assert torch.autograd.gradcheck(loss, (leaf(case.augmented),))


# --- AdaMatch -------------------------------------------------------------------------------------------------------


def test_adamatch_aligns_labels_and_thresholds_to_the_labelled_rows() -> None:
    objective = build(AdaMatchOptions(confidence=0.8, coefficient=2.0))
    means: list[tuple[Array, Array]] = []
    counted = []
    # More steps than the window of the means is long.
    for step in range(140):
        case = Case(seed=step, scale=1.0)
        result = case.run(objective, step=step, total=200)
        p, seen = softmax(case.original), softmax(case.seen)
        means.append((seen.mean(0), p.mean(0)))
        of_labelled, of_unlabelled = np.mean(means[-128:], axis=0)
        aligned = p * (1e-6 + of_labelled) / (1e-6 + of_unlabelled)
        aligned /= aligned.sum(1, keepdims=True)
        threshold = 0.8 * seen.max(1).mean()
        kept = aligned.max(1) >= threshold
        counted.append(kept.mean())
        own = (cross_entropy(case.augmented, aligned.argmax(1)) * kept).mean()
        mu = 0.5 - math.cos(min(math.pi, 2 * math.pi * step / 200)) / 2

        assert value(result.logs["threshold"]) == pytest.approx(threshold, rel=1e-6)
        assert value(result.logs["confident"]) == pytest.approx(kept.mean())
        assert value(result.logs["unsupervised_loss"]) == pytest.approx(own, rel=1e-6)
        assert value(result.loss) == pytest.approx(case.supervised + 2 * mu * own, rel=1e-6)
    assert 0.1 < np.mean(counted) < 0.9


def test_the_weight_of_adamatch_is_full_from_half_of_training_on() -> None:
    objective, case = build(AdaMatchOptions(coefficient=3.0)), Case()
    found = [value(case.run(objective, step=step).logs["coefficient"]) for step in (0, 25, 50, 75, 99)]
    assert found == pytest.approx([0, 1.5, 3, 3, 3])


def test_the_threshold_of_adamatch_has_no_gradient() -> None:
    case = Case(scale=3.0)
    case.run(build(AdaMatchOptions()), step=90).loss.backward()
    expected = (softmax(case.seen) - np.eye(3)[case.labels]) / 6
    assert case.tensors[0].grad is not None
    np.testing.assert_allclose(case.tensors[0].grad.numpy(), expected, rtol=1e-6, atol=1e-12)


# --- mean teacher ---------------------------------------------------------------------------------------------------


def moved(model: NetworkModel, by: float = 0.1) -> None:
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.add_(by)
        model.module.seen += 1


def test_the_teacher_follows_the_student_and_teaches_by_squared_error() -> None:
    model = NetworkModel()
    objective = build(MeanTeacherOptions(coefficient=10.0, rampup=0.5, rampup_decay=0.0, decay=0.6))
    expected = copy.deepcopy(model.module)
    for step in range(6):
        result = token_step(objective, model, step=step, total=8)
        original, augmented = tokens(6, 100), tokens(6, 200)
        target = softmax(array(expected.embedded(expected.words(original.ids), original)))
        student = model.module
        predicted = softmax(array(student.embedded(student.words(augmented.ids), augmented)))
        weight = 10.0 * math.exp(-5 * (1 - min(step / 4, 1)) ** 2)
        error = ((predicted - target) ** 2).mean()
        assert value(result.logs["unsupervised_loss"]) == pytest.approx(error, abs=1e-12)
        assert value(result.logs["coefficient"]) == pytest.approx(weight)
        assert value(result.loss) == pytest.approx(value(result.logs["supervised_loss"]) + weight * error)
        moved(model)
        objective.stepped(model, Progress(step + 1, 8))
        # During the ramp-up the decay of 0 makes the teacher the student; then at most 1 - 1 / (n + 1).
        decay = 0.0 if step + 1 < 4 else min(0.6, 1 - 1 / (step + 2))
        with torch.no_grad():
            for own, other in zip(expected.parameters(), student.parameters(), strict=True):
                own.copy_(decay * own + (1 - decay) * other)
    assert objective.state_dict()["teacher.module.seen"] == 6
    assert model.passes[:2] == ["train 2", "target"]
    assert len({id(teacher) for teacher in model.copies}) == 1
    assert model.copies[0] is not model.module


def test_the_teacher_is_a_true_average_at_first() -> None:
    model, objective = NetworkModel(), build(MeanTeacherOptions())
    token_step(objective, model)
    weights = [model.module.head.bias.detach().clone()]
    for step in range(3):
        moved(model, by=float(step + 1))
        weights.append(model.module.head.bias.detach().clone())
        objective.stepped(model, Progress(step + 1, 100))
    torch.testing.assert_close(objective.state_dict()["teacher.module.head.bias"], torch.stack(weights).mean(0))


def test_no_gradient_reaches_the_teacher() -> None:
    model, objective = NetworkModel(), build(MeanTeacherOptions())
    token_step(objective, model, step=50).loss.backward()
    (teacher,) = model.copies
    assert teacher is not None
    assert not teacher.training
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in teacher.parameters())
    assert model.module.training
    assert all(parameter.requires_grad for parameter in model.module.parameters())


def test_a_teacher_that_was_loaded_and_not_used_is_saved_again() -> None:
    model, one = NetworkModel(), build(MeanTeacherOptions())
    token_step(one, model)
    other = build(MeanTeacherOptions())
    assert other.state_dict() == {}
    other.load_state_dict(one.state_dict())
    saved = other.state_dict()
    assert saved.keys() == one.state_dict().keys()
    assert int(saved["teacher.moves"]) == 0


# --- virtual adversarial training -----------------------------------------------------------------------------------


def squares_of_rows(changes: Array, rows: TokenRows) -> Array:
    """Return the squared length of each row's change."""
    return np.asarray([(part**2).sum() for part in np.split(changes, np.cumsum(rows.lengths)[:-1])])


def vat_by_hand(
    model: NetworkModel, rows: TokenRows, options: VatOptions, step: int, seed: int = 0, batch: int = 0
) -> tuple[Any, Any]:
    """Return the change and the loss, by finite differences instead of autograd."""
    embedded = array(model.embed(rows))
    of = rows.row_of_token.numpy()

    def predicted(change: Array) -> Array:
        return softmax(array(model.embedded_logits(torch.as_tensor(embedded + change), rows)))

    def unit(change: Array) -> Array:
        return change / np.sqrt(squares_of_rows(change, rows))[of, None]

    generator = torch.Generator().manual_seed(derive(seed, "vat", step, batch))
    direction = unit(torch.randn(embedded.shape, generator=generator, dtype=torch.float64).numpy())
    target = predicted(np.zeros_like(embedded))
    for _ in range(options.iterations):
        gradient = np.zeros_like(embedded)
        for token, number in np.ndindex(embedded.shape):
            nudge = np.zeros_like(embedded)
            nudge[token, number] = 1e-5
            up, down = (kl(target, predicted(options.xi * direction + sign * nudge)) for sign in (1, -1))
            gradient[token, number] = (up - down)[of[token]] / 2e-5
        direction = unit(gradient)
    change = options.epsilon * direction
    return change, kl(target, predicted(change)).mean()


@pytest.mark.parametrize(("iterations", "seed", "batch"), [(1, 0, 0), (3, 0, 0), (1, 5, 0), (1, 5, 2)])
def test_vat_finds_the_change_that_the_power_iteration_finds(iterations: int, seed: int, batch: int) -> None:
    model, options = NetworkModel(), VatOptions(epsilon=0.7, xi=0.1, iterations=iterations, coefficient=2.0)
    result = token_step(build(options, seed=seed), model, step=7, batch=batch)
    rows = tokens(6, 100)
    change, expected = vat_by_hand(NetworkModel(), rows, options, step=7, seed=seed, batch=batch)
    np.testing.assert_allclose(squares_of_rows(change, rows), 0.7**2)
    assert value(result.logs["unsupervised_loss"]) == pytest.approx(expected, rel=1e-5)
    assert value(result.loss) == pytest.approx(value(result.logs["supervised_loss"]) + 2.0 * expected, rel=1e-5)
    assert model.passes == ["train 1", *["embedded"] * (iterations + 2)]


def test_the_adversarial_change_is_worse_than_a_random_one() -> None:
    model, inputs = NetworkModel(), tokens(6, 100)
    result = token_step(build(VatOptions(epsilon=0.5, iterations=2)), model)
    embedded = model.embed(inputs)
    target = softmax(array(model.embedded_logits(embedded, inputs)))
    for seed in range(20):
        noise = torch.randn(embedded.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        noise = 0.5 * _unit(noise, inputs.row_of_token, len(inputs))
        found = softmax(array(model.embedded_logits(embedded + noise, inputs)))
        assert kl(target, found).mean() < value(result.logs["unsupervised_loss"])


def test_the_change_of_every_row_has_the_length_that_was_asked_for() -> None:
    class Recorded(NetworkModel):
        def embedded_logits(self, embeddings: torch.Tensor, inputs: Any) -> torch.Tensor:
            self.changes = array(embeddings - self.embed(inputs))
            return super().embedded_logits(embeddings, inputs)

    model = Recorded()
    token_step(build(VatOptions(epsilon=1.5)), model)
    np.testing.assert_allclose(squares_of_rows(model.changes, tokens(6, 100)), 1.5**2)


def test_vat_draws_from_its_own_stream_by_seed_step_and_batch() -> None:
    model = NetworkModel()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = value(token_step(build(VatOptions()), model, step=3).loss)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert value(token_step(build(VatOptions()), model, step=3).loss) == first
    others = [
        token_step(build(VatOptions()), model, step=4),
        token_step(build(VatOptions()), model, step=3, batch=1),
        token_step(build(VatOptions(), seed=1), model, step=3),
    ]
    assert len({first, *(value(other.loss) for other in others)}) == 4


def test_vat_gives_no_gradient_but_that_of_its_loss() -> None:
    model, options = NetworkModel(), VatOptions()
    result = token_step(build(options), model)
    assert all(parameter.grad is None for parameter in model.module.parameters())
    found = torch.autograd.grad(result.loss, model.module.head.bias)[0]
    inputs = tokens(6, 100)
    change, _ = vat_by_hand(NetworkModel(), inputs, options, step=0)
    embedded = model.embed(inputs)
    # d KL(t || softmax(z)) / db = mean of softmax(z) - t, since the target and the change are constants.
    clean = softmax(array(model.embedded_logits(embedded, inputs)))
    changed = softmax(array(model.embedded_logits(embedded + torch.as_tensor(change), inputs)))
    (logits,) = model.logits(tokens(4, 0))
    supervised = (softmax(array(logits)) - np.eye(3)[np.arange(4) % 3]).mean(0)
    np.testing.assert_allclose(found, supervised + (changed - clean).mean(0), atol=1e-6)


def test_directions_keep_length_one_however_small_the_gradient_is() -> None:
    # Squares of these vanish in float32, or are infinite.
    changes = torch.tensor([[3e-25, 0.0], [0.0, 4e-25], [0.0, 0.0], [3e25, 4e25]])
    found = _unit(changes, torch.tensor([0, 0, 1, 2]), 3)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.0], [0.0, 0.8], [0.0, 0.0], [0.6, 0.8]]))


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "option", "wrong"),
    [
        ("pseudo-label", "coefficient", -1.0),
        ("pseudo-label", "start", 1.1),
        ("pseudo-label", "full", -0.1),
        ("pseudo-label", "confidence", 0.95),
        ("fixmatch", "confidence", 0.0),
        ("fixmatch", "confidence", 1.5),
        ("fixmatch", "coefficient", float("inf")),
        ("flexmatch", "confidence", 0.0),
        ("softmatch", "momentum", 1.0),
        ("softmatch", "sigmas", 0.0),
        ("softmatch", "uniform_alignment", 1),
        ("freematch", "momentum", -0.1),
        ("freematch", "fairness", -0.1),
        ("adamatch", "confidence", 0.0),
        ("adamatch", "confidence", 1.5),
        ("mean-teacher", "decay", 1.0),
        ("mean-teacher", "rampup_decay", 1.0),
        ("mean-teacher", "rampup", 1.1),
        ("vat", "epsilon", 0.0),
        ("vat", "epsilon", float("inf")),
        ("vat", "xi", 0.0),
        ("vat", "iterations", 0),
        ("r-drop", "alpha", -1.0),
        ("r-drop", "supervised", "focal"),
    ],
)
def test_options_out_of_bounds_are_refused(name: str, option: str, wrong: object) -> None:
    with pytest.raises(ValidationError) as caught:
        OBJECTIVES[name].model_validate({option: wrong})
    assert {str(error["loc"][0]) for error in caught.value.errors()} == {option}


def test_a_ramp_that_runs_backwards_or_never_begins_is_reported() -> None:
    assert [problem.path for problem in PseudoLabelOptions(start=0.5, full=0.4).problems()] == ["full"]
    assert [problem.path for problem in PseudoLabelOptions(start=1.0, full=1.0).warnings()] == ["start"]
    assert list(PseudoLabelOptions().problems()) == []


@pytest.mark.parametrize("name", OBJECTIVES)
def test_defaults_are_free_of_problems_and_warnings_and_every_option_is_described(name: str) -> None:
    options = OBJECTIVES[name]()
    assert not [*options.problems(), *options.warnings(), *options.label_problems(2), *options.label_warnings(2)]
    assert all(field.get("description") for field in options.model_json_schema()["properties"].values())
    assert isinstance(options, SemiSupervisedOptions) == options.uses_unlabelled


# --- the number of steps --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["freematch", "softmatch"])
def test_a_momentum_that_cannot_act_is_warned_of_with_one_that_would(name: str) -> None:
    options = OBJECTIVES[name]
    (warning,) = options.model_validate({"momentum": 0.999}).step_warnings(160, 160)
    assert warning == (
        "momentum: with 0.999, 92% of the running averages is still what they began with after half of the 160 batches; "
        "0.93 would act"
    )
    assert pytest.approx(0.92, abs=0.005) == 0.999**80
    for momentum, steps, batches in ((0.93, 160, 160), (0.999, 2000, 2000), (0.99, 160, 160), (0.999, 160, 1600)):
        assert not list(options.model_validate({"momentum": momentum}).step_warnings(steps, batches))


@pytest.mark.parametrize("updates", [1, 7, 20, 160, 1000, 12_345, 10**6])
def test_the_momentum_that_is_proposed_acts(updates: int) -> None:
    proposed = momentum_that_acts(updates)
    assert 0 <= proposed < 1
    assert not list(momentum_warnings("m", proposed, updates))
    assert not list(decay_warnings("d", proposed, updates))
    assert float(f"{proposed:g}") == proposed


def test_a_decay_that_is_not_reached_is_warned_of() -> None:
    (warning,) = MeanTeacherOptions().step_warnings(160, 160)
    assert warning == (
        "decay: 0.999 is not reached in 160 steps, since the average is the plain mean of all weights until 1,000 steps; "
        "0.93 would act"
    )
    assert not list(MeanTeacherOptions(decay=0.99).step_warnings(160, 160))
    assert not list(MeanTeacherOptions().step_warnings(1000, 1000))


def test_uda_warns_of_what_its_steps_leave_out() -> None:
    def warned(steps: int = 300, **options: Any) -> list[str]:
        return [warning.partition(":")[0] for warning in UdaOptions(**options).step_warnings(steps, steps)]

    assert warned(supervised_warmup=300) == ["supervised_warmup"]
    assert warned(supervised_warmup=200, coefficient_rampup=101) == ["coefficient_rampup"]
    assert warned(supervised_warmup=200, coefficient_rampup=100) == []
    assert warned(60, distribution_alignment="uniform") == ["distribution_alignment"]
    assert warned(64, distribution_alignment="uniform") == []
