"""What a task promises: how labels are read and numbered, what the logits of a model mean, and what is told of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from kexp.options import Options, component

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

CLASS = "class"
"""Kind of targets: one of several classes per row, as int64 ids of shape (rows,), -1 where unknown."""
LABEL_SET = "label-set"
"""Kind of targets: some of several labels per row, as int64 of shape (rows, names), 1 for each label that a row has, 0
for the others, -1 for all where unknown."""
NUMBER = "number"
"""Kind of targets: a number per row, as float64 of shape (rows,), NaN where unknown."""
ORDERED_CLASS = "ordered-class"
"""Kind of targets: one of several classes per row, as int64 ids of shape (rows,) from low to high, -1 where unknown."""


Chosen = Mapping[str, Any]
"""What ``TaskOptions.choose`` returns."""
NOTHING: Chosen = {}
"""What is chosen where a model has no validation split, or has not been validated yet."""


class TaskOptions(Options):
    """Base of every task.

    Three words: a *label* is what a row has in the data, as text of one spelling; *targets* are the labels of rows as
    an array whose first axis are the rows; *predictions* are what a model says of rows, made of its logits, as float64
    of shape (rows, names). ``names`` are those of the classes, or of whatever is predicted, by their number. A sequence
    of labels is a list or the column of a table, whose index may be any: it is not read by position.
    """

    kind: ClassVar[str] = "task"
    trained_as: ClassVar[str] = CLASS
    """Kind of targets that an objective has to be a loss of: see ``ObjectiveOptions.targets``."""
    measured_as: ClassVar[Collection[str]] = (CLASS,)
    """Kinds of targets that metrics may be for: see ``MetricOptions.targets``."""
    classes: ClassVar[bool] = False
    """Whether every row has one label out of few, so that rows of a class can be counted, drawn and balanced.

    Predictions are then the probabilities of the classes, and a decision is the number of one.
    """
    probabilities: ClassVar[bool] = True
    """Whether predictions are probabilities of the names, so that names can be ranked by them."""
    several: ClassVar[bool] = False
    """Whether a row may have several names, so that a label is a set of them: see ``names_in``."""
    calibrates: ClassVar[bool] = False
    """Whether predictions are the softmax of logits, which a temperature can calibrate."""
    baselines: ClassVar[Collection[str]] = ()
    """Names of the baselines that ``fit_baseline`` knows."""
    problem_type: ClassVar[str] = "single_label_classification"
    """What ``config.json`` of a model states, by which a pipeline of Hugging Face knows what logits mean."""
    plain: ClassVar[bool] = False
    """Whether a Hugging Face folder of this ``problem_type`` that kexp has not written is a model of this task.

    Of kexp's own tasks, one of each type.
    """
    value_type: ClassVar[Any] = str
    """Type of what ``value_of`` returns, which the schema of ``kexp serve`` states."""
    decision: ClassVar[str] = "the label of the largest probability"
    """What is decided for, in words, for those who use a model without kexp."""

    def defaults(self) -> Mapping[str, Any]:
        """Return the tables of a spec that differ with this task where the spec does not state them."""
        return {}

    # --- labels

    @abstractmethod
    def label_of(self, value: Any) -> str:
        """Return a cell of a label column, or a label, as a label; "" for a missing one.

        Raises ``ValueError`` for what is no label, with what it is.
        """

    def names_in(self, label: str) -> Sequence[str]:
        """Return the names that a label is made of: itself, or those of a set; none for a missing one."""
        return (label,) if label else ()

    def tally(self, rows: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
        """Return how many rows of each split have each name, sorted; ``rows`` are those of each label.

        It is what a record says of labels: names may also be those of a few ranges of labels.
        """
        found = {}
        for split, of_label in rows.items():
            of_name: dict[str, int] = {}
            for label, count in of_label.items():
                for name in self.names_in(label) or (label,):
                    of_name[name] = of_name.get(name, 0) + count
            found[split] = dict(sorted(of_name.items()))
        return found

    def spelled_once(self, labels: Collection[str]) -> Mapping[str, str]:
        """Return which of the labels of all splits are to be replaced by which others, since they mean the same."""
        return {}

    def warnings_of_labels(self, labels: Collection[str]) -> Sequence[str]:
        """Return what is probably not meant about the labels of all splits."""
        return ()

    @abstractmethod
    def need_variety(self, labels: Collection[str]) -> None:
        """Raise ``DataError`` where the labels of the train rows leave nothing to learn."""

    @abstractmethod
    def names(self, labels: Collection[str], given: Sequence[str] | None) -> tuple[str, ...]:
        """Return the names by number, from the labels of the train rows; ``given`` are those of the dataset, if any."""

    @abstractmethod
    def unknown(self, labels: Collection[str], names: Sequence[str]) -> Sequence[str]:
        """Return which of the labels a model of these names could never predict, sorted; they are no missing ones."""

    @abstractmethod
    def encode(self, labels: Sequence[str], names: Sequence[str]) -> NDArray[Any]:
        """Return the targets of labels, which for "" are unknown ones."""

    @abstractmethod
    def decode(self, targets: NDArray[Any], names: Sequence[str]) -> list[str]:
        """Return the labels of targets, "" for unknown ones."""

    def value_of(self, label: str) -> Any:
        """Return a label as JSON and Python have it: text, a list of names, or a number."""
        return label

    @abstractmethod
    def known(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which targets are known ones; shape (rows,)."""

    @abstractmethod
    def strata(self, labels: Sequence[str], parts: int) -> NDArray[np.integer[Any]]:
        """Return in which proportions rows are divided, so that the labels are alike in all parts.

        Of shape (rows,), a number per row from 0, with at least ``parts`` rows of each where that is possible; or of
        shape (rows, strata) with 1 for each that a row is of, such as each of its labels, and 0 for the others.
        """

    @abstractmethod
    def counts(self, targets: NDArray[Any], names: Sequence[str]) -> list[int]:
        """Return how many rows have each name; empty where rows have none."""

    def groups(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """Return an id per row, equal where rows are alike: for augmenters that learn what tells labels apart."""
        import numpy as np

        _, ids = np.unique(targets, axis=0, return_inverse=True)
        return ids.reshape(-1).astype(np.int64)

    # --- models

    @property
    def told_by_config(self) -> bool:
        """Whether ``config.json`` of a model says all of the task, so that its folder needs no ``task.json``."""
        return self.plain and not type(self).model_fields

    @abstractmethod
    def outputs(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the logits of a model."""

    def predictions(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the predictions that logits of shape (rows, outputs) mean, of shape (rows, names)."""
        import numpy as np
        import torch

        given = torch.from_numpy(np.ascontiguousarray(logits))
        meant = self.graph_predictions(given)
        predictions: NDArray[np.float64] = (given.softmax(-1) if meant is None else meant).numpy()
        return predictions

    def choose(self, targets: NDArray[Any], predictions: NDArray[np.float64], names: Sequence[str]) -> Chosen:
        """Return what decisions need that is chosen on the validation split, such as thresholds, as plain JSON.

        It is kept with the model, read from its file by ``decide``. Nothing by default. ``remarks``, a list of
        sentences, are warned of. It is called at every evaluation, whose metrics are those of its decisions.
        """
        return {}

    @abstractmethod
    def decide(self, predictions: NDArray[np.float64], chosen: Chosen) -> NDArray[Any]:
        """Return the targets that predictions decide for; ``chosen`` is what ``choose`` returned, or empty."""

    def confidence(self, predictions: NDArray[np.float64], chosen: Chosen) -> NDArray[np.float64] | None:
        """Return the probability of each decision, below which a model may abstain; None where decisions have none."""
        if not self.classes:
            return None
        import numpy as np

        decided = self.decide(predictions, chosen)
        return np.take_along_axis(predictions, decided[:, None], 1)[:, 0]

    def answers(self, predictions: NDArray[np.float64], names: Sequence[str], chosen: Chosen) -> Mapping[str, Any]:
        """Return the columns that ``kexp predict`` adds, by name: texts as a list, numbers as an array of float64.

        Those of ``columns`` that need no targets.
        """
        sure = self.confidence(predictions, chosen)
        return {
            "predicted": self.decode(self.decide(predictions, chosen), names),
            **({} if sure is None else {"confidence": sure}),
            **{f"probability:{name}": predictions[:, number] for number, name in enumerate(names)},
        }

    def graph_predictions(self, logits: torch.Tensor) -> torch.Tensor | None:
        """Return the predictions that logits mean by operations of PyTorch, with gradient, that ONNX knows.

        None where they are the softmax of the logits, so that an exported graph ends at these.
        """
        return None

    def chosen_again(self, stored: Chosen, names: Sequence[str]) -> Chosen:
        """Return what ``choose`` returned, as it was read from a file whose keys may have another order.

        Raises ``ValueError`` for what it cannot have returned for these names.
        """
        return stored

    def decision_record(self, names: Sequence[str], chosen: Chosen) -> Mapping[str, Any]:
        """Return all numbers that ``decide`` uses, such as the threshold of each name, as plain JSON."""
        return dict(chosen)

    # --- results

    @abstractmethod
    def losses(self, targets: NDArray[Any], predictions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the loss of each row, without weights, whose mean is the validation loss; shape (rows,)."""

    @abstractmethod
    def details(
        self, targets: NDArray[Any], predictions: NDArray[np.float64], names: Sequence[str], chosen: Chosen
    ) -> Mapping[str, Any]:
        """Return what a result says of a split besides metrics, by its key in ``result.json``, as plain JSON."""

    def columns(
        self, targets: NDArray[Any], predictions: NDArray[np.float64], names: Sequence[str], chosen: Chosen
    ) -> Mapping[str, Any]:
        """Return the columns of ``predictions.parquet`` about targets and predictions, by name.

        ``label`` and ``predicted`` are among them, the others are numbers.
        """
        return {"label": self.decode(targets, names), **self.answers(predictions, names, chosen)}

    def read_columns(
        self, columns: Mapping[str, Any], names: Sequence[str]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Return targets and predictions from the columns that ``columns`` made.

        Raises ``ValueError`` for values that it cannot have made, and ``KeyError`` for a column that is missing.
        """
        labels = list(columns["label"])
        if unknown := self.unknown(set(labels), names):
            raise ValueError(f"label {unknown[0]} is none of {', '.join(names)}")
        return self.encode(labels, names), probabilities_in(columns, names)

    def fit_baseline(
        self, name: str, texts: Sequence[str], targets: NDArray[Any], names: Sequence[str], seed: int
    ) -> Any:
        """Fit a simple model, one of ``baselines``; returns a function from texts to predictions (rows, names)."""
        raise NotImplementedError(name)


def probabilities_in(columns: Mapping[str, Any], names: Sequence[str]) -> NDArray[np.float64]:
    """Return the columns ``probability:NAME`` as predictions of shape (rows, names)."""
    import numpy as np

    return np.stack([np.asarray(columns[f"probability:{name}"], np.float64) for name in names], 1)


AnyTask = Annotated[TaskOptions, *component("task")]
"""A field that holds a component of this kind."""
