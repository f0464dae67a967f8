"""Predictions of a model, and metrics on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
    """The targets of rows and what a model says of them, in the order of the split.

    ``labels`` and ``probabilities`` have the shapes of the task: with one label per row, ids of shape (rows,) and
    probabilities of shape (rows, labels).
    """

    labels: NDArray[Any]
    probabilities: NDArray[np.float64]

    def measure(self, metrics: Mapping[str, Metric]) -> dict[str, float]:
        """Return every metric by name."""
        return {name: metric(self.labels, self.probabilities) for name, metric in metrics.items()}


def predict(
    classifier: Classifier,
    batches: Iterable[tuple[NDArray[np.int64], HostBatch]],
    shape: tuple[int, int],
    meaning: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Run a model in eval mode over batches of (row numbers, rows), and return what its logits mean.

    ``shape`` is that of what ``meaning`` returns for the logits of all rows. Of several processes each is given some
    of the batches, and all return the predictions of all rows.
    """
    import numpy as np
    import torch

    predictions = np.zeros(shape, np.float64)
    classifier.module.train(False)
    done = []
    with torch.inference_mode():
        for rows, batch in batches:
            done.append((rows, classifier(TokenRows.of(batch.inputs, classifier.hardware.device))))
        for rows, logits in done:
            predictions[rows] = meaning(logits.cpu().double().numpy())
    return classifier.world.joined(predictions)  # type: ignore[return-value]
