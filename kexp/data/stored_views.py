"""Views of texts that are too costly to make every epoch: made once, stored on disk in chunks, shared by runs."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from kexp.atomic_files import write_text
from kexp.contracts import Augmenter, ClosableAugmenter, Rejected
from kexp.data.augment_jobs import Changed, Job, changed
from kexp.data.rows import Rows
from kexp.data.semi_supervised_stream import streams
from kexp.data.texts import texts_at

CHUNK = 500
"""Texts between two writes. Augmenters that keep a store of their own lose nothing by it."""

View = list[str | Rejected]
"""An augmented text, or its rejection, for every row."""


@dataclass(frozen=True, slots=True)
class StoredViews:
    """All views of some rows."""

    views: Sequence[View]

    def accepted(self) -> NDArray[np.int64]:
        """Return the rows that no view rejects."""
        rows = [row for row, texts in enumerate(zip(*self.views, strict=True)) if _rejection(texts) is None]
        return np.asarray(rows, np.int64)

    def accepted_texts(self) -> list[list[str]]:
        """Return for each view the texts of the accepted rows."""
        rows = self.accepted()
        return [[str(view[row]) for row in rows] for view in self.views]

    def rejected(self) -> dict[str, int]:
        """Count the other rows by the reason of their first rejection."""
        found = map(_rejection, zip(*self.views, strict=True))
        return dict(Counter(rejection.reason for rejection in found if rejection is not None))


def _rejection(texts: Sequence[str | Rejected]) -> Rejected | None:
    return next((text for text in texts if isinstance(text, Rejected)), None)


@dataclass(slots=True)
class LabelledViews:
    """Stored views of the labelled rows: epochs take them in turn. Counts what it returns, as augmenters are counted.

    ``name`` is the augmenter's in messages.
    """

    name: str
    views: Sequence[View]
    total: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def __call__(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Changed]]:
        """Yield jobs with the texts of the chosen rows in an epoch."""
        return ((job, changed(job, partial(self._texts, job.epoch))) for job in jobs)

    def _texts(self, epoch: int, texts: Sequence[str], rows: Sequence[int], generators: Sequence[Random]) -> View:
        """Return the texts of some rows in an epoch; the generators are those of augmenters that run every epoch."""
        view = self.views[epoch % len(self.views)]
        found = [view[row] for row in rows]
        self.total += len(rows)
        self.rejected.update(text.reason for text in found if isinstance(text, Rejected))
        return found


@dataclass(slots=True)
class ViewMaker:
    """Makes views chunk by chunk. ``folder`` stores the chunks; the augmenter is built when one is missing.

    ``identity`` names everything that the texts depend on besides the original text and its random stream: the
    augmenter, its options and version, and what it was fitted on. ``progress`` shows the rate and the time left.
    """

    build: Callable[[], Augmenter]
    seed: int
    folder: Path
    identity: str
    progress: Callable[[str], None] = lambda line: None
    augmenter: Augmenter | None = None

    def view(self, rows: Rows, number: int) -> View:
        """Return view ``number`` of every row."""
        view: View = []
        new, started = 0, time.perf_counter()
        for start in range(0, len(rows), CHUNK):
            few = np.arange(start, min(start + CHUNK, len(rows)))
            path = self.folder / f"{self._key(rows, few, number)}.json"
            chunk = _read(path, self.progress)
            if chunk is None:
                self.progress(f"augmenting, {start:,} of {len(rows):,} texts are done…")
                self.augmenter = self.augmenter or self.build()
                chunk = self.augmenter(texts_at(rows.texts, few), streams(rows, few, self.seed, number))
                _write(path, chunk)
                new += len(chunk)
                rate = new / (time.perf_counter() - started)
                done = start + len(chunk)
                left = (len(rows) - done) / rate
                self.progress(f"augmented {done:,} of {len(rows):,} texts, {rate:,.0f} texts/s, {left:,.0f} s left…")
            view += chunk
        return view

    def _key(self, rows: Rows, few: NDArray[np.int64], number: int) -> str:
        texts = texts_at(rows.texts, few)
        numbers = [int(rows.numbers[row]) for row in few]
        content = json.dumps([self.identity, self.seed, number, texts, numbers], ensure_ascii=False)
        return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def make_views(rows: Rows, maker: ViewMaker, count: int) -> StoredViews:
    """Augment every text ``count`` times; what is stored already is not made again."""
    try:
        return StoredViews([maker.view(rows, number) for number in range(count)])
    finally:
        maker.progress("")
        if isinstance(maker.augmenter, ClosableAugmenter):
            maker.augmenter.close()


def _read(path: Path, tell: Callable[[str], None]) -> View | None:
    """Return a stored chunk; None where there is none, or, which is told, another one than was stored."""
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text("utf-8"))
        if stored["checksum"] == _checksum(path.stem, stored["texts"]):
            return [text if isinstance(text, str) else Rejected(**text) for text in stored["texts"]]
    # JSON of any shape may stand there.
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        pass
    tell(f"{path} is damaged, or of an earlier version; its texts are augmented anew")
    return None


def _write(path: Path, view: View) -> None:
    stored = [text if isinstance(text, str) else {"text": text.text, "reason": text.reason} for text in view]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"checksum": _checksum(path.stem, stored), "texts": stored}
    write_text(path, json.dumps(content, ensure_ascii=False))


def _checksum(key: str, stored: list[str | dict[str, str]]) -> str:
    """Return a digest of a chunk and of the key of what it was made from, so that no other chunk is taken for it."""
    content = json.dumps([key, stored], ensure_ascii=False)
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
