"""Which run of a folder is published: the only one, or the seed that is best on validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kexp.errors import KexpError
from kexp.inference.model_folders import Place, find, find_all
from kexp.publish.public import public_text
from kexp.repeats import Repeat, run_files
from kexp.report.stored import read_result, read_summary
from kexp.report.summary import LOWER_IS_BETTER
from kexp.results.runs import read_spec


@dataclass(frozen=True, slots=True)
class Chosen:
    """The model that is published, the object of its ``result.json``, and why it was chosen among several."""

    place: Place
    result: Mapping[str, Any]
    reason: str = ""

    @property
    def folder(self) -> Path:
        """The run folder."""
        assert self.place.experiment is not None
        return self.place.experiment[0]

    @property
    def message(self) -> str:
        """What a commit of the model is called."""
        experiment = public_text(str(self.result.get("experiment", "")))
        return f"kexp publish: {experiment} {self.result['variant']}, {self.repeat.name}"

    @property
    def repeat(self) -> Repeat:
        """Which run of its variant it is."""
        return Repeat.of(self.result)


def choose(path: Path, *, variant: str | None = None, seed: int | None = None) -> Chosen:
    """Find the model of a run folder, or of an experiment's folder with one run folder in it.

    Of several seeds of a variant it is the best by what chose the best epoch, on validation; test has no say. Raises
    ``KexpError`` where there is none, where several variants, draws or folds are left, and for a model without a run.
    """
    path = _run_folder(path)
    places = _places(path, variant, seed)
    results = [_result(place) for place in places]
    if len(places) == 1:
        return Chosen(places[0], results[0])
    if different := {result["variant"] for result in results} - {results[0]["variant"]}:
        names = ", ".join(sorted(different | {results[0]["variant"]}))
        raise KexpError(f"{path} holds models of several variants: {names}; choose one with --variant")
    repeats = [Repeat.of(result) for result in results]
    if any(repeat.draw or repeat.fold for repeat in repeats):
        names = ", ".join(place.name for place in places)
        raise KexpError(f"{path} holds models of several draws or folds, which saw other rows; name one of {names}")
    best, reason = _best(path, results, _lower_is_better(places[0]))
    return Chosen(places[best], results[best], reason)


def _run_folder(path: Path) -> Path:
    """Return the one run folder in the folder of an experiment; any other path unchanged."""
    if not path.is_dir() or any((path / name).is_file() for name in ("spec.toml", "config.json", "result.json")):
        return path
    if (path / "study.toml").is_file():
        # Says which run folder has the best spec of the search.
        read_spec(path)
    inside = sorted(spec.parent for spec in path.glob("*/spec.toml"))
    if len(inside) > 1:
        names = ", ".join(folder.name for folder in inside)
        raise KexpError(f"{path} holds {len(inside)} run folders: {names}; name one of them")
    return inside[0] if inside else path


def _places(path: Path, variant: str | None, seed: int | None) -> list[Place]:
    if not (path / "spec.toml").is_file() or (path / "config.json").is_file():
        return find_all(path, variant=variant, seed=seed)
    found = [
        Place(str(config.parent.parent), config.parent, config.parent.parent.resolve())
        for config, of, repeat in run_files(path, "model/config.json")
        if repeat is not None and variant in (None, of) and seed in (None, repeat.seed)
    ]
    # Where there is none, the message is that of every command.
    return found or [find(path, variant=variant, seed=seed)]


def _result(place: Place) -> Mapping[str, Any]:
    if place.run is None or place.experiment is None or not (place.run / "result.json").is_file():
        raise KexpError(f"{place.name} is not the model of a run, from which kexp publish writes the model's card")
    result = read_result(place.run / "result.json")
    if result["status"] != "done":
        raise KexpError(
            f"{place.name}: the run is {result['status']}: {result.get('reason')}; publish one that is done"
        )
    return result


def _lower_is_better(place: Place) -> Sequence[str]:
    assert place.experiment is not None
    path = place.experiment[0] / "summary.json"
    return read_summary(path)["lower_is_better"] if path.is_file() else LOWER_IS_BETTER


def _best(path: Path, results: Sequence[Mapping[str, Any]], lower: Sequence[str]) -> tuple[int, str]:
    """Return the place of the best result on validation and why; ties go to the lower loss, then to the first."""
    metric = results[0].get("monitor", "")
    found = [result["metrics"].get("validation", {}) for result in results]
    scored = [number for number, scores in enumerate(found) if _is_number(scores.get(metric))]
    if not scored:
        seeds = ", ".join(str(result["seed"]) for result in results)
        raise KexpError(f"{path} holds models of the seeds {seeds}, and no score on validation; choose with --seed")
    sign = 1 if metric in lower else -1
    loss = [scores.get("cross_entropy") if _is_number(scores.get("cross_entropy")) else math.inf for scores in found]
    best = min(scored, key=lambda number: (sign * found[number][metric], loss[number], number))
    others = ", ".join(f"{found[n][metric]:.4f} (seed {results[n]['seed']})" for n in scored if n != best)
    score = f"validation {metric} {found[best][metric]:.4f}, the others have {others}"
    return best, f"seed {results[best]['seed']} of {len(results)}, the best on validation: {score}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
