"""Both engines on the toy pair: they translate, agree, and sample as they promise."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy_language

from kexp.contracts import Decoding, TranslatorContext
from kexp.errors import KexpError
from kexp_backtranslation import ct2
from kexp_backtranslation.marian import Marian
from kexp_backtranslation.models import ModelSource
from kexp_backtranslation.workplace import Workplace

GREEDY = Decoding("greedy")
SAMPLING = Decoding("sampling", temperature=2.0)
TEXTS = toy_language.korean(60)


@pytest.fixture
def build(pair: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    # One folder for all tests: a model is converted once.
    store = tmp_path_factory.getbasetemp() / "converted"

    def make(engine: str, way: tuple[str, str] = ("ko", "en"), **options: Any) -> Any:
        return getattr(pair, engine)(**options).build(Workplace(*way, "cpu", store))

    return make


@pytest.mark.parametrize("engine", ["marian", "ctranslate2"])
def test_translates_both_ways(engine: str, build: Any) -> None:
    chosen = toy_language.sentences()[::9]
    forward = build(engine).translate([row[0] for row in chosen], GREEDY, 1, 0)
    right = sum(made == [row[1]] for made, row in zip(forward, chosen, strict=True))
    back = build(engine, ("en", "ko")).translate([row[1] for row in chosen], GREEDY, 1, 0)
    right += sum(made == [row[2]] for made, row in zip(back, chosen, strict=True))
    assert right >= 0.95 * 2 * len(chosen)


def test_engines_agree_on_greedy_search(build: Any) -> None:
    texts = [row[0] for row in toy_language.sentences()[::3]] + ["모르는 낱말이 있는 글", "나는", "나는 나는 나는 나는"]
    marian, converted = build("marian"), build("ctranslate2")
    assert marian.translate(texts, GREEDY, 1, 0) == converted.translate(texts, GREEDY, 1, 0)
    assert marian.usage.tokens_in == converted.usage.tokens_in > 0
    assert marian.usage.tokens_out == converted.usage.tokens_out > 0


@pytest.mark.parametrize("engine", ["marian", "ctranslate2"])
def test_beam_search_finds_translations_and_repeats_itself(engine: str, build: Any) -> None:
    beam = build(engine).translate(TEXTS, Decoding("beam", beams=3), 2, 0)
    assert all(row[0] == row[1] for row in beam)
    greedy = build(engine).translate(TEXTS, GREEDY, 1, 0)
    assert sum(row[0] == other[0] for row, other in zip(beam, greedy, strict=True)) > 50


@pytest.mark.parametrize("engine", ["marian", "ctranslate2"])
def test_sampling_follows_its_seed(engine: str, build: Any) -> None:
    first = build(engine).translate(TEXTS, SAMPLING, 2, 1)
    assert build(engine).translate(TEXTS, SAMPLING, 2, 1) == first
    other = build(engine).translate(TEXTS, SAMPLING, 2, 2)
    assert sum(one == two for one, two in zip(first, other, strict=True)) < 30
    assert sum(len(set(row)) == 2 for row in first) > 30
    cool = build(engine).translate(TEXTS, Decoding("sampling", temperature=0.01), 1, 1)
    assert cool == build(engine).translate(TEXTS, GREEDY, 1, 0)


def test_a_sample_does_not_depend_on_its_batch(build: Any) -> None:
    together = dict(zip(TEXTS, build("marian", batch_tokens=4096).translate(TEXTS, SAMPLING, 2, 3), strict=True))
    backwards = TEXTS[::-1]
    small = dict(zip(backwards, build("marian", batch_tokens=24).translate(backwards, SAMPLING, 2, 3), strict=True))
    assert together == small
    alone = build("marian")
    assert all(alone.translate([text], SAMPLING, 2, 3) == [together[text]] for text in TEXTS[:12])
    # One copy is the first of several.
    assert alone.translate(TEXTS[:12], SAMPLING, 1, 3) == [together[text][:1] for text in TEXTS[:12]]


def test_batches_keep_to_the_budget(build: Any) -> None:
    translator = build("marian", batch_tokens=40)
    batches = translator.batches(TEXTS, GREEDY)
    assert sorted(row for batch in batches for row in batch) == list(range(len(TEXTS)))
    lengths = [len(row) for row in translator.vocabulary.encode(TEXTS)[0]]
    assert all(len(batch) * max(lengths[row] for row in batch) <= 40 for batch in batches)
    assert len(translator.batches(TEXTS, Decoding("beam", beams=4))) > 2 * len(batches)


@pytest.mark.parametrize("engine", ["marian", "ctranslate2"])
def test_works_again_after_closing(engine: str, build: Any) -> None:
    translator = build(engine)
    before = translator.translate(TEXTS[:3], GREEDY, 1, 0)
    translator.close()
    assert translator.translate(TEXTS[:3], GREEDY, 1, 0) == before


@pytest.mark.parametrize("engine", ["marian", "ctranslate2"])
def test_counts_texts_that_are_cut(engine: str, build: Any) -> None:
    translator = build(engine, max_length=8)
    translator.translate([" ".join(TEXTS[:5]), "나는 책을 본다"], GREEDY, 1, 0)
    assert translator.usage.truncated == 1


def test_identities_tell_models_engines_and_options_apart(build: Any) -> None:
    made = [
        build("marian"), build("marian", ("en", "ko")), build("marian", dtype="bfloat16"), build("ctranslate2"),
        build("ctranslate2", compute="int8"), build("marian", max_length=100),
    ]  # fmt: skip
    assert len({translator.identity for translator in made}) == len(made)
    assert build("marian", batch_tokens=7).identity == made[0].identity


def test_int8_and_bfloat16_translate(build: Any) -> None:
    exact = build("marian").translate(TEXTS, GREEDY, 1, 0)
    for translator in (build("ctranslate2", compute="int8"), build("marian", dtype="bfloat16")):
        made = translator.translate(TEXTS, GREEDY, 1, 0)
        assert sum(one == two for one, two in zip(made, exact, strict=True)) > 50


# --- conversion ----------------------------------------------------------------------------------------------------


def test_converts_once_and_by_contents(pair: Any, tmp_path: Path) -> None:
    place = Workplace("ko", "en", "cpu", tmp_path)
    pair.ctranslate2().build(place).translate(TEXTS[:1], GREEDY, 1, 0)
    (model,) = (tmp_path / "ctranslate2").glob("*/model.bin")
    made = model.stat().st_mtime_ns
    pair.ctranslate2().build(place).translate(TEXTS[:1], GREEDY, 1, 0)
    assert model.stat().st_mtime_ns == made
    moved = Path(shutil.copytree(pair.forward, tmp_path / "moved"))
    ct2.CTranslate2(model=ModelSource(path=moved), compute="float32").build(place).translate(TEXTS[:1], GREEDY, 1, 0)
    assert list((tmp_path / "ctranslate2").glob("*/model.bin")) == [model]  # the same model, wherever it lies
    (moved / "generation_config.json").write_text("{}", "utf-8")
    ct2.CTranslate2(model=ModelSource(path=moved), compute="float32").build(place).translate(TEXTS[:1], GREEDY, 1, 0)
    assert len(list((tmp_path / "ctranslate2").glob("*/model.bin"))) == 2
    assert not list((tmp_path / "ctranslate2").glob("*-unfinished"))


def test_kexps_own_context_has_a_folder_too(pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path))
    translator = pair.ctranslate2().build(TranslatorContext("ko", "en", "cpu"))
    assert translator.translate(["나는 책을 본다"], GREEDY, 1, 0) == [["i sees book"]]
    assert list((tmp_path / "translators" / "ctranslate2").glob("*/model.bin"))


def test_says_what_the_machine_or_the_converter_cannot_do(pair: Any, build: Any, tmp_path: Path) -> None:
    with pytest.raises(KexpError, match=r'no compute = "float16" on this cpu; it has .*float32'):
        build("ctranslate2", compute="float16").translate(TEXTS[:1], GREEDY, 1, 0)
    strange = Path(shutil.copytree(pair.forward, tmp_path / "strange"))
    config = (strange / "config.json").read_text("utf-8")
    (strange / "config.json").write_text(config.replace('"marian"', '"fsmt"').replace("MarianMT", "FSMT"), "utf-8")
    place = Workplace("ko", "en", "cpu", tmp_path)
    with pytest.raises(KexpError, match=r"strange cannot be loaded|cannot convert .*strange"):
        ct2.CTranslate2(model=ModelSource(path=strange)).build(place).translate(TEXTS[:1], GREEDY, 1, 0)
    with pytest.raises(KexpError, match='device "cuda:7" is not there, CTranslate2 sees'):
        pair.ctranslate2().build(Workplace("ko", "en", "cuda:7", tmp_path)).translate(TEXTS[:1], GREEDY, 1, 0)
    with pytest.raises(KexpError, match="cuda:7 is not available, PyTorch sees"):
        pair.marian().build(Workplace("ko", "en", "cuda:7", tmp_path)).translate(TEXTS[:1], GREEDY, 1, 0)


def test_says_that_ctranslate2_is_not_installed(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(pair.ctranslate2().problems()) == []
    monkeypatch.setattr(ct2.importlib.util, "find_spec", lambda name: None)
    (problem,) = pair.ctranslate2().problems()
    assert "not installed" in problem.message
    assert "kexp-backtranslation[ctranslate2]" in problem.hint


@pytest.mark.parametrize("broken", ["model.safetensors", "vocab.json"])
def test_names_a_folder_that_cannot_be_loaded(broken: str, pair: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pair.forward, tmp_path / "broken"))
    (folder / broken).write_text("broken", "utf-8")
    translator = Marian(model=ModelSource(path=folder)).build(Workplace("ko", "en", "cpu", tmp_path))
    with pytest.raises(KexpError, match=r"broken cannot be loaded: .*; download the model again"):
        translator.translate(TEXTS[:1], GREEDY, 1, 0)
