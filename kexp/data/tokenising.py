"""Texts as rows of token ids: tokenised once, without special tokens and without a limit of length, and cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import kexp
from kexp.data import token_file
from kexp.data.ragged import Ragged, offsets_of
from kexp.data.texts import CHUNK, chunks_of, encoded, encoded_chunks
from kexp.doing import doing
from kexp.errors import KexpError, reason_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast


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
            except OSError as error:
                until = "tokens are made anew every time until KEXP_CACHE_DIR names a folder that takes them"
                self.tell(f"{error.filename or path}: {reason_of(error)}; {until}")
                return tokenise(texts, tokenizer, joint, progress)


def _key(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, joint: str) -> str:
    import pyarrow.compute as pc
    import tokenizers

    digest = hashlib.blake2b(digest_size=20)
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    # The names of special tokens have been text since "plain"; what was stored before is made anew.
    for part in (kexp.__version__, tokenizers.__version__, backend.to_str(), f"plain {joint}", str(len(texts))):
        digest.update(part.encode() + b"\0")
    for chunk in encoded_chunks(texts, CHUNK):
        # With the lengths, since a text may hold whatever would separate it from the next.
        digest.update(pc.binary_length(chunk).to_numpy().astype(np.int64))
        digest.update(encoded(chunk))
    return digest.hexdigest()
