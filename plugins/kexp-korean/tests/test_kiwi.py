"""Kiwi as an analyser: what it reads, what it remembers, and what is said without it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from random import Random
from typing import Any

import pytest

from kexp.builtin.augmenters import RandomDeletion, RandomSwap, SpacingNoise, TfIdfReplacement
from kexp.contracts import AugmenterContext, AugmenterOptions
from kexp.errors import KexpError
from kexp.korean import eojeol
from kexp.korean.eojeol import analyser, analyser_identity
from kexp_korean import kiwi
from kexp_korean.synonyms import RandomInsertion, SynonymSwap

EVERY: tuple[type[AugmenterOptions], ...] = (
    RandomDeletion,
    RandomSwap,
    TfIdfReplacement,
    SpacingNoise,
    SynonymSwap,
    RandomInsertion,
)
installed = pytest.mark.skipif(
    find_spec("kiwipiepy") is None and "KEXP_NO_SKIPS" not in os.environ,
    reason="needs kiwipiepy: pip install -e 'plugins/kexp-korean[morphology]'",
)


@installed
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("볼 수 없다", ["predicate/modifier", "bound noun/bare", "predicate/final"]),
        ("영화는 정말 재미있었지만", ["noun/topic", "intensifier/bare", "predicate/connective"]),
        ("이 배우의 연기를 안 봤다", ["determiner/modifier", "noun/modifier", "noun/object", "negation/bare", "predicate/final"]),
        ("그래서 불빛을 비추는 등대와 배", ["conjunction/bare", "noun/object", "predicate/modifier", "noun/conjunct", "noun/bare"]),
        ("해 주고 싶다", ["predicate/connective", "auxiliary/connective", "auxiliary/final"]),
        ("진짜? 라는 말이", ["intensifier/bare", "bound noun/modifier", "noun/subject"]),
        ("갈매기 나는 하늘", ["noun/bare", "predicate/modifier", "noun/bare"]),
        ("미덕을 아는 감독", ["noun/object", "predicate/modifier", "noun/bare"]),
        ("겁나게 재밌다", ["intensifier/bare", "predicate/final"]),
        ("ㅋㅋㅋ 10점 CG가", ["other/bare", "other/bare", "other/bare"]),
    ],
)  # fmt: skip
def test_reads_kind_and_form(text: str, expected: list[str]) -> None:
    assert [f"{word.kind}/{word.form}" for word in analyser("kiwi")([text])[0]] == expected


@installed
def test_reads_stems_particles_marks_and_joints() -> None:
    words = analyser("kiwi")(["(배우들이) 생각하다 재미있고, 재밌는것"])[0]
    assert [word.text for word in words] == ["배우들이", "생각하다", "재미있고", "재밌는것"]
    assert (words[0].stem, words[0].ending) == ("배우들", "이")
    assert [word.mark for word in words] == [True, False, True, False]
    assert [word.joints for word in words] == [(), (2,), (), (3,)]
    assert [word.gradable for word in words][1:3] == [False, True]
    names = analyser("kiwi")(["지창욱 이문열이 이영화"])[0]
    assert [word.joints for word in names] == [(), (), (1,)]


@installed
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\t",
        "👍🏽 정말  좋다 👨‍👩‍👧‍👦 안 봄",
        "\ud800 가 \x00 나",
        "가" * 10_000,
        "한 글 " * 2_000,
        "\u1112\u1161\u11ab 글",
    ],
)
def test_there_is_one_eojeol_per_word(text: str) -> None:
    assert len(analyser("kiwi")([text])[0]) == len(text.split())


@installed
def test_texts_are_analysed_together_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = kiwi.KiwiAnalyser()
    calls: list[list[str]] = []
    tokenize = made._kiwi.tokenize
    monkeypatch.setattr(
        made, "_kiwi", type("Counted", (), {"tokenize": lambda _, texts: calls.append(texts) or tokenize(texts)})()
    )
    first = made(["정말 좋다", "안 봤다", "정말  좋다"])
    assert calls == [["정말 좋다", "안 봤다"]]
    assert made(["안 봤다", "정말 좋다"]) == [first[1], first[0]]
    assert len(calls) == 1
    monkeypatch.setattr(kiwi, "REMEMBERED", 1)
    made(["새 글"])
    made(["새 글"])
    made(["안 봤다"])
    assert [*map(len, calls)] == [2, 1, 1]


@installed
def test_an_augmenter_shows_all_texts_to_the_analyser_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    read = analyser("kiwi")

    def counted(texts: list[str]) -> Any:
        seen.append(len(texts))
        return read(texts)

    monkeypatch.setattr("kexp.word_augmenter.analyser", lambda name: counted)
    RandomDeletion(analyser="kiwi").build(AugmenterContext())(["정말 좋다", "안 봤다"], [Random(0), Random(1)])
    assert seen[0] == 2


@installed
def test_the_store_is_named_by_the_version_of_kiwi(monkeypatch: pytest.MonkeyPatch) -> None:
    import kiwipiepy

    context = AugmenterContext(texts=["가 나"])
    for options in EVERY:
        ours, rules = options(analyser="kiwi").identity(context), options().identity(context)
        assert f"kiwipiepy {kiwipiepy.__version__}, model " in ours
        assert "kiwi" not in rules
        monkeypatch.setattr(kiwi.KiwiAnalyser, "identity", "kiwipiepy 99, model 99")
        assert options(analyser="kiwi").identity(context) != ours
        monkeypatch.undo()
    assert analyser_identity("rules") == "rules"


@pytest.mark.parametrize("options", EVERY)
def test_without_kiwi_the_extra_is_named_and_nothing_falls_back(options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kiwi, "installed_version", lambda: "")
    eojeol.analyser.cache_clear()
    (problem,) = options(analyser="kiwi").problems()
    assert problem.path == "analyser"
    assert problem.message.endswith("pip install kiwipiepy")
    with pytest.raises(KexpError, match=r"pip install kiwipiepy$"):
        options(analyser="kiwi").build(AugmenterContext())
    assert list(options().problems()) == []
    eojeol.analyser.cache_clear()


@pytest.mark.parametrize("options", EVERY)
def test_without_this_package_the_extra_is_named(options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(eojeol._CLASSES, "kiwi", "kexp_korean_of_nobody.kiwi:KiwiAnalyser")
    (problem,) = options(analyser="kiwi").problems()
    # Of a checkout: no package index is known to hold kexp-korean.
    assert "pip install -e 'plugins/kexp-korean[morphology]'" in problem.message


def test_rules_do_not_import_kiwi() -> None:
    code = (
        "import sys; from random import Random; from kexp.contracts import AugmenterContext;"
        "from kexp_korean.synonyms import SynonymSwap;"
        "SynonymSwap().build(AugmenterContext())(['정말 좋은 영화'], [Random(0)]);"
        "print([name for name in sys.modules if 'kiwi' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
