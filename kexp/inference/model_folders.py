"""Finding the trained model in a folder: a run folder, one run of it, or a Hugging Face folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kexp.errors import KexpError
from kexp.model_files import read_object

EXPECTED = "expected a run folder, <variant>/seed-<n> in one, or a Hugging Face folder with config.json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a trained model lies: its Hugging Face folder, and the folder of the run that made it (None without one).

    ``name`` is what to call it in messages.
    """

    name: str
    model: Path
    run: Path | None

    @property
    def spec(self) -> Path | None:
        """The spec of the experiment that the run belongs to, if it is still there."""
        path = None if self.run is None else self.run.parent.parent / "spec.toml"
        return path if path is not None and path.is_file() else None


def read_record(path: Path) -> dict[str, Any]:
    """Read an object that a run wrote; raises ``KexpError`` for anything else."""
    try:
        return read_object(path)
    except (OSError, ValueError) as error:
        raise KexpError(f"{path} cannot be read: {error}; restore the file that the run wrote") from None


def find(path: Path, *, variant: str | None = None, seed: int | None = None) -> Place:
    """Find the one model that a folder holds; ``variant`` and ``seed`` choose in a run folder.

    Raises ``KexpError`` where there is none or more than one.
    """
    if not path.is_dir():
        raise KexpError(f"{path} {'is not a folder' if path.exists() else 'does not exist'}; {EXPECTED}")
    single = _single(path)
    if single is None:
        return _chosen(path, variant, seed)
    if variant is not None or seed is not None:
        raise KexpError(f"{path} is one model; --variant and --seed choose in a run folder")
    return single


def _single(path: Path) -> Place | None:
    if (path / "kexp.json").is_file():
        raise KexpError(f"{path} is an export; give the model that was exported")
    if (path / "config.json").is_file():
        # Resolved, since the parents of a relative path end at the working folder.
        parent = path.resolve().parent
        return Place(str(path), path, parent if (parent / "result.json").is_file() else None)
    if (path / "model" / "config.json").is_file():
        return Place(str(path), path / "model", path.resolve())
    if (path / "result.json").is_file():
        result = read_record(path / "result.json")
        reason = f"the run is {result.get('status', 'unfinished')}: {result.get('reason')}"
        raise KexpError(f"{path} holds no model; {reason}")
    return None


def _chosen(path: Path, variant: str | None, seed: int | None) -> Place:
    runs = _runs(path)
    known = {run: f"{run.parent.name}/{run.name}" for run in runs}
    number = None if seed is None else f"seed-{seed}"
    found = [run for run in runs if variant in (None, run.parent.name) and number in (None, run.name)]
    if len(found) == 1:
        return Place(str(path / known[found[0]]), found[0] / "model", found[0].resolve())
    if not known:
        reason = "no run of it is done yet" if (path / "spec.toml").is_file() else EXPECTED
        raise KexpError(f"{path} holds no trained model; {reason}")
    if not found:
        choice = [*([] if variant is None else [f"--variant {variant}"]), *([] if seed is None else [f"--seed {seed}"])]
        raise KexpError(f"{path} holds no model of {' '.join(choice)}; it holds {', '.join(known.values())}")
    names = ", ".join(known[run] for run in found)
    raise KexpError(
        f"{path} holds {len(found)} models: {names}; choose with --variant and --seed, or name their folders"
    )


def _runs(path: Path) -> list[Path]:
    """Return the runs with a model in a run folder, by variant and seed."""
    found = [config.parent.parent for config in path.glob("*/seed-*/model/config.json")]
    return sorted(found, key=lambda run: (run.parent.name, len(run.name), run.name))
