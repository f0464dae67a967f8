"""Exporting a trained model to a folder that needs neither kexp nor PyTorch, checked against PyTorch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import kexp
from kexp.atomic_files import replacing_folder, write_text
from kexp.data.batching import RowsPerBatch, by_length
from kexp.errors import KexpError, RunFailed, reason_and_remedy
from kexp.inference import onnx
from kexp.inference.export_readme import readme
from kexp.inference.loading import LoadOptions, load_places
from kexp.inference.model_folders import Place
from kexp.inference.trained_model import Member
from kexp.model.token_rows import TokenRows
from kexp.model_files import DECISIONS, TASK
from kexp.report.run_folder import write_json
from kexp.report.stored import read_result
from kexp.seeds import generator

TOLERANCE = 1e-4
"""Largest difference of probabilities that rounding of the same weights may cause; of numbers beyond 1, their share."""
AGREEMENT = 0.95
"""Smallest share of texts that weights in int8 must give the same label."""
NEAR = 0.05
"""Numbers that differ by less than this share of their range count as the same."""
CHECKED = 256


def default_output(place: Place, quantize: str | None) -> Path:
    """Return the folder of an export without --output: in the folder of the run, or else beside the model."""
    name = "onnx" if quantize is None else f"onnx-{quantize}"
    return place.run / name if place.run is not None else place.model.with_name(f"{place.model.name}-{name}")


Check = dict[str, Any]
"""Comparison of an exported model with PyTorch, on texts of all lengths that it can read."""


def sentence(check: Check) -> str:
    """Return a comparison as one line."""
    texts = f"{check['texts']} texts of {check['shortest']} to {check['longest']} tokens, onnxruntime against PyTorch"
    if "near_numbers" in check:
        near = f"within {NEAR:.0%} of their range {check['near_numbers']:.1%}"
        return f"{texts}: largest difference of numbers {check['largest_difference']:.1e}, {near}"
    difference = f"largest difference of probabilities {check['largest_difference']:.1e}"
    return f"{texts}: {difference}, equal labels {check['equal_labels']:.1%}"


def export(
    place: Place,
    output: Path,
    *,
    quantize: str | None,
    force: bool,
    progress: Callable[[str], None],
    allow_local_code: bool = False,
    trust_remote_code: bool = False,
) -> dict[str, Any]:
    """Export a model, compare it with PyTorch, and return what ``kexp.json`` in the new folder holds.

    Raises ``RunFailed`` when the export differs by more than it may; then, as after any error, nothing is left.
    """
    onnx.need_packages()
    if (output.exists() or output.is_symlink()) and not (force and (output / "kexp.json").is_file()):
        remedy = "--force replaces it" if (output / "kexp.json").is_file() else "it is not an export; choose another"
        raise KexpError(f"--output {output} exists already; {remedy}")
    with _made_whole(output) as part:
        options = LoadOptions("cpu", "fp32", allow_local_code=allow_local_code, trust_remote_code=trust_remote_code)
        loaded = load_places([place], options)
        member = loaded.members[0]
        progress(f"exporting {place.name}")
        _write_graph(part, member, quantize)
        progress("comparing with PyTorch")
        check = compare(member, onnx.Session(part / "model.onnx"))
        _need_agreement(check, quantize)
        if about := _about_task(member):
            onnx.add_metadata(part / "model.onnx", {"labels": list(member.labels), **about})
        return _describe(part, member, quantize, check)


@contextmanager
def _made_whole(output: Path) -> Iterator[Path]:
    """Yield a new folder that becomes the output when the block ends."""
    try:
        with replacing_folder(output) as part:
            yield part
    except OSError as error:
        # Of the folder: errors of a server have no number.
        if error.errno is None:
            raise
        raise KexpError(f"--output {output}: cannot be written: {reason_and_remedy(error)}") from None


def _write_graph(folder: Path, member: Member, quantize: str | None) -> None:
    whole = folder / "model.onnx"
    length, meaning = member.pipeline.max_length, member.task.graph_predictions
    onnx.write_graph(whole, member.module, _inputs(member), length, member.temperature, meaning)
    if quantize is not None:
        small = folder / "int8.onnx"
        onnx.quantize(whole, small)
        for path in folder.glob("model.onnx*"):
            path.unlink()
        small.rename(whole)


def _inputs(member: Member) -> tuple[str, ...]:
    return ("input_ids", "attention_mask", *(["token_type_ids"] if member.collator.token_types else []))


def compare(member: Member, session: onnx.Session) -> Check:
    """Predict the same texts both ways, alone and in batches."""
    import torch

    texts, pairs = texts_of(member)
    encoded = member.pipeline.encode(texts, pairs)
    lengths = encoded.tokens.lengths
    expected = member.probabilities(encoded, RowsPerBatch(32))
    found = np.empty_like(expected)
    largest = 0.0
    for rows in _batches(lengths):
        inputs = TokenRows.of(member.collator(encoded, rows), torch.device("cpu")).padded(member.collator.pad_id)
        outputs = session.run({name: values.numpy() for name, values in inputs.items()})
        # The logits are divided by the temperature in the graph.
        found[rows] = outputs.get(onnx.PREDICTIONS, member.task.predictions(outputs["logits"]))
        largest = max(largest, float(np.abs(found[rows] - expected[rows]).max()))
    return {
        "texts": len(texts),
        "shortest": int(lengths.min()),
        "longest": int(lengths.max()),
        "largest_difference": largest,
        **_agreement(member, found, expected),
    }


def _agreement(member: Member, found: NDArray[np.float64], expected: NDArray[np.float64]) -> dict[str, float]:
    """Return for how many texts both decide alike; of numbers, which are never equal, how many are near."""
    if not member.task.probabilities:
        near = np.abs(found - expected) <= NEAR * (expected.max() - expected.min())
        return {"scale": max(1.0, float(np.abs(expected).max())), "near_numbers": float(near.all(1).mean())}
    one, two = (member.task.decide(predictions, member.chosen) for predictions in (found, expected))
    return {"equal_labels": float((one == two).reshape(len(expected), -1).all(1).mean())}


def _batches(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield all rows in batches of similar length, some rows alone, and a batch of short and long rows."""
    yield from by_length(lengths, RowsPerBatch(32))
    yield from (np.array([row]) for row in np.argsort(lengths)[:: max(1, len(lengths) // 8)])
    yield np.arange(min(5, len(lengths)))


def texts_of(member: Member) -> tuple[list[str], list[str] | None]:
    """Return texts of all lengths: of the run's test split, or else random tokens of the vocabulary."""
    texts, pairs = _recorded(member) or (_random_texts(member), None)
    longest = " ".join(texts * (1 + member.pipeline.max_length // len(texts)))
    return [*texts, longest], None if pairs is None else [*pairs, longest]


def _recorded(member: Member) -> tuple[list[str], list[str] | None] | None:
    path = None if member.place.run is None else member.place.run / "predictions.parquet"
    if path is None or not path.is_file():
        return None
    import pandas as pd

    frame = pd.read_parquet(path)
    # A run without a test split has predictions for validation alone.
    frame = frame[frame["split"] == ("test" if "test" in set(frame["split"]) else "validation")]
    frame = frame.iloc[frame["text"].str.len().argsort()[:: max(1, len(frame) // CHECKED)]]
    pairs = frame["text_pair"].tolist() if "text_pair" in frame else None
    return (frame["text"].tolist(), pairs) if len(frame) else None


def _random_texts(member: Member) -> list[str]:
    tokenizer, draw = member.pipeline.tokenizer, generator(0, "made-up texts")
    longest = member.pipeline.max_length
    sizes = draw.integers(1, longest + 1, 64).tolist()
    drawn = [draw.integers(0, len(tokenizer), size).tolist() for size in sizes]
    return [str(tokenizer.decode(tokens, skip_special_tokens=True)) for tokens in drawn]


def _alike(check: Check) -> float:
    return float(check["equal_labels"] if "equal_labels" in check else check["near_numbers"])


def _need_agreement(check: Check, quantize: str | None) -> None:
    most = TOLERANCE * check.get("scale", 1)
    if quantize is None and not check["largest_difference"] <= most:
        raise RunFailed(f"the export differs from the model: {sentence(check)}; expected at most {most:g}")
    if quantize is not None and _alike(check) < AGREEMENT:
        remedy = f"expected at least {AGREEMENT:.0%}; export without --quantize"
        raise RunFailed(f"weights in {quantize} change the model too much: {sentence(check)}; {remedy}")


def _describe(folder: Path, member: Member, quantize: str | None, check: Check) -> dict[str, Any]:
    """Write tokenizer, configuration, ``kexp.json`` and a README beside the graph."""
    pipeline, columns = member.pipeline, member.provenance.columns
    pipeline.tokenizer.save_pretrained(folder)
    member.module.config.save_pretrained(folder)
    about = _about_task(member)
    for name in (TASK, DECISIONS) if about else ():
        if (member.place.model / name).is_file():
            shutil.copyfile(member.place.model / name, folder / name)
    described = {
        "kexp": kexp.__version__,
        "format": "onnx",
        "opset": onnx.OPSET,
        "quantize": quantize,
        "labels": list(member.labels),
        "max_length": pipeline.max_length,
        "truncation": pipeline.truncation,
        "pad_id": member.collator.pad_id,
        "inputs": list(_inputs(member)),
        "output": onnx.PREDICTIONS if about else "logits",
        **about,
        "temperature": member.temperature,
        "columns": {"text": list(columns.text), "join_with": columns.join_with, "text_pair": columns.pair},
        "normalisation": "NFC" + (", trimmed" if pipeline.trim else ""),
        "cleaning": None if pipeline.backbone is None else type(pipeline.backbone).__name__,
        "run": _run(member.place),
        "check": check,
    }
    write_json(folder / "kexp.json", described)
    write_text(folder / "README.md", readme(member, sentence(check)))
    return described


def _about_task(member: Member) -> dict[str, Any]:
    """Return what a user of the graph needs to know of its predictions and decisions; nothing of a softmax."""
    if not member.has_own_predictions:
        return {}
    return {
        "task": dict(member.provenance.task.table()),
        "decision": member.task.decision,
        "decisions": dict(member.task.decision_record(member.labels, member.chosen)),
    }


def _run(place: Place) -> dict[str, Any] | None:
    path = None if place.run is None else place.run / "result.json"
    if path is None or not path.is_file():
        return None
    result = read_result(path)
    return {name: result.get(name) for name in ("experiment", "variant", "seed")}
