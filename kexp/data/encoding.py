"""Texts as flat arrays of token ids: tokenised once without special tokens, cached, cut to any length afterwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import kexp
from kexp.data import token_file
from kexp.data.texts import chunks_of
from kexp.doing import doing
from kexp.errors import KexpError

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

CHUNK = 20_000

Tokenise = Callable[[Sequence[str], "PreTrainedTokenizerFast"], "Ragged"]
Hidden = Callable[[NDArray[np.int64]], "torch.Tensor | None"]


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of different lengths in one array: row i is ``values[offsets[i]:offsets[i + 1]]``."""

    values: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each row."""
        return np.diff(self.offsets)

    @property
    def full_lengths(self) -> NDArray[np.int64]:
        """Length of each row before it was cut, which these are not."""
        return self.lengths

    def row(self, number: int) -> NDArray[np.int32]:
        """Return one row."""
        return self.values[self.offsets[number] : self.offsets[number + 1]]

    def take(self, rows: NDArray[np.int64]) -> Ragged:
        """Return some rows in this order."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        return Ragged(self.values[ranges(starts, lengths)], offsets_of(lengths))

    def part(self, first: int, last: int) -> Ragged:
        """Return the rows from ``first`` up to ``last``; nothing is copied but their offsets."""
        offsets = self.offsets[first : last + 1]
        return Ragged(self.values[offsets[0] : offsets[-1]], offsets - offsets[0])

    def whole(self) -> Ragged:
        """Return these rows."""
        return self

    def forget(self) -> None:
        """Let go of the memory of rows that are mapped from a file; they are read again where they are needed."""
        token_file.forget(self.values)


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
        between = [_repeat(special.middle, rows)] if len(texts) > 1 else []
        around = [_repeat(special.prefix, rows), texts[0], *between, *texts[1:], _repeat(special.suffix, rows)]
        return _concatenate(around)

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


def tokenise(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerFast,
    joint: str = "",
    progress: Callable[[int], None] = lambda done: None,
) -> Ragged:
    """Tokenise texts in batches, without special tokens and without a limit of length.

    The name of a special token in a text, such as ``[SEP]`` or ``</s>``, is text like any other, unless it is in
    ``joint``: what a dataset puts between joined columns. ``progress`` is called with the number of texts done, before
    each further batch.
    """
    values, lengths = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    for tokens, of in tokenised(texts, tokenizer, joint, progress):
        values.append(tokens)
        lengths.append(of)
    return Ragged(np.concatenate(values), offsets_of(np.concatenate(lengths)))


def tokenised(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, joint: str, progress: Callable[[int], None]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Yield the tokens of some texts after the other, and how many each text has, as ``tokenise`` has them."""
    kept = _special_tokens_in(joint, tokenizer)
    # SentencePiece has special tokens among its pieces, and finds them in texts.
    named = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
    found = [number for token, number in named if token not in kept]
    with plain_backend(tokenizer, joint) as backend:
        done = 0
        for chunk in chunks_of(texts, CHUNK):
            rows = [row.ids for row in backend.encode_batch_fast(chunk, add_special_tokens=False)]
            lengths = np.fromiter(map(len, rows), np.int32, len(rows))
            tokens = np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum()))
            if tokenizer.unk_token_id is not None:
                tokens[np.isin(tokens, found)] = tokenizer.unk_token_id
            yield tokens, lengths
            done += len(chunk)
            if done < len(texts):
                progress(done)


@contextmanager
def plain_backend(tokenizer: PreTrainedTokenizerFast, joint: str) -> Iterator[Tokenizer]:
    """Lend the backend as ``tokenise`` uses it: nothing is cut or padded, and names of special tokens are text."""
    kept = _special_tokens_in(joint, tokenizer)
    backend = _backend_with(tokenizer, kept) if kept else tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    # Restored afterwards, since it is a state of the tokenizer that others use too.
    before, backend.encode_special_tokens = backend.encode_special_tokens, True
    try:
        yield backend
    finally:
        backend.encode_special_tokens = before


def _special_tokens_in(joint: str, tokenizer: PreTrainedTokenizerFast) -> tuple[str, ...]:
    return tuple(token for token in tokenizer.all_special_tokens if token in joint)


@lru_cache(maxsize=4)
def _backend_with(tokenizer: PreTrainedTokenizerFast, kept: tuple[str, ...]) -> Tokenizer:
    """Return a copy of the backend in which the tokens ``kept`` are ordinary ones, which are found in texts."""
    from tokenizers import Tokenizer

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    for token in state["added_tokens"]:
        token["special"] = token["special"] and token["content"] not in kept
    return Tokenizer.from_str(json.dumps(state))


def offsets_of(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the offsets of rows with these lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def cut(rows: Ragged, lengths: NDArray[np.int64], side: str) -> Ragged:
    """Keep ``lengths[i]`` tokens of row i; ``side`` is the end that is cut off, right or left."""
    starts = rows.offsets[:-1] if side == "right" else rows.offsets[1:] - lengths
    return Ragged(rows.values[ranges(starts, lengths)], offsets_of(lengths))


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``starts[i], starts[i] + 1 ...`` for ``lengths[i]`` numbers, for all i one after the other."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def _repeat(tokens: tuple[int, ...], rows: int) -> Ragged:
    return Ragged(np.tile(np.asarray(tokens, np.int32), rows), np.arange(rows + 1, dtype=np.int64) * len(tokens))


def _concatenate(parts: Sequence[Ragged]) -> Ragged:
    """Join rows with rows: row i of the result is row i of every part in turn."""
    offsets = offsets_of(np.sum([part.lengths for part in parts], axis=0))
    values = np.empty(int(offsets[-1]), np.int32)
    place = offsets[:-1].copy()
    for part in parts:
        values[ranges(place, part.lengths)] = part.values
        place += part.lengths
    return Ragged(values, offsets)


@dataclass(frozen=True, slots=True)
class TokenCache:
    """Tokenised texts on disk, keyed by the texts, the tokenizer's contents and the versions that made them."""

    folder: Path
    tell: Callable[[str], None] = lambda line: None

    def tokenise(self, texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, joint: str = "") -> Ragged:
        """Return the tokens from the cache, or make and keep them; an entry that is damaged is told and made anew."""
        key = _key(texts, tokenizer, joint)
        path = self.folder / f"{key}.npy"
        if path.exists():
            try:
                return Ragged(*token_file.read(path, key))
            except (KexpError, OSError) as error:
                self.tell(f"{error}; its texts are tokenised anew")
        count = f"{len(texts):,} texts"

        def progress(done: int) -> None:
            self.tell(f"tokenising {done:,} of {count}…")

        with doing(f"tokenising {count}", self.tell):
            try:
                token_file.write(path, key, tokenised(texts, tokenizer, joint, progress))
                return Ragged(*token_file.read(path, key))
            # A full disk costs the cache only.
            except OSError:
                return tokenise(texts, tokenizer, joint, progress)


def _key(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, joint: str) -> str:
    import tokenizers

    digest = hashlib.blake2b(digest_size=20)
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    # The names of special tokens have been text since "plain"; what was stored before is made anew.
    for part in (kexp.__version__, tokenizers.__version__, backend.to_str(), f"plain {joint}", str(len(texts))):
        digest.update(part.encode() + b"\0")
    for some in chunks_of(texts, CHUNK):
        chunk = [text.encode("utf-8", "surrogatepass") for text in some]
        # With the lengths, since a text may hold whatever would separate it from the next.
        digest.update(np.asarray([len(text) for text in chunk], np.int64).tobytes() + b"".join(chunk))
    return digest.hexdigest()
