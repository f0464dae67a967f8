"""What watches a run beside its loss: predictions of validation, pseudo-labels, rejected texts."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kexp.contracts import TaskOptions
from kexp.contracts.augmenter import CheckedAugmenter
from kexp.contracts.task import Chosen
from kexp.data.stored_views import LabelledViews
from kexp.evaluate.predictions import Predictions
from kexp.experiment.assemble import AssembledRun
from kexp.train.events import Evaluated, Event, Finished, Started, StepsDone, Warned
from kexp.train.pseudo_label_stats import PseudoLabelStats


def mean_loss(task: TaskOptions, found: Predictions) -> float:
    """Return the mean over rows of the loss of predictions."""
    return float(task.losses(found.labels, found.probabilities).mean())


@dataclass(slots=True)
class Validation:
    """Measures validation, and keeps the predictions of the model that is kept, so that they are made once."""

    assembled: AssembledRun
    last: Predictions | None = None
    kept: Predictions | None = None
    chosen: Chosen = field(default_factory=dict)
    """What is chosen for the decisions of the model as it is, such as thresholds."""

    def measure(self) -> dict[str, float]:
        """Return the metrics of the model as it is; none without validation."""
        if "validation" not in self.assembled.inputs.data.splits:
            return {}
        self.last = self.assembled.predict("validation")
        self.chosen = self.assembled.choose(self.last)
        return self._measured(self.last)

    def details(self) -> dict[str, Any]:
        """Return the loss of what was measured last, and the metrics of train where the spec wants them."""
        assembled, last = self.assembled, self.last
        train = self._measured(assembled.predict("train")) if assembled.spec.evaluation.train else {}
        loss = None if last is None else mean_loss(assembled.spec.task, last)
        return {"validation_loss": loss, "train_metrics": train}

    def keep(self) -> None:
        """Keep the predictions that were measured last."""
        self.kept = self.last

    def _measured(self, predictions: Predictions) -> dict[str, float]:
        """Return the metrics of predictions, which one process computes: training may end by them."""
        assembled = self.assembled
        return assembled.classifier.world.from_first(lambda: predictions.measure(assembled.metrics_of(self.chosen)))


@dataclass(slots=True)
class PseudoLabelMonitor:
    """Looks at the predictions for unlabelled rows at every evaluation, and remembers the best oracle accuracy."""

    assembled: AssembledRun
    best: float | None = None

    def look(self) -> tuple[Mapping[str, float], Sequence[str]]:
        """Return what is worth logging, and warnings; nothing where there are no unlabelled rows."""
        found = self.assembled.predict_unlabelled()
        task = self.assembled.spec.task
        if found is None or not task.classes:
            return {}, ()
        data = self.assembled.inputs.data
        counts = task.counts(data.train.labels, data.labels)
        # Not even looked at where the spec wants no oracle.
        labels = found.labels if self.assembled.spec.evaluation.oracle else found.labels * 0 - 1
        stats = PseudoLabelStats.of(labels, found.probabilities, [count / sum(counts) for count in counts])
        warnings = stats.warnings(data.labels, self.best)
        if stats.oracle_accuracy is not None:
            self.best = max(stats.oracle_accuracy, self.best or 0.0)
        return stats.numbers(), warnings

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run has to know."""
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore it."""
        self.best = state["best"]


FEW = 0.005
"""Share of the unlabelled rows below which training is hardly semi-supervised."""


@dataclass(slots=True)
class UnlabelledUse:
    """Adds up which share of the unlabelled rows of every step counted in its loss, as the objective logs it."""

    step: int = 0
    counted: float | None = None
    """Sum of the shares of all steps so far; None where the objective logs none."""
    shares: dict[int, float] = field(default_factory=dict)
    """Mean share until each evaluation, by its step."""

    def add(self, event: Event) -> None:
        """Count what an event tells."""
        if isinstance(event, StepsDone):
            if "confident" in event.logs:
                self.counted = (self.counted or 0.0) + event.logs["confident"] * (event.step - self.step)
            self.step = event.step
        if isinstance(event, Evaluated) and self.counted is not None:
            self.shares[event.step] = self.counted / event.step

    def remark(self, kept_step: int) -> str | None:
        """Return that the model of a step has learnt next to nothing from the unlabelled rows, or None."""
        share = self.shares.get(kept_step)
        if share is None or share >= FEW:
            return None
        later = max(self.shares.values())
        remedy = "shorten the warm-up, or lower the confidence that they need"
        if later >= FEW:
            remedy = "they counted in later steps, which validation did not choose: shorten the warm-up or train longer"
        if share == 0:
            finding = "has learnt nothing from the unlabelled rows, none of which had counted by then"
        else:
            finding = f"has learnt from {share * 1000:.2g} of 1,000 unlabelled rows, the others were masked"
        finding = f"{finding}: its results are those of the labelled rows alone"
        return f"the kept model, of step {kept_step}, {finding}; {remedy}"

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run has to know."""
        return {"step": self.step, "counted": self.counted, "shares": self.shares}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore it."""
        self.step, self.counted, self.shares = state["step"], state["counted"], state["shares"]


@dataclass(slots=True)
class DataWarnings:
    """Adds warnings to the events of a run: of data and steps first, and once of each augmenter that rejects texts."""

    assembled: AssembledRun
    steps_per_epoch: int
    of_steps: Sequence[str] = ()
    """Warnings about the number of steps, which is known by now."""
    warned: list[str] = field(default_factory=list)
    """What the augmenters that were warned of augment: labelled, unlabelled."""
    resumed_within: bool = False
    """Whether only the rest of an epoch is counted, since the run was resumed within it."""

    def added_to(self, events: Iterable[Event]) -> Generator[Event, None, None]:
        """Yield events, and warnings after those by which they are due."""
        for event in events:
            step: int = event.step  # type: ignore[attr-defined]
            # Texts are augmented ahead of their steps: only of an epoch that is over it is known how many there were.
            if step % self.steps_per_epoch == 0 or isinstance(event, Finished):
                yield from self._rejections(step)
            yield event
            if isinstance(event, Started):
                self.resumed_within = step % self.steps_per_epoch > 0
                # A run that resumes has told of its data before.
                if step == 0:
                    yield from (Warned(0, message) for message in (*self.assembled.inputs.warnings, *self.of_steps))

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run has to know. It counts the texts that are left of its epoch."""
        return {"warned": self.warned}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore it."""
        self.warned = state["warned"]

    def _rejections(self, step: int) -> Iterator[Warned]:
        """Yield once of each augmenter what it rejected of the epoch that is over after ``step`` steps."""
        for of, augmenter in self.assembled.augmenters.items():
            if augmenter.rejected and of not in self.warned:
                self.warned = [*self.warned, of]
                epoch = f"epoch {-(-step // self.steps_per_epoch)}"
                where = f"the resumed part of {epoch}" if self.resumed_within else epoch
                yield Warned(step, f"augmentation.{of}: {_rejected(augmenter, where)}")
            augmenter.total = 0
            augmenter.rejected.clear()
        self.resumed_within = False


def _rejected(augmenter: CheckedAugmenter | LabelledViews, where: str) -> str:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in augmenter.rejected.most_common())
    count = f"{augmenter.rejected.total():,} of {augmenter.total:,} texts"
    return f"{augmenter.name} rejected {count} in {where} ({reasons}); their rows have the original text"
