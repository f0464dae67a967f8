"""What a run is trained and tested on: its rows, its tokenizer, and every row as tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kexp.contracts import UNLABELLED
from kexp.data.encoding import Encoded, token_counts, unknown_rows
from kexp.data.rows import PreparedData, Rows
from kexp.data.stored_views import StoredViews

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BEFORE = ("median before cutting", "95 % before cutting", "longest before cutting")
"""Names of the lengths in tokens before rows were cut, by which to choose ``training.max_length``."""


@dataclass(frozen=True, slots=True)
class UnlabelledInputs:
    """The unlabelled rows of a run, encoded; ``views`` are augmented ones that were made before training, if any."""

    rows: Rows
    encoded: Encoded
    views: Sequence[Encoded]
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PretrainingRows:
    """The texts of ``[pretraining]``, encoded, with the eojeol of their tokens if these are masked as a whole.

    ``counts`` are how many texts there were, how many were left out, by reason, and the steps on the others.
    """

    encoded: Encoded
    words: Encoded | None
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RunInputs:
    """The data of a run, its tokenizer, every split encoded, and the unlabelled rows if the objective takes them.

    ``labelled_views`` are the augmented texts of the labelled rows, if their augmenter is costly. ``pretraining`` are
    the rows of the stage of that name, if there is one.
    """

    data: PreparedData
    tokenizer: PreTrainedTokenizerFast
    encoded: Mapping[str, Encoded]
    labelled_views: StoredViews | None
    unlabelled: UnlabelledInputs | None
    warnings: Sequence[str] = ()
    pretraining: PretrainingRows | None = None

    def record(self) -> dict[str, Any]:
        """Return the data's record with what encoding adds: lengths in tokens, cut rows, rejected augmentations."""
        import numpy as np

        tokens = {}
        unlabelled = {} if self.unlabelled is None else {UNLABELLED: self.unlabelled.encoded}
        for split, encoded in {**self.encoded, **unlabelled}.items():
            lengths = encoded.tokens.lengths
            median, high, longest = np.percentile(lengths, [50, 95, 100])
            full_lengths, unknown = token_counts(encoded, self.tokenizer)
            tokens[split] = {
                "median": median,
                "95 %": high,
                "longest": longest,
                **dict(zip(BEFORE, np.percentile(full_lengths, [50, 95, 100]).tolist(), strict=True)),
                "truncated rows": encoded.truncated,
                "unknown share": round(int(unknown.sum()) / int(lengths.sum()), 4),
                "unknown rows": unknown_rows(encoded, self.tokenizer),
            }
        record = {**self.data.record, "tokens": tokens}
        if self.unlabelled and self.unlabelled.rejected:
            record["rejected augmentations"] = {"unlabelled": dict(self.unlabelled.rejected)}
        if self.warnings:
            record["warnings"] = [*record.get("warnings", ()), *self.warnings]
        return record
