"""Curves as SVG that belongs to the page: its colours are the page's CSS variables, its text is the page's text."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

# matplotlib knows no CSS, so it draws in these stand-ins, which nothing else uses.
INK, RULE, *LINES = "#010203", "#010204", "#010205", "#010206", "#010207", "#010208"
COLOURS = {INK: "currentColor", RULE: "var(--rule)"} | {
    line: f"var(--series-{number})" for number, line in enumerate(LINES)
}
STYLE = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.formatter.limits": (-4, 5),
}
POINTS = 200
"""Points of a line at most; neighbours are averaged, since no screen shows more."""

DOTS = 40
"""Points of a line, at most, that are drawn as dots too."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line: ``name`` stands in the page's legend, ``colour`` is the number of a CSS variable ``--series-n``.

    A faint line stands behind another of the same colour that matters more.
    """

    name: str
    epochs: Sequence[float]
    values: Sequence[float | None]
    colour: int
    faint: bool = False


def draw(key: str, series: Sequence[Series], chosen: float | None) -> str:
    """Return the SVG of lines over epochs with a mark at the epoch ``chosen``.

    ``key`` is unique in the page and made of ASCII letters, digits and hyphens. Values that are None or not finite
    leave gaps. The figure holds no text of the user's, so no glyph can be missing and nothing needs escaping.
    """
    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    # A hash salt, and no date, make equal data equal bytes.
    with style.context(["default", {**STYLE, "svg.hashsalt": key}]):
        figure = Figure(figsize=(4.2, 2.4), layout="constrained")
        axes = figure.subplots()
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
        for line in series:
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
        if chosen is not None:
            axes.axvline(chosen, color=INK, linewidth=1, linestyle=(0, (3, 3)))
            axes.text(chosen, 1.02, "chosen", ha="center", va="bottom", transform=axes.get_xaxis_transform())
        file = io.StringIO()
        figure.savefig(
            file, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return _adopt(file.getvalue(), key)


def _thin(epochs: Sequence[float], values: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """Return at most ``POINTS`` points: means of equally many neighbours; a mean over a gap is a gap (NaN)."""
    numbers = [value if value is not None and math.isfinite(value) else math.nan for value in values]
    size = math.ceil(len(numbers) / POINTS) or 1
    starts = range(0, len(numbers), size)

    def mean(of: Sequence[float], start: int) -> float:
        part = of[start : start + size]
        return sum(part) / len(part)

    return [mean(epochs, start) for start in starts], [mean(numbers, start) for start in starts]


def _adopt(svg: str, key: str) -> str:
    """Turn matplotlib's SVG file into an element of a page: page colours, page font, own ids, size by its box."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", r"<svg \1>", svg, count=1)
    # This style sheet would hold for the whole page.
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r" font-family: [^;\"]*;?", "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r"( id=\"|url\(#|href=\"#)", rf"\g<1>{key}-", svg)
    for stand_in, colour in COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg.strip()
