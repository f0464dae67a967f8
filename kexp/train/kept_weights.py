"""The best evaluations of a run so far, and the files that hold their weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp import tensor_files
from kexp.errors import RunFailed
from kexp.tensor_files import DamagedFile
from kexp.train.best_model import merit
from kexp.trained_weights import TrainedWeights

if TYPE_CHECKING:
    import torch

Kept = list[tuple[float, float | None, int]]
"""Monitored metric, validation loss and step of evaluations, the best first; of equals, the earlier."""


def rank(kept: Kept, value: float, loss: float | None, *, greater_is_better: bool) -> int:
    """Return the place of a new evaluation among those that are kept."""
    new = merit(value, loss, greater_is_better=greater_is_better)
    merits = (merit(old, old_loss, greater_is_better=greater_is_better) for old, old_loss, _ in kept)
    return next((place for place, held in enumerate(merits) if held < new), len(kept))


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """A file of weights per kept step in a folder; ``made_from`` are digests by name of what the run reads."""

    folder: Path
    made_from: Mapping[str, str]

    def save(self, model: torch.nn.Module, step: int) -> None:
        """Write the weights of a step, whole or not at all."""
        tensor_files.save(self._path(step), TrainedWeights(model).state_dict(), self.made_from)

    def load(self, model: torch.nn.Module, step: int) -> None:
        """Load the weights of a step; raises ``RunFailed`` when they are not what was written."""
        try:
            TrainedWeights(model).load_state_dict(self._read(step))
        except DamagedFile as error:
            remedy = "resume the run, which goes on from a checkpoint whose weights are whole"
            raise RunFailed(f"{error}; {remedy}") from None

    def check(self, kept: Kept) -> None:
        """Raise ``DamagedFile`` for weights that are missing, or not what was written."""
        for *_, step in kept:
            self._read(step)

    def remove_others(self, steps: Iterable[int]) -> None:
        """Remove the files of all other steps."""
        names = {self._path(step).name for step in steps}
        for path in self.folder.glob("weights-*.safetensors"):
            if path.name not in names:
                path.unlink()

    def _read(self, step: int) -> dict[str, Any]:
        weights: dict[str, Any] = tensor_files.load(self._path(step), self.made_from)
        return weights

    def _path(self, step: int) -> Path:
        return self.folder / f"weights-{step}.safetensors"
