"""How far a long piece of work is, how fast it goes, and what limits it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

INTERVAL = 5.0
"""Seconds between two lines of progress."""


def duration(seconds: float) -> str:
    """Return a time for people: 42 s, 3 min, 2 h 5 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


@dataclass(slots=True)
class Progress:
    """Shows every few seconds how many of ``total`` are done, the rate, and the time left."""

    title: str
    total: int
    show: Callable[[str], None]
    done: int = 0
    started: float = field(default_factory=time.monotonic)
    shown: float = field(default_factory=time.monotonic)
    kept: int = 0

    def skip(self, count: int) -> None:
        """Count what was there already; it does not speed up the rate."""
        self.kept += count
        self.done += count

    def advance(self, count: int) -> None:
        """Count what has just been made, and show it every few seconds."""
        self.done += count
        now = time.monotonic()
        if now - self.shown < INTERVAL:
            return
        self.shown = now
        rate = (self.done - self.kept) / (now - self.started)
        left = (self.total - self.done) / rate if rate else float("inf")
        kept = f" ({self.kept:,} were kept)" if self.kept else ""
        ahead = f", {rate:,.1f} texts/s, {duration(left)} left" if rate else ""
        self.show(f"{self.title}: {self.done:,} of {self.total:,} texts{kept}{ahead}")

    def wait(self, count: int) -> None:
        """Show every few seconds that ``count`` texts are another process's work."""
        if time.monotonic() - self.shown >= INTERVAL:
            self.shown = time.monotonic()
            self.show(f"{self.title}: waiting for {count:,} texts that another process translates")


@dataclass(slots=True)
class Meter:
    """Seconds by activity, and what was made in them."""

    seconds: dict[str, float] = field(default_factory=dict)
    texts: int = 0
    tokens: int = 0

    @contextmanager
    def measure(self, activity: str) -> Iterator[None]:
        """Add the time within to ``activity``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(activity, time.perf_counter() - start)

    def add(self, activity: str, seconds: float) -> None:
        """Add seconds to ``activity``."""
        self.seconds[activity] = self.seconds.get(activity, 0.0) + seconds

    def summary(self) -> str:
        """Say how much was made how fast, and which activity took most of the time."""
        total = sum(self.seconds.values()) or 1e-9
        shares = sorted(self.seconds.items(), key=lambda item: -item[1])
        parts = ", ".join(f"{name} {100 * spent / total:.0f} %" for name, spent in shares if spent >= 0.005 * total)
        tokens = f", {self.tokens / total:,.0f} tokens/s" if self.tokens else ""
        limit = f"; limited by {shares[0][0]}" if shares else ""
        rate = f"{self.texts / total:,.1f} texts/s{tokens}"
        return f"{self.texts:,} translations in {duration(total)} ({rate}): {parts}{limit}"
