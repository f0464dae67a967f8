"""The best evaluations of a run so far, and the files that hold their weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kexp.train.best_model import is_better

if TYPE_CHECKING:
    import torch

Kept = list[tuple[float, int]]
"""Monitored metric and step of evaluations, the best first; of equals, the earlier."""


def rank(kept: Kept, value: float, *, greater_is_better: bool) -> int:
    """Return the place of a new evaluation among those that are kept."""
    better = (place for place, (of, _) in enumerate(kept) if is_better(value, of, greater_is_better=greater_is_better))
    return next(better, len(kept))


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """A file of weights per kept step in a folder."""

    folder: Path

    def save(self, model: torch.nn.Module, step: int) -> None:
        """Write the weights of a step, whole or not at all."""
        from safetensors.torch import save_model

        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(step)
        part = path.with_suffix(".part")
        save_model(model, str(part))
        part.replace(path)

    def load(self, model: torch.nn.Module, step: int) -> None:
        """Load the weights of a step."""
        from safetensors.torch import load_model

        load_model(model, self._path(step))

    def remove_others(self, kept: Kept) -> None:
        """Remove the files of all other steps."""
        names = {self._path(step).name for _, step in kept}
        for path in self.folder.glob("weights-*.safetensors"):
            if path.name not in names:
                path.unlink()

    def _path(self, step: int) -> Path:
        return self.folder / f"weights-{step}.safetensors"
