"""Steps of training for objectives: with a tiny classifier, and with a model that returns given logits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from kexp import tensor_files
from kexp.contracts import (
    Batch,
    Model,
    Objective,
    ObjectiveOptions,
    Progress,
    Rows,
    StepLoss,
    UnlabelledBatch,
)
from kexp.contracts.objective import build_objective
from kexp.model.token_rows import TokenRows, own
from kexp.sample_reviews import korean_reviews
from kexp.testing.fixtures import korean_texts, padding_id, tiny_classifier, token_rows
from kexp.testing.targets import TargetRows, rows_for

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

LABELS = ("부정", "중립", "긍정")
CLASSES = (0, 0, 0, 0, 2, 2, 2)
"""Those of the train rows; none has the one in the middle."""
UNLABELLED_ROWS = 12


class StepRows:
    """A tiny classifier under kexp's own model, and the rows of a step.

    If ``padded``, the classifier is not one of the library's classes: its rows are padded.
    """

    def __init__(
        self, options: ObjectiveOptions, labelled: int = 6, unlabelled: int = 5, seed: int = 0, *, padded: bool = False
    ) -> None:

        from kexp.devices import choose
        from kexp.model.forward import Classifier

        targets = rows_for(options)
        self.module, tokenizer = tiny_classifier(outputs_of(targets), seed)
        self.module.train()
        if padded:
            kind = type(self.module)
            self.module.__class__ = type(f"Own{kind.__name__}", (kind,), {})
        self.model: Model = Classifier(self.module, choose("cpu", "fp32"), padding_id(tokenizer))
        texts, labels = korean_reviews(40)
        self.texts = token_rows(texts, tokenizer, self.module)
        classes = [2 * label for label in labels[:labelled]]
        self.batch = Batch(token_rows(texts[:labelled], tokenizer, self.module), as_targets(targets, classes))
        self.unlabelled = _unlabelled(tokenizer, self.module, unlabelled) if options.uses_unlabelled else None

    def leave_out_dropout(self) -> None:
        """Let training mode drop nothing, so that it is the same however rows go through the classifier."""
        import torch

        for module in self.module.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0

    def spread_predictions(self) -> None:
        """Let the classifier, whose weights are random, predict every class, and be more or less sure of it."""
        import torch

        head = self.module.get_submodule("classifier")
        weight, bias = head.get_parameter("weight"), head.get_parameter("bias")
        with torch.no_grad():
            logits = self.model.target_logits(self.texts)
            scale = 2 / logits.std(0)
            weight.mul_(scale[:, None])
            bias.copy_((bias - logits.mean(0)) * scale)

    def step(self, objective: Objective, step: int, total: int = 100) -> StepLoss:
        """Do a step with dropout that depends on its number alone."""
        import torch

        torch.manual_seed(step)
        return objective.step(self.model, self.batch, self.unlabelled, Progress(step, total))


def _unlabelled(tokenizer: PreTrainedTokenizerFast, module: PreTrainedModel, count: int) -> UnlabelledBatch:
    import torch

    texts = korean_texts(40)[20 : 20 + count]
    augmented = [" ".join(reversed(text.split())) for text in texts]
    views = [token_rows(view, tokenizer, module) for view in (texts, augmented)]
    return UnlabelledBatch(views[0], views[1], torch.arange(count) * 2 % UNLABELLED_ROWS)


class GivenLogits:
    """A model that returns given logits, large or small ones, whatever the texts are.

    Labelled rows, originals and augmented views are distinguished by their first token.
    """

    VIEWS = ("labelled", "original", "augmented")
    ROWS = 4

    def __init__(self, size: float, options: ObjectiveOptions) -> None:
        import torch

        self.targets = rows_for(options)
        self.outputs = len(outputs_of(self.targets))
        patterns = torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
        patterns = patterns[:, : self.outputs]
        rolled = dict(zip(self.VIEWS, (0, 0, 1), strict=True))
        self.values = {view: size * patterns.roll(shift, 0) for view, shift in rolled.items()}
        self.module: torch.nn.Module = torch.nn.Linear(2, self.outputs)
        self.words = torch.nn.Parameter(torch.tensor([[0.5, -1.0], [1.0, 0.25], [-0.5, 0.75]]))
        self.size = size
        self.begin()

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values: there is one process."""
        return values.detach()

    def gather(self, values: torch.Tensor, all_rows: int) -> torch.Tensor:
        """Return the values: there is one process."""
        return values

    def begin(self) -> None:
        """Forget all gradients."""
        self.given = {view: values.clone().requires_grad_() for view, values in self.values.items()}
        self.words.grad = None

    def leaves(self) -> Iterator[torch.Tensor]:
        """Yield everything that a gradient may come to."""
        yield from self.given.values()
        yield self.words

    def inputs(self, view: str) -> TokenRows:
        """Return the rows of a view, each of as many tokens as its number says."""
        import numpy as np
        import torch

        lengths = np.arange(1, self.ROWS + 1)
        return TokenRows(torch.full((int(lengths.sum()),), self.VIEWS.index(view)), lengths, None)

    def labelled(self) -> Batch:
        """Return the labelled rows, of which the model is right about some."""
        return Batch(self.inputs("labelled"), as_targets(self.targets, [0, 0, 1, 2]))

    def unlabelled(self, options: ObjectiveOptions) -> UnlabelledBatch | None:
        """Return the unlabelled rows, for objectives that use them."""
        import torch

        if not options.uses_unlabelled:
            return None
        return UnlabelledBatch(self.inputs("original"), self.inputs("augmented"), torch.arange(self.ROWS))

    def logits(self, *groups: Rows) -> tuple[torch.Tensor, ...]:
        """Return what was given for each group."""
        return tuple(self.given[self.VIEWS[int(own(group).ids[0])]] * 1 for group in groups)

    def target_logits(self, inputs: Rows, module: torch.nn.Module | None = None) -> torch.Tensor:
        """Return the same without gradient."""
        return self.logits(inputs)[0].detach()

    def embed(self, inputs: Rows) -> torch.Tensor:
        """Return a short vector per token."""
        return self.words[own(inputs).ids].detach()

    def embedded_logits(self, embeddings: torch.Tensor, inputs: Rows) -> torch.Tensor:
        """Return logits of the given size that depend on the embeddings."""
        import torch

        heads = torch.tensor([[1.0, -1.0], [-1.0, 0.5], [0.25, 1.0]])[: self.outputs]
        sums = torch.zeros(len(inputs), embeddings.shape[1]).index_add(0, inputs.row_of_token, embeddings)
        return self.size * (sums / torch.from_numpy(own(inputs).lengths)[:, None] @ heads.T)


def outputs_of(targets: TargetRows) -> Sequence[str]:
    """Return names of the logits of a model of three labels, or of as many as these targets have."""
    return LABELS[: targets.outputs(len(targets.names(LABELS)))]


def as_targets(targets: TargetRows, classes: Sequence[int]) -> torch.Tensor:
    """Return the targets of rows of these classes."""
    import numpy as np
    import torch

    return torch.from_numpy(targets.of_classes(np.array(classes), len(targets.names(LABELS))))


def build(options: ObjectiveOptions, seed: int = 0) -> Objective:
    """Build an objective for three labels, one of which no labelled row has, and some unlabelled rows."""
    import numpy as np

    targets, unlabelled = rows_for(options), UNLABELLED_ROWS if options.uses_unlabelled else 0
    names = len(targets.names(LABELS))
    return build_objective(options, targets.context(np.array(CLASSES), names, unlabelled_rows=unlabelled, seed=seed))


def judged(options: ObjectiveOptions, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits of some rows, which differ, and their targets, every label in its turn."""
    import torch

    targets = rows_for(options)
    outputs = len(outputs_of(targets))
    logits = torch.randn(rows, outputs, generator=torch.Generator().manual_seed(0))
    return logits, as_targets(targets, [row % len(LABELS) for row in range(rows)])


def train(options: ObjectiveOptions, steps: int, resume_at: int | None = None) -> list[float]:
    """Return the losses of a short training, which may be interrupted and resumed."""
    import torch

    rows, objective = StepRows(options), build(options)
    optimiser = torch.optim.SGD(rows.module.parameters(), lr=0.05)
    losses = []
    for step in range(steps):
        if step == resume_at:
            state = saved(objective.state_dict())
            objective = build(options)
            objective.load_state_dict(state)
        optimiser.zero_grad()
        result = rows.step(objective, step, steps)
        backward(result)
        optimiser.step()
        objective.stepped(rows.model, Progress(step + 1, steps))
        losses.append(float(result.loss.detach()))
    return losses


def saved(state: Mapping[str, torch.Tensor]) -> Any:
    """Return a state as a checkpoint brings it back."""
    import torch

    assert all(isinstance(value, torch.Tensor) for value in state.values())
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        tensor_files.save(path, state, {})
        return tensor_files.load(path, {})


def backward(result: StepLoss) -> None:
    """Make the gradients of a step's loss."""
    import torch

    torch.autograd.backward([result.loss])


def check_loss(result: StepLoss) -> None:
    """Fail unless the loss is a finite scalar with a gradient, and every log a finite scalar without one."""
    assert result.loss.shape == ()
    assert result.loss.isfinite()
    assert result.loss.requires_grad
    for name, log in result.logs.items():
        assert log.shape == (), name
        assert log.isfinite(), name
        assert not log.requires_grad, name
