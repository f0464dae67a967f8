"""NSMC, the Naver sentiment movie corpus: reviews that are negative or positive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kexp_korean.published import Corpus, Part
from kexp_korean.shapes import Shape

FILES = {"train": "ratings_train.txt", "test": "ratings_test.txt"}
REVIEWS = Shape(
    text=("document",),
    label="label",
    labels={"0": "negative", "1": "positive"},
    layout={"format": "tsv", "quoting": False},
)


class NSMC(Corpus):
    """Naver movie reviews, negative or positive, from NSMC's two files; validation is taken out of train.

    The files are UTF-8, tab-separated, with the columns ``id``, ``document`` and ``label`` and without quoting;
    150,000 and 50,000 rows are published.
    """

    licence: ClassVar[str] = "CC0 1.0: no limits"
    homepage: ClassVar[str] = "https://github.com/e9t/nsmc"

    def parts(self) -> Sequence[Part]:
        """Return both files."""
        return (Part("train", {FILES["train"]: REVIEWS}, 150_000), Part("test", {FILES["test"]: REVIEWS}, 50_000))
