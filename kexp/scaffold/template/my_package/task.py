"""A task: how labels are read and numbered, what logits mean, how is decided, and what a result says."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import kexp
from kexp.contracts import Chosen, TaskOptions
from kexp.errors import DataError
from kexp.files import label_of
from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


KEXP_API = 3
"""Version of the interface to plugins for which this was written."""


class MyTask(TaskOptions):
    """Two classes, one of which is sought: the threshold of its probability has the best F1 on validation."""

    classes: ClassVar[bool] = True
    decision: ClassVar[str] = "the class that is sought where its probability is at least the threshold"

    sought: str = Field("", description="The class that is sought; empty for the last one by alphabet.")

    def label_of(self, value: Any) -> str:
        """Read a cell as kexp does: text in one spelling, whole numbers as their digits."""
        return label_of(value)

    def need_variety(self, labels: Collection[str]) -> None:
        """Refuse what are not two classes."""
        if len(labels) != 2 or self.sought not in {"", *labels}:
            expected = f'two, one of them "{self.sought}"' if self.sought else "two"
            raise DataError(f"dataset: train has the labels {', '.join(sorted(labels))}; expected {expected}")

    def names(self, labels: Collection[str], given: Sequence[str] | None) -> tuple[str, ...]:
        """Give the class that is sought the number 1, whatever order the dataset has."""
        return tuple(sorted(labels, key=lambda label: (label == self.sought, label)))

    def unknown(self, labels: Collection[str], names: Sequence[str]) -> Sequence[str]:
        """Return what is neither of the two."""
        return sorted({*labels} - {*names})

    def encode(self, labels: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
        """Return ids, -1 for a missing label."""
        import numpy as np

        return np.array([names.index(label) if label in names else -1 for label in labels], np.int64)

    def decode(self, targets: NDArray[Any], names: Sequence[str]) -> list[str]:
        """Return the names of ids."""
        return [[*names, ""][target] for target in targets.tolist()]

    def known(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which ids are not -1."""
        known: NDArray[np.bool_] = targets >= 0
        return known

    def strata(self, labels: Sequence[str], parts: int) -> NDArray[np.integer[Any]]:
        """Divide the rows of either class alike."""
        import numpy as np

        return np.unique(list(labels), return_inverse=True)[1]

    def counts(self, targets: NDArray[Any], names: Sequence[str]) -> list[int]:
        """Return the rows of either class."""
        return [int((targets == number).sum()) for number in range(len(names))]

    def outputs(self, names: Sequence[str]) -> tuple[str, ...]:
        """Have a logit for each class."""
        return tuple(names)

    def choose(self, targets: NDArray[Any], predictions: NDArray[np.float64], names: Sequence[str]) -> Chosen:
        """Return the threshold of the best F1 on validation, if a row of it is sought; kexp keeps it with the model."""
        from sklearn.metrics import precision_recall_curve  # type: ignore[import-untyped]

        if not targets.any():
            return {}
        precision, recall, thresholds = precision_recall_curve(targets, predictions[:, 1])
        f1 = 2 * precision * recall / (precision + recall).clip(1e-12)
        return {"threshold": float(thresholds[f1[:-1].argmax()])}

    def decide(self, predictions: NDArray[np.float64], chosen: Chosen) -> NDArray[np.int64]:
        """Return 1 where the probability reaches the threshold: a half, until one is chosen."""
        decided: NDArray[np.int64] = (predictions[:, 1] >= chosen.get("threshold", 0.5)).astype("int64")
        return decided

    def losses(self, targets: NDArray[Any], predictions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the cross entropy of each row, in nats."""
        import numpy as np

        losses: NDArray[np.float64] = -np.log(predictions[range(len(targets)), targets].clip(1e-12))
        return losses

    def details(
        self, targets: NDArray[Any], predictions: NDArray[np.float64], names: Sequence[str], chosen: Chosen
    ) -> Mapping[str, Any]:
        """Return for ``result.json`` how many rows are of the class, are taken for it, and both."""
        decided = self.decide(predictions, chosen)
        both = int((targets * decided).sum())
        return {"sought": {"label": names[1], "there": int(targets.sum()), "said": int(decided.sum()), "both": both}}


@kexp.hookimpl
def kexp_tasks() -> Mapping[str, type[TaskOptions]]:
    """Name the tasks of this package."""
    return {"my-name": MyTask}
