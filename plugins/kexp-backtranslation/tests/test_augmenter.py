"""Back-translation as kexp sees it: texts and generators in, paraphrases or rejections out."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
import toy_language
from pydantic import Field, ValidationError

from kexp.contracts import AugmenterContext, Rejected, Translator, TranslatorContext, TranslatorOptions
from kexp.errors import RunFailed
from kexp_backtranslation.augmenter import BackTranslation, KeepOriginal
from kexp_backtranslation.command import Command
from kexp_backtranslation.gate import Gate
from kexp_backtranslation.marian import Marian
from kexp_backtranslation.models import ModelSource

PARAPHRASES = {row[0]: row[2] for row in toy_language.sentences()}
TEXTS = toy_language.korean(50, seed=1)


def randoms(count: int, seed: int = 0) -> list[Random]:
    return [Random(1000 * seed + number) for number in range(count)]


class Lookup(TranslatorOptions):
    """A translator that knows a few translations by heart."""

    known: dict[str, str] = Field({})
    broken: bool = False

    def build(self, context: TranslatorContext) -> Translator:
        return Known(self, context)


class Known:
    calls: ClassVar[list[list[str]]] = []

    def __init__(self, options: Lookup, context: TranslatorContext) -> None:
        self.options = options
        self.identity = f"lookup {context.source} {options.known}"

    def translate(self, texts: Sequence[str], decoding: Any, copies: int, seed: int) -> list[list[str]]:
        Known.calls.append(list(texts))
        if self.options.broken:
            return [["x"]]
        return [[self.options.known.get(text, text)] * copies for text in texts]

    def close(self) -> None:
        pass


@pytest.mark.parametrize("engine", ["marian", "ctranslate2"])
def test_paraphrases(engine: str, back_translation: Any, context: AugmenterContext) -> None:
    made = back_translation(engine, method="greedy").build(context)(TEXTS, randoms(50))
    assert sum(made[row] == PARAPHRASES[text] for row, text in enumerate(TEXTS)) >= 47


def test_translators_of_either_way_may_differ(pair: Any, context: AugmenterContext) -> None:
    forward = pair.marian(back_model=None)
    back = pair.ctranslate2(model=ModelSource(path=pair.back), back_model=None)
    options = BackTranslation(translator=forward, back=back, method="greedy", gate=Gate(min_characters=5))
    made = options.build(context)(TEXTS, randoms(50))
    assert sum(made[row] == PARAPHRASES[text] for row, text in enumerate(TEXTS)) >= 45


def test_a_generator_chooses_among_the_copies(back_translation: Any, context: AugmenterContext) -> None:
    options = back_translation(method="sampling", temperature=2.5, copies=4)
    assert options.views() == 4
    assert options.costly
    augmenter = options.build(context)
    first = augmenter(TEXTS, randoms(50))
    assert augmenter(TEXTS, randoms(50)) == first
    alone = options.build(context)  # whatever stands around a text
    assert [alone([text], [random])[0] for text, random in zip(TEXTS, randoms(50), strict=True)] == first
    others = [augmenter(TEXTS, randoms(50, seed)) for seed in range(1, 6)]
    assert max(len(set(map(str, views))) for views in zip(first, *others, strict=True)) >= 3


def test_nothing_is_translated_twice(context: AugmenterContext) -> None:
    Known.calls.clear()
    options = BackTranslation(translator=Lookup(known={"b": "c"}), gate=Gate(min_characters=1, min_chrf=0))
    texts = [f"글 {number}" for number in range(150)]
    options.build(context)(texts * 2, randoms(300))
    assert len(Known.calls) == 2 * 3  # 150 in chunks of 64, there and back
    assert sum(map(len, Known.calls)) == 2 * 150
    options.build(context)(texts[::-1], randoms(150))
    assert len(Known.calls) == 6
    options.build(context)([*texts, "new one"], randoms(151))
    assert Known.calls[6:] == [["new one"], ["new one"]]
    more = BackTranslation(**{**dict(options), "copies": 2})
    more.build(context)(texts, randoms(150))
    assert sum(map(len, Known.calls[8:])) == 2 * 150  # the second copy alone


def test_rejects_with_the_reason_or_falls_back(context: AugmenterContext) -> None:
    known = {"이 영화는 정말 재미있어요": "fun", "fun": "정말이지 이 영화는 재미있네요"}
    texts = ["이 영화는 정말 재미있어요", "이 노래는 정말 지루하네요", "짧은 글"]
    options = BackTranslation(translator=Lookup(known=known))
    augmenter: Any = options.build(context)
    assert augmenter(texts, randoms(3)) == [
        "정말이지 이 영화는 재미있네요",
        Rejected("이 노래는 정말 지루하네요", "unchanged"),
        Rejected("짧은 글", "too short"),
    ]
    assert augmenter.judge.counts == {"accepted": 1, "unchanged": 1, "too short": 1}
    original = BackTranslation(translator=Lookup(known=known), fallback=KeepOriginal()).build(context)
    assert original(texts, randoms(3)) == ["정말이지 이 영화는 재미있네요", *texts[1:]]

    from kexp.builtin.augmenters import AUGMENTERS

    deletion = AUGMENTERS["random-deletion"](p=0.9)  # type: ignore[call-arg]
    shorter = BackTranslation(translator=Lookup(known=known), fallback=deletion).build(context)
    made = shorter(texts, randoms(3))
    assert made == [made[0], *deletion.build(context)(texts[1:], randoms(3)[1:])]


def test_texts_of_several_sentences(context: AugmenterContext) -> None:
    known = {"영화가 좋다.": "Good.", "Good.": "훌륭한 영화.", "또 볼래요!": "Again!", "Again!": "다시 볼게요!"}
    options = BackTranslation(translator=Lookup(known=known), gate=Gate(min_chrf=0))
    assert options.build(context)(["영화가 좋다. 또 볼래요! ^^"], randoms(1)) == ["훌륭한 영화. 또 볼래요! ^^"]
    assert options.build(context)(["영화가 좋다. 또 볼래요!"], randoms(1)) == ["훌륭한 영화. 다시 볼게요!"]
    whole = BackTranslation(**{**dict(options), "split": False}).build(context)
    assert whole(["영화가 좋다. 또 볼래요!"], randoms(1)) == [Rejected("영화가 좋다. 또 볼래요!", "unchanged")]


def test_tells_progress_and_what_limits(
    back_translation: Any, context: AugmenterContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kexp_backtranslation.progress.INTERVAL", 0)
    lines: list[str] = []
    back_translation(method="greedy").build(replace(context, progress=lines.append))(TEXTS, randoms(50))
    assert any("ko to en" in line and "texts/s" in line and "left" in line for line in lines)
    assert any("en to ko" in line for line in lines)
    assert "accepted" in lines[-2]
    assert "100 translations in" in lines[-1]
    assert "tokens/s" in lines[-1]
    assert "; limited by" in lines[-1]


def test_views_are_stored_under_the_contents_of_models_and_scripts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "program.py").write_text("print(1)")
    model = BackTranslation(translator=Marian(model=ModelSource(path=tmp_path)))
    program = BackTranslation(translator=Command(command=("python", "program.py"), folder=tmp_path))
    for options, changed in ((model, "config.json"), (program, "program.py")):
        before = options.identity(AugmenterContext())
        assert options.identity(AugmenterContext(texts=["다른 글"])) == before
        (tmp_path / changed).write_text("changed")
        assert options.identity(AugmenterContext()) != before


def test_no_texts(context: AugmenterContext) -> None:
    assert BackTranslation(translator=Lookup()).build(context)([], []) == []


def test_a_broken_translator_is_named(context: AugmenterContext) -> None:
    augmenter = BackTranslation(translator=Lookup(broken=True), gate=Gate(min_characters=1)).build(context)
    with pytest.raises(RunFailed, match="translator Known is broken: 2 texts came back as 1"):
        augmenter(["가", "나"], randoms(2))
    again: Any = BackTranslation(translator=Lookup(), gate=Gate(min_characters=1, unchanged=False)).build(context)
    assert again(["가", "나"], randoms(2)) == ["가", "나"]  # nothing is left claimed


def test_a_program_translates(context: AugmenterContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kexp_backtranslation.command import Command

    monkeypatch.setenv("KEXP_ALLOW_COMMANDS", "1")
    monkeypatch.setenv("PYTHONUTF8", "1")
    known = {**{row[0]: row[1] for row in toy_language.sentences()}, **{r[1]: r[2] for r in toy_language.sentences()}}
    (tmp_path / "known.json").write_text(json.dumps(known), "utf-8")
    (tmp_path / "program.py").write_text(
        "import json, sys\nknown = json.load(open('known.json'))\n"
        "for line in sys.stdin:\n    print(json.dumps({'text': known[json.loads(line)['text']]}), flush=True)\n",
        "utf-8",
    )
    program = Command(command=(sys.executable, "program.py"), folder=tmp_path)
    options = BackTranslation(translator=program, gate=Gate(min_characters=1))
    augmenter: Any = options.build(context)
    assert augmenter(TEXTS, randoms(50)) == [PARAPHRASES[text] for text in TEXTS]
    augmenter.close()


def test_problems_and_warnings() -> None:
    assert list(BackTranslation(translator=Lookup()).problems()) == []
    (problem,) = BackTranslation(translator=Lookup(), pivot="ko").problems()
    assert problem.path == "pivot"
    (problem,) = BackTranslation(translator=Lookup(), method="beam", copies=3).problems()
    assert (problem.path, problem.message) == ("copies", "beam gives one paraphrase, not 3")
    (warning,) = BackTranslation(translator=Lookup(), temperature=1.5).warnings()
    assert warning.path == "temperature"
    with pytest.raises(ValidationError, match="pivot"):
        BackTranslation(translator=Lookup(), pivot="english")
