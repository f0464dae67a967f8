"""Augmentations too costly to make anew every epoch: made once, kept on disk chunk by chunk, shared by runs."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kexp.contracts import Augmenter, ClosableAugmenter, Rejected
from kexp.data.rows import Rows
from kexp.data.semi_supervised import streams

CHUNK = 500
"""Texts between two writes. Augmenters that keep a store of their own lose nothing by it."""

Made = list[str | Rejected]


@dataclass(frozen=True, slots=True)
class StoredViews:
    """The rows of a pool that were accepted in every copy, the texts of each copy, and the rejected rows by reason."""

    rows: NDArray[np.int64]
    views: list[list[str]]
    rejected: dict[str, int]


@dataclass(slots=True)
class ViewMaker:
    """Makes augmented texts chunk by chunk. ``folder`` keeps the chunks; the augmenter is built when one is missing.

    ``identity`` says everything that the texts depend on besides text and seed: the augmenter's options and what it was
    fitted on. ``progress`` is shown the rate and the time left.
    """

    build: Callable[[], Augmenter]
    seed: int
    folder: Path
    identity: str
    progress: Callable[[str], None] = lambda line: None
    augmenter: Augmenter | None = None

    def copy(self, unlabelled: Rows, copy: int) -> Made:
        """Return one augmented form of every text of a pool."""
        made: Made = []
        new, started = 0, time.perf_counter()
        for start in range(0, len(unlabelled), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(unlabelled)))
            path = self.folder / f"{self._key(unlabelled, rows, copy)}.json"
            chunk = _read(path)
            if chunk is None:
                self.augmenter = self.augmenter or self.build()
                chunk = self.augmenter(
                    [unlabelled.texts[row] for row in rows], streams(unlabelled, rows, self.seed, copy)
                )
                _write(path, chunk)
                new += len(chunk)
                rate = new / (time.perf_counter() - started)
                done = start + len(chunk)
                left = (len(unlabelled) - done) / rate
                self.progress(
                    f"augmented {done:,} of {len(unlabelled):,} texts, {rate:,.0f} texts/s, {left:,.0f} s left"
                )
            made += chunk
        return made

    def _key(self, unlabelled: Rows, rows: NDArray[np.int64], copy: int) -> str:
        texts = [unlabelled.texts[row] for row in rows]
        numbers = [int(unlabelled.numbers[row]) for row in rows]
        content = json.dumps([self.identity, self.seed, copy, texts, numbers], ensure_ascii=False)
        return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def make_views(unlabelled: Rows, maker: ViewMaker, views: int) -> StoredViews:
    """Augment every text of a pool ``views`` times; what was made before is not made again."""
    try:
        made = [maker.copy(unlabelled, copy) for copy in range(views)]
    finally:
        if isinstance(maker.augmenter, ClosableAugmenter):
            maker.augmenter.close()
    reasons: Counter[str] = Counter()
    accepted = []
    for row, forms in enumerate(zip(*made, strict=True)):
        refused = next((form for form in forms if isinstance(form, Rejected)), None)
        if refused is None:
            accepted.append(row)
        else:
            reasons[refused.reason] += 1
    texts = [[str(copy[row]) for row in accepted] for copy in made]
    return StoredViews(np.asarray(accepted, np.int64), texts, dict(reasons))


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
