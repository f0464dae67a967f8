"""Texts as flat arrays of token ids: tokenised once without special tokens, cached, cut to any length afterwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import kexp
from kexp import tensor_files
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

    def row(self, number: int) -> NDArray[np.int32]:
        """Return one row."""
        return self.values[self.offsets[number] : self.offsets[number + 1]]

    def take(self, rows: NDArray[np.int64]) -> Ragged:
        """Return some rows in this order."""
        lengths = self.lengths[rows]
        return Ragged(self.values[ranges(self.offsets[rows], lengths)], offsets_of(lengths))


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows as a model takes them, special tokens included. ``boundaries`` is where each row's second segment begins.

    ``hidden`` returns what the frozen blocks of a model make of some of these very rows, where that is known;
    ``full_lengths`` are the tokens of every row before it was cut, special tokens included.
    """

    tokens: Ragged
    boundaries: NDArray[np.int64] | None
    truncated: int
    hidden: Hidden | None = None
    full_lengths: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return by name all that a model is given, whose digest is that of the rows."""
        arrays: dict[str, NDArray[np.generic]] = {"ids": self.tokens.values, "offsets": self.tokens.offsets}
        return arrays if self.boundaries is None else {**arrays, "boundaries": self.boundaries}

    def take(self, rows: NDArray[np.int64]) -> Encoded:
        """Return some rows in this order."""
        boundaries = None if self.boundaries is None else self.boundaries[rows]
        full = None if self.full_lengths is None else self.full_lengths[rows]
        hidden = None if self.hidden is None else partial(_of_rows, self.hidden, rows)
        return Encoded(self.tokens.take(rows), boundaries, self.truncated, hidden, full)

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
    before = np.concatenate([[0], np.cumsum(encoded.tokens.values == tokenizer.unk_token_id)])
    unknown = np.diff(before[encoded.tokens.offsets]).astype(np.int64)
    return encoded.tokens.lengths if encoded.full_lengths is None else encoded.full_lengths, unknown


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
    special = special_tokens(tokenizer)
    if second is None:
        return _frame_single(first, special, max_length, truncation)
    return _frame_pair(first, second, special, max_length, truncation)


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
    kept = _special_tokens_in(joint, tokenizer)
    values, lengths = [np.empty(0, np.int32)], []
    with plain_backend(tokenizer, joint) as backend:
        for start in range(0, len(texts), CHUNK):
            chunk = list(texts[start : start + CHUNK])
            rows = [row.ids for row in backend.encode_batch_fast(chunk, add_special_tokens=False)]
            lengths += [len(row) for row in rows]
            values.append(np.fromiter((token for row in rows for token in row), np.int32))
            if len(lengths) < len(texts):
                progress(len(lengths))
    tokens = np.concatenate(values)
    # SentencePiece has special tokens among its pieces, and finds them in texts.
    if tokenizer.unk_token_id is not None:
        named = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
        tokens[np.isin(tokens, [number for token, number in named if token not in kept])] = tokenizer.unk_token_id
    return Ragged(tokens, offsets_of(np.asarray(lengths, np.int64)))


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


def offsets_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the offsets of rows with these lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _frame_single(first: Ragged, special: SpecialTokens, max_length: int, truncation: str) -> Encoded:
    room = max_length - len(special.prefix) - len(special.suffix)
    kept = np.minimum(first.lengths, _positive(room, max_length))
    body = cut(first, kept, truncation)
    tokens = _concatenate([_repeat(special.prefix, len(first)), body, _repeat(special.suffix, len(first))])
    full = first.lengths + len(special.prefix) + len(special.suffix)
    return Encoded(tokens, None, int((first.lengths > kept).sum()), full_lengths=full)


def _frame_pair(first: Ragged, second: Ragged, special: SpecialTokens, max_length: int, truncation: str) -> Encoded:
    """Cut the longer text of a pair first, as the field's tokenizers do (``longest_first``)."""
    room = _positive(max_length - len(special.prefix) - len(special.middle) - len(special.suffix), max_length)
    # The token that halving leaves over goes to the longer text, and to the second of equally long ones.
    half = np.where(first.lengths > second.lengths, room - room // 2, room // 2)
    kept_first = np.minimum(first.lengths, np.maximum(room - second.lengths, half))
    kept_second = np.minimum(second.lengths, room - kept_first)
    rows = len(first)
    tokens = _concatenate([
        _repeat(special.prefix, rows), cut(first, kept_first, truncation), _repeat(special.middle, rows),
        cut(second, kept_second, truncation), _repeat(special.suffix, rows),
    ])  # fmt: skip
    shortened = (first.lengths > kept_first) | (second.lengths > kept_second)
    boundaries = len(special.prefix) + kept_first + len(special.middle)
    full = first.lengths + second.lengths + len(special.prefix) + len(special.middle) + len(special.suffix)
    return Encoded(tokens, boundaries, int(shortened.sum()), full_lengths=full)


def _positive(room: int, max_length: int) -> int:
    if room < 1:
        raise KexpError(f"training.max_length: {max_length} leaves no token beside the special tokens; use more")
    return room


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
        path = self.folder / f"{key}.safetensors"
        made_from = {"texts and tokenizer": key}
        if path.exists():
            try:
                return Ragged(**tensor_files.load(path, made_from))
            except (KexpError, OSError) as error:
                self.tell(f"{error}; its texts are tokenised anew")
        count = f"{len(texts):,} texts"
        with doing(f"tokenising {count}", self.tell):
            rows = tokenise(texts, tokenizer, joint, lambda done: self.tell(f"tokenising {done:,} of {count}…"))
        # A full disk costs the cache only.
        with suppress(OSError):
            tensor_files.save(path, {"values": rows.values, "offsets": rows.offsets}, made_from)
        return rows


def _key(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, joint: str) -> str:
    import tokenizers

    digest = hashlib.blake2b(digest_size=20)
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    # The names of special tokens have been text since "plain"; what was stored before is made anew.
    for part in (kexp.__version__, tokenizers.__version__, backend.to_str(), f"plain {joint}", str(len(texts))):
        digest.update(part.encode() + b"\0")
    for start in range(0, len(texts), CHUNK):
        chunk = [text.encode("utf-8", "surrogatepass") for text in texts[start : start + CHUNK]]
        # With the lengths, since a text may hold whatever would separate it from the next.
        digest.update(np.asarray([len(text) for text in chunk], np.int64).tobytes() + b"".join(chunk))
    return digest.hexdigest()
