"""Where training stands, as plain numbers, and the checkpoint that holds them with weights and optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kexp.errors import KexpError
from kexp.train.kept_weights import Kept
from kexp.train.stopwatch import ACTIVITIES


@dataclass(slots=True)
class TrainState:
    """Progress of a run. Random streams are named by seed and step, so there is none to save."""

    step: int = 0
    best: float | None = None
    best_step: int = 0
    evaluations_without_improvement: int = 0
    stopped_early: bool = False
    examples: int = 0
    tokens: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ACTIVITIES, 0.0))
    """By activity."""
    losses: list[float] = field(default_factory=list)
    """Of the steps since the last evaluation."""
    kept: Kept = field(default_factory=list)
    """The evaluations whose weights are kept."""
    evaluated_seconds: float = 0.0
    """Seconds of training at the last evaluation."""

    @property
    def training_seconds(self) -> float:
        """Seconds of training steps, waiting for their data included; examples per second are counted by them."""
        return self.seconds["data"] + self.seconds["steps"]

    def time_shares(self) -> dict[str, float]:
        """Return the share of each activity in the time of the whole training."""
        whole = max(sum(self.seconds.values()), 1e-9)
        return {activity: seconds / whole for activity, seconds in self.seconds.items()}


def save_checkpoint(folder: Path, state: TrainState, parts: Mapping[str, Any]) -> None:
    """Write the numbers and each part's ``state_dict`` to a file beside and rename it, so that it is always whole."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "state.part"
    torch.save({"state": asdict(state)} | {name: stateful.state_dict() for name, stateful in parts.items()}, part)
    part.replace(folder / "state.pt")


def load_checkpoint(folder: Path, parts: Mapping[str, Any]) -> TrainState | None:
    """Restore the parts by their ``load_state_dict`` and return the numbers; None when there is no checkpoint."""
    import torch

    path = folder / "state.pt"
    if not path.is_file():
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        for name, stateful in parts.items():
            stateful.load_state_dict(saved[name])
        return TrainState(**saved["state"])
    # torch says many things about a file that is not its own, none of them for a user.
    except Exception as error:
        remedy = "delete it to start this run anew"
        raise KexpError(f"{path}: the checkpoint is damaged, or of another model; {remedy}") from error
