"""The task of rows that have any number of labels: none, one or several of the same names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kexp.builtin.tasks.names import in_order, warnings_of_likeness, warnings_of_missing_words
from kexp.contracts import TaskOptions
from kexp.contracts.task import Chosen, probabilities_in
from kexp.errors import DataError
from kexp.files.label_sets import NO_LABEL, names_in, names_of, set_of

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class MultiLabel(TaskOptions):
    """Any number of labels per row: each has its own probability, and a row has those that reach their threshold.

    A label here is the set of a row as one text: its names sorted and joined by "|"; "(none)" is the empty set, and an
    empty text a missing label. Targets are int64 of shape (rows, names): 1 for the names of a row, 0 for others, -1
    where the labels of the row are not known.
    """

    trained_as: ClassVar[str] = "label-set"
    measured_as: ClassVar[Collection[str]] = ("label-set",)
    several: ClassVar[bool] = True
    baselines: ClassVar[Collection[str]] = ("majority", "tfidf-logreg")
    problem_type: ClassVar[str] = "multi_label_classification"
    plain: ClassVar[bool] = True
    value_type: ClassVar[Any] = list[str]
    decision: ClassVar[str] = "every label whose probability is at least its threshold"

    thresholds: Literal["fixed", "best-f1", "precision"] = Field(
        "fixed",
        description="From which probability a row has a label: the same for all labels; that of the best F1 of each "
        "label on validation; or the lowest with a wanted precision there.",
    )
    threshold: float = Field(
        0.5, gt=0, lt=1, description="The fixed threshold; also of labels that no validation row has."
    )
    precision: float = Field(0.9, gt=0, le=1, description='Wanted precision of each label, with "precision".')

    def defaults(self) -> Mapping[str, Any]:
        """Train by binary cross entropy, and measure sets of labels."""
        metrics = [
            {"use": name}
            for name in ("micro_f1", "macro_f1", "samples_f1", "subset_accuracy", "hamming_loss", "lrap", "macro_auc")
        ]
        return {
            "objective": {"use": "binary-cross-entropy"},
            "evaluation": {"metrics": metrics},
            "training": {"monitor": "macro_f1"},
        }

    def label_of(self, value: Any) -> str:
        """Return a cell as a label: a list of names, one written as text, one name, or a label."""
        names = names_in(value)
        return "" if names is None else set_of(names)

    def names_in(self, label: str) -> Sequence[str]:
        """Return the names of a set."""
        return names_of(label)

    def value_of(self, label: str) -> list[str]:
        """Return the names of a set as a list."""
        return list(names_of(label))

    def warnings_of_labels(self, labels: Collection[str]) -> Sequence[str]:
        """Warn of names that a person would take for one, and of words for a missing label."""
        names = _all_names(labels)
        return [*warnings_of_likeness(names), *warnings_of_missing_words(names, "label")]

    def need_variety(self, labels: Collection[str]) -> None:
        """Raise ``DataError`` where all train rows have the same set."""
        known = {*labels} - {""}
        if not _all_names(known):
            raise DataError("dataset: no train row has a label; expected rows with at least one")
        if len(known) < 2:
            only = " and ".join(f'"{name}"' for name in names_of(next(iter(known))))
            raise DataError(f"dataset: every train row has exactly the labels {only}; expected rows that differ")

    def names(self, labels: Collection[str], given: Sequence[str] | None) -> tuple[str, ...]:
        """Number the names of train: as the dataset orders them, else numbers by value and words by alphabet."""
        return in_order(_all_names(labels), given)

    def unknown(self, labels: Collection[str], names: Sequence[str]) -> Sequence[str]:
        """Return the sets with a name that the model does not have."""
        known = {*names}
        return sorted(label for label in labels if not known.issuperset(names_of(label)))

    def encode(self, labels: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
        """Return targets of shape (rows, names), -1 for missing labels and for sets with an unknown name."""
        import numpy as np
        import pandas as pd

        numbers, distinct = pd.factorize(np.asarray(labels, object))
        places = {name: number for number, name in enumerate(names)}
        rows = np.zeros((len(distinct), len(names)), np.int64)
        for row, label in zip(rows, distinct, strict=True):
            own = [places.get(name, -1) for name in names_of(label)]
            if label == "" or -1 in own:
                row[:] = -1
            else:
                row[own] = 1
        targets: NDArray[np.int64] = rows[numbers]
        return targets

    def decode(self, targets: NDArray[Any], names: Sequence[str]) -> list[str]:
        """Return the sets."""
        import numpy as np

        # Rows with the same set are spelled once.
        spelled: dict[bytes, str] = {}
        labels = []
        for row in np.ascontiguousarray(targets, np.int8):
            key = row.tobytes()
            if key not in spelled:
                known = (row >= 0).all()
                spelled[key] = set_of(names[number] for number in np.flatnonzero(row).tolist()) if known else ""
            labels.append(spelled[key])
        return labels

    def known(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which rows are not -1."""
        import numpy as np

        known: NDArray[np.bool_] = np.logical_and.reduce(targets >= 0, axis=1)
        return known

    def strata(self, labels: Sequence[str], parts: int) -> NDArray[np.int64]:
        """Return 1 for each name of a row, whatever stands beside it; the last column is of rows without names."""
        import numpy as np

        targets = np.maximum(self.encode(labels, sorted(_all_names(set(labels)))), 0)
        without = np.asarray(labels, object) == NO_LABEL
        return np.column_stack([targets, without])

    def counts(self, targets: NDArray[Any], names: Sequence[str]) -> list[int]:
        """Return the rows with each name."""
        return [int(count) for count in (targets == 1).sum(0)]

    def outputs(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names."""
        return tuple(names)

    def choose(self, targets: NDArray[Any], predictions: NDArray[np.float64], names: Sequence[str]) -> Chosen:
        """Return the threshold of each name by the validation rows, in the order of the names."""
        if self.thresholds == "fixed":
            return {}
        from kexp.evaluate.label_sets import best_f1_threshold, precision_threshold

        found, below, remarks = {}, [], []
        for number, name in enumerate(names):
            truth, given = targets[:, number], predictions[:, number]
            if not truth.any():
                found[name] = self.threshold
            elif self.thresholds == "best-f1":
                found[name] = best_f1_threshold(truth, given, self.threshold)
            else:
                found[name], reached = precision_threshold(truth, given, self.precision)
                below += [name] if reached < self.precision * (1 - 1e-12) else []
        if absent := [name for name in names if not targets[:, names.index(name)].any()]:
            listed = ", ".join(absent)
            remarks.append(f"no validation row has {listed}; the threshold is {self.threshold:g}")
        if below:
            finding = f"no threshold reaches precision {self.precision:g} on validation for {', '.join(below)}"
            remarks.append(f"{finding}; the nearest is taken")
        return {"thresholds": found, "by": self.thresholds, **({"remarks": remarks} if remarks else {})}

    def _thresholds(self, chosen: Chosen, count: int) -> list[float]:
        """Return the threshold of each name."""
        found = chosen.get("thresholds")
        return [self.threshold] * count if found is None else [float(value) for value in found.values()]

    def decide(self, predictions: NDArray[np.float64], chosen: Chosen) -> NDArray[np.int64]:
        """Return 1 for each probability that reaches its threshold."""
        import numpy as np

        decided: NDArray[np.int64] = (
            predictions >= np.asarray(self._thresholds(chosen, predictions.shape[1]), np.float64)
        ).astype(np.int64)
        return decided

    def graph_predictions(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the sigmoid of the logits."""
        return logits.sigmoid()

    def chosen_again(self, stored: Chosen, names: Sequence[str]) -> Chosen:
        """Return the thresholds in the order of the names."""
        found = stored.get("thresholds")
        if not stored:
            return stored
        if not isinstance(found, Mapping) or {*found} != {*names}:
            raise ValueError(f"expected a threshold for each of the labels {', '.join(names)}")
        for name, value in found.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f'expected the threshold of "{name}" to be a number from 0 to 1, found {value!r}')
        return {**stored, "thresholds": {name: float(found[name]) for name in names}}

    def decision_record(self, names: Sequence[str], chosen: Chosen) -> Mapping[str, Any]:
        """Return the threshold of each name, and how they were chosen."""
        thresholds = dict(zip(names, self._thresholds(chosen, len(names)), strict=True))
        return {"thresholds": thresholds, "by": chosen.get("by", "fixed")}

    def losses(self, targets: NDArray[Any], predictions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the binary cross entropy of each row, as a mean over the names, in nats."""
        from kexp.evaluate.label_sets import row_losses

        return row_losses(targets, predictions)

    def details(
        self, targets: NDArray[Any], predictions: NDArray[np.float64], names: Sequence[str], chosen: Chosen
    ) -> Mapping[str, Any]:
        """Return the scores of each name, and how many rows have both of two names (of one, on the diagonal)."""
        from kexp.evaluate.label_sets import scores_by_label

        decided, thresholds = self.decide(predictions, chosen), self._thresholds(chosen, len(names))
        return {
            "per_label": scores_by_label(targets, predictions, decided, names, thresholds),
            "co_occurrence": (targets.T @ targets).tolist(),
        }

    def read_columns(
        self, columns: Mapping[str, Any], names: Sequence[str]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Return targets and probabilities."""
        labels = [self.label_of(label) for label in columns["label"]]
        if unknown := self.unknown(set(labels), names):
            raise ValueError(f"label {unknown[0]} has a name that is none of {', '.join(names)}")
        return self.encode(labels, names), probabilities_in(columns, names)

    def fit_baseline(
        self, name: str, texts: Sequence[str], targets: NDArray[Any], names: Sequence[str], seed: int
    ) -> Any:
        """Fit the share of each name, or a logistic regression for each on tf-idf of character n-grams."""
        from kexp.evaluate.label_sets import fit_one_vs_rest

        return fit_one_vs_rest(name, texts, targets, seed)


def _all_names(labels: Collection[str]) -> set[str]:
    return {name for label in labels for name in names_of(label)}
