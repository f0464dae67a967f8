"""What every translator has to get right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexp.contracts import Decoding, Translator, TranslatorContext, TranslatorOptions
from kexp.options import Options
from kexp.testing.fixtures import ODD_TEXTS, STEADY, any_text, korean_texts
from kexp.testing.options import OptionsContract

GREEDY, BEAM, SAMPLING = Decoding("greedy"), Decoding("beam", beams=2), Decoding("sampling", temperature=1.5)
METHODS = pytest.mark.parametrize("decoding", [GREEDY, BEAM, SAMPLING], ids=lambda decoding: decoding.method)

Made = list[list[str]]


class TranslatorContract(OptionsContract):
    """Promises of translators: as many translations as requested, which depend on text, decoding and seed alone.

    ``texts`` are in the language ``source``. ``samples`` is whether seeds make a difference, ``samples_by_row``
    whether a sampled translation is the same whatever texts stand beside it; others always have to be.
    """

    base: ClassVar[type[Options]] = TranslatorOptions
    source: ClassVar[str] = "ko"
    target: ClassVar[str] = "en"
    texts: ClassVar[Sequence[str]] = korean_texts(12)
    samples: ClassVar[bool] = True
    samples_by_row: ClassVar[bool] = True

    @pytest.fixture
    def translator(self, options: TranslatorOptions) -> Iterator[Translator]:
        """Build the translator, and close it."""
        built = options.build(TranslatorContext(self.source, self.target, "cpu"))
        yield built
        built.close()

    @METHODS
    def test_returns_the_requested_translations(self, translator: Translator, decoding: Decoding) -> None:
        """Every text has ``copies`` translations, which differ only by sampling; no texts have no translations."""
        made = translator.translate(self.texts, decoding, 3, 1)
        check_translations(self.texts, made, 3)
        assert translator.translate([], decoding, 1, 1) == []
        if decoding is not SAMPLING:
            assert all(len(set(copies)) == 1 for copies in made)

    @METHODS
    def test_equal_seeds_give_equal_texts(
        self, options: TranslatorOptions, translator: Translator, decoding: Decoding
    ) -> None:
        """The same texts, decoding and seed give the same, also of a translator that is built anew or was closed."""
        first = translator.translate(self.texts, decoding, 2, 1)
        assert translator.translate(self.texts, decoding, 2, 1) == first
        translator.close()
        assert translator.translate(self.texts, decoding, 2, 1) == first
        other = options.build(TranslatorContext(self.source, self.target, "cpu"))
        assert other.identity == translator.identity
        assert other.translate(self.texts, decoding, 2, 1) == first
        other.close()

    def test_seeds_affect_only_sampling(self, translator: Translator) -> None:
        """Other seeds sample other texts, and change nothing else."""
        sampled = [translator.translate(self.texts, SAMPLING, 1, seed) for seed in range(3)]
        assert (sampled[0] != sampled[1] or sampled[0] != sampled[2]) is self.samples
        for decoding in (GREEDY, BEAM):
            one, other = (translator.translate(self.texts, decoding, 1, seed) for seed in range(2))
            assert one == other

    @METHODS
    def test_a_translation_depends_on_its_text_alone(self, translator: Translator, decoding: Decoding) -> None:
        """One by one, or in another order, texts are translated as they are together."""
        if decoding is SAMPLING and not self.samples_by_row:
            return
        together = translator.translate(self.texts, decoding, 2, 1)
        assert translator.translate(self.texts[::-1], decoding, 2, 1)[::-1] == together
        assert [row for text in self.texts for row in translator.translate([text], decoding, 2, 1)] == together

    def test_accepts_odd_texts(self, translator: Translator) -> None:
        """Texts without words, of 10,000 characters, of joined emoji or single jamo do not make it raise."""
        check_translations(ODD_TEXTS, translator.translate(ODD_TEXTS, GREEDY, 1, 1), 1)

    def test_accepts_any_text(self, translator: Translator) -> None:
        """Whatever Unicode has does not make it raise."""

        @STEADY
        @given(st.lists(any_text(), max_size=4))
        def check(texts: list[str]) -> None:
            check_translations(texts, translator.translate(texts, GREEDY, 1, 1), 1)

        check()

    def test_changes_no_input(self, translator: Translator) -> None:
        """The list of texts stays as it was."""
        texts = list(self.texts)
        translator.translate(texts, GREEDY, 1, 1)
        assert texts == list(self.texts)

    def test_has_an_identity(self, options: TranslatorOptions, translator: Translator) -> None:
        """The identity is a text that both directions have."""
        back = options.build(TranslatorContext(self.target, self.source, "cpu"))
        for identity in (translator.identity, back.identity):
            assert isinstance(identity, str)
            assert identity
        back.close()


def check_translations(texts: Sequence[str], made: Made, copies: int) -> None:
    """Fail unless every text has its translations."""
    assert len(made) == len(texts)
    for row in made:
        assert len(row) == copies
        assert all(isinstance(text, str) for text in row)
