"""Figures of a report, drawn by matplotlib: images within the page, legible on a light and on a dark one.

No figure holds text of the user's, so no glyph can be missing and nothing needs escaping.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kexp.evaluate.calibration import Bin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, RULE = "#808995", "#8089954d"
LINES = ("#3f7fd9", "#d2672d", "#1f9482", "#9564c8")
"""Colours of the lines; ``style.css`` has the same ones for the legends."""

STYLE = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.formatter.limits": (-4, 5),
}
SIZE, TALL = (4.2, 2.4), (4.2, 2.9)
BOX = {"left": 0.13, "right": 0.97, "bottom": 0.19, "top": 0.9}
"""Where the axes stand in a figure: room for numbers of seven characters. To measure them takes as long as to draw."""

POINTS = 200
"""Points of a line at most; neighbours are averaged, since no screen shows more."""

DOTS = 40
"""Points of a line, at most, that are drawn as dots too."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line: ``name`` stands in the page's legend, ``colour`` is an index of ``LINES``.

    A faint line stands behind another of the same colour that matters more; ``meaning`` explains the name.
    """

    name: str
    epochs: Sequence[float]
    values: Sequence[float | None]
    colour: int
    faint: bool = False
    meaning: str = ""


def draw(series: Sequence[Series], chosen: float | None) -> str:
    """Return an image of lines over epochs, as a data URI, with a mark at the epoch ``chosen``.

    Values that are None or not finite leave gaps.
    """

    def paint(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots(gridspec_kw=BOX)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
        for line in series:
            _line(axes, line)
        if chosen is not None:
            axes.axvline(chosen, color=INK, linewidth=1, linestyle=(0, (3, 3)))
            axes.text(chosen, 1.02, "chosen", ha="center", va="bottom", transform=axes.get_xaxis_transform())

    return _image(paint)


def draw_coverage(coverage: Sequence[float], accuracy: Sequence[float]) -> str:
    """Return an image of accuracy by coverage, both from 0 to 1, as a data URI."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots(gridspec_kw=BOX)
        axes.set(xlabel="coverage", ylabel="accuracy", xlim=(0, 1.02), xticks=[n / 5 for n in range(6)])
        _line(axes, Series("", coverage, accuracy, 0))

    return _image(paint)


@dataclass(frozen=True, slots=True)
class Line:
    """A line without points of its own: its name in the legend, and an index of ``LINES``."""

    name: str
    values: Sequence[float]
    colour: int


def draw_by_threshold(thresholds: Sequence[float], lines: Sequence[Line]) -> str:
    """Return an image of scores from 0 to 1 by threshold as a data URI."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots(gridspec_kw=BOX)
        axes.set(xlabel="threshold", xlim=(0, 1), ylim=(0, 1.02), xticks=[n / 5 for n in range(6)])
        for line in lines:
            axes.plot(thresholds, line.values, color=LINES[line.colour], linewidth=1.5)

    return _image(paint)


SCATTERED = 2000
"""Rows that a scatter plot shows at most, evenly taken from all."""


def draw_scatter(true: Sequence[float], predicted: Sequence[float]) -> str:
    """Return an image of predicted by true numbers as a data URI, with the line on which both are the same."""
    step = math.ceil(len(true) / SCATTERED) or 1

    def paint(figure: Figure) -> None:
        axes = figure.subplots(gridspec_kw=BOX)
        axes.scatter(true[::step], predicted[::step], s=6, color=LINES[0], alpha=0.5, linewidths=0)
        ends = [min(*true, *predicted), max(*true, *predicted)]
        axes.plot(ends, ends, color=INK, linewidth=1, linestyle=(0, (3, 3)))
        axes.set(xlabel="true", ylabel="predicted")

    return _image(paint, TALL)


def draw_errors(errors: Sequence[float]) -> str:
    """Return a histogram of errors, predicted less true, as a data URI."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots(gridspec_kw=BOX)
        axes.hist(errors, bins=30, color=LINES[0], rwidth=0.92)
        axes.axvline(0, color=INK, linewidth=1, linestyle=(0, (3, 3)))
        axes.set(xlabel="predicted less true", ylabel="rows")

    return _image(paint, TALL)


def _line(axes: Axes, line: Series) -> None:
    epochs, values = _thin(line.epochs, line.values)
    axes.plot(
        epochs,
        values,
        color=LINES[line.colour],
        linewidth=1.0 if line.faint else 1.5,
        alpha=0.5 if line.faint else 1.0,
        # Few points are single measurements, and one alone would not show as a line.
        marker="o" if len(epochs) <= DOTS else "",
        markersize=3.5,
    )


@dataclass(frozen=True, slots=True)
class Band:
    """Curves of several runs: their mean with a band of one standard deviation, and each run as a thin line.

    ``spreads`` has the standard deviation of each mean. Both are empty where the runs share no epochs.
    """

    name: str
    epochs: Sequence[float]
    means: Sequence[float]
    spreads: Sequence[float]
    runs: Sequence[Series]
    colour: int


def draw_bands(bands: Sequence[Band]) -> str:
    """Return an image of bands over epochs as a data URI."""

    def paint(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots(gridspec_kw=BOX)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
        for band in bands:
            for run in band.runs if len(band.runs) > 1 else ():
                axes.plot(*_thin(run.epochs, run.values), color=LINES[band.colour], linewidth=0.6, alpha=0.4)
            mean = Series(band.name, band.epochs, band.means, band.colour)
            _line(axes, mean)
            if any(band.spreads):
                low, high = ([m + way * s for m, s in zip(band.means, band.spreads, strict=True)] for way in (-1, 1))
                axes.fill_between(
                    *_thin(band.epochs, low), _thin(band.epochs, high)[1], color=LINES[band.colour], alpha=0.18, lw=0
                )

    return _image(paint)


@dataclass(frozen=True, slots=True)
class SizeSeries:
    """A line over numbers of rows, with the standard deviation of each mean; ``colour`` is an index of ``LINES``."""

    name: str
    sizes: Sequence[float]
    means: Sequence[float]
    deviations: Sequence[float]
    colour: int = 0


def draw_by_size(lines: Sequence[SizeSeries]) -> str:
    """Return an image of lines over numbers of rows, on a logarithmic axis, as a data URI."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots(gridspec_kw=BOX)
        axes.set_xscale("log")
        for line in lines:
            bars = line.deviations if any(line.deviations) else None
            style = {"marker": "o", "markersize": 3.5, "linewidth": 1.5, "capsize": 2.5, "elinewidth": 1}
            axes.errorbar(line.sizes, line.means, bars, color=LINES[line.colour], **style)  # type: ignore[arg-type]
        sizes = sorted({size for line in lines for size in line.sizes})
        shown = sizes[:: -(-len(sizes) // 8)]
        axes.set_xticks(shown, [f"{size:,g}" for size in shown])
        axes.minorticks_off()
        axes.set_xlabel("labelled rows")

    return _image(paint)


def draw_reliability(bins: Sequence[Bin]) -> str:
    """Return a reliability diagram as a data URI: accuracy by confidence over the numbers of rows.

    Bars of the first colour are the accuracy of a bin, and the second colour fills the gap between it and the mean
    confidence (Guo et al. 2017, figure 1).
    """
    held = [one for one in bins if one.rows]
    middles = [(one.low + one.high) / 2 for one in held]

    def paint(figure: Figure) -> None:
        grid = {**BOX, "top": 0.97, "height_ratios": [3, 1], "hspace": 0.12}
        upper, lower = figure.subplots(2, sharex=True, gridspec_kw=grid)
        width = (bins[0].high - bins[0].low) * 0.92
        upper.bar(middles, [one.accuracy for one in held], width, color=LINES[0], alpha=0.85)
        gaps = [one.confidence - one.accuracy for one in held]
        bottoms = [one.accuracy for one in held]
        upper.bar(middles, gaps, width, bottoms, color=LINES[1], alpha=0.4)
        upper.bar(middles, gaps, width, bottoms, fill=False, edgecolor=LINES[1], linewidth=1)
        upper.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (3, 3)))
        upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy", xticks=[n / 5 for n in range(6)])
        lower.bar(middles, [one.rows for one in held], width, color=RULE)
        for middle, one in zip(middles, held, strict=True):
            lower.text(middle, one.rows, _short(one.rows), ha="center", va="bottom", fontsize=7)
        lower.set(xlabel="confidence", ylabel="rows", ylim=(0, 1.6 * max(one.rows for one in held)), yticks=[])
        figure.align_ylabels()

    return _image(paint, TALL)


def draw_histogram(bins: Sequence[tuple[float, int]], unit: str, limit: int | None = None) -> str:
    """Return an image of numbers of rows by length as a data URI, with a mark where rows are cut.

    ``bins`` are equally wide; each has its shortest length and the number of its rows. ``limit`` is a maximum length.
    """
    width = bins[1][0] - bins[0][0] if len(bins) > 1 else 1
    first, last = bins[0][0], bins[-1][0] + width

    def paint(figure: Figure) -> None:
        axes = figure.subplots(gridspec_kw=BOX)
        axes.bar([low for low, _ in bins], [rows for _, rows in bins], width * 0.92, align="edge", color=LINES[0])
        axes.set_xlabel(unit)
        if limit is not None and first <= limit < last:
            axes.axvline(limit, color=INK, linewidth=1, linestyle=(0, (3, 3)))
            axes.text(limit, 1.02, "cut here", ha="center", va="bottom", transform=axes.get_xaxis_transform())

    return _image(paint)


def _short(rows: int) -> str:
    return f"{rows}" if rows < 10_000 else f"{rows / 1000:.0f}k"


def _image(paint: Callable[[Figure], None], size: tuple[float, float] = SIZE) -> str:
    """Return what ``paint`` draws as the data URI of an SVG file, whose ids and styles are its own."""
    from matplotlib import style
    from matplotlib.figure import Figure

    # A hash salt, and no date, make equal data equal bytes.
    with style.context(["default", {**STYLE, "svg.hashsalt": "kexp"}]):
        figure = Figure(figsize=size)
        paint(figure)
        file = io.BytesIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"


def _thin(epochs: Sequence[float], values: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """Return at most ``POINTS`` points: means of equally many neighbours; a mean over a gap is a gap (NaN)."""
    numbers = [value if value is not None and math.isfinite(value) else math.nan for value in values]
    size = math.ceil(len(numbers) / POINTS) or 1
    starts = range(0, len(numbers), size)

    def mean(of: Sequence[float], start: int) -> float:
        part = of[start : start + size]
        return sum(part) / len(part)

    return [mean(epochs, start) for start in starts], [mean(numbers, start) for start in starts]
