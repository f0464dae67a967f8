"""Tokenised rows as a model takes them: cut to any length, with special tokens around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kexp.data.ragged import Ragged, cut, offsets_of, repeated, side_by_side
from kexp.data.texts import CHUNK
from kexp.errors import KexpError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

Tokenise = Callable[[Sequence[str], "PreTrainedTokenizerFast"], "Ragged"]
Hidden = Callable[[NDArray[np.int64]], "torch.Tensor | None"]


@dataclass(frozen=True, slots=True)
class Framed:
    """Tokenised rows that are cut to ``max_length`` and get their special tokens only where they are asked for.

    What is kept of a row is that of a tokenizer: of a pair the longer text is cut first (``longest_first``).
    ``truncation`` is the end that is cut off, right or left.
    """

    first: Ragged
    second: Ragged | None
    special: SpecialTokens
    max_length: int
    truncation: str

    def __len__(self) -> int:
        return len(self.first)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each row, special tokens included."""
        first, *second = self._kept()
        first += self.special.count(pairs=self.second is not None)
        return first + second[0] if second else first

    @property
    def full_lengths(self) -> NDArray[np.int64]:
        """Length of each row before it was cut, special tokens included."""
        more = 0 if self.second is None else self.second.lengths
        return self.first.lengths + more + self.special.count(pairs=self.second is not None)

    @property
    def values(self) -> NDArray[np.int32]:
        """The tokens of all rows, which are made for the call."""
        return self.whole().values

    @property
    def offsets(self) -> NDArray[np.int64]:
        """The offsets of all rows."""
        return offsets_of(self.lengths)

    @property
    def boundaries(self) -> NDArray[np.int64] | None:
        """Where the second text of each row begins."""
        return None if self.second is None else len(self.special.prefix) + self._kept()[0] + len(self.special.middle)

    def row(self, number: int) -> NDArray[np.int32]:
        """Return one row."""
        return self.part(number, number + 1).values

    def take(self, rows: NDArray[np.int64]) -> Framed:
        """Return some rows in this order."""
        second = None if self.second is None else self.second.take(rows)
        return replace(self, first=self.first.take(rows), second=second)

    def part(self, first: int, last: int) -> Framed:
        """Return the rows from ``first`` up to ``last``; no token is copied."""
        second = None if self.second is None else self.second.part(first, last)
        return replace(self, first=self.first.part(first, last), second=second)

    def whole(self) -> Ragged:
        """Return all rows as they are given to a model."""
        special, rows = self.special, len(self)
        texts = [cut(text, kept, self.truncation) for text, kept in zip(self._texts(), self._kept(), strict=True)]
        between = [repeated(special.middle, rows)] if len(texts) > 1 else []
        around = [repeated(special.prefix, rows), texts[0], *between, *texts[1:], repeated(special.suffix, rows)]
        return side_by_side(around)

    def forget(self) -> None:
        """Let go of the memory of rows that are mapped from a file; they are read again where they are needed."""
        for text in self._texts():
            text.forget()

    def _texts(self) -> list[Ragged]:
        return [self.first] if self.second is None else [self.first, self.second]

    def _kept(self) -> list[NDArray[np.int64]]:
        """Return how many tokens of each text are kept."""
        room = self.max_length - self.special.count(pairs=self.second is not None)
        if room < 1:
            message = f"{self.max_length} leaves no token beside the special tokens; use more"
            raise KexpError(f"training.max_length: {message}")
        first = self.first.lengths
        if self.second is None:
            return [np.minimum(first, room)]
        second = self.second.lengths
        # The token that halving leaves over goes to the longer text, and to the second of equally long ones.
        half = np.where(first > second, room - room // 2, room // 2)
        kept = np.minimum(first, np.maximum(room - second, half))
        return [kept, np.minimum(second, room - kept)]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as a model takes them, special tokens included. ``boundaries`` is where each row's second segment begins.

    ``hidden`` returns what the frozen blocks of a model make of some of these very rows, where that is known.
    """

    tokens: Ragged | Framed
    boundaries: NDArray[np.int64] | None
    truncated: int
    hidden: Hidden | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def full_lengths(self) -> NDArray[np.int64]:
        """The tokens of every row before it was cut, special tokens included."""
        return self.tokens.full_lengths

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return by name all that a model is given, whose digest is that of the rows."""
        tokens = self.tokens.whole()
        arrays: dict[str, NDArray[np.generic]] = {"ids": tokens.values, "offsets": tokens.offsets}
        return arrays if self.boundaries is None else {**arrays, "boundaries": self.boundaries}

    def take(self, rows: NDArray[np.int64]) -> Encoded:
        """Return some rows in this order."""
        boundaries = None if self.boundaries is None else self.boundaries[rows]
        hidden = None if self.hidden is None else partial(_of_rows, self.hidden, rows)
        return Encoded(self.tokens.take(rows), boundaries, self.truncated, hidden)

    def parts(self) -> Iterator[Ragged]:
        """Yield the tokens of all rows, so many rows at a time that they take little memory."""
        for start in range(0, len(self), CHUNK):
            yield self.tokens.part(start, min(start + CHUNK, len(self))).whole()
            self.tokens.forget()

    def hidden_of(self, rows: NDArray[np.int64]) -> torch.Tensor | None:
        """Return what the frozen blocks make of some rows; None where that is not known."""
        return None if self.hidden is None else self.hidden(rows)


def _of_rows(hidden: Hidden, taken: NDArray[np.int64], rows: NDArray[np.int64]) -> torch.Tensor | None:
    return hidden(taken[rows])


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """What a tokenizer puts before, between and after texts."""

    prefix: tuple[int, ...]
    middle: tuple[int, ...]
    suffix: tuple[int, ...]

    def count(self, *, pairs: bool) -> int:
        """Return how many of them a single text has, or a pair."""
        return len(self.prefix) + len(self.suffix) + (len(self.middle) if pairs else 0)


def special_tokens(tokenizer: PreTrainedTokenizerFast) -> SpecialTokens:
    """Learn a tokenizer's special tokens from how it encodes a single text and a pair."""
    single = tokenizer("가", return_special_tokens_mask=True)
    mask, ids = single["special_tokens_mask"], single["input_ids"]
    start, end = mask.index(0), len(mask) - mask[::-1].index(0)
    pair = tokenizer("가", "가")["input_ids"]
    body, suffix = end - start, ids[end:]
    middle = pair[end : len(pair) - len(suffix) - body]
    return SpecialTokens(tuple(ids[:start]), tuple(middle), tuple(suffix))


def unknown_rows(encoded: Encoded, tokenizer: PreTrainedTokenizerFast) -> int:
    """Count rows of unknown tokens alone; WordPiece makes one of more than 100 characters without a space."""
    return int(only_unknown(encoded, tokenizer).sum())


def only_unknown(encoded: Encoded, tokenizer: PreTrainedTokenizerFast) -> NDArray[np.bool_]:
    """Return which rows consist of unknown tokens alone, beside special ones; shape (rows,)."""
    around = special_tokens(tokenizer).count(pairs=encoded.boundaries is not None)
    _, unknown = token_counts(encoded, tokenizer)
    found: NDArray[np.bool_] = (unknown > 0) & (unknown + around == encoded.tokens.lengths)
    return found


def token_counts(encoded: Encoded, tokenizer: PreTrainedTokenizerFast) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each row its tokens before it was cut, special ones included, and the unknown tokens that are left."""
    unknown = [np.empty(0, np.int64)]
    for part in encoded.parts():
        before = np.concatenate([[0], np.cumsum(part.values == tokenizer.unk_token_id)])
        unknown.append(np.diff(before[part.offsets]).astype(np.int64))
    return encoded.full_lengths, np.concatenate(unknown)


def encode(
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    tokenizer: PreTrainedTokenizerFast,
    *,
    max_length: int,
    truncation: str,
    tokenise: Tokenise,
) -> Encoded:
    """Encode rows to at most ``max_length`` tokens; ``tokenise`` is ``tokenise`` or ``TokenCache.tokenise``."""
    second = None if pairs is None else tokenise(pairs, tokenizer)
    return frame(tokenise(texts, tokenizer), second, tokenizer, max_length=max_length, truncation=truncation)


def frame(
    first: Ragged, second: Ragged | None, tokenizer: PreTrainedTokenizerFast, *, max_length: int, truncation: str
) -> Encoded:
    """Cut tokenised rows to ``max_length`` with the tokenizer's special tokens around them."""
    framed = Framed(first, second, special_tokens(tokenizer), max_length, truncation)
    truncated = sum(int((part.full_lengths > part.lengths).sum()) for part in parts_of(framed))
    return Encoded(framed, framed.boundaries, truncated)


def parts_of(rows: Framed) -> Iterator[Framed]:
    """Yield all rows, some after the other; one part where there are none, so that a wrong length is noticed."""
    for start in range(0, max(len(rows), 1), CHUNK):
        yield rows.part(start, min(start + CHUNK, len(rows)))
