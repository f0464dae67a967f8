"""What the backbone's tokenizer makes of the rows, before they are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kexp.contracts import TokenizerContext
from kexp.data.encoding import Encoded, TokenCache, frame, only_unknown, special_tokens, token_counts
from kexp.data_card.finding import EXAMPLES, Finding
from kexp.data_card.lengths import Lengths, lengths_of
from kexp.data_card.rows import SEEN, CardRows, by_split, counted, examples, shown_texts
from kexp.experiment.texts import clean, encode_texts, without_long_tails
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
STEP = 8
"""Lengths are suggested in multiples of it."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the backbone's tokenizer makes of the rows, before they are cut.

    ``max_length`` is that of the spec, ``suggested`` a multiple of 8 that holds 99 % of the rows of training,
    ``positions`` the most tokens that the backbone reads (None where that is not known), ``unknown`` the share of
    unknown tokens by split, without special tokens.
    """

    max_length: int
    suggested: int
    positions: int | None
    unknown: Mapping[str, float]


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
    texts = without_long_tails(spec, tokenizer, clean(spec, rows["text"].tolist()), pairs)
    first = cache.tokenise(texts, tokenizer, joint)
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
    whole = int(np.percentile(trained, 99, method="inverted_cdf"))
    suggested = -(-whole // STEP) * STEP
    unknown = {split: _unknown_share(own, tokenised.tokenizer) for split, own in tokenised.encoded.items()}
    return Tokens(spec.training.max_length, min(suggested, positions or suggested), positions, unknown)


def _unknown_share(encoded: Encoded, tokenizer: PreTrainedTokenizerFast) -> float:
    _, unknown = token_counts(encoded, tokenizer)
    special = special_tokens(tokenizer).count(pairs=encoded.boundaries is not None)
    return float(unknown.sum() / max(int((encoded.tokens.lengths - special).sum()), 1))


def token_findings(rows: CardRows, tokenised: Tokenised, found: Tokens) -> Iterator[Finding]:
    """Look for rows that are cut, and for tokens that the tokenizer does not know."""
    longer = {split: own.tokens.lengths > found.max_length for split, own in tokenised.encoded.items()}
    if found.suggested > found.max_length:
        remedy, handled = f"training.max_length = {found.suggested}", False
    else:
        remedy, handled = "99 % of the rows of training are not cut; training.truncation says which end is", True
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


def _finding(
    name: str,
    title: str,
    rows: CardRows,
    found: Mapping[str, NDArray[np.bool_]],
    remedy: str,
    *,
    handled: bool = False,
) -> Iterator[Finding]:
    counts = {split: int(own.sum()) for split, own in found.items()}
    if count := sum(counts.values()):
        shown = [one for split, own in found.items() for one in examples(rows.used[split][own])]
        said = f"{counted(count)} {title} ({by_split(counts)})"
        yield Finding(name, said, count, sum(map(len, found.values())), tuple(shown[:EXAMPLES]), remedy, handled)


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
