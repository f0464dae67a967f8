"""Learning curves of an experiment: a metric over the number of labelled rows, a line per otherwise equal method."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kexp import nested
from kexp.report.figures import LINES, SizeSeries, draw_by_size
from kexp.report.summary import shown_split

SIZES = ("labelled.n", "labelled.per_class", "labelled.draws", "dataset.limit.train")
"""Options in which the variants of one line may differ."""

UNIMPORTANT = ("name", "description", "search", "execution", "trackers", "variants")
"""Sections on which no result depends."""


@dataclass(frozen=True, slots=True)
class LearningCurves:
    """A drawn figure, as a data URI, with its title and its lines; bars are a standard deviation over runs."""

    title: str
    lines: Sequence[SizeSeries]
    image: str


def learning_curves(table: Mapping[str, Any], summary: Mapping[str, Any]) -> list[LearningCurves]:
    """Draw the figure of an experiment, several where it has more lines than colours; none without two sizes.

    ``table`` is the resolved spec of the experiment. A variant stands at the number of its labelled train rows, with
    the mean of the metric that chose its models, on test if there is one.
    """
    split = shown_split(summary)
    monitor = table.get("training", {}).get("monitor", "")
    lines = [line for line in _lines(table, summary, split, monitor) if len(line.sizes) > 1]
    return [
        LearningCurves(f"{split.capitalize()} {monitor} by labelled rows", part, draw_by_size(part))
        for start in range(0, len(lines), len(LINES))
        if (part := _coloured(lines)[start : start + len(LINES)])
    ]


def _lines(table: Mapping[str, Any], summary: Mapping[str, Any], split: str, monitor: str) -> Iterator[SizeSeries]:
    points: dict[str, list[tuple[float, str, Mapping[str, Any]]]] = {}
    methods: dict[str, str] = {}
    for name, variant in summary["variants"].items():
        found = variant["metrics"].get(split, {}).get(monitor)
        train = variant["data"].get("splits", {}).get("train", {})
        # Labels that words gave are guesses.
        size = train["kept"] - train.get("added_by_seed_words", 0) if "kept" in train else None
        if found is None or found["mean"] is None or size is None:
            continue
        spec = nested.merge(table, table.get("variants", {}).get(name, {}))
        key = json.dumps(_without_size(spec), sort_keys=True, default=str)
        points.setdefault(key, []).append((size, name, found))
        methods[key] = str(spec.get("objective", {}).get("use", ""))
    for key, of in points.items():
        ordered = sorted(of, key=lambda point: point[0])
        yield SizeSeries(
            _shared_name([name for _, name, _ in of]) or methods[key],
            [size for size, _, _ in ordered],
            [found["mean"] for _, _, found in ordered],
            [found.get("sd") or 0.0 for _, _, found in ordered],
        )


def _without_size(spec: Mapping[str, Any]) -> dict[str, Any]:
    def rest(prefix: str, value: Any) -> Any:
        """Return a table without these options, and without tables that had nothing else."""
        if not isinstance(value, Mapping):
            return value
        kept = {name: rest(f"{prefix}{name}.", item) for name, item in value.items() if f"{prefix}{name}" not in SIZES}
        return {name: item for name, item in kept.items() if item != {}}

    whole: dict[str, Any] = rest("", {name: value for name, value in spec.items() if name not in UNIMPORTANT})
    return whole


def _shared_name(names: Sequence[str]) -> str:
    """Return the beginning that the names of variants share, without what separates it from their numbers."""
    first, last = min(names), max(names)
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(letter for letter, _ in same).rstrip("0123456789").rstrip("-_. ")


def _coloured(lines: Sequence[SizeSeries]) -> list[SizeSeries]:
    """Give each line a colour, and lines of one name a number."""
    names, found = [line.name for line in lines], []
    for number, line in enumerate(lines):
        own = f" {names[:number].count(line.name) + 1}" if names.count(line.name) > 1 else ""
        found.append(replace(line, name=f"{line.name}{own}", colour=number % len(LINES)))
    return found
