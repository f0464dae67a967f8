"""What every objective has to get right."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kexp.contracts import (
    Batch,
    Inputs,
    Model,
    Objective,
    ObjectiveContext,
    ObjectiveOptions,
    Pairs,
    Progress,
    StepLoss,
)
from kexp.options import Options
from kexp.testing.fixtures import inputs_of, korean_reviews, korean_texts, tiny_classifier
from kexp.testing.options import OptionsContract

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

LABELS = ("부정", "중립", "긍정")
POOL, STEPS = 12, (0, 45, 90)
LARGE = (1e4, 100.0, 0.0)


class ObjectiveContract(OptionsContract):
    """Promises of objectives: a finite loss whose gradient trains the whole classifier, and a state that resumes.

    ``targets_take_gradient`` tells whether a gradient goes through what the original of an augmented row is predicted
    to be; mostly these are targets, and it does not. Pool objectives are given a pool, as their class says.
    """

    base: ClassVar[type[Options]] = ObjectiveOptions
    targets_take_gradient: ClassVar[bool] = False

    @pytest.fixture
    def rows(self, options: ObjectiveOptions) -> Rows:
        """Return a tiny classifier with labelled rows and, where the objective asks for them, unlabelled ones."""
        return Rows(options)

    def test_gives_a_finite_loss_and_plain_logs(self, options: ObjectiveOptions, rows: Rows) -> None:
        """The loss is a scalar with a gradient, logs are scalars without one, from the first step to the last."""
        objective = build(options)
        for step in STEPS:
            check_loss(rows.step(objective, step))

    def test_trains_the_whole_classifier(self, options: ObjectiveOptions, rows: Rows) -> None:
        """Every parameter that is to be trained gets a finite gradient, and not all gradients are zero."""
        objective = build(options)
        for step in STEPS:
            rows.module.zero_grad()
            rows.step(objective, step).loss.backward()
            gradients = {name: parameter.grad for name, parameter in rows.module.named_parameters()}
            assert not [name for name, gradient in gradients.items() if gradient is None]
            assert all(bool(gradient.isfinite().all()) for gradient in gradients.values() if gradient is not None)
            assert any(bool(gradient.any()) for gradient in gradients.values() if gradient is not None)

    def test_leaves_the_model_as_it_is(self, options: ObjectiveOptions, rows: Rows) -> None:
        """A step changes no weight, no mode of a module, and not what is to be trained."""
        import torch

        before = {name: value.clone() for name, value in rows.module.state_dict().items()}
        rows.module.get_input_embeddings().requires_grad_(False).eval()
        modes = [module.training for module in rows.module.modules()]
        trained = [parameter.requires_grad for parameter in rows.module.parameters()]
        objective = build(options)
        for step in STEPS:
            rows.step(objective, step).loss.backward()
            objective.stepped(rows.model, Progress(step + 1, 100))
        assert all(torch.equal(before[name], value) for name, value in rows.module.state_dict().items())
        assert modes == [module.training for module in rows.module.modules()]
        assert trained == [parameter.requires_grad for parameter in rows.module.parameters()]

    def test_equal_seeds_give_equal_losses(self, options: ObjectiveOptions) -> None:
        """With the same weights, rows and dropout, training goes the same way."""
        assert train(options, 4) == train(options, 4)

    def test_a_resumed_run_goes_on_as_it_would_have(self, options: ObjectiveOptions) -> None:
        """The state, saved and loaded as a checkpoint is, gives the losses of a run that was not interrupted."""
        assert train(options, 6, resume_at=3) == pytest.approx(train(options, 6), rel=1e-6)

    def test_a_fresh_state_can_be_loaded(self, options: ObjectiveOptions, rows: Rows) -> None:
        """What an objective saves before its first step, another one takes."""
        state = build(options).state_dict()
        objective = build(options)
        objective.load_state_dict(saved(state))
        check_loss(rows.step(objective, 0))

    def test_takes_a_single_row(self, options: ObjectiveOptions) -> None:
        """The last batch of an epoch may hold one row."""
        rows, objective = Rows(options, labelled=1, unlabelled=1), build(options)
        for step in STEPS:
            told = rows.step(objective, step)
            check_loss(told)
            told.loss.backward()

    @pytest.mark.parametrize("size", LARGE)
    def test_extreme_logits_stay_finite(self, options: ObjectiveOptions, size: float) -> None:
        """Loss, logs and gradients are finite for a model that is utterly sure, rightly or not, and for one that is not."""
        objective, model = build(options), GivenLogits(size)
        for step in STEPS:
            model.begin()
            told = objective.step(model, model.labelled(), model.unlabelled(options), Progress(step, 100))
            check_loss(told)
            told.loss.backward()
            objective.stepped(model, Progress(step + 1, 100))
            assert all(bool(leaf.grad.isfinite().all()) for leaf in model.leaves() if leaf.grad is not None)

    def test_targets_take_no_gradient(self, options: ObjectiveOptions) -> None:
        """Where rows have two views, the original says what the augmented form is to be, and learns nothing from it."""
        if not options.uses_augmented:
            return
        objective, model = build(options), GivenLogits(2.0)
        for step in STEPS:
            model.begin()
            objective.step(model, model.labelled(), model.unlabelled(options), Progress(step, 100)).loss.backward()
            gradient = model.given["original"].grad
            assert (gradient is not None and bool(gradient.any())) is self.targets_take_gradient

    def test_judges_any_number_of_labels(self, options: ObjectiveOptions) -> None:
        """It is right for three labels, as the examples are, and says of others in words what is wrong or doubtful."""
        assert list(options.check_labels(len(LABELS))) == []
        for labels in range(2, 12):
            for message in (*options.check_labels(labels), *options.doubt_labels(labels)):
                assert isinstance(message, str)
                assert message

    def test_asks_for_a_pool_if_for_its_augmented_forms(self, options: ObjectiveOptions) -> None:
        """Augmented forms are those of unlabelled rows."""
        assert type(options).uses_pool or not type(options).uses_augmented


class Rows:
    """A tiny classifier under kexp's own model, and the rows of a step."""

    def __init__(self, options: ObjectiveOptions, labelled: int = 6, unlabelled: int = 5, seed: int = 0) -> None:
        import torch
        from accelerate import Accelerator

        from kexp.train.model import LiveModel

        self.module, tokenizer = tiny_classifier(LABELS, seed)
        self.module.train()
        self.model: Model = LiveModel(self.module, Accelerator(cpu=True))
        texts, labels = korean_reviews(40)
        self.batch = Batch(inputs_of(texts[:labelled], tokenizer, self.module), 2 * torch.tensor(labels[:labelled]))
        self.pairs = _pairs(tokenizer, self.module, unlabelled) if options.uses_pool else None

    def step(self, objective: Objective, step: int, total: int = 100) -> StepLoss:
        """Do a step with dropout that depends on its number alone."""
        import torch

        torch.manual_seed(step)
        return objective.step(self.model, self.batch, self.pairs, Progress(step, total))


def _pairs(tokenizer: PreTrainedTokenizerFast, module: PreTrainedModel, count: int) -> Pairs:
    import torch

    texts = korean_texts(40)[20 : 20 + count]
    augmented = [" ".join(reversed(text.split())) for text in texts]
    views = [inputs_of(form, tokenizer, module) for form in (texts, augmented)]
    return Pairs(views[0], views[1], torch.arange(count) * 2 % POOL)


class GivenLogits:
    """A model that says of every row what it was told to, large numbers or small ones; not a word is read.

    Labelled rows, originals and augmented forms are told apart by their first token.
    """

    VIEWS = ("labelled", "original", "augmented")
    ROWS = 4

    def __init__(self, size: float) -> None:
        import torch

        patterns = torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
        rolled = dict(zip(self.VIEWS, (0, 0, 1), strict=True))
        self.values = {view: size * patterns.roll(shift, 0) for view, shift in rolled.items()}
        self.module: torch.nn.Module = torch.nn.Linear(2, len(LABELS))
        self.words = torch.nn.Parameter(torch.tensor([[0.5, -1.0], [1.0, 0.25], [-0.5, 0.75]]))
        self.size = size
        self.begin()

    def begin(self) -> None:
        """Forget all gradients."""
        self.given = {view: values.clone().requires_grad_() for view, values in self.values.items()}
        self.words.grad = None

    def leaves(self) -> Iterator[torch.Tensor]:
        """Yield everything that a gradient may come to."""
        yield from self.given.values()
        yield self.words

    def inputs(self, view: str) -> Inputs:
        """Return the rows of a view."""
        import torch

        ids = torch.full((self.ROWS, 3), self.VIEWS.index(view))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def labelled(self) -> Batch:
        """Return the labelled rows, of which the model is right about some."""
        import torch

        return Batch(self.inputs("labelled"), torch.tensor([0, 0, 1, 2]))

    def unlabelled(self, options: ObjectiveOptions) -> Pairs | None:
        """Return the unlabelled rows, for objectives that ask for them."""
        import torch

        if not options.uses_pool:
            return None
        return Pairs(self.inputs("original"), self.inputs("augmented"), torch.arange(self.ROWS))

    def logits(self, *groups: Inputs) -> tuple[torch.Tensor, ...]:
        """Return what was given for each group."""
        return tuple(self.given[self.VIEWS[int(group["input_ids"][0, 0])]] * 1 for group in groups)

    def target_logits(self, inputs: Inputs, module: torch.nn.Module | None = None) -> torch.Tensor:
        """Return the same without gradient."""
        return self.logits(inputs)[0].detach()

    def embed(self, inputs: Inputs) -> torch.Tensor:
        """Return a short vector per token."""
        return self.words[inputs["input_ids"]].detach()

    def embedded_logits(self, embeddings: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        """Return logits of the given size that depend on the embeddings."""
        import torch

        heads = torch.tensor([[1.0, -1.0], [-1.0, 0.5], [0.25, 1.0]])
        return self.size * (embeddings.mean(1) @ heads.T)


def build(options: ObjectiveOptions) -> Objective:
    """Build an objective for three labels, one of which no labelled row has, and a small pool."""
    return options.build(ObjectiveContext(class_counts=(4, 0, 3), pool=POOL if options.uses_pool else 0))


def train(options: ObjectiveOptions, steps: int, resume_at: int | None = None) -> list[float]:
    """Return the losses of a short training, which may be interrupted and resumed."""
    import torch

    rows, objective = Rows(options), build(options)
    optimiser = torch.optim.SGD(rows.module.parameters(), lr=0.05)
    losses = []
    for step in range(steps):
        if step == resume_at:
            state = saved(objective.state_dict())
            objective = build(options)
            objective.load_state_dict(state)
        optimiser.zero_grad()
        told = rows.step(objective, step, steps)
        told.loss.backward()
        optimiser.step()
        objective.stepped(rows.model, Progress(step + 1, steps))
        losses.append(float(told.loss.detach()))
    return losses


def saved(state: Mapping[str, torch.Tensor]) -> Any:
    """Return a state as a checkpoint brings it back."""
    import torch

    assert all(isinstance(value, torch.Tensor) for value in state.values())
    file = io.BytesIO()
    torch.save(dict(state), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def check_loss(told: StepLoss) -> None:
    """Fail unless the loss is a finite scalar with a gradient, and every log a finite scalar without one."""
    assert told.loss.shape == ()
    assert told.loss.isfinite()
    assert told.loss.requires_grad
    for name, log in told.logs.items():
        assert log.shape == (), name
        assert log.isfinite(), name
        assert not log.requires_grad, name
