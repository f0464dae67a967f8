"""What changes at the bottom of a terminal while runs go on: what is being done, which run it is, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from kexp.report.formatting import score

LEAST_LABEL = 12
"""Cells that the name of a run has at least in a line that it shares with its numbers."""
BAR = 24
"""Longest bar in cells; the least is a third of it."""


def fitting(units: Sequence[str], width: int, gap: str = "  ") -> list[str]:
    """Return the units, the first ones first, that fit in a line whole; the first alone is cut if need be."""
    kept: list[str] = []
    for unit in filter(None, units):
        if cell_len(gap.join([*kept, unit])) <= width:
            kept.append(unit)
        elif not kept:
            kept.append(f"{set_cell_size(unit, max(width - 1, 0)).rstrip()}…")
    return kept


def packed(units: Sequence[str], spare: Sequence[str], width: int) -> list[str]:
    """Return units in a line, without spare ones for which there is no room; in several if the rest is long.

    No unit is broken; lines after the first are indented.
    """
    kept = [unit for unit in units if unit]
    for unit in reversed(spare):
        if cell_len("  ".join(kept)) > width:
            kept.remove(unit)
    lines = kept[:1]
    for unit in kept[1:]:
        longer = f"{lines[-1]}  {unit}"
        lines = [*lines[:-1], longer] if cell_len(longer) <= width else [*lines, f"  {unit}"]
    return lines


class RunLine:
    """The two lines about the run that goes on: its number, name and what is left; its bar, loss and monitor."""

    left: Callable[[], str]

    def __init__(self) -> None:
        self.monitor = "macro_f1"
        self.end()

    def begin(self, number: str, label: str, monitor: str, steps: int, done: int, left: Callable[[], str]) -> None:
        """Begin with a run."""
        self.number, self.label, self.monitor, self.left = number, label, monitor, left
        self.steps, self.first, self.done, self.began = steps, done, done, time.monotonic()
        self.loss = self.rate = self.value = self.epoch = ""

    def move(self, step: int, loss: float | None, rate: float, epoch: float | None = None) -> None:
        """Note how far the run is."""
        self.done, self.loss, self.rate = step, f"loss {score(loss)}", f"{rate:,.0f} examples/s"
        self.epoch = "" if epoch is None else f"epoch {epoch:.2f}"

    def measured(self, metrics: Mapping[str, float | None]) -> None:
        """Note the monitored metric of an evaluation."""
        if self.monitor in metrics:
            self.value = f"{self.monitor} {score(metrics[self.monitor])}"

    def end(self) -> None:
        """Leave the run."""
        self.number = self.label = self.loss = self.rate = self.value = self.epoch = self.doing = ""
        self.steps = self.first = self.done = 0
        self.began = 0.0
        self.left = str

    def lines(self, width: int) -> list[str]:
        """Return the lines, none without a run, in each of which only what fits stands, and whole."""
        if not self.steps:
            return []
        counts = f"{self.done:,}/{self.steps:,}"
        # What matters most is fitted in first, and stands after the bar all the same.
        kept = fitting([counts, self.loss, self.value, self._time_left(), self.rate], width)
        room = width - cell_len("  ".join(kept)) - 2
        bar = self._bar(min(BAR, room)) if room >= BAR // 3 else ""
        left = self.left()
        room = width - sum(cell_len(part) + 2 for part in (self.number, left) if part)
        label = "".join(fitting([self.label], room)) if room >= BAR // 3 else ""
        first = fitting([self.number, label, left], width)
        return ["  ".join(first), "  ".join(filter(None, (bar, *kept)))]

    def compact(self, width: int) -> str:
        """Return one line about a run that goes on beside others; of a long name its end stays, which has the seed."""
        units = [self.doing or "beginning…"]
        if self.steps:
            units = [f"{self.done:,}/{self.steps:,}", self.loss, self.value, self.epoch, self._time_left(), self.rate]
        label, kept = self.label, "  ".join(fitting(units, width - min(cell_len(self.label), LEAST_LABEL) - 2))
        room = max(width - cell_len(kept) - 2, 1)
        while cell_len(label) > room:
            label = f"…{label[2:]}"
        return f"{label}  {kept}"

    def _time_left(self) -> str:
        """Return the time left for this run by its own rate: minutes and seconds."""
        steps = self.done - self.first
        if not steps:
            return ""
        seconds = round((time.monotonic() - self.began) / steps * (self.steps - self.done))
        return (
            f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
            if seconds >= 3600
            else (f"{seconds // 60}:{seconds % 60:02d}")
        )

    def _bar(self, width: int) -> str:
        full = width * self.done // self.steps
        return "━" * full + "─" * (width - full)


class StatusArea:
    """The lines at the bottom of a terminal that are written over; nothing of them stays."""

    def __init__(self, console: Console, lines: Callable[[int], list[str]]) -> None:
        """Show lines, which are asked for by the width that they may have; none where no run goes on."""
        self.console, self.lines = console, lines
        self.text = ""
        self.live: Live | None = None

    def doing(self, text: str) -> None:
        """Show what is being done, or nothing."""
        self.text = text
        if text:
            self.start()
        elif not self.lines(self.console.width):
            self.stop()

    def start(self) -> None:
        """Begin to show the lines."""
        if self.live is None:
            self.live = Live(
                console=self.console, get_renderable=self._shown, refresh_per_second=4, transient=True,
                redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            self.live.start(refresh=True)

    def stop(self) -> None:
        """Remove the lines."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def _shown(self) -> Group:
        width = self.console.width
        lines = [*self.lines(width), *fitting([self.text], width)]
        return Group(*(Text(line, no_wrap=True, overflow="crop") for line in lines))
