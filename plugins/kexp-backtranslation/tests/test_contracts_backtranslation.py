"""Every component of this package in kexp's suite of its kind, with models that have learnt a toy language."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import toy_language

from kexp.builtin.augmenters import Aeda, Compose
from kexp.testing import AugmenterContract, OptionsContract, TranslatorContract, untested
from kexp_backtranslation import plugin
from kexp_backtranslation.augmenter import BackTranslation, KeepOriginal
from kexp_backtranslation.command import Command
from kexp_backtranslation.ct2 import CTranslate2
from kexp_backtranslation.gate import Gate
from kexp_backtranslation.marian import Marian
from kexp_backtranslation.models import ModelSource

LENIENT = Gate(min_characters=1, max_length_difference=5, negation=False, min_chrf=0)
HUB = ModelSource(hub="owner/name", revision="0123456789abcdef0123456789abcdef01234567")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder for all tests, so that a model is converted once; and leave to start a program."""
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "contracts"))
    monkeypatch.setenv("KEXP_ALLOW_COMMANDS", "1")
    monkeypatch.setenv("PYTHONUTF8", "1")


def test_every_component_has_a_suite() -> None:
    assert untested(plugin, globals()) == []


# --- translators ----------------------------------------------------------------------------------------------------


class TestMarian(TranslatorContract):
    component = Marian
    texts = tuple(toy_language.korean(12))

    @pytest.fixture(params=[{}, {"batch_tokens": 24, "max_length": 16, "dtype": "float32"}], ids=str)
    def options(self, request: pytest.FixtureRequest, pair: Any) -> Marian:
        return pair.marian(**request.param)


class TestCTranslate2(TranslatorContract):
    """Sampling has one stream per batch, as its docstring says."""

    component = CTranslate2
    texts = tuple(toy_language.korean(12))
    samples_by_row = False

    @pytest.fixture(params=[{}, {"compute": "int8", "max_length": 16}], ids=str)
    def options(self, request: pytest.FixtureRequest, pair: Any) -> CTranslate2:
        return pair.ctranslate2(**request.param)


ECHO = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    chosen = {name: asked[name] for name in ("temperature", "seed", "beams") if name in asked}
    print(json.dumps({"text": f"{asked['target']} {asked['text'][::-1]} {chosen}"}), flush=True)
"""


class TestCommand(TranslatorContract):
    component = Command

    @pytest.fixture
    def options(self, tmp_path: Path) -> Command:
        (tmp_path / "program.py").write_text(ECHO, "utf-8")
        return Command(command=(sys.executable, "program.py"), folder=tmp_path, timeout=30, version="2")


# --- augmenters -----------------------------------------------------------------------------------------------------


class TestBackTranslation(AugmenterContract):
    """One paraphrase of each text: there is nothing for a generator to choose."""

    component = BackTranslation
    is_random = False
    texts = tuple(toy_language.korean(12))

    @pytest.fixture(params=["marian", "ctranslate2"])
    def options(self, request: pytest.FixtureRequest, pair: Any) -> BackTranslation:
        return BackTranslation(translator=pair.translator(request.param), method="greedy", gate=LENIENT)


class TestSeveralParaphrases(AugmenterContract):
    component = BackTranslation
    texts = tuple(toy_language.korean(12))

    @pytest.fixture
    def options(self, pair: Any) -> BackTranslation:
        return BackTranslation(
            translator=pair.marian(),
            back=pair.marian(batch_tokens=64),
            copies=3,
            temperature=1.0,
            seed=5,
            split=False,
            gate=LENIENT,
            fallback=Aeda(),
        )


class TestComposed(AugmenterContract):
    """Inside of another augmenter, several paraphrases are as many."""

    component = Compose
    texts = tuple(toy_language.korean(12))

    @pytest.fixture
    def options(self, pair: Any) -> Compose:
        paraphrase = BackTranslation(translator=pair.marian(), copies=2, temperature=1.0, gate=LENIENT)
        return Compose(steps=(paraphrase, KeepOriginal(), Aeda()))


class TestKeepOriginal(AugmenterContract):
    examples = (KeepOriginal(),)
    is_random = False


# --- what needs a network --------------------------------------------------------------------------------------------


class TestOnTheHub(OptionsContract):
    """Models of the hub are gigabytes: what a spec says of them is not."""

    examples = (
        Marian(model=HUB),
        Marian(model=HUB, back_model=HUB, language="en", languages={"ko": "kor_Hang"}, dtype="bfloat16"),
        CTranslate2(model=HUB, threads=2),
        BackTranslation(translator=Marian(model=HUB), back=CTranslate2(model=HUB), pivot="ja", method="beam", beams=2),
    )
