"""What the runs of a variant cost: time, and on a GPU energy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev

from kexp.report.formatting import count, duration
from kexp.report.repeated import Result

JOULES = 3600
"""Joules of a watt-hour."""


def costs(variants: Mapping[str, Sequence[Result]]) -> list[dict[str, str]]:
    """Return a row of texts per variant with finished runs; a measure that no run has is left out of all of them."""
    rows = [{"variant": name, **_cost(runs)} for name, runs in variants.items() if runs]
    known = [name for name in rows[0] if any(row[name] != "–" for row in rows)] if rows else []
    return [{name: row[name] for name in known} for row in rows]


def _cost(runs: Sequence[Result]) -> dict[str, str]:
    seconds, energy = _values(runs, "train_seconds"), [value / JOULES for value in _values(runs, "energy_joules")]
    devices = dict.fromkeys(_device(run) for run in runs if "device" in run)
    return {
        "runs": str(len(runs)),
        "training time": _mean(seconds, duration),
        "of all runs": duration(sum(seconds)) if seconds else "–",
        "examples/s": _mean(_values(runs, "examples_per_second"), count),
        "peak memory": _mean(_values(runs, "peak_memory_mib"), lambda value: f"{value:,.0f} MiB"),
        "energy": _mean(energy, watt_hours),
        "energy of all runs": watt_hours(sum(energy)) if energy else "–",
        "device": ", ".join(devices) or "–",
    }


def _device(run: Result) -> str:
    """Return the device of a run, and how many processes trained it where there were several."""
    processes = run.get("processes", 1)
    return str(run["device"]) + (f", {processes} processes" if processes > 1 else "")


def watt_hours(value: float) -> str:
    """Return an energy as text, with the unit that fits."""
    return f"{value / 1000:,.2f} kWh" if value >= 1000 else f"{value:,.0f} Wh" if value >= 10 else f"{value:.2f} Wh"


def _values(runs: Sequence[Result], name: str) -> list[float]:
    return [run[name] for run in runs if run.get(name) is not None]


def _mean(values: Sequence[float], text: Callable[[float], str]) -> str:
    """Return the mean, with the standard deviation where there are several."""
    if not values:
        return "–"
    return text(fmean(values)) + (f" ± {text(stdev(values))}" if len(values) > 1 else "")
