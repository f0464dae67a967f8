"""One run in the report, from the files that its folder has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.repeats import Repeat
from kexp.report.confidence import calibration_table, coverage, reliability_figures
from kexp.report.costs import JOULES, watt_hours
from kexp.report.curves import curves
from kexp.report.epochs import epoch_table, epochs
from kexp.report.error_analysis import error_analysis
from kexp.report.finding_rules import overfitting
from kexp.report.formatting import count, duration, plain
from kexp.report.label_sets import labels_alone
from kexp.report.mistakes import mistakes
from kexp.report.numbers import numbers
from kexp.report.predictions import TOKENS, rows_of
from kexp.report.stored import read_events, read_result
from kexp.report.words import Words

if TYPE_CHECKING:
    import pandas as pd

SHOWN_TEXT = 400
"""Characters of a mistake's text that are shown."""
LOG_LINES = 30

Json = dict[str, Any]


def run_page(folder: Path, variant: str, repeat: Repeat, number: int) -> Json:
    """Return the values that the template shows of a run; ``number`` is its place on the page."""
    missing: Json = {"status": "interrupted", "reason": "the run left no result.json"}
    result: Json = read_result(folder / "result.json") if (folder / "result.json").is_file() else missing
    events = list(read_events(folder / "metrics.jsonl"))
    evaluations = [event for event in events if event["event"] == "evaluation"]
    chosen = _chosen(result, evaluations)
    split = measured_split(result)
    rows = _predicted(folder / "predictions.parquet", split, result)
    # Only where a row has one label out of few it has a confidence, and is right or wrong as a whole.
    sure = rows if rows is not None and "confidence" in rows else None
    by_epoch, words = epochs(folder), Words.of(folder, split)
    return {
        "variant": variant,
        "repeat": repeat.name,
        "anchor": f"run-{number}",
        "result": result,
        "facts": facts(result),
        "unlabelled": _unlabelled(evaluations, chosen),
        "curves": curves(result.get("monitor", ""), events, chosen),
        "reliability": [] if sure is None else reliability_figures(sure, result),
        "calibration": calibration_table(result),
        "coverage": None if sure is None else coverage(sure, result.get("labels", [])),
        "errors": None if sure is None else error_analysis(sure),
        "epochs": epoch_table(by_epoch) if by_epoch else None,
        "remarks": [
            *filter(None, [overfitting(by_epoch, calibrates=result.get("calibrates", True))]),
            *_warnings(events),
        ],
        "split": split,
        "per_class": result.get("per_class", {}).get(split, []),
        "confusion": result.get("confusion_matrix", {}).get(split, []),
        "labels_alone": labels_alone(result, split, rows),
        "numbers": numbers(result, split, rows),
        "mistakes": _shaded(mistakes(sure), words),
        "words": words,
        "log": "" if result["status"] == "done" else _tail(folder / "log.txt"),
    }


def measured_split(result: Mapping[str, Any]) -> str:
    """Return the split whose predictions are shown: test where the run was tested."""
    return "test" if "test" in {**result.get("metrics", {}), **result.get("confusion_matrix", {})} else "validation"


def has_classes(result: Mapping[str, Any]) -> bool:
    """Return whether a row has one label out of few, whose probability may be too high while the label is right."""
    return "per_class" in result


def _warnings(events: Sequence[Json]) -> list[str]:
    """Return the last warning of each kind; the kind is the text before the first colon or quotation mark."""
    kinds: dict[str, str] = {}
    for event in events:
        if event["event"] == "warning":
            message = event["message"]
            kinds[message.partition(":")[0].partition('"')[0]] = f"Step {event['step']}: {message}."
    return list(kinds.values())


def _chosen(result: Mapping[str, Any], evaluations: Sequence[Json]) -> float | None:
    """Return the epoch of the kept model; a run that did not end has the best one so far."""
    if "kept_epoch" in result:
        epoch: float | None = result["kept_epoch"]
        return epoch
    return next((event["epoch"] for event in reversed(evaluations) if event["best"]), None)


def _unlabelled(evaluations: Sequence[Json], chosen: float | None) -> Json:
    """Return statistics of the predictions for the unlabelled rows at the chosen epoch."""
    at = [event.get("pool", {}) for event in evaluations if event["epoch"] == chosen]
    return {name.replace("_", " "): plain(value) for name, value in at[-1].items()} if at else {}


def facts(result: Mapping[str, Any]) -> Json:
    """Return the known facts on size, speed and memory by name, as text."""
    parameters, share = result.get("parameters", {}), result.get("unlabelled_share")
    known = {
        "device": result.get("device"),
        "processes": count(result.get("processes")),
        "precision": "fp32, with matrix products in TF32" if result.get("tf32") else result.get("precision"),
        "backbone": _backbone(result.get("backbone")),
        "forward pass": result.get("forward"),
        "optimiser": _optimizer(result.get("optimizer")),
        "compiled modules": count(result.get("compiled")),
        "parameters": count(parameters.get("total")),
        "trainable": count(parameters.get("trainable")),
        "steps": count(result.get("steps")),
        "epochs": plain(result.get("epochs")),
        "chosen epoch": plain(result.get("kept_epoch")),
        "train rows with a guessed label": _by_words(result.get("seed_words"), result.get("rows", {})),
        "unlabelled rows in the loss": None if share is None else f"{share:.1%}",
        "evaluated weights": None if result.get("evaluated_weights") == "trained" else result.get("evaluated_weights"),
        "best epoch": plain(result.get("best_epoch")),
        "hidden states of frozen blocks": _hidden_states(result.get("hidden_states")),
        **_pretraining(result.get("pretraining", {})),
        "training time": duration(result.get("train_seconds")),
        "examples per second": count(result.get("examples_per_second")),
        "tokens per second": count(result.get("tokens_per_second")),
        "time spent on": ", ".join(f"{name} {share:.0%}" for name, share in result.get("time_shares", {}).items())
        or None,
        "energy of the GPU": None if (joules := result.get("energy_joules")) is None else watt_hours(joules / JOULES),
        "peak memory": "–" if result.get("peak_memory_mib") is None else f"{result['peak_memory_mib']:,.0f} MiB",
    }
    return {name: value for name, value in known.items() if value not in (None, "–")}


def _by_words(record: Mapping[str, Any] | None, rows: Mapping[str, int]) -> str | None:
    """Return how many train rows have a label that seed words gave, and how often it is right where that is known."""
    if record is None:
        return None
    right = record.get("oracle_accuracy")
    known = "" if right is None else f", {right:.1%} of them right"
    return f"{sum(record.get('labels', {}).values()):,} of {count(rows.get('train'))}, by seed words{known}"


def _backbone(record: Mapping[str, str] | None) -> str | None:
    """Return where the weights come from, and their licence where it is known."""
    if not record:
        return None
    known = {"{}": record.get("source"), "at {}": record.get("revision"), "licence {}": record.get("licence")}
    return ", ".join(text.format(value) for text, value in known.items() if value)


def _hidden_states(record: Json | None) -> str | None:
    if record is None:
        return None
    if reason := record.get("not_stored"):
        return f"made in every step: {reason}"
    return f"up to {record.get('frozen_up_to')}, {plain(record.get('rows'))} rows, {plain(record.get('mib'))} MiB"


def _optimizer(record: Json | None) -> str | None:
    return None if record is None else f"{record.get('name')}, {plain(record.get('state_mib'))} MiB of state"


def _pretraining(record: Json) -> dict[str, str | None]:
    if not record:
        return {}
    before, after = record.get("train_loss_before"), record.get("train_loss_after")
    origin = "stored before" if record.get("stored") else "made by this run"
    return {
        "pre-training": f"{count(record.get('steps'))} steps on {count(record.get('texts'))} texts, {origin}",
        "pre-training time": duration(record.get("seconds")),
        "loss of pre-training on its texts": f"{plain(before)} before, {plain(after)} after",
    }


# --- predictions ---------------------------------------------------------------------------------------------------


def certainties(result: Mapping[str, Any]) -> list[str]:
    """Return the columns on how certain a model was that its predictions have."""
    # What the probabilities were before they were calibrated is shown too.
    probabilities = [f"probability:{name}" for name in result["labels"]] if "calibration" in result else []
    return ["confidence", *probabilities] if has_classes(result) or probabilities else []


def _predicted(path: Path, split: str, result: Mapping[str, Any]) -> pd.DataFrame | None:
    """Return the predictions of a split; None where there are none."""
    if not path.is_file():
        return None
    numbers, optional = certainties(result), ("confidence", *TOKENS)
    frame = rows_of(path, split, ["text", "label", "predicted"], numbers, optional=optional)
    return frame if len(frame) else None


def _shaded(found: Json, words: Words) -> Json:
    """Add the words of the mistakes that are shown, as far as they are known."""
    worst = [{**row, "shaded": words.shaded(row, row["predicted"], SHOWN_TEXT)} for row in found["worst"]]
    return {**found, "worst": worst}


def _tail(path: Path) -> str:
    return "\n".join(path.read_text("utf-8", "replace").splitlines()[-LOG_LINES:]) if path.is_file() else ""
