"""Figures as SVG elements of the page: curves over epochs and a reliability diagram.

Colours and strokes are classes of ``style.css``, so that figures follow the page's light or dark scheme. A figure holds
no text of the user's, so that nothing needs escaping and no glyph can be missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kexp.evaluate.calibration import Bin

WIDTH, HEIGHT, TALL = 300, 172, 208
"""Size of a figure, and the height of one with two axes, in SVG units; text is 9 units high."""

LEFT, RIGHT, TOP, BELOW = 39, 291, 17, 33
"""Where the axes begin and end, and the space below them: room for numbers of seven characters."""

MARGIN = 0.05
"""Empty share of an axis at either end of the data."""

POINTS = 200
"""Most points of a line; neighbours are averaged, since no screen shows more."""

DOTS = 40
"""Most points of a line that are drawn as dots too."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line: ``name`` stands in the page's legend, ``colour`` is the number of a CSS variable ``--series-n``.

    A faint line stands behind another of the same colour that matters more; ``meaning`` explains the name.
    """

    name: str
    epochs: Sequence[float]
    values: Sequence[float | None]
    colour: int
    faint: bool = False
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from the numbers ``low`` to ``high`` to the places ``start`` to ``end`` in the figure."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Iterable[float], start: float, end: float) -> Scale:
        """Return the scale that holds all finite values with a margin."""
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        margin = MARGIN * ((high - low) or abs(high) or 1)
        return cls(low - margin, high + margin, start, end)

    def __call__(self, value: float) -> float:
        """Return the place of a number, rounded to a tenth of a unit."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, most: int) -> Iterator[tuple[float, str]]:
        """Yield about ``most`` round numbers on the scale: their places, and the numbers as text."""
        rough = (self.high - self.low) / most
        power = math.floor(math.log10(rough))
        step = next(factor * 10.0**power for factor in (1, 2, 5, 10) if factor * 10.0**power >= rough)
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1):
            value = number * step
            plain = value == 0 or (decimals <= 4 and abs(value) < 1e6)
            yield self(value), f"{value:.{decimals}f}" if plain else f"{value:.3g}"


def draw(series: Sequence[Series], chosen: float | None) -> str:
    """Return the SVG of lines over epochs with a mark at the epoch ``chosen``.

    Values that are None or not finite leave gaps.
    """
    lines = [(line, *_thin(line.epochs, line.values)) for line in series]
    marked = [] if chosen is None else [chosen]
    x = Scale.around([*marked, *(epoch for _, epochs, _ in lines for epoch in epochs)], LEFT, RIGHT)
    y = Scale.around((value for _, _, values in lines for value in values), HEIGHT - BELOW, TOP)
    parts = [*_x_axis(x, y, "epoch"), *_y_axis(x, y)]
    for line, epochs, values in lines:
        points = [
            (x(epoch), y(value)) if math.isfinite(value) else None for epoch, value in zip(epochs, values, strict=True)
        ]
        parts += _line(line, points)
    if chosen is not None:
        parts += [
            f'<path class="mark" d="M{x(chosen)} {y.start}V{y.end}"/>',
            f'<text class="middle" x="{x(chosen)}" y="{TOP - 4}">chosen</text>',
        ]
    return _svg(HEIGHT, parts)


def _line(line: Series, points: Sequence[tuple[float, float] | None]) -> Iterator[str]:
    """Yield a path, and dots where there are few points: a lone point does not show as a line."""
    path, pen = "", "M"
    for point in points:
        path += f"{pen}{point[0]} {point[1]}" if point else ""
        pen = "L" if point else "M"
    yield f'<g class="series-{line.colour}{" faint" if line.faint else ""}"><path class="line" d="{path}"/>'
    if len(points) <= DOTS:
        yield from (f'<circle cx="{point[0]}" cy="{point[1]}" r="1.8"/>' for point in points if point)
    yield "</g>"


def draw_reliability(bins: Sequence[Bin]) -> str:
    """Return the SVG of a reliability diagram: accuracy by confidence over the numbers of rows.

    Bars of ``--series-0`` are the accuracy of a bin, and ``--series-1`` fills the gap between it and the mean
    confidence (Guo et al. 2017, figure 1).
    """
    held = [one for one in bins if one.rows]
    x = Scale(0, 1, LEFT, RIGHT)
    accuracy = Scale(0, 1.02, 132, 6)
    rows = Scale(0, 1.6 * max(one.rows for one in held), TALL - BELOW, 138)
    parts = [*_x_axis(x, rows, "confidence"), *_y_axis(x, accuracy)]
    for name, scale in (("accuracy", accuracy), ("rows", rows)):
        middle = (scale.start + scale.end) / 2
        parts.append(f'<text class="middle" transform="translate(9 {middle}) rotate(-90)">{name}</text>')
    for one in held:
        parts += [
            _bar(x, accuracy, one, 0, one.accuracy, "series-0"),
            _bar(x, accuracy, one, one.accuracy, one.confidence, "series-1 gap"),
            _bar(x, rows, one, 0, one.rows, "rows"),
            f'<text class="small middle" x="{x((one.low + one.high) / 2)}" y="{rows(one.rows) - 2:.1f}">'
            f"{one.rows if one.rows < 10_000 else f'{one.rows / 1000:.0f}k'}</text>",
        ]
    parts.append(f'<path class="mark" d="M{x(0)} {accuracy(0)}L{x(1)} {accuracy(1)}"/>')
    return _svg(TALL, parts)


def _bar(x: Scale, y: Scale, one: Bin, start: float, end: float, name: str) -> str:
    """Return a bar from one number to another, nearly as wide as the bin."""
    margin = 0.04 * (one.high - one.low)
    left, right = x(one.low + margin), x(one.high - margin)
    top, bottom = sorted((y(start), y(end)))
    return f'<rect class="{name}" x="{left}" y="{top}" width="{right - left:.1f}" height="{bottom - top:.1f}"/>'


def _x_axis(x: Scale, y: Scale, name: str) -> Iterator[str]:
    yield f'<path class="axis" d="M{x.start} {y.start}H{x.end}"/>'
    for place, text in x.ticks(7):
        yield f'<path class="grid" d="M{place} {y.start}V{y.end}"/>'
        yield f'<text class="middle" x="{place}" y="{y.start + 12}">{text}</text>'
    yield f'<text class="middle" x="{(x.start + x.end) / 2}" y="{y.start + 26}">{name}</text>'


def _y_axis(x: Scale, y: Scale) -> Iterator[str]:
    yield f'<path class="axis" d="M{x.start} {y.start}V{y.end}"/>'
    for place, text in y.ticks(6):
        yield f'<path class="grid" d="M{x.start} {place}H{x.end}"/>'
        yield f'<text class="end" x="{x.start - 4}" y="{place + 3:.1f}">{text}</text>'


def _svg(height: int, parts: Iterable[str]) -> str:
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {height}">{"".join(parts)}</svg>'


def _thin(epochs: Sequence[float], values: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """Return at most ``POINTS`` points: means of equally many neighbours; a mean over a gap is a gap (NaN)."""
    numbers = [value if value is not None and math.isfinite(value) else math.nan for value in values]
    size = math.ceil(len(numbers) / POINTS) or 1
    starts = range(0, len(numbers), size)

    def mean(of: Sequence[float], start: int) -> float:
        part = of[start : start + size]
        return sum(part) / len(part)

    return [mean(epochs, start) for start in starts], [mean(numbers, start) for start in starts]
