"""The model card of a published model: metadata for the Hugging Face hub, and what the run shows in words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import kexp
from kexp.inference.trained_model import Member
from kexp.publish.licences import UNKNOWN
from kexp.publish.public import public_text
from kexp.publish.record import Record
from kexp.report.formatting import count, plain, score
from kexp.report.summary import over
from kexp.spec import toml

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

Json = Mapping[str, Any]

HUB_METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "f1",
    "weighted_f1": "f1",
    "micro_f1": "f1",
    "mcc": "matthews_correlation",
    "mae": "mae",
    "mse": "mse",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
}
"""Metrics of kexp by the names that the Hugging Face hub has for them; others keep their own."""
VERSIONS = ("kexp", "torch", "transformers", "tokenizers", "datasets")


def card(
    record: Record, member: Member, *, name: str, licence: str, code: Sequence[str], onnx: bool, check: str
) -> str:
    """Return the model card as Markdown with its block of metadata.

    ``name`` is OWNER/NAME on the hub, or that of the folder. ``code`` are files of Python code that the model runs,
    ``check`` says how the folder was compared with the run.
    """
    from huggingface_hub import ModelCard

    metadata = _metadata(record, name.rpartition("/")[2], licence).to_yaml()
    body = _template().render(**_values(record, member, name, licence), code=code, onnx=onnx, check=check)
    return str(ModelCard(f"---\n{metadata}\n---\n\n{body}"))


# --- metadata ---------------------------------------------------------------------------------------------------------


def _metadata(record: Record, title: str, licence: str) -> ModelCardData:
    from huggingface_hub import ModelCardData

    weights = record.weights
    fine_tuned = not record.fresh and re.fullmatch(r"[\w.-]+/[\w.-]+", weights["source"])
    known: dict[str, Any] = {
        "base_model": weights["source"] if fine_tuned else None,
        "base_model_relation": "finetune" if fine_tuned else None,
        "datasets": [record.dataset["id"]] if record.dataset["id"] else None,
    }
    results = list(_eval_results(record))
    return ModelCardData(
        language="ko",
        license=licence,
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["kexp"],
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=title if results else None,
        eval_results=results or None,
        **{name: value for name, value in known.items() if value is not None},
    )


def _eval_results(record: Record) -> Iterator[EvalResult]:
    from huggingface_hub import EvalResult

    dataset = record.dataset
    for split in ("test", "validation"):
        for name, value in record.result["metrics"].get(split, {}).items():
            if value is not None:
                yield EvalResult(
                    task_type="text-classification",
                    dataset_type=dataset["id"] or dataset["use"],
                    dataset_name=dataset["id"] or public_text(str(record.result.get("experiment") or dataset["use"])),
                    dataset_revision=dataset["revision"] or None,
                    dataset_split=split,
                    metric_type=HUB_METRICS.get(name, name),
                    metric_name=name,
                    metric_value=value,
                )


# --- body -------------------------------------------------------------------------------------------------------------


def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    # Markdown, which is escaped by its own filter.
    jinja = Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.filters |= {
        "md": md,
        "score": score,
        "count": count,
        "plain": plain,
        "fenced": fenced,
        "mean": _mean,
        "literal": literal,
    }
    return jinja.from_string(files("kexp.publish").joinpath("card.md.j2").read_text("utf-8"))


def md(value: object) -> str:
    """Return a text that Markdown shows as it is, on one line: in a sentence, in a cell of a table, in a heading."""
    text = " ".join(str(value).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", text)


def fenced(text: str, language: str) -> str:
    """Return a block of code with a fence that the text does not hold."""
    longest = max((len(run) for run in re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def literal(value: object) -> str:
    """Return texts as Python writes them."""
    return json.dumps(value, ensure_ascii=False)


def _mean(cell: Json | None) -> str:
    """Return a mean with its interval where there is one, else with the spread."""
    if not cell:
        return "–"
    if cell.get("low") is not None and cell.get("high") is not None:
        return f"{score(cell['mean'])} (95 % interval {score(cell['low'])} to {score(cell['high'])})"
    return score(cell["mean"]) if cell.get("sd") is None else f"{score(cell['mean'])} ± {score(cell['sd'])}"


def _values(record: Record, member: Member, name: str, licence: str) -> dict[str, Any]:
    result, pipeline = record.result, member.pipeline
    split = "test" if "test" in result["metrics"] else "validation"
    packages = {**record.environment.get("packages", {})}
    return {
        "title": name.rpartition("/")[2],
        "hub": "/" in name,
        "source": name if "/" in name else "FOLDER",
        "description": public_text(record.spec.get("description", "")),
        "labels": list(member.labels),
        **_task_values(member),
        "licence": None if licence == UNKNOWN else licence,
        "licences": record.licences(),
        "dataset": record.dataset,
        "files": record.files,
        "weights": record.weights,
        "fresh": record.fresh,
        "adapter": record.spec.get("backbone", {}).get("adapter"),
        "trained": result.get("parameters", {}),
        **{name: result.get(name) for name in ("variant", "monitor", "kept_epoch", "device", "precision")},
        "repeat": record.chosen.repeat.name,
        "reason": record.chosen.reason,
        "seeds": record.variant.get("seeds", [result["seed"]]),
        "rows": _rows(record),
        "dropped": list(_dropped(record.data)),
        "lengths": record.data.get("tokens", {}),
        "split": split,
        "metrics": list(result["metrics"].get(split, {})),
        "scores": _scores(record, split),
        **{key: result.get(key, {}).get(split, []) for key in ("per_class", "per_label")},
        "calibration": result.get("calibration"),
        "error": result["metrics"].get(split, {}).get("ece"),
        "limits": list(_limits(record)),
        "columns": member.provenance.columns,
        "max_length": pipeline.max_length,
        "truncation": pipeline.truncation,
        "trim": pipeline.trim,
        "cleaning": None if pipeline.backbone is None else type(pipeline.backbone),
        "temperature": member.temperature,
        "divisions": record.data.get("divisions", 1),
        "spec": toml.dumps(record.spec),
        "versions": {name: packages[name] for name in VERSIONS if name in packages},
        "published_by": kexp.__version__,
    }


def _task_values(member: Member) -> dict[str, Any]:
    """Return what the card says of the task: what is decided, and whether transformers gives its predictions."""
    import numpy as np

    task, config = member.task, member.module.config
    outputs, kind = task.outputs(member.labels), str(config.problem_type)
    # Any numbers: what transformers does by the problem type is then the same as what the task does, or is not.
    logits = np.linspace(-1, 2, 3 * len(outputs)).reshape(3, -1)
    given = {"multi_label_classification": 1 / (1 + np.exp(-logits)), "regression": logits}.get(kind)
    predictions = task.predictions(logits)
    return {
        "own": member.has_own_predictions,
        "task": member.provenance.task.name,
        "decision": task.decision,
        "thresholds": task.decision_record(member.labels, member.chosen).get("thresholds", {}),
        "probabilities": task.probabilities,
        "classes": task.classes,
        "outputs": outputs,
        "problem_type": kind,
        "as_transformers": given is not None and given.shape == predictions.shape and np.allclose(given, predictions),
    }


def _rows(record: Record) -> dict[str, list[int | None]]:
    """Return the numbers of rows by label, for train, validation and test; None where they are not known."""
    labels = record.data.get("labels", {})
    if labels and not any(labels.values()):
        return {}
    return {
        label: [
            labels.get(split, {}).get(label) if split in labels else None for split in ("train", "validation", "test")
        ]
        for label in record.result["labels"]
    }


DROPPED = {
    "empty": "without text",
    "unlabelled": "without a label",
    "contradictions": "equal texts with different labels",
    "duplicates": "duplicates",
    "too_short": "too short",
    "too_long": "too long",
    "overlap": "that a later split has too",
    "over_limit": "over the limit",
}


def _dropped(data: Json) -> Iterator[str]:
    """Yield for each split how many rows were left out, by reason."""
    for split, counts in data.get("splits", {}).items():
        kept = {"read", "kept", "unlabelled", *(name for name in counts if name.startswith(("taken_for", "added")))}
        found = [
            f"{counts[name]:,.0f} {DROPPED.get(name, name.replace('_', ' '))}"
            for name in counts
            if name not in kept and counts[name]
        ]
        if found:
            yield f"{split}: {', '.join(found)}"


def _scores(record: Record, split: str) -> list[tuple[str, dict[str, str]]]:
    """Return the rows of the table of results: this model, the mean over its variant's runs, the baselines."""
    rows = [("this model", {name: score(value) for name, value in record.result["metrics"].get(split, {}).items()})]
    means = record.variant.get("metrics", {}).get(split, {})
    if any(cell["n"] > 1 for cell in means.values()):
        rows.append((f"mean over {over(next(iter(means.values())))}", {name: _mean(of) for name, of in means.items()}))
    if split == "test" and (together := record.variant.get("out_of_fold")):
        rows.append(("all folds as one", {name: _mean(of) for name, of in together["metrics"].items()}))
    for name, scores in record.variant.get("baselines", {}).items():
        rows.append((f"baseline {name}", {metric: score(value) for metric, value in scores.get(split, {}).items()}))
    return rows


def _limits(record: Record) -> Iterator[str]:
    """Yield what the run says against its model: what stands out in it, its remarks, and warnings of its data."""
    remarks = [*record.findings, *record.result.get("remarks", ()), *record.data.get("warnings", ())]
    if remark := record.result.get("calibration", {}).get("remark"):
        remarks.append(f"calibration: {remark}")
    # A warning may quote the texts that it is about.
    yield from (
        public_text(re.sub(r"\"[^\"]{20,}\"|'[^']{20,}'|“[^”]{20,}”", "(a text)", remark)) for remark in remarks
    )
