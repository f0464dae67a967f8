"""Curves of variants: the mean over the runs of each, with a band of one standard deviation, and the runs thin."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kexp.report.figures import LINES, Band, Series, draw_bands
from kexp.report.finding_rules import validation_loss

Json = Mapping[str, Any]
Curves = Sequence[Sequence[Json]]
"""The evaluations of every run of a variant, as ``kexp.report.epochs`` returns them."""

SHARED = 0.5
"""Share of the epochs of the shortest run that all runs must have evaluated for a mean that is not of a few of them."""


@dataclass(frozen=True, slots=True)
class VariantCurves:
    """A drawn figure, as a data URI, with its title and the bands of its legend."""

    title: str
    bands: Sequence[Band]
    image: str


def variant_curves(monitor: str, variants: Mapping[str, Curves]) -> list[VariantCurves]:
    """Draw the monitored metric and the losses of all variants, several figures where they outnumber the colours.

    None where there is one run alone, whose own figures show it.
    """
    if sum(map(len, variants.values())) < 2:
        return []
    titled: dict[str, Callable[[Json], float | None]] = {
        f"Validation {monitor}": lambda one: one["validation"].get(monitor),
        "Validation loss": validation_loss,
        "Train loss": lambda one: one["train_loss"],
    }
    return [figure for title, value in titled.items() for figure in _figures(title, value, variants)]


def _figures(
    title: str, value: Callable[[Json], float | None], variants: Mapping[str, Curves]
) -> Iterator[VariantCurves]:
    names = [*variants]
    for start in range(0, len(names), len(LINES)):
        part = [_band(name, variants[name], value, colour) for colour, name in enumerate(names[start:][: len(LINES)])]
        if bands := [band for band in part if band.runs]:
            yield VariantCurves(title, bands, draw_bands(bands))


def _band(name: str, runs: Curves, value: Callable[[Json], float | None], colour: int) -> Band:
    """Return the curves of a variant; their mean ends with the first run that ends, so that it is always of all."""
    points = [{one["epoch"]: found for one in run if (found := value(one)) is not None} for run in runs]
    points = [run for run in points if run]
    lines = [Series(name, [*run], [*run.values()], colour) for run in points]
    shared = sorted(set.intersection(*map(set, points))) if points else []
    if points and len(shared) < SHARED * min(map(len, points)):
        shared = []
    values = [[run[epoch] for run in points] for epoch in shared]
    spreads = [statistics.stdev(of) if len(of) > 1 else 0.0 for of in values]
    return Band(name, shared, [statistics.fmean(of) for of in values], spreads, lines, colour)
