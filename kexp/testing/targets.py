"""Rows of every kind of targets for the suites of objectives and metrics: ``TARGETS`` has an entry per kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from kexp.contracts import ObjectiveContext, ObjectiveOptions
from kexp.contracts.task import CLASS, LABEL_SET, NUMBER, ORDERED_CLASS
from kexp.spec.parts import sections_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Random = Any
"""numpy's ``Generator``."""


class TargetRows(ABC):
    """Targets of one kind, and predictions of them; ``names`` is their number, that of labels or of what is predicted.

    Targets have the rows as first axis, predictions are of shape (rows, names).
    """

    def names(self, given: Sequence[str]) -> Sequence[str]:
        """Return the names of what is predicted where there are labels of these names."""
        return given

    # --- for objectives

    def outputs(self, names: int) -> int:
        """Return the number of a model's logits."""
        return names

    @abstractmethod
    def of_classes(self, ids: NDArray[np.int64], names: int) -> NDArray[Any]:
        """Return a target for every row, equal ones for rows of one class."""

    def context(self, ids: NDArray[np.int64], names: int, **more: Any) -> ObjectiveContext:
        """Return the context of an objective whose train rows are of these classes."""
        targets = self.of_classes(ids, names)
        return ObjectiveContext(tuple(self._counts(targets, names)), rows=len(ids), **more)

    def _counts(self, targets: NDArray[Any], names: int) -> Collection[int]:
        return ()

    # --- for metrics

    @abstractmethod
    def draw(self, random: Random, rows: int, names: int) -> NDArray[Any]:
        """Return random targets."""

    @abstractmethod
    def predict(self, random: Random, rows: int, names: int) -> NDArray[np.float64]:
        """Return random predictions."""

    @abstractmethod
    def unsure(self, rows: int, names: int) -> NDArray[np.float64]:
        """Return predictions that prefer nothing."""

    @abstractmethod
    def sure(self, targets: NDArray[Any], names: int) -> NDArray[np.float64]:
        """Return the predictions of a model that is certain of targets."""

    @abstractmethod
    def other(self, targets: NDArray[Any], names: int) -> NDArray[Any]:
        """Return targets that are wrong for every row."""

    @abstractmethod
    def complete(self, targets: NDArray[Any], names: int) -> NDArray[Any]:
        """Return targets, of at least 60 rows, that leave no measure undefined, such as one of a class without rows."""

    @abstractmethod
    def decide(self, predictions: NDArray[np.float64]) -> NDArray[Any]:
        """Return the targets that predictions decide for."""


class ClassRows(TargetRows):
    """One class per row: ids, and probabilities that sum up to 1."""

    def of_classes(self, ids: NDArray[np.int64], names: int) -> NDArray[Any]:
        """Return the ids."""
        return ids

    def _counts(self, targets: NDArray[Any], names: int) -> Collection[int]:
        import numpy as np

        return np.bincount(targets, minlength=names).tolist()

    def draw(self, random: Random, rows: int, names: int) -> NDArray[Any]:
        """Return random ids."""
        found: NDArray[np.int64] = random.integers(names, size=rows)
        return found

    def predict(self, random: Random, rows: int, names: int) -> NDArray[np.float64]:
        """Return random probabilities."""
        import numpy as np

        found: NDArray[np.float64] = random.dirichlet(np.ones(names), rows)
        return found

    def unsure(self, rows: int, names: int) -> NDArray[np.float64]:
        """Return equal probabilities."""
        import numpy as np

        return np.full((rows, names), 1 / names)

    def sure(self, targets: NDArray[Any], names: int) -> NDArray[np.float64]:
        """Return probabilities of 1."""
        import numpy as np

        return np.eye(names)[targets]

    def other(self, targets: NDArray[Any], names: int) -> NDArray[Any]:
        """Return the next ids."""
        return (targets + 1) % names

    def complete(self, targets: NDArray[Any], names: int) -> NDArray[Any]:
        """Return them with every class in the first rows."""
        import numpy as np

        return np.concatenate([np.arange(names), targets[names:]])

    def decide(self, predictions: NDArray[np.float64]) -> NDArray[Any]:
        """Return the most probable ids."""
        return predictions.argmax(1)


class LabelSetRows(TargetRows):
    """Some of several labels per row: 0 and 1 for every label, and a probability of each."""

    def of_classes(self, ids: NDArray[np.int64], names: int) -> NDArray[Any]:
        """Return sets of each size: the empty one for class 1, all labels for the last one."""
        import numpy as np

        sets = np.eye(names, dtype=np.int64)
        sets[1], sets[-1] = 0, 1
        return sets[ids]

    def _counts(self, targets: NDArray[Any], names: int) -> Collection[int]:
        return targets.sum(0).tolist()

    def draw(self, random: Random, rows: int, names: int) -> NDArray[Any]:
        """Return random sets."""
        found: NDArray[np.int64] = random.integers(2, size=(rows, names))
        return found

    def predict(self, random: Random, rows: int, names: int) -> NDArray[np.float64]:
        """Return random probabilities."""
        found: NDArray[np.float64] = random.random((rows, names))
        return found

    def unsure(self, rows: int, names: int) -> NDArray[np.float64]:
        """Return probabilities of one half."""
        import numpy as np

        return np.full((rows, names), 0.5)

    def sure(self, targets: NDArray[Any], names: int) -> NDArray[np.float64]:
        """Return probabilities of 0 and 1."""
        return targets.astype(float)

    def other(self, targets: NDArray[Any], names: int) -> NDArray[Any]:
        """Return the labels that a row has not."""
        return 1 - targets

    def complete(self, targets: NDArray[Any], names: int) -> NDArray[Any]:
        """Return them with a row for every label, that has this label alone, and one with none."""
        import numpy as np

        first = np.eye(names + 1, names, dtype=targets.dtype)
        return np.concatenate([first, targets[len(first) :]])

    def decide(self, predictions: NDArray[np.float64]) -> NDArray[Any]:
        """Return the labels whose probability is at least one half."""
        import numpy as np

        return (predictions >= 0.5).astype(np.int64)


class NumberRows(TargetRows):
    """A number per row, and one that is predicted."""

    def names(self, given: Sequence[str]) -> Sequence[str]:
        """Return one name."""
        return given[:1]

    def of_classes(self, ids: NDArray[np.int64], names: int) -> NDArray[Any]:
        """Return numbers with a fraction, from below 0 upwards."""
        return ids * 1.25 - 0.7

    def draw(self, random: Random, rows: int, names: int) -> NDArray[Any]:
        """Return random numbers from 0 to 5."""
        found: NDArray[np.float64] = 5 * random.random(rows)
        return found

    def predict(self, random: Random, rows: int, names: int) -> NDArray[np.float64]:
        """Return random numbers."""
        found: NDArray[np.float64] = 5 * random.random((rows, 1))
        return found

    def unsure(self, rows: int, names: int) -> NDArray[np.float64]:
        """Return one number for all rows."""
        import numpy as np

        return np.full((rows, 1), 2.5)

    def sure(self, targets: NDArray[Any], names: int) -> NDArray[np.float64]:
        """Return the numbers."""
        found: NDArray[np.float64] = targets[:, None].astype("float64")
        return found

    def other(self, targets: NDArray[Any], names: int) -> NDArray[Any]:
        """Return small numbers for large ones."""
        return 6 - targets

    def complete(self, targets: NDArray[Any], names: int) -> NDArray[Any]:
        """Return them as they are."""
        return targets

    def decide(self, predictions: NDArray[np.float64]) -> NDArray[Any]:
        """Return the numbers."""
        return predictions[:, 0]


class OrderedClassRows(ClassRows):
    """One class per row out of ordered ones, and a logit for each but the highest."""

    def outputs(self, names: int) -> int:
        """Return one less than there are classes."""
        return names - 1


TARGETS: dict[str, TargetRows] = {
    CLASS: ClassRows(),
    LABEL_SET: LabelSetRows(),
    NUMBER: NumberRows(),
    ORDERED_CLASS: OrderedClassRows(),
}
"""Rows by kind of targets. Tests of components for a kind of their own add it here."""


def rows_of(kind: str) -> TargetRows:
    """Return the rows of a kind; raises ``AssertionError`` for one that is not known."""
    assert kind in TARGETS, f'no rows of targets "{kind}" to test with: add them to kexp.testing.targets.TARGETS'
    return TARGETS[kind]


def rows_for(options: ObjectiveOptions) -> TargetRows:
    """Return rows of the first kind that an objective and all objectives nested in it are losses of."""
    nested = [one for _, one in sections_in("", options) if isinstance(one, ObjectiveOptions)]
    shared = [kind for kind in type(options).targets if all(kind in one.targets for one in nested)]
    assert shared, "there is no kind of targets that it and the objectives nested in it are losses of"
    return rows_of(shared[0])
