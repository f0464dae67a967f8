"""Augmentations too costly to make anew every epoch: made once, kept on disk chunk by chunk, shared by runs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kexp.contracts import Augmenter, Rejected
from kexp.data.pool import streams
from kexp.data.rows import Rows

CHUNK = 500

Made = list[str | Rejected]


@dataclass(frozen=True, slots=True)
class AugmentedPool:
    """The rows of a pool that were accepted in every copy, the texts of each copy, and the rejected rows by reason."""

    rows: NDArray[np.int64]
    copies: list[list[str]]
    rejected: dict[str, int]


def augment_pool(
    pool: Rows, build: Callable[[], Augmenter], copies: int, seed: int, folder: Path, identity: str
) -> AugmentedPool:
    """Augment every text of a pool ``copies`` times; what ``folder`` holds from before is not made again.

    ``identity`` says everything that the texts depend on besides text and seed: the augmenter's options and what it was
    fitted on. The augmenter is built only when something is missing.
    """
    made = [_copy(pool, build, copy, seed, folder, identity) for copy in range(copies)]
    reasons: Counter[str] = Counter()
    accepted = []
    for row, forms in enumerate(zip(*made, strict=True)):
        refused = next((form for form in forms if isinstance(form, Rejected)), None)
        if refused is None:
            accepted.append(row)
        else:
            reasons[refused.reason] += 1
    texts = [[str(copy[row]) for row in accepted] for copy in made]
    return AugmentedPool(np.asarray(accepted, np.int64), texts, dict(reasons))


def _copy(pool: Rows, build: Callable[[], Augmenter], copy: int, seed: int, folder: Path, identity: str) -> Made:
    augmenter: Augmenter | None = None
    made: Made = []
    for start in range(0, len(pool), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(pool)))
        texts = [pool.texts[row] for row in rows]
        numbers = [int(pool.numbers[row]) for row in rows]
        path = folder / f"{_key(identity, seed, copy, texts, numbers)}.json"
        chunk = _read(path)
        if chunk is None:
            augmenter = augmenter or build()
            chunk = augmenter(texts, streams(pool, rows, seed, copy))
            _write(path, chunk)
        made += chunk
    return made


def _key(identity: str, seed: int, copy: int, texts: Sequence[str], numbers: Sequence[int]) -> str:
    content = json.dumps([identity, seed, copy, texts, numbers], ensure_ascii=False)
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def _read(path: Path) -> Made | None:
    try:
        stored = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return [form if isinstance(form, str) else Rejected(**form) for form in stored]


def _write(path: Path, made: Made) -> None:
    stored = [form if isinstance(form, str) else {"text": form.text, "reason": form.reason} for form in made]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(stored, ensure_ascii=False), encoding="utf-8")
    part.replace(path)
