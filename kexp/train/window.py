"""The steps since the last step event: their losses and what they log, and whether all of them are finite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kexp.host_batches import MicroBatch

if TYPE_CHECKING:
    import torch

NAMED_ROWS = 64
"""Rows of a step that a message names, at most."""


@dataclass(slots=True)
class Window:
    """Sums since the last ``StepsDone``; tensors stay on the device until the window is closed.

    ``data`` and ``training`` are the seconds of the run, on data and on steps with data, when the window began.
    ``norms`` are those of the gradients, and ``rows`` names the rows of each step that counts.
    """

    data: float
    training: float
    device: torch.device
    losses: list[torch.Tensor] = field(default_factory=list)
    norms: list[torch.Tensor] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    rows: list[list[list[int]]] = field(default_factory=list)
    logs: dict[str, list[torch.Tensor]] = field(default_factory=dict)
    examples: int = 0
    tokens: int = 0

    def count(self, batches: Sequence[MicroBatch]) -> None:
        """Count the rows and tokens of a step."""
        self.examples += sum(len(batch.labelled) for batch in batches)
        self.examples += sum(len(batch.unlabelled.rows) for batch in batches if batch.unlabelled)
        self.tokens += sum(part.tokens for batch in batches for part in (batch.labelled, batch.unlabelled) if part)

    def add(
        self,
        step: int,
        batches: Sequence[MicroBatch],
        loss: torch.Tensor,
        norm: torch.Tensor,
        logs: Mapping[str, Iterable[torch.Tensor]],
    ) -> None:
        """Add a step that was done."""
        self.losses.append(loss)
        self.norms.append(norm)
        self.steps.append(step)
        self.rows.append(row_numbers(batches))
        for name, values in logs.items():
            self.logs.setdefault(name, []).extend(values)

    def first_bad(self, *, gradients: bool) -> tuple[int, list[list[int]], str] | None:
        """Return the first step whose loss, or with ``gradients`` whose gradient, is not finite; its rows; and which.

        Here the device is waited for.
        """
        for number, (loss, norm) in enumerate(zip(self.values(self.losses), self.values(self.norms), strict=True)):
            what = "loss" if not math.isfinite(loss) else "gradient"
            if not math.isfinite(loss) or (gradients and not math.isfinite(norm)):
                return self.steps[number], self.rows[number], what
        return None

    @staticmethod
    def values(scalars: Sequence[torch.Tensor]) -> list[float]:
        """Return scalars from the device as numbers, all at once."""
        import torch

        return torch.stack(list(scalars)).tolist() if scalars else []

    def means(self) -> dict[str, float]:
        """Return the mean of each number that was logged."""
        import torch

        return {name: float(torch.stack(values).float().mean()) for name, values in self.logs.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return everything, each list of scalars as one tensor."""
        import torch

        fields = {name: getattr(self, name) for name in ("data", "training", "steps", "rows", "examples", "tokens")}
        scalars = {"losses": self.losses, "norms": self.norms, **{f"logs {name}": of for name, of in self.logs.items()}}
        return {**fields, "scalars": {name: torch.stack(values) for name, values in scalars.items() if values}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        scalars = {name: list(values.to(self.device).unbind()) for name, values in state["scalars"].items()}
        self.losses, self.norms = scalars.pop("losses", []), scalars.pop("norms", [])
        self.logs = {name.removeprefix("logs "): values for name, values in scalars.items()}
        for name in ("data", "training", "steps", "rows", "examples", "tokens"):
            setattr(self, name, state[name])


def row_numbers(batches: Sequence[MicroBatch]) -> list[list[int]]:
    """Return the numbers of the labelled rows of a step, and those of the unlabelled ones."""
    labelled = [batch.labelled.numbers for batch in batches]
    unlabelled = [batch.unlabelled.numbers for batch in batches if batch.unlabelled]
    return [[int(row) for of in numbers if of is not None for row in of] for numbers in (labelled, unlabelled)]


def describe_rows(numbers: Sequence[Sequence[int]]) -> str:
    """Return the numbers of the rows of a step in words; "" where they are not known."""
    named = []
    for of, rows in zip(("rows", "unlabelled rows"), numbers, strict=True):
        more = f" and {len(rows) - NAMED_ROWS} more" if len(rows) > NAMED_ROWS else ""
        named += [f"{of} {', '.join(map(str, rows[:NAMED_ROWS]))}{more}"] if rows else []
    return f" on {' and '.join(named)}" if named else ""
