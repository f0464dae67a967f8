"""Rows that tasks are tried with: labels, the targets that they mean, and predictions of random logits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kexp.contracts import TaskOptions
from kexp.seeds import generator

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

ROWS = 40


@dataclass(frozen=True)
class TriedTask:
    """A task and some labels, all different."""

    task: TaskOptions
    different: Sequence[str]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names that the task gives the labels."""
        return self.task.names(set(self.different), None)

    @cached_property
    def labels(self) -> list[str]:
        """Return the labels of ``ROWS`` rows: all that there are, in no order."""
        rows = [self.different[row % len(self.different)] for row in range(ROWS)]
        return [rows[row] for row in generator(5, "contract").permutation(ROWS)]

    @cached_property
    def targets(self) -> NDArray[Any]:
        """Return the targets of these rows."""
        return self.task.encode(self.labels, self.names)

    def logits(self, scale: float = 3.0) -> NDArray[np.float64]:
        """Return random logits of shape (rows, outputs)."""
        return generator(4, "contract").normal(size=(ROWS, len(self.task.outputs(self.names)))) * scale

    def predictions(self, scale: float = 3.0) -> NDArray[np.float64]:
        """Return the predictions of random logits, of shape (rows, names)."""
        return self.task.predictions(self.logits(scale))

    def judged(self) -> list[tuple[NDArray[Any], NDArray[np.float64]]]:
        """Return targets and predictions: random, sure and mostly wrong, all alike, of one label, and of one row."""
        targets, predictions = self.targets, self.predictions()
        return [
            (targets, predictions),
            (targets, self.predictions(1e4)),
            (targets, self.predictions(0.0)),
            (targets[[0] * ROWS], predictions),
            (targets[:1], predictions[:1]),
        ]


def column(labels: Sequence[str]) -> pd.Series[str]:
    """Return labels as the column of a table of which some rows were left out."""
    import pandas as pd

    return pd.Series(labels, index=range(2 * len(labels), 0, -2))


def plain(value: Mapping[str, Any]) -> Any:
    """Return a value as it is after it was written as JSON, which has no NaN."""
    return json.loads(json.dumps(dict(value), allow_nan=False))
