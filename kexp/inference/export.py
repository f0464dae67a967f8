"""Exporting a trained model to a folder that needs neither kexp nor PyTorch, checked against PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

import kexp
from kexp.atomic_files import replacing_folder, write_text
from kexp.data.batching import RowsPerBatch, by_length
from kexp.errors import KexpError, RunFailed, reason_and_remedy
from kexp.inference import onnx
from kexp.inference.loading import LoadOptions, load_places
from kexp.inference.model_folders import Place
from kexp.inference.trained_model import Member
from kexp.model.token_rows import TokenRows
from kexp.report.run_folder import write_json
from kexp.report.stored import read_result
from kexp.seeds import generator

TOLERANCE = 1e-4
"""Largest difference of probabilities that rounding of the same weights may cause."""
AGREEMENT = 0.95
"""Smallest share of texts that weights in int8 must give the same label."""
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
    onnx.write_graph(whole, member.module, _inputs(member), member.pipeline.max_length, member.temperature)
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
    largest, equal = 0.0, np.zeros(len(texts), bool)
    for rows in _batches(lengths):
        inputs = TokenRows.of(member.collator(encoded, rows), torch.device("cpu")).padded(member.collator.pad_id)
        found = session.probabilities({name: values.numpy() for name, values in inputs.items()})
        largest = max(largest, float(np.abs(found - expected[rows]).max()))
        equal[rows] = found.argmax(1) == expected[rows].argmax(1)
    return {
        "texts": len(texts),
        "shortest": int(lengths.min()),
        "longest": int(lengths.max()),
        "largest_difference": largest,
        "equal_labels": float(equal.mean()),
    }


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


def _need_agreement(check: Check, quantize: str | None) -> None:
    if quantize is None and not check["largest_difference"] <= TOLERANCE:
        raise RunFailed(f"the export differs from the model: {sentence(check)}; expected at most {TOLERANCE:g}")
    if quantize is not None and check["equal_labels"] < AGREEMENT:
        remedy = f"expected at least {AGREEMENT:.0%}; export without --quantize"
        raise RunFailed(f"weights in {quantize} change the model too much: {sentence(check)}; {remedy}")


def _describe(folder: Path, member: Member, quantize: str | None, check: Check) -> dict[str, Any]:
    """Write tokenizer, configuration, ``kexp.json`` and a README beside the graph."""
    pipeline, columns = member.pipeline, member.provenance.columns
    pipeline.tokenizer.save_pretrained(folder)
    member.module.config.save_pretrained(folder)
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
        "output": "logits",
        "temperature": member.temperature,
        "columns": {"text": list(columns.text), "join_with": columns.join_with, "text_pair": columns.pair},
        "normalisation": "NFC" + (", trimmed" if pipeline.trim else ""),
        "cleaning": None if pipeline.backbone is None else type(pipeline.backbone).__name__,
        "run": _run(member.place),
        "check": check,
    }
    write_json(folder / "kexp.json", described)
    write_text(folder / "README.md", _readme(member, check))
    return described


def _run(place: Place) -> dict[str, Any] | None:
    path = None if place.run is None else place.run / "result.json"
    if path is None or not path.is_file():
        return None
    result = read_result(path)
    return {name: result.get(name) for name in ("experiment", "variant", "seed")}


def _readme(member: Member, check: Check) -> str:
    cleaning = ""
    if member.pipeline.backbone is not None:
        name = type(member.pipeline.backbone).__name__
        cleaning = f"\nThe model was trained on texts that kexp's backbone {name} had cleaned first; do the same.\n"
    strip = ".strip()" if member.pipeline.trim else ""
    calibrated = ""
    if member.temperature != 1:
        divided = f"The graph divides its logits by the temperature {member.temperature:.6g}"
        calibrated = f"\n{divided}, so that their softmax is calibrated.\n"
    return README.substitute(
        plain=not member.pipeline.joint,
        strip=strip,
        labels=", ".join(member.labels),
        check=sentence(check),
        cleaning=cleaning,
        calibrated=calibrated,
    )


README = Template(
    '''# A text classifier in ONNX

Labels: $labels. Exported by kexp; `kexp.json` says what the model reads. Checked: $check.
$cleaning$calibrated
```python
import json
import unicodedata
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

about = json.loads(Path("kexp.json").read_text("utf-8"))
session = onnxruntime.InferenceSession("model.onnx")
tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.enable_truncation(about["max_length"], direction=about["truncation"])
tokenizer.enable_padding(pad_id=about["pad_id"])
# The name of a special token in a text is text, unless columns were joined with one.
tokenizer.encode_special_tokens = $plain


def predict(texts):
    """Return probabilities of shape (rows, labels)."""
    rows = tokenizer.encode_batch([unicodedata.normalize("NFC", text)$strip for text in texts])
    known = {
        "input_ids": [row.ids for row in rows],
        "attention_mask": [row.attention_mask for row in rows],
        "token_type_ids": [row.type_ids for row in rows],
    }
    logits = session.run(["logits"], {name: np.array(known[name], np.int64) for name in about["inputs"]})[0]
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


for text, row in zip(texts := ["정말 재미있다"], predict(texts)):
    print(text, about["labels"][row.argmax()], row.max())
```
'''
)
