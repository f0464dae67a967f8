"""Where training stands, as plain numbers, and the checkpoints that hold them with weights and optimiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kexp import tensor_files
from kexp.atomic_files import remove_leftovers
from kexp.errors import KexpError
from kexp.tensor_files import DamagedFile, OtherOrigin
from kexp.train.kept_weights import Kept
from kexp.train.stopwatch import ACTIVITIES

KEPT = 2
"""Checkpoints that are kept: where the last one is damaged, training goes on from the one before."""


class Stateful(Protocol):
    """What has a state that belongs into a checkpoint: dicts, lists and tuples of tensors, numbers and texts."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return what has to be saved."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Restore it."""


@dataclass(slots=True)
class TrainState:
    """Progress of a run. Random streams are named by seed and step, so there is none to save."""

    step: int = 0
    best: float | None = None
    best_loss: float | None = None
    """Validation loss of the best evaluation; None in checkpoints of versions that did not know it."""
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
    joules: float | None = None
    """Energy that the GPU has used until the last event; None where it is not measured."""
    passes: int = 1
    """Into how many passes a batch is divided: more than one where memory was not enough for the whole."""
    skipped: list[int] = field(default_factory=list)
    """Steps that were left out, since their loss or gradient was not finite."""
    processes: int = 1
    """How many processes train, or trained until the run was resumed."""
    remarks: list[str] = field(default_factory=list)
    """What happened that a reader of the results has to know: steps left out, smaller passes, damaged checkpoints."""

    @property
    def training_seconds(self) -> float:
        """Seconds of training steps, waiting for their data included; examples per second are counted by them."""
        return self.seconds["data"] + self.seconds["steps"]

    def time_shares(self) -> dict[str, float]:
        """Return the share of each activity in the time of the whole training."""
        whole = max(sum(self.seconds.values()), 1e-9)
        return {activity: seconds / whole for activity, seconds in self.seconds.items()}


def _state(numbers: Mapping[str, Any]) -> TrainState:
    """Return what a checkpoint holds; earlier versions kept no validation loss."""
    kept = [(of[0], None, of[1]) if len(of) == 2 else of for of in numbers["kept"]]
    return TrainState(**{**numbers, "kept": kept})


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The last checkpoints in a folder, a file each; ``made_from`` are digests by name of what the run reads."""

    folder: Path
    made_from: Mapping[str, str]

    def save(self, state: TrainState, parts: Mapping[str, Stateful]) -> None:
        """Write a checkpoint, whole or not at all, and remove all but the last ones."""
        value = {"state": asdict(state), "parts": {name: part.state_dict() for name, part in parts.items()}}
        tensor_files.save(self.folder / f"step-{state.step}.safetensors", value, self.made_from)
        for path in self._newest_first()[KEPT:]:
            path.unlink()

    def load(
        self, parts: Mapping[str, Stateful], check: Callable[[TrainState], None]
    ) -> tuple[TrainState, list[str]] | None:
        """Restore the parts from the newest checkpoint that is whole; return its numbers, and a warning per newer one.

        ``check`` raises ``DamagedFile`` where a file is damaged that a checkpoint needs. Returns None when there is no
        checkpoint. Raises ``KexpError`` when all are damaged, or the newest is of another run.
        """
        remove_leftovers(self.folder)
        remedy = f"delete {self.folder} to start this run anew"
        damaged: dict[Path, str] = {}
        for path in self._newest_first():
            try:
                value = tensor_files.load(path, self.made_from)
                state = _state(value["state"])
                check(state)
            except DamagedFile as error:
                damaged[path] = str(error)
                continue
            except OtherOrigin as error:
                raise KexpError(f"{error}; put back what it was, or {remedy}") from None
            for name, part in parts.items():
                part.load_state_dict(value["parts"][name])
            # Their steps are done again; until then they would be taken for the newest.
            for other in damaged:
                other.unlink(missing_ok=True)
            return state, [f"{said}; training goes on from step {state.step}" for said in damaged.values()]
        if damaged:
            raise KexpError(f"no checkpoint of this run can be used; {remedy}:\n  " + "\n  ".join(damaged.values()))
        return None

    def _newest_first(self) -> list[Path]:
        paths = self.folder.glob("step-*.safetensors")
        return sorted(paths, key=lambda path: int(path.stem.removeprefix("step-")), reverse=True)
