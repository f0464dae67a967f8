"""The translator in kexp's suite for translators, and what it says."""

from pathlib import Path

import pytest
from kexp.contracts import Decoding, TranslatorContext
from kexp.errors import KexpError
from kexp.testing import TranslatorContract

from my_package.translator import MyTranslator


class TestMyTranslator(TranslatorContract):
    examples = (MyTranslator(),)
    texts = ("정말 좋은 영화", "배우 정말 별로", "영화 음악 정말 최고", "그 영화")


def test_there_and_back_the_words_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "glossary.tsv").write_text("고양이\tcat\n개\tdog, hound\n", "utf-8")
    options = MyTranslator(glossary=tmp_path / "glossary.tsv")
    there, back = (options.build(TranslatorContext(*pair)) for pair in (("ko", "en"), ("en", "ko")))
    assert there.translate(["고양이 개 새"], Decoding(), 1, 0) == [["cat dog 새"]]
    assert back.translate(["cat hound"], Decoding(), 1, 0) == [["고양이 개"]]


def test_a_pair_without_korean_is_refused() -> None:
    with pytest.raises(KexpError, match="found en to de"):
        MyTranslator().build(TranslatorContext("en", "de"))
