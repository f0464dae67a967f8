"""Finding the trained model in a folder: a run folder, one run of it, or a Hugging Face folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kexp import nested
from kexp.errors import KexpError
from kexp.repeats import Part, all_repeats, in_words, place_of, run_files
from kexp.report.stored import read_result, read_spec

EXPECTED = "expected a run folder, <variant> or <variant>/seed-<n> in one, or a Hugging Face folder with config.json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a trained model lies: its Hugging Face folder, and the folder of the run that made it (None without one).

    ``name`` is what to call it in messages.
    """

    name: str
    model: Path
    run: Path | None

    @property
    def experiment(self) -> tuple[Path, str] | None:
        """The run folder and the variant that the run belongs to, if its spec is still there."""
        if self.run is None:
            # A published model has its spec beside it.
            return (self.model, "") if (self.model / "spec.toml").is_file() else None
        if place := place_of(self.run):
            return place[:2]
        # A run whose folder was renamed.
        folder = self.run.parent.parent
        return (folder, self.run.parent.name) if (folder / "spec.toml").is_file() else None

    @property
    def spec(self) -> Path | None:
        """The spec of the experiment that the run belongs to, if it is still there."""
        return None if self.experiment is None else self.experiment[0] / "spec.toml"


def find(path: Path, *, variant: str | None = None, seed: int | None = None) -> Place:
    """Find the one model that a folder holds; ``variant`` and ``seed`` choose in a run folder.

    Raises ``KexpError`` where there is none or more than one.
    """
    places = find_all(path, variant=variant, seed=seed)
    if len(places) > 1:
        names = ", ".join(place.name for place in places)
        raise KexpError(f"{path} holds {len(places)} models, and one is needed; name one of {names}")
    return places[0]


def find_all(path: Path, *, variant: str | None = None, seed: int | None = None) -> list[Place]:
    """Find the models whose mean a folder stands for: that of one run, or those of all runs of a variant.

    The folder of a variant may be narrowed to a draw or a fold of it, and by ``seed``. In a run folder ``variant``
    chooses the variant if there are several, and ``seed`` those of its runs. Raises ``KexpError`` where there is none,
    where a run folder has several variants, or where a run of the variant has no model.
    """
    if not path.is_dir():
        raise KexpError(f"{path} {'is not a folder' if path.exists() else 'does not exist'}; {EXPECTED}")
    single = _single(path)
    if single is not None:
        if variant is not None or seed is not None:
            raise KexpError(f"{path} is one model; --variant and --seed choose in a run folder")
        return [single]
    inside = None if (path / "spec.toml").is_file() else place_of(path.resolve())
    if inside is None:
        return _of_run_folder(path, variant, seed)
    if variant is not None:
        raise KexpError(f"{path} is the folder of a variant; --variant chooses in a run folder")
    return _of_variant(path, *inside, seed)


def _of_variant(path: Path, folder: Path, variant: str, part: Part, seed: int | None) -> list[Place]:
    """Return the models of all runs of a variant, or of a draw, fold or seed of it."""
    table = read_spec(folder / "spec.toml")
    own = nested.merge(table, table.get("variants", {}).get(variant, {}))
    wanted = dict(part) | ({} if seed is None else {"seed": seed})
    runs_of = all_repeats(
        own.get("seeds", ()), own.get("labelled", {}).get("draws", 1), own.get("split", {}).get("folds")
    )
    repeats = [repeat for repeat in runs_of if wanted.items() <= repeat.keys().items()]
    there = [repeat for repeat in repeats if (folder / variant / repeat.folder / "model" / "config.json").is_file()]
    if not there:
        which = f" of {in_words(wanted)}" if wanted else ""
        raise KexpError(f"{path} holds no trained model{which}; {EXPECTED}")
    if missing := [repeat.name for repeat in repeats if repeat not in there]:
        found = f"{len(there)} of {len(repeats)} runs have a model, none: {'; '.join(missing)}"
        remedy = f"finish them with kexp run --resume {folder}, or name the folders of the others"
        raise KexpError(f"{path}: {found}; {remedy}")
    runs = [folder / variant / repeat.folder for repeat in there]
    shown = [path.joinpath(*run.parts[len(path.resolve().parts) :]) for run in runs]
    return [Place(str(name), run / "model", run) for name, run in zip(shown, runs, strict=True)]


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
        result = read_result(path / "result.json")
        reason = f"the run is {result['status']}: {result.get('reason')}"
        raise KexpError(f"{path} holds no model; {reason}")
    return None


def _of_run_folder(path: Path, variant: str | None, seed: int | None) -> list[Place]:
    """Return the models of all runs of the one variant of a run folder, or of the one that is chosen."""
    known = {
        config.parent.parent: (of, repeat, f"{of}/{repeat.folder}")
        for config, of, repeat in run_files(path, "model/config.json")
        if repeat is not None
    }
    found = [run for run, (of, repeat, _) in known.items() if variant in (None, of) and seed in (None, repeat.seed)]
    if not known:
        reason = "no run of it is done yet" if (path / "spec.toml").is_file() else EXPECTED
        raise KexpError(f"{path} holds no trained model; {reason}")
    if not found:
        choice = [*([] if variant is None else [f"--variant {variant}"]), *([] if seed is None else [f"--seed {seed}"])]
        names = ", ".join(name for *_, name in known.values())
        raise KexpError(f"{path} holds no model of {' '.join(choice)}; it holds {names}")
    variants = list(dict.fromkeys(known[run][0] for run in found))
    if len(variants) > 1:
        remedy = "choose one with --variant, or name a folder in it; of several runs of a variant the mean is predicted"
        raise KexpError(f"{path} holds models of {len(variants)} variants: {', '.join(variants)}; {remedy}")
    if (path / "spec.toml").is_file():
        return _of_variant(path / variants[0], path.resolve(), variants[0], (), seed)
    return [Place(str(path / known[run][-1]), run / "model", run.resolve()) for run in found]
