"""Requests that wait are predicted together: as many at once as a budget of tokens holds, without waiting for more."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kexp.data.batching import PREDICTION_TOKENS, BatchSize, TokensPerBatch
from kexp.inference.columns import TextColumns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kexp.contracts import TaskOptions
    from kexp.contracts.task import Chosen
    from kexp.inference.trained_model import Answers

SPECIAL = 3
"""Special tokens around a text or a pair, as most tokenizers have them."""
LONGEST_WAIT = 60
"""Seconds after which a client that was refused is told to come again, at most."""


class Model(Protocol):
    """The part of a trained model that answers requests."""

    labels: Sequence[str]

    @property
    def columns(self) -> TextColumns:
        """The columns that it was trained on."""

    @property
    def task(self) -> TaskOptions:
        """What it predicts."""

    @property
    def chosen(self) -> Chosen:
        """What was chosen for its decisions."""

    def decided(self, predictions: NDArray[np.float64]) -> list[Any]:
        """Return what predictions decide for."""

    @property
    def max_length(self) -> int:
        """Tokens that it reads of a text."""

    def answer_joined(self, texts: Sequence[str], pairs: Sequence[str] | None, size: BatchSize | None) -> Answers:
        """Answer texts whose columns are joined, in passes of this size."""


class Busy(Exception):
    """More waits already than the limit; ``seconds`` is a guess of when it is less."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"too many texts are waiting; try again in {seconds} s")


@dataclass(slots=True)
class _Piece:
    """A request, or as much of it as one batch takes."""

    texts: Sequence[str]
    pairs: Sequence[str] | None
    tokens: int
    answer: asyncio.Future[NDArray[np.float64]]


class Batcher:
    """Predicts in one thread what callers of ``predict`` wait for, in the order in which they came.

    ``batch_tokens`` bounds what is predicted at once, and ``waiting_tokens`` what may wait beside it. For both, a text
    counts as its characters, at most the model's length; the passes through the model count real tokens.
    """

    def __init__(
        self, model: Model, *, batch_tokens: int = PREDICTION_TOKENS, waiting_tokens: int = 16 * PREDICTION_TOKENS
    ) -> None:
        self.model = model
        self.batch_tokens, self.waiting_tokens = batch_tokens, waiting_tokens
        self.waiting = 0
        """Tokens that wait, without those that are being predicted."""
        self._queue: deque[_Piece] = deque()
        self._ready = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "kexp-serve")
        self._seconds_per_token = 1e-4

    async def predict(self, texts: Sequence[str], pairs: Sequence[str] | None) -> NDArray[np.float64]:
        """Return probabilities of shape (texts, labels); raises ``Busy``, or what the model raised."""
        pieces = list(self._pieces(texts, pairs))
        tokens = sum(piece.tokens for piece in pieces)
        # A request that is larger than the limit is answered when nothing waits, rather than never.
        if self._queue and self.waiting + tokens > self.waiting_tokens:
            wait = math.ceil(self.waiting * self._seconds_per_token)
            raise Busy(min(max(1, wait), LONGEST_WAIT))
        self._queue.extend(pieces)
        self.waiting += tokens
        self._ready.set()
        # All of them, so that none is left with an error that nobody hears of.
        await asyncio.gather(*(piece.answer for piece in pieces), return_exceptions=True)
        return np.concatenate([piece.answer.result() for piece in pieces])

    async def run(self) -> None:
        """Predict what waits until the task is cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._ready.wait()
                group = self._take()
                try:
                    found = await loop.run_in_executor(self._thread, self._answer, group)
                # Whatever the model raises: those who asked are told, and the next ones are answered.
                except Exception as error:  # noqa: BLE001
                    for piece in group:
                        if not piece.answer.cancelled():
                            piece.answer.set_exception(error)
                else:
                    for piece, rows in zip(group, found, strict=True):
                        if not piece.answer.cancelled():
                            piece.answer.set_result(rows)
        finally:
            self._thread.shutdown(wait=False)

    def _pieces(self, texts: Sequence[str], pairs: Sequence[str] | None) -> Iterator[_Piece]:
        start, tokens, loop = 0, 0, asyncio.get_running_loop()
        for row, text in enumerate(texts):
            own = min(self.model.max_length, len(text) + (0 if pairs is None else len(pairs[row])) + SPECIAL)
            if row > start and tokens + own > self.batch_tokens:
                yield self._piece(texts, pairs, start, row, tokens, loop)
                start, tokens = row, 0
            tokens += own
        yield self._piece(texts, pairs, start, len(texts), tokens, loop)

    @staticmethod
    def _piece(
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        start: int,
        end: int,
        tokens: int,
        loop: asyncio.AbstractEventLoop,
    ) -> _Piece:
        return _Piece(texts[start:end], None if pairs is None else pairs[start:end], tokens, loop.create_future())

    def _take(self) -> list[_Piece]:
        """Return the pieces that have waited longest and fit into one batch, one at least."""
        group = [self._queue.popleft()]
        tokens = group[0].tokens
        while self._queue and tokens + self._queue[0].tokens <= self.batch_tokens:
            group.append(self._queue.popleft())
            tokens += group[-1].tokens
        self.waiting -= tokens
        if not self._queue:
            self._ready.clear()
        return group

    def _answer(self, group: Sequence[_Piece]) -> list[NDArray[np.float64]]:
        texts = [text for piece in group for text in piece.texts]
        pairs = None if group[0].pairs is None else [pair for piece in group for pair in piece.pairs or ()]
        start = time.perf_counter()
        found = self.model.answer_joined(texts, pairs, TokensPerBatch(self.batch_tokens)).probabilities
        spent = (time.perf_counter() - start) / sum(piece.tokens for piece in group)
        self._seconds_per_token = 0.8 * self._seconds_per_token + 0.2 * spent
        return np.split(found, np.cumsum([len(piece.texts) for piece in group])[:-1])
