"""The task of most experiments: every row has one label out of several classes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from kexp.builtin.tasks.names import in_order, warnings_of_likeness, warnings_of_missing_words
from kexp.contracts import Chosen, TaskOptions
from kexp.data.strata import class_strata, codes
from kexp.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SingleLabel(TaskOptions):
    """One label per row: the softmax of the logits are the probabilities of the classes, the largest one decides."""

    classes: ClassVar[bool] = True
    calibrates: ClassVar[bool] = True
    plain: ClassVar[bool] = True
    baselines: ClassVar[Collection[str]] = ("majority", "tfidf-logreg")

    def label_of(self, value: Any) -> str:
        """Return a cell as a label."""
        from kexp.files import label_of

        return label_of(value)

    def spelled_once(self, labels: Collection[str]) -> Mapping[str, str]:
        """Make true and 1 one label."""
        from kexp.files.cells import truth_spelled_once

        return truth_spelled_once(labels)

    def warnings_of_labels(self, labels: Collection[str]) -> Sequence[str]:
        """Warn of labels that a person would take for one, of measured values, and of words for a missing label."""
        found = [*warnings_of_likeness(labels)]
        if fractions := sorted(label for label in labels if re.fullmatch(r"[+-]?\d*\.\d+", label)):
            few = ", ".join(fractions[:3])
            finding = f"{len(labels):,} labels, of which {len(fractions):,} are numbers with a fraction ({few})"
            remedy = 'task = "regression" learns numbers, task = "ordinal" a few of them by their order'
            found.append(f"{finding}; each becomes a class: {remedy}")
        return [*found, *warnings_of_missing_words(labels, "class")]

    def need_variety(self, labels: Collection[str]) -> None:
        """Raise ``DataError`` for a single class."""
        if len(labels) < 2:
            only = f'every train row has the label "{next(iter(labels))}"'
            raise DataError(f"dataset: {only}; expected at least two labels")

    def names(self, labels: Collection[str], given: Sequence[str] | None) -> tuple[str, ...]:
        """Number the labels of train: as the dataset orders them, else numbers by value and words by alphabet."""
        return in_order(labels, given)

    def unknown(self, labels: Collection[str], names: Sequence[str]) -> Sequence[str]:
        """Return the labels that are no class."""
        return sorted({*labels} - {*names})

    def encode(self, labels: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
        """Return label ids of shape (rows,), -1 for unknown ones."""
        return codes(labels, names).astype("int64")

    def decode(self, targets: NDArray[Any], names: Sequence[str]) -> list[str]:
        """Return the names of the classes."""
        named = [*names, ""]
        return [named[target] for target in targets.tolist()]

    def known(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which ids are not -1."""
        known: NDArray[np.bool_] = targets >= 0
        return known

    def strata(self, labels: Sequence[str], parts: int) -> NDArray[np.int32]:
        """Return a number for every label, which sort as the labels do."""
        return class_strata(labels)

    def counts(self, targets: NDArray[Any], names: Sequence[str]) -> list[int]:
        """Return the rows of every class."""
        import numpy as np

        return [int(count) for count in np.bincount(targets, minlength=len(names))]

    def groups(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """Return the label ids."""
        return targets

    def outputs(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the classes."""
        return tuple(names)

    def decide(self, predictions: NDArray[np.float64], chosen: Chosen) -> NDArray[np.int64]:
        """Return the most probable classes; of equal ones the first."""
        decided: NDArray[np.int64] = predictions.argmax(1)
        return decided

    def losses(self, targets: NDArray[Any], predictions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the negative log probabilities of the true classes, in nats."""
        from kexp.evaluate.row_scores import cross_entropy

        return cross_entropy(targets, predictions)

    def details(
        self, targets: NDArray[Any], predictions: NDArray[np.float64], names: Sequence[str], chosen: Chosen
    ) -> Mapping[str, Any]:
        """Return the scores of each class, and the confusion matrix: true class by row, predicted one by column."""
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

        decided, known = predictions.argmax(1), range(len(names))
        table = precision_recall_fscore_support(targets, decided, labels=known, zero_division=0)
        return {
            "per_class": [
                {"label": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
                for name, p, r, f, n in zip(names, *table, strict=True)
            ],
            "confusion_matrix": confusion_matrix(targets, decided, labels=known).tolist(),
        }

    def fit_baseline(
        self, name: str, texts: Sequence[str], targets: NDArray[Any], names: Sequence[str], seed: int
    ) -> Any:
        """Fit the class frequencies, or a logistic regression on tf-idf of character n-grams."""
        from kexp.evaluate.baselines import fit_baseline

        return fit_baseline(name, texts, targets, len(names), seed)
