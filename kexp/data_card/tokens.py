"""What the backbone's tokenizer makes of the rows, before they are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kexp.contracts import TokenizerContext
from kexp.data.encoding import Encoded, frame, only_unknown, special_tokens, token_counts
from kexp.data.tokenising import TokenCache
from kexp.data_card.finding import Finding
from kexp.data_card.lengths import Lengths, lengths_of
from kexp.data_card.rows import SEEN, CardRows, finding_of_splits, shown_texts
from kexp.experiment.texts import clean, encode_texts
from kexp.settings import cache_folder

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

    from kexp.spec.sections import Spec

CUTS = (16, 32, 64, 128, 256)
"""Maximum lengths whose effect is shown."""
SAMPLES = 3
"""Train rows that are shown with their tokens."""
UNCUT = 2**31 - 1
UNKNOWN = 0.02
"""Share of unknown tokens from which it is a finding."""
WHOLE = 0.99
"""Share of rows that a maximum length should hold."""
STEP = 8
"""Lengths are suggested in multiples of it."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the backbone's tokenizer makes of the rows, before they are cut.

    ``max_length`` is that of the spec, ``suggested`` a multiple of 8 that holds 99 % of the rows of training, or the
    positions of the backbone where they are fewer; ``held`` is the share of these rows that it holds, 0 to 1.
    ``positions`` is the most tokens that the backbone reads (None where that is not known), ``unknown`` the share of
    unknown tokens by split, without special tokens.
    """

    max_length: int
    suggested: int
    held: float
    positions: int | None
    unknown: Mapping[str, float]

    @property
    def held_percent(self) -> str:
        """The share of the rows of training that ``suggested`` holds, in words: 99 % where it is as much or more."""
        return "99 %" if self.held >= WHOLE else f"{self.held:.1%}"


@dataclass(frozen=True, slots=True)
class Sample:
    """A train row with its tokens and their ids, special ones included, cut as the spec says."""

    row: int
    text: str
    label: str
    tokens: Sequence[str]
    ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Tokenised:
    """The rows of every split as tokens, before and after they are cut."""

    tokenizer: PreTrainedTokenizerFast
    encoded: Mapping[str, Encoded]


def tokenise_rows(rows: CardRows, progress: Callable[[str], None]) -> Tokenised:
    """Tokenise all rows, with the cache that training uses; raises ``KexpError`` where there is no tokenizer."""
    spec, used = rows.spec, {split: frame for split, frame in rows.used.items() if len(frame)}
    texts = [text for split in SEEN if split in used for text in used[split]["text"].tolist()]
    tokenizer = spec.backbone.build_tokenizer(TokenizerContext(clean(spec, texts)))
    return Tokenised(tokenizer, {split: _encode(spec, tokenizer, own, progress) for split, own in used.items()})


def _encode(
    spec: Spec, tokenizer: PreTrainedTokenizerFast, rows: pd.DataFrame, progress: Callable[[str], None]
) -> Encoded:
    cache, joint = TokenCache(cache_folder() / "tokens", progress), spec.dataset.joint()
    pairs = clean(spec, rows["text_pair"].tolist()) if "text_pair" in rows else None
    first = cache.tokenise(clean(spec, rows["text"].tolist()), tokenizer, joint)
    second = None if pairs is None else cache.tokenise(pairs, tokenizer, joint)
    return frame(first, second, tokenizer, max_length=UNCUT, truncation=spec.training.truncation)


def lengths(tokenised: Tokenised, max_length: int) -> tuple[Lengths, ...]:
    """Describe the lengths of every split in tokens, special ones included."""
    cuts = (*CUTS, max_length)
    return tuple(
        lengths_of(split, "tokens", own.tokens.lengths, cuts) for split, own in tokenised.encoded.items() if len(own)
    )


def tokens(spec: Spec, tokenised: Tokenised) -> Tokens:
    """Return what of the tokens concerns the options of a spec; raises ``KexpError`` as the backbone does."""
    positions = spec.backbone.max_positions()
    trained = np.concatenate([own.tokens.lengths for split, own in tokenised.encoded.items() if split in SEEN])
    suggested = _suggested(trained, positions)
    unknown = {split: _unknown_share(own, tokenised.tokenizer) for split, own in tokenised.encoded.items()}
    return Tokens(spec.training.max_length, suggested, float((trained <= suggested).mean()), positions, unknown)


def _suggested(lengths: NDArray[np.int64], positions: int | None) -> int:
    """Return a maximum length that holds 99 % of these rows, or as many as the backbone reads."""
    whole = int(np.percentile(lengths, 100 * WHOLE, method="inverted_cdf"))
    suggested = -(-whole // STEP) * STEP
    return min(suggested, positions or suggested)


def _unknown_share(encoded: Encoded, tokenizer: PreTrainedTokenizerFast) -> float:
    _, unknown = token_counts(encoded, tokenizer)
    special = special_tokens(tokenizer).count(pairs=encoded.boundaries is not None)
    return float(unknown.sum() / max(int((encoded.tokens.lengths - special).sum()), 1))


def token_findings(rows: CardRows, tokenised: Tokenised, found: Tokens) -> Iterator[Finding]:
    """Look for rows that are cut, and for tokens that the tokenizer does not know."""
    longer = {split: own.tokens.lengths > found.max_length for split, own in tokenised.encoded.items()}
    remedy, handled = _about_cuts(tokenised, found)
    title = f"longer than training.max_length = {found.max_length}, which are cut"
    yield from _finding("cut", title, rows, longer, remedy, handled=handled)
    holding = {split: token_counts(own, tokenised.tokenizer)[1] > 0 for split, own in tokenised.encoded.items()}
    if max(found.unknown.values(), default=0) >= UNKNOWN:
        shares = ", ".join(f"{split} {share:.1%}" for split, share in found.unknown.items())
        title = f"with unknown tokens, which are {shares} of all tokens"
        yield from _finding("unknown-tokens", title, rows, holding, "a backbone whose vocabulary has these characters")
    alone = {split: only_unknown(own, tokenised.tokenizer) for split, own in tokenised.encoded.items()}
    title = "of unknown tokens alone, which a model cannot tell apart"
    yield from _finding("only-unknown-tokens", title, rows, alone, "another backbone, or remove these rows")


def _about_cuts(tokenised: Tokenised, found: Tokens) -> tuple[str, bool]:
    """Return what to do about rows that are cut, and whether the spec needs no change."""
    end = "training.truncation says which end is cut"
    by_split = {split: own.tokens.lengths for split, own in tokenised.encoded.items()}
    much = {split: own for split, own in by_split.items() if (own <= found.max_length).mean() < WHOLE}
    longest = max([found.suggested, *(_suggested(own, found.positions) for own in much.values())])
    if found.max_length < found.suggested:
        said = f"training.max_length = {found.suggested}"
        if found.held < WHOLE:
            said += f", the most that the backbone reads, holds {found.held_percent} of the rows of training; {end}"
        return said, False
    if found.max_length < longest:
        return f"training.max_length = {longest} cuts fewer rows of {', '.join(much)}; {end}", False
    if much:
        return f"the backbone reads no more: {end}; a backbone with more positions, or shorter texts", False
    return f"99 % of the rows of every split are not cut; {end}", True


def _finding(
    name: str,
    title: str,
    rows: CardRows,
    found: Mapping[str, NDArray[np.bool_]],
    remedy: str,
    *,
    handled: bool = False,
) -> Iterator[Finding]:
    frames, total = {split: rows.used[split][own] for split, own in found.items()}, sum(map(len, found.values()))
    yield from finding_of_splits(name, title, frames, total, remedy, handled=handled)


def samples(rows: CardRows, tokenised: Tokenised) -> tuple[Sample, ...]:
    """Return the first train rows with their tokens, as the model is given them."""
    first = rows.used["train"].head(SAMPLES)
    pairs = first["text_pair"].tolist() if "text_pair" in first else None
    encoded = encode_texts(rows.spec, tokenised.tokenizer, first["text"].tolist(), pairs)
    ids = [encoded.tokens.row(number).tolist() for number in range(len(first))]
    columns = (first["row"], shown_texts(first), first["label"], ids)
    return tuple(
        Sample(int(row), str(text), str(label), tokenised.tokenizer.convert_ids_to_tokens(own), own)
        for row, text, label, own in zip(*columns, strict=True)
    )
