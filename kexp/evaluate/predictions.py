"""Predictions of a model, and metrics on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kexp.contracts import Metric
from kexp.host_batches import HostBatch
from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Predictions:
    """Label ids of shape (rows,) and probabilities of shape (rows, labels), in the order of the split."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    def measure(self, metrics: Mapping[str, Metric]) -> dict[str, float]:
        """Return every metric by name."""
        return {name: metric(self.labels, self.probabilities) for name, metric in metrics.items()}

    def cross_entropy(self) -> float:
        """Return the mean negative log probability of the true labels, in nats."""
        import numpy as np

        true = self.probabilities[np.arange(len(self.labels)), self.labels]
        return float(-np.log(np.clip(true, np.finfo(np.float64).eps, 1)).mean())

    def per_class(self, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """Return precision, recall, F1 and the number of rows of each label."""
        from sklearn.metrics import precision_recall_fscore_support

        table = precision_recall_fscore_support(
            self.labels, self.probabilities.argmax(1), labels=range(len(names)), zero_division=0
        )
        return [
            {"label": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
            for name, p, r, f, n in zip(names, *table, strict=True)
        ]

    def confusion_matrix(self) -> list[list[int]]:
        """Return the counts of true label (row) against predicted label (column)."""
        from sklearn.metrics import confusion_matrix

        known = range(self.probabilities.shape[1])
        counts: list[list[int]] = confusion_matrix(self.labels, self.probabilities.argmax(1), labels=known).tolist()
        return counts


def predict(
    classifier: Classifier, batches: Iterable[tuple[NDArray[np.int64], HostBatch]], shape: tuple[int, int]
) -> Predictions:
    """Run a model in eval mode over batches of (row numbers, rows); ``shape`` is (rows, labels).

    Of several processes each is given some of the batches, and all return the predictions of all rows.
    """
    import numpy as np
    import torch

    labels = np.zeros(shape[0], np.int64)
    probabilities = np.zeros(shape, np.float64)
    classifier.module.train(False)
    done = []
    with torch.inference_mode():
        for rows, batch in batches:
            done.append((rows, classifier(TokenRows.of(batch.inputs, classifier.hardware.device))))
            labels[rows] = batch.labels
        for rows, logits in done:
            probabilities[rows] = logits.cpu().double().softmax(-1).numpy()
    return Predictions(*map(classifier.world.joined, (labels, probabilities)))  # type: ignore[arg-type]
