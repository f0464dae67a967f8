"""Whether transformers alone loads from a published folder the model that kexp has, and answers alike."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data.batching import RowsPerBatch
from kexp.errors import RunFailed
from kexp.hub import reason_of
from kexp.inference.export import TOLERANCE, texts_of
from kexp.inference.trained_model import Member
from kexp.pretrained import quiet_transformers

COMPARED = 64
"""Texts that are compared, at most."""

Check = dict[str, Any]


def sentence(check: Check) -> str:
    """Return a comparison as one line."""
    what = f"{check['texts']} texts by transformers' pipeline and by kexp"
    return f"{what}, largest difference of {check['of']} {check['largest_difference']:.1e}"


def compare(member: Member, folder: Path, *, trusted: bool) -> Check:
    """Predict texts of all lengths with kexp, and with transformers' pipeline from the folder.

    Raises ``RunFailed`` where transformers cannot load the folder, or answers otherwise.
    """
    texts, pairs = _texts(member)
    expected = member.probabilities(member.pipeline.encode(texts, pairs), RowsPerBatch(32))
    found = _by_transformers(member, folder, texts, pairs, trusted)
    largest = float(np.abs(found - expected).max())
    most = TOLERANCE if member.task.probabilities else TOLERANCE * max(1.0, float(np.abs(expected).max()))
    what = "probabilities" if member.task.probabilities else "numbers"
    if not largest <= most:
        raise RunFailed(
            f"transformers answers otherwise than kexp with the same files: {what} differ by {largest:.1e}, "
            f"expected at most {most:g}; {member.place.name} can be used by kexp alone, and is not published"
        )
    return {"texts": len(texts), "largest_difference": largest, "of": what}


def _texts(member: Member) -> tuple[list[str], list[str] | None]:
    """Return some texts of all lengths, those without names of special tokens, which transformers reads as such."""
    texts, pairs = texts_of(member)
    special = [] if member.pipeline.joint else member.pipeline.tokenizer.all_special_tokens
    plain = [
        row
        for row, text in enumerate(texts)
        if not any(token in text + ("" if pairs is None else pairs[row]) for token in special)
    ]
    rows = plain[:: max(1, len(plain) // COMPARED)][:COMPARED]
    return [texts[row] for row in rows], None if pairs is None else [pairs[row] for row in rows]


def _by_transformers(
    member: Member, folder: Path, texts: list[str], pairs: list[str] | None, trusted: bool
) -> NDArray[np.float64]:
    from transformers import pipeline

    given: list[Any] = texts
    if pairs is not None:
        given = [{"text": text, "text_pair": pair} for text, pair in zip(texts, pairs, strict=True)]
    # Of what was loaded for kexp, its libraries have warned already.
    with quiet_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            classify: Any = pipeline("text-classification", model=str(folder), device="cpu", trust_remote_code=trusted)
            answers = [classify(one, truncation=True, top_k=None, function_to_apply="none") for one in given]
        # transformers raises whatever the model's code does.
        except Exception as error:
            raise RunFailed(f"transformers cannot load what would be published: {reason_of(error)}") from error
    outputs = member.task.outputs(member.labels)
    logits = np.zeros((len(texts), len(outputs)))
    numbers = {output: number for number, output in enumerate(outputs)}
    for row, answer in enumerate(answers):
        for one in answer:
            logits[row, numbers[one["label"]]] = one["score"]
    return member.task.predictions(logits / member.temperature)
