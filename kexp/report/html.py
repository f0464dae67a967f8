"""``report.html``: one page that tells an experiment from the files of its run folder, and needs nothing else."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.report.figures import Series, draw
from kexp.report.folder import RunFolder, read_json, write_text
from kexp.report.summary import shared

if TYPE_CHECKING:
    from jinja2 import Environment

MISTAKES = 15
LOG_LINES = 30
SLACK = 1.01
"""Validation loss must rise by more than this factor before the report speaks of overfitting; less is noise."""

Json = dict[str, Any]


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a run folder and return its path; equal files give equal bytes.

    Reads ``spec.toml``, ``environment.json``, ``summary.json`` and the folders of the runs that the summary names.
    Raises ``KexpError`` when one of the three is missing or cannot be read; a run's own files may be missing.
    """
    path = RunFolder.open(folder).path
    spec = (path / "spec.toml").read_text("utf-8")
    summary = read_json(path / "summary.json")
    runs = [
        _run(path / name / f"seed-{seed}", name, seed, number)
        for number, (name, seed) in enumerate(
            (name, seed) for name, variant in summary["variants"].items() for seed in variant["seeds"]
        )
    ]
    jinja = page_environment()
    jinja.filters |= {"score": score, "plain": plain, "duration": duration}
    jinja.tests |= {"table": is_table}
    jinja.globals |= {"as_table": as_table}
    page = jinja.from_string(files("kexp.report").joinpath("template.html.j2").read_text("utf-8")).render(
        place="/".join(path.resolve().parts[-3:]),
        spec=spec,
        description=tomllib.loads(spec).get("description", ""),
        environment=read_json(path / "environment.json"),
        summary=summary,
        results={split: table for split in ("test", "validation") if (table := results_table(summary, split))["rows"]},
        data=shared({name: variant["data"] for name, variant in summary["variants"].items()}),
        runs=runs,
    )
    write_text(path / "report.html", page)
    return path / "report.html"


def page_environment() -> Environment:
    """Return what kexp's pages are drawn with: nothing undefined passes, and all have the same ``style``."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    jinja = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.globals["style"] = Markup(files("kexp.report").joinpath("style.css").read_text("utf-8"))
    return jinja


# --- results -------------------------------------------------------------------------------------------------------


def results_table(summary: Mapping[str, Any], split: str) -> Json:
    """Return the metric names of a split, a row per variant and then per baseline, and the best mean of every column.

    A baseline that scores the same for several variants, since they share their data, has one row.
    """
    variants = summary["variants"].items()
    rows: list[Json] = [
        {"name": name, "baseline_of": [], "cells": scores}
        for name, variant in variants
        if (scores := variant["metrics"].get(split))
    ]
    for baseline in dict.fromkeys(baseline for _, variant in variants for baseline in variant["baselines"]):
        scored = {name: variant["baselines"].get(baseline, {}).get(split) for name, variant in variants}
        for names, scores in shared(scored):
            cells = {metric: {"mean": value, "n": 1} for metric, value in scores.items()}
            rows.append({"name": baseline, "baseline_of": names, "cells": cells})
    metrics = list(dict.fromkeys(metric for row in rows for metric in row["cells"]))
    best = {metric: _best(rows, metric, metric in summary["lower_is_better"]) for metric in metrics}
    return {"metrics": metrics, "rows": rows, "best": best, "lower": summary["lower_is_better"]}


def _best(rows: Sequence[Json], metric: str, lower: bool) -> float | None:
    """Return the best mean of a column, or None where there is nothing to be better than."""
    means = [cell["mean"] for row in rows if (cell := row["cells"].get(metric)) and cell["mean"] is not None]
    if len(means) < 2:
        return None
    best: float = min(means) if lower else max(means)
    return best


# --- one run -------------------------------------------------------------------------------------------------------


def _run(folder: Path, variant: str, seed: int, number: int) -> Json:
    """Return what the page tells of one run, from whatever files its folder holds."""
    missing: Json = {"status": "interrupted", "reason": "the run left no result.json"}
    result: Json = read_json(folder / "result.json") if (folder / "result.json").is_file() else missing
    events = list(_events(folder / "metrics.jsonl"))
    evaluations = [event for event in events if event["event"] == "evaluation"]
    chosen = _chosen(result, evaluations)
    split = "test" if "test" in result.get("confusion_matrix", {}) else "validation"
    return {
        "variant": variant,
        "seed": seed,
        "anchor": f"run-{number}",
        "result": result,
        "facts": _facts(result),
        "figures": _figures(f"run-{number}", result, events, evaluations, chosen),
        "remarks": [*filter(None, [overfitting(evaluations)]), *_warnings(events)],
        "split": split,
        "per_class": result.get("per_class", {}).get(split, []),
        "confusion": result.get("confusion_matrix", {}).get(split, []),
        "mistakes": mistakes(folder / "predictions.parquet", split),
        "log": "" if result["status"] == "done" else _tail(folder / "log.txt"),
    }


def _warnings(events: Sequence[Json]) -> list[str]:
    """Return the last warning of each kind; a kind is what stands before the first figure or name."""
    kinds: dict[str, str] = {}
    for event in events:
        if event["event"] == "warning":
            message = event["message"]
            kinds[message.partition(":")[0].partition('"')[0]] = f"Step {event['step']}: {message}."
    return list(kinds.values())


def _events(path: Path) -> Iterator[Json]:
    """Yield the events of a run; the last line of a killed process may be half a line."""
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            yield json.loads(line)
        except ValueError:
            return


def _chosen(result: Mapping[str, Any], evaluations: Sequence[Json]) -> float | None:
    """Return the epoch of the kept model; a run that did not end has the best one so far."""
    if "best_epoch" in result:
        epoch: float | None = result["best_epoch"]
        return epoch
    return next((event["epoch"] for event in reversed(evaluations) if event["best"]), None)


def _facts(result: Mapping[str, Any]) -> Json:
    """Return what is known of speed, memory and length, by name and ready to print."""
    parameters = result.get("parameters", {})
    known = {
        "device": result.get("device"),
        "precision": result.get("precision"),
        "parameters": _count(parameters.get("total")),
        "trainable": _count(parameters.get("trainable")),
        "steps": _count(result.get("steps")),
        "epochs": plain(result.get("epochs")),
        "chosen epoch": plain(result.get("best_epoch")),
        "training time": duration(result.get("train_seconds")),
        "examples per second": _count(result.get("examples_per_second")),
        "tokens per second": _count(result.get("tokens_per_second")),
        "peak memory": "–" if result.get("peak_memory_mib") is None else f"{result['peak_memory_mib']:,.0f} MiB",
    }
    return {name: value for name, value in known.items() if value not in (None, "–")}


def _figures(
    key: str, result: Mapping[str, Any], events: Sequence[Json], evaluations: Sequence[Json], chosen: float | None
) -> list[Json]:
    """Return title, lines (for the legend) and SVG of every figure for which there are events."""
    steps = [event for event in events if event["event"] == "step"]
    epochs, at_steps = [event["epoch"] for event in evaluations], [event["epoch"] for event in steps]
    monitor = result.get("monitor", "")

    def metric(name: str, colour: int) -> Series:
        return Series(f"validation {name}", epochs, [event["metrics"].get(name) for event in evaluations], colour)

    wanted = {
        "Loss": [
            Series("train, by step", at_steps, [event["loss"] for event in steps], 0, faint=True),
            Series("train, mean since the last evaluation", epochs, [event["train_loss"] for event in evaluations], 0),
            metric("cross_entropy", 1),
        ],
        "Monitored metric": [metric(monitor, 2)],
        "Learning rate": [Series("learning rate", at_steps, [event["learning_rate"] for event in steps], 3)],
    }
    figures = []
    for number, (title, lines) in enumerate(wanted.items()):
        if lines := [line for line in lines if any(value is not None for value in line.values)]:
            figures.append({"title": title, "lines": lines, "svg": draw(f"{key}-{number}", lines, chosen)})
    return figures


def overfitting(evaluations: Sequence[Json]) -> str:
    """Return a remark when validation loss ends above its lowest point while train loss ends below it; else ""."""
    points = [
        (event["epoch"], event["train_loss"], event["metrics"]["cross_entropy"])
        for event in evaluations
        if event["train_loss"] is not None and event["metrics"].get("cross_entropy") is not None
    ]
    if not points:
        return ""
    epoch, train, validation = min(points, key=lambda point: point[2])
    _, last_train, last_validation = points[-1]
    if last_validation <= validation * SLACK or last_train >= train:
        return ""
    return (
        f"Overfitting: after epoch {plain(epoch)} the validation cross entropy rises from {validation:.3f} to "
        f"{last_validation:.3f} while the train loss falls from {train:.3f} to {last_train:.3f}."
    )


def mistakes(path: Path, split: str) -> Json:
    """Return the wrong predictions of a split, the most confident first, and how many rows and mistakes there are."""
    if not path.is_file():
        return {"rows": 0, "count": 0, "worst": []}
    import pandas as pd

    frame = pd.read_parquet(path, filters=[("split", "==", split)])
    wrong = frame[frame["label"] != frame["predicted"]]
    worst = wrong.sort_values(["confidence", "row"], ascending=[False, True]).head(MISTAKES)
    return {"rows": len(frame), "count": len(wrong), "worst": worst.to_dict("records")}


def _tail(path: Path) -> str:
    return "\n".join(path.read_text("utf-8", "replace").splitlines()[-LOG_LINES:]) if path.is_file() else ""


# --- numbers and records as text -----------------------------------------------------------------------------------


def score(value: float | None) -> str:
    """Return a metric with four decimals, a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.4f}"


def duration(seconds: float | None) -> str:
    """Return seconds as a person would say them."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}" if value < 100 and value != int(value) else f"{value:,.0f}"


def plain(value: object) -> str:
    """Return a JSON value as text on one line."""
    if isinstance(value, dict):
        return "; ".join(f"{name}: {plain(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def is_table(value: object) -> bool:
    """Tell whether a value is a mapping of flat mappings, which reads best as a table."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(
            isinstance(row, dict) and row and not any(isinstance(cell, dict) for cell in row.values())
            for row in value.values()
        )
    )


def as_table(value: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], dict[str, list[Any]]]:
    """Return column names and the cells of every row, None where a row lacks a column; turned when wider than tall."""
    columns = list(dict.fromkeys(column for row in value.values() for column in row))
    if len(columns) > max(10, len(value)):
        return list(value), {column: [row.get(column) for row in value.values()] for column in columns}
    return columns, {name: [row.get(column) for column in columns] for name, row in value.items()}
