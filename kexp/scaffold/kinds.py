"""What a package may bring: the components' kinds, observers and commands, and where a spec names each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kexp import nested
from kexp.spec import toml

Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind: its name in a sentence, and the key of a spec that holds a component of it, if there is one."""

    title: str
    place: str = ""


KINDS: Mapping[str, Kind] = {
    "dataset": Kind("a dataset", "dataset"),
    "task": Kind("a task", "task"),
    "backbone": Kind("a backbone", "backbone"),
    "objective": Kind("an objective", "objective"),
    "freezing": Kind("a freezing policy", "freezing"),
    "sampler": Kind("a sampler", "sampler"),
    "augmenter": Kind("an augmenter", "augmentation.labelled"),
    "translator": Kind("a translator", "augmentation.labelled.translator"),
    "metric": Kind("a metric", "evaluation.metrics"),
    "tracker": Kind("a tracker", "trackers"),
    "search-sampler": Kind("a search sampler", "search.sampler"),
    "pruner": Kind("a pruner", "search.pruner"),
    "executor": Kind("an executor", "search.executor"),
    "observer": Kind("an observer"),
    "command": Kind("a command"),
}
SEARCHES = ("search-sampler", "pruner", "executor")
SEARCH = {"trials": 2, "space": {"training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}}
REVIEWS = "reviews"
"""The sample data beside the spec: a table, or a folder with a file per label."""


def component(kind: str, name: str) -> str:
    """Return the name under which a package's component is registered; those of metrics have no hyphen in kexp."""
    return name.replace("-", "_") if kind == "metric" else name


def spec_parts(kinds: Sequence[str], name: str) -> Table:
    """Return the tables of a spec that uses components of these kinds."""
    table: Table = {}
    for kind in kinds:
        use: Any = {"use": component(kind, name)}
        match kind:
            case "dataset":
                use |= {"path": REVIEWS}
            case "metric":
                use = ["accuracy", "macro_f1", use["use"]]
            case "tracker":
                use = [use]
            case "translator":
                use = _back_translation(kinds, name)
            case "observer" | "command":
                continue
        place = "augmentation.labelled" if kind == "translator" else KINDS[kind].place
        table = nested.merge(table, toml.expand({place: use}))
    return table


def _back_translation(kinds: Sequence[str], name: str) -> Table:
    """A translator is used by back-translation, beside which an augmenter finds its place as the fallback."""
    table: Table = {"use": "back-translation", "method": "greedy", "split": False, "translator": {"use": name}}
    return {**table, "fallback": {"use": name if "augmenter" in kinds else "keep-original"}}


def whole_spec(kinds: Sequence[str], name: str) -> Table:
    """Return a small experiment that uses the components, and is over in some seconds."""
    base: Table = {
        "dataset": {"use": "table", "path": f"{REVIEWS}.csv"},
        "backbone": {"use": "tiny", "layers": 1, "hidden": 32, "heads": 2, "vocabulary": 300},
        "training": {"epochs": 2, "max_length": 32, "learning_rate": 1e-3},
    }
    if searches(kinds):
        base["search"] = SEARCH
    return nested.merge(base, spec_parts(kinds, name))


def searches(kinds: Sequence[str]) -> bool:
    """Return whether the components are used by ``kexp tune``."""
    return any(kind in SEARCHES for kind in kinds)
