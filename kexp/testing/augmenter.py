"""What every augmenter has to get right."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexp.contracts import Augmenter, AugmenterContext, AugmenterOptions, ClosableAugmenter, Rejected
from kexp.options import Options
from kexp.sample_reviews import korean_reviews
from kexp.spec.parts import sections_in
from kexp.testing.fixtures import (
    ODD_TEXTS,
    STEADY,
    any_text,
    generators,
    korean_texts,
    no_global_randomness,
)
from kexp.testing.options import OptionsContract


class AugmenterContract(OptionsContract):
    """Promises of augmenters: a text and its generator alone decide the result, for any text.

    ``texts`` are what is augmented, at least one of which changes; ``is_random`` is whether other generators give
    other texts. The fixture ``context`` is what the augmenter learns from.
    """

    base: ClassVar[type[Options]] = AugmenterOptions
    is_random: ClassVar[bool] = True
    texts: ClassVar[Sequence[str]] = korean_texts(40)

    @pytest.fixture
    def context(self, tmp_path: Path) -> AugmenterContext:
        """Return reviews with labels, some rows without, and a folder."""
        texts, labels = korean_reviews(200)
        return AugmenterContext(texts, texts[:120], labels[:120], tmp_path / "store", "cpu")

    @pytest.fixture
    def augmenter(self, options: AugmenterOptions, context: AugmenterContext) -> Iterator[Augmenter]:
        """Build the augmenter, and close it if it can be closed."""
        built = options.build(context)
        yield built
        close(built)

    def test_equal_generators_give_equal_texts(
        self, options: AugmenterOptions, context: AugmenterContext, augmenter: Augmenter
    ) -> None:
        """The same texts and generators give the same result, also of an augmenter that is built anew."""
        first = augmenter(self.texts, generators(len(self.texts)))
        assert augmenter(self.texts, generators(len(self.texts))) == first
        other = options.build(context)
        assert other(self.texts, generators(len(self.texts))) == first
        close(other)

    def test_other_generators_give_other_texts(self, augmenter: Augmenter) -> None:
        """It draws from the generators, unless it is not random."""
        made = [augmenter(self.texts, generators(len(self.texts), seed)) for seed in range(3)]
        assert (made[0] != made[1] or made[0] != made[2]) is self.is_random

    def test_a_row_depends_on_its_text_and_generator_alone(self, augmenter: Augmenter) -> None:
        """Augmenting rows one by one, or in another order, gives what augmenting them together gives."""
        together = augmenter(self.texts, generators(len(self.texts)))
        assert augmenter(self.texts[::-1], generators(len(self.texts))[::-1])[::-1] == together
        pairs = zip(self.texts, generators(len(self.texts)), strict=True)
        assert [row for text, generator in pairs for row in augmenter([text], [generator])] == together

    def test_identity_names_what_it_learns(
        self, options: AugmenterOptions, context: AugmenterContext, augmenter: Augmenter
    ) -> None:
        """It has one identity for one context; with the same identity, another context gives the same texts."""
        assert options.identity(context) == options.identity(context)
        texts, labels = korean_reviews(300, seed=1)
        other = replace(context, texts=texts, labelled=texts[:90], labels=labels[:90])
        if options.identity(other) == options.identity(context):
            built = options.build(other)
            assert built(self.texts, generators(len(self.texts))) == augmenter(self.texts, generators(len(self.texts)))
            close(built)

    def test_gives_one_result_per_text(self, augmenter: Augmenter) -> None:
        """Each result is a text, or a rejection with its reason; of no texts nothing is made."""
        check_results(self.texts, augmenter(self.texts, generators(len(self.texts))))
        assert augmenter([], []) == []

    def test_accepts_odd_texts(self, augmenter: Augmenter) -> None:
        """Texts without words, of 10,000 characters, of joined emoji or single jamo do not make it raise."""
        check_results(ODD_TEXTS, augmenter(ODD_TEXTS, generators(len(ODD_TEXTS))))

    def test_accepts_any_text(self, augmenter: Augmenter) -> None:
        """Whatever Unicode has does not make it raise, and does not matter to the texts beside it."""

        @STEADY
        @given(st.lists(any_text(), max_size=4))
        def check(texts: list[str]) -> None:
            together = augmenter(texts, generators(len(texts)))
            check_results(texts, together)
            pairs = zip(texts, generators(len(texts)), strict=True)
            assert [row for text, generator in pairs for row in augmenter([text], [generator])] == together

        check()

    def test_keeps_texts_in_nfc(self, augmenter: Augmenter) -> None:
        """A text in NFC, as kexp gives all texts, stays in NFC: a model's vocabulary has whole syllables."""
        texts = [text for text in (*self.texts, *ODD_TEXTS) if unicodedata.is_normalized("NFC", text)]
        for seed in range(3):
            for result in augmenter(texts, generators(len(texts), seed)):
                assert unicodedata.is_normalized("NFC", result if isinstance(result, str) else result.text)

    def test_changes_no_input_or_global_state(self, augmenter: Augmenter) -> None:
        """It changes neither the list of texts nor the state of generators that everybody shares."""
        texts = list(self.texts)
        # What is loaded with the first text may use them.
        augmenter(texts[:1], generators(1))
        with no_global_randomness():
            augmenter(texts, generators(len(texts)))
        assert texts == list(self.texts)

    def test_cost_and_views_are_consistent(self, options: AugmenterOptions) -> None:
        """Only a costly augmenter makes several views; one that holds a costly one is costly, with as many views."""
        assert isinstance(options.costly, bool)
        assert isinstance(options.views(), int)
        assert options.views() == 1 or (options.costly and options.views() > 1)
        held = [part for place, part in sections_in("", options) if isinstance(part, AugmenterOptions) and place]
        if any(part.costly for part in held):
            assert options.costly
        assert options.views() >= max((part.views() for part in held), default=1)


def check_results(texts: Sequence[str], results: Sequence[str | Rejected]) -> None:
    """Fail unless there is one text or rejection per text."""
    assert isinstance(results, list)
    assert len(results) == len(texts)
    for result in results:
        assert isinstance(result, str | Rejected), f"neither a text nor Rejected: {result!r}"
        if isinstance(result, Rejected):
            assert isinstance(result.text, str)
            assert result.reason


def close(augmenter: Augmenter) -> None:
    """Close an augmenter that can be closed."""
    if isinstance(augmenter, ClosableAugmenter):
        augmenter.close()
