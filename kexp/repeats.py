"""The repeats of a variant: its runs differ in the seed, the draw of the labelled rows and the fold that is tested."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FOLDER = re.compile(r"(?:draw-([1-9][0-9]{0,18})/)?(?:fold-([1-9][0-9]{0,18})/)?seed-([0-9]{1,19})")
Part = tuple[tuple[str, int], ...]
"""Which runs of a variant are meant: pairs such as ("draw", 2); none for all of them."""
NAMES = ("draw", "fold", "seed")
PATTERNS = ("seed-*", "draw-*/seed-*", "fold-*/seed-*", "draw-*/fold-*/seed-*")
"""The folders of runs below that of their variant."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """Which run of its variant a run is: ``draw`` and ``fold`` count from 1 and are None where there is one only."""

    seed: int
    draw: int | None = None
    fold: int | None = None

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> Repeat:
        """Return the repeat of a mapping with ``seed`` and maybe ``draw`` and ``fold``, such as ``result.json``."""
        return cls(keys["seed"], keys.get("draw"), keys.get("fold"))

    @classmethod
    def parse(cls, folder: str) -> Repeat | None:
        """Return the repeat whose ``folder`` this is; None for any other text."""
        found = FOLDER.fullmatch(folder)
        draw, fold, seed = found.groups() if found else (None, None, None)
        return None if seed is None else cls(int(seed), draw and int(draw), fold and int(fold))  # type: ignore[arg-type]

    def keys(self) -> dict[str, int]:
        """Return the draw, the fold and the seed by name, without those of which there is one only."""
        found = asdict(self)
        return {name: found[name] for name in NAMES if found[name] is not None}

    @property
    def folder(self) -> str:
        """The folder of the run below that of its variant, such as draw-2/seed-1."""
        return "/".join(f"{name}-{number}" for name, number in self.keys().items())

    @property
    def name(self) -> str:
        """The repeat in words, such as draw 2, seed 1."""
        return in_words(self.keys())

    @property
    def key(self) -> str:
        """The seed alone as text, or the folder where the seed alone does not name the run."""
        return str(self.seed) if len(self.keys()) == 1 else self.folder


def in_words(keys: Mapping[str, int]) -> str:
    """Return the keys of a repeat, or some of them, in words."""
    return ", ".join(f"{name} {number}" for name, number in keys.items())


def all_repeats(seeds: Iterable[int], draws: int, folds: int | None) -> Iterator[Repeat]:
    """Yield the runs of one variant: every draw with every fold and every seed."""
    drawn = range(1, draws + 1) if draws > 1 else (None,)
    tested = (None,) if folds is None else range(1, folds + 1)
    for draw, fold, seed in itertools.product(drawn, tested, seeds):
        yield Repeat(seed, draw, fold)


def repeats_in(variant: Mapping[str, Any]) -> list[Repeat]:
    """Return the repeats of a variant of ``summary.json``, whose earlier versions know seeds only."""
    return [Repeat.of(keys) for keys in variant.get("repeats", [{"seed": seed} for seed in variant["seeds"]])]


def run_files(folder: Path, name: str) -> Iterator[tuple[Path, str, Repeat | None]]:
    """Yield every file of this name of a run in a run folder, with its variant and repeat.

    They come by variant, draw, fold and seed; the repeat of a folder that is named otherwise is None.
    """
    found = []
    for path in (path for pattern in PATTERNS for path in folder.glob(f"*/{pattern}/{name}")):
        variant, *parts = path.relative_to(folder).parts[: -len(Path(name).parts)]
        found.append((path, variant, Repeat.parse("/".join(parts))))
    yield from sorted(found, key=lambda one: (one[1], _order(one[2]), one[0]))


def _order(repeat: Repeat | None) -> tuple[int, int, int]:
    return (0, 0, -1) if repeat is None else (repeat.draw or 0, repeat.fold or 0, repeat.seed)


def place_of(path: Path) -> tuple[Path, str, Part] | None:
    """Return the run folder, the variant, and the draw, fold and seed that a folder is that of, as far as it says.

    The folder is that of a variant, of one of its runs, or between them; None where no ``spec.toml`` is above it.
    """
    keys: list[tuple[str, int]] = []
    for folder in path.parents:
        if (folder / "spec.toml").is_file():
            return folder, path.name, tuple(keys)
        found = re.fullmatch(r"(draw|fold|seed)-([0-9]{1,19})", path.name)
        # In this order from the top: a folder of another name or at another place is none of kexp's.
        if not found or (keys and NAMES.index(found[1]) >= NAMES.index(keys[0][0])):
            return None
        keys, path = [(found[1], int(found[2])), *keys], folder
    return None
