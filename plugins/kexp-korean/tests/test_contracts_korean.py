"""Every component of this package in kexp's suite of its kind; backbones on small folders of their architectures."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest
from corpus_files import EXAMPLES
from small_models import FAMILIES, make_folder, trained_vocabulary

from kexp.builtin.augmenters import RandomDeletion, SpacingNoise, TfIdfReplacement
from kexp.contracts import AugmenterContext, AugmenterOptions, TokenizerContext
from kexp.testing import (
    AugmenterContract,
    BackboneContract,
    DatasetContract,
    OptionsContract,
    korean_texts,
    tiny_backbone,
    untested,
)
from kexp_korean import plugin
from kexp_korean.aihub import AIHubDialect
from kexp_korean.backbones import KLUE, KcBERT, KcELECTRA, KoBERT, KoELECTRA, KoreanBackbone
from kexp_korean.corpora import CurseDetection, Intent3i4K, KoBEST, KoreanHateSpeech, KorNLI, KorSTS, QuestionPair
from kexp_korean.deberta import KFDeBERTa, KoreanDeBERTa, MDeBERTa
from kexp_korean.dialect_sample import DialectSample
from kexp_korean.emotional_dialogue import AIHubEmotion
from kexp_korean.klue import KLUE as KLUECorpus
from kexp_korean.label_sets import KOLD, KOTE, KMHaS, UnSmile
from kexp_korean.modernbert import AXEncoder
from kexp_korean.nsmc import NSMC
from kexp_korean.published import Corpus
from kexp_korean.synonyms import RandomInsertion, SynonymSwap

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_every_component_has_a_suite() -> None:
    assert untested(plugin, globals()) == []


# --- augmenters -----------------------------------------------------------------------------------------------------


class TestSynonymSwap(AugmenterContract):
    examples = (
        SynonymSwap(),
        SynonymSwap(share=1, parts=("noun", "adverb"), protect="none"),
        SynonymSwap(share=0.5, protect="negation-and-label", label_threshold=1.0),
    )


class TestRandomInsertion(AugmenterContract):
    examples = (
        RandomInsertion(),
        RandomInsertion(share=1, parts=("adjective", "verb", "noun", "adverb"), protect="none"),
        RandomInsertion(share=0.5, protect="negation-and-label", label_threshold=1.0),
    )


@pytest.mark.skipif(
    find_spec("kiwipiepy") is None and "KEXP_NO_SKIPS" not in os.environ,
    reason="needs kiwipiepy: pip install -e 'plugins/kexp-korean[morphology]'",
)
class TestKiwi(AugmenterContract):
    @pytest.fixture(params=[RandomDeletion, TfIdfReplacement, SpacingNoise, SynonymSwap, RandomInsertion])
    def options(self, request: pytest.FixtureRequest) -> AugmenterOptions:
        made: AugmenterOptions = request.param(analyser="kiwi")
        return made


class TestOwnLexicon(AugmenterContract):
    component = SynonymSwap

    @pytest.fixture
    def options(self, tmp_path: Path) -> SynonymSwap:
        (tmp_path / "lexicon.tsv").write_text("영화\t작품, 필름\nadverb\t정말\t진짜, 참으로\n", "utf-8")
        return SynonymSwap(lexicon=tmp_path / "lexicon.tsv", share=0.5)

    def test_its_words_are_used(self, options: SynonymSwap, context: AugmenterContext) -> None:
        from random import Random

        assert options.build(context)(["그 영화"], [Random(0)])[0] in ("그 작품", "그 필름")


# --- datasets -------------------------------------------------------------------------------------------------------


class TestDialectSample(DatasetContract):
    examples = (
        DialectSample(rows=120, limit=100),
        DialectSample(rows=160, scheme="four", seed=3, marker_rate=0.5),
        DialectSample(rows=600, scheme="region"),
    )


class Published(DatasetContract):
    """A corpus on synthetic files of the shapes in which it is published; ``names`` are those of its examples."""

    names: ClassVar[tuple[str, ...]]
    more: ClassVar[Mapping[str, Any]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", self.names)

    @pytest.fixture
    def options(self, name: str, tmp_path: Path) -> Corpus:
        EXAMPLES[name].write(tmp_path)
        return EXAMPLES[name].read_from(tmp_path, **self.more)


class TestNSMC(Published):
    component, names, more = NSMC, ("nsmc",), {"limit": {"train": 50}}


class TestKLUECorpus(Published):
    component, names = KLUECorpus, ("klue-ynat", "klue-nli", "klue-sts")


class TestKorNLI(Published):
    component, names = KorNLI, ("kornli",)


class TestKorSTS(Published):
    component, names = KorSTS, ("korsts",)


class TestUnSmile(Published):
    component, names, more = UnSmile, ("unsmile",), {"limit": {"train": 60}}


class TestUnSmileClean(Published):
    component, names, more = UnSmile, ("unsmile",), {"label": "clean"}


class TestKMHaS(Published):
    component, names = KMHaS, ("kmhas",)


class TestKMHaSHate(Published):
    component, names, more = KMHaS, ("kmhas",), {"label": "hate"}


class TestKOTE(Published):
    component, names = KOTE, ("kote",)


class TestKOLD(Published):
    component, names = KOLD, ("kold",)


class TestKOLDGroups(Published):
    component, names, more = KOLD, ("kold",), {"label": "GRP", "title": True}


class TestKoreanHateSpeech(Published):
    component, names, more = KoreanHateSpeech, ("korean-hate-speech",), {"unlabelled": True}


class Test3i4K(Published):
    component, names = Intent3i4K, ("3i4k",)


class TestQuestionPair(Published):
    component, names = QuestionPair, ("question-pair",)


class TestCurseDetection(Published):
    component, names = CurseDetection, ("curse-detection",)


class TestKoBEST(Published):
    component, names = KoBEST, ("kobest-boolq", "kobest-wic", "kobest-sentineg")


class TestAIHubEmotion(Published):
    component, names, more = AIHubEmotion, ("aihub-emotion",), {"label": "large"}


class TestAIHubDialect(DatasetContract):
    component = AIHubDialect

    @pytest.fixture(params=[{}, {"scheme": "four", "identical": "standard"}, {"scheme": "region"}], ids=str)
    def options(self, request: pytest.FixtureRequest, tmp_path: Path) -> AIHubDialect:
        texts = korean_texts(240)
        for number in range(24):
            region = ("경상도", "제주", "전라", "강원")[number % 4]
            spoken = [
                {"standard_form": text, "dialect_form": text if place == 0 else f"{text} {region[0]}{place}"}
                for place, text in enumerate(texts[number * 10 : number * 10 + 10])
            ]
            recording = {
                "id": f"R{number}",
                "metadata": {"category": f"{region} 방언 > 대화"},
                "utterance": [*spoken, {}],
            }
            (tmp_path / f"{number}.json").write_text(json.dumps(recording, ensure_ascii=False), "utf-8")
        return AIHubDialect(path=tmp_path, **request.param)


# --- backbones ------------------------------------------------------------------------------------------------------

SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 40}  # fmt: skip
BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = ("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]")
SENTENCEPIECE = ("[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]")


def write_model(folder: Path, architecture: str, words: list[str], **config: Any) -> Path:
    """Write random weights and a vocabulary as the hub has them."""
    import torch
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    made = AutoModel.from_config(AutoConfig.for_model(architecture, vocab_size=len(words), **config))
    made.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    return folder


def wordpieces(specials: tuple[str, ...]) -> list[str]:
    """Return special tokens in the order of a model's authors, and pieces of the Korean texts after them."""
    known = tiny_backbone().build_tokenizer(TokenizerContext(korean_texts())).get_vocab()
    return [*specials, *sorted(known.keys() - set(specials), key=known.__getitem__)]


def write_sentencepieces(folder: Path) -> list[str]:
    """Train a SentencePiece model on the Korean texts, and return its pieces with KoBERT's special tokens first."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder.mkdir(exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(korean_texts()),
        model_prefix=str(folder / "pieces"),
        vocab_size=150,
        model_type="unigram",
        hard_vocab_limit=False,
        minloglevel=2,
        unk_id=0,
        unk_piece="[UNK]",
        bos_id=-1,
        eos_id=-1,
    )
    (folder / "pieces.model").rename(folder / KoBERT.PIECES)
    loaded = sentencepiece.SentencePieceProcessor(model_file=str(folder / KoBERT.PIECES))
    pieces = [loaded.id_to_piece(number) for number in range(loaded.get_piece_size())]
    return [*SENTENCEPIECE, *sorted(set(pieces) - set(SENTENCEPIECE))]


class TestKcBERT(BackboneContract):
    component = KcBERT

    @pytest.fixture(params=[{}, {"size": "large", "cleaning": False, "dropout": 0.2}], ids=str)
    def options(self, request: pytest.FixtureRequest, tmp_path: Path) -> KcBERT:
        return KcBERT(path=write_model(tmp_path / "model", "bert", wordpieces(BERT), **SIZES), **request.param)


class TestKLUE(BackboneContract):
    component = KLUE

    @pytest.fixture(params=["bert-base", "roberta-base"])
    def options(self, request: pytest.FixtureRequest, tmp_path: Path) -> KLUE:
        if request.param == "bert-base":
            folder = write_model(tmp_path / "model", "bert", wordpieces(BERT), **SIZES)
        else:
            config = {**SIZES, "pad_token_id": 1, "type_vocab_size": 1}
            folder = write_model(tmp_path / "model", "roberta", wordpieces(ROBERTA), **config)
        return KLUE(path=folder, model=request.param)


class TestKoELECTRA(BackboneContract):
    component = KoELECTRA

    @pytest.fixture
    def options(self, tmp_path: Path) -> KoELECTRA:
        folder = write_model(tmp_path / "model", "electra", wordpieces(BERT), embedding_size=4, **SIZES)
        return KoELECTRA(path=folder, size="small")


class TestKcELECTRA(BackboneContract):
    component = KcELECTRA

    @pytest.fixture
    def options(self, tmp_path: Path) -> KcELECTRA:
        folder = write_model(tmp_path / "model", "electra", wordpieces(BERT), embedding_size=8, **SIZES)
        return KcELECTRA(path=folder, model="base-v2022")


class TestKoBERT(BackboneContract):
    component = KoBERT

    @pytest.fixture(params=["kobert", "distilkobert"])
    def options(self, request: pytest.FixtureRequest, tmp_path: Path) -> KoBERT:
        words = write_sentencepieces(tmp_path / "model")
        if request.param == "kobert":
            folder = write_model(tmp_path / "model", "bert", words, **SIZES)
        else:
            sizes = {"dim": 8, "hidden_dim": 16, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 40}
            folder = write_model(tmp_path / "model", "distilbert", words, **sizes)
        return KoBERT(path=folder, model=request.param)


def published(folder: Path, component: type[KoreanBackbone]) -> Path:
    """Write a small model of a component as its authors publish it."""
    family = next(family for family in FAMILIES if family.options is component)
    return make_folder(folder / "model", family, trained_vocabulary(family), max_position_embeddings=40)


class TestAXEncoder(BackboneContract):
    component = AXEncoder

    @pytest.fixture(params=[{}, {"pooling": "cls", "dropout": 0.2}], ids=str)
    def options(self, request: pytest.FixtureRequest, tmp_path: Path) -> AXEncoder:
        return AXEncoder(path=published(tmp_path, AXEncoder), **request.param)


class TestKFDeBERTa(BackboneContract):
    component = KFDeBERTa

    @pytest.fixture
    def options(self, tmp_path: Path) -> KFDeBERTa:
        return KFDeBERTa(path=published(tmp_path, KFDeBERTa))


class TestKoreanDeBERTa(BackboneContract):
    component = KoreanDeBERTa

    @pytest.fixture
    def options(self, tmp_path: Path) -> KoreanDeBERTa:
        return KoreanDeBERTa(path=published(tmp_path, KoreanDeBERTa), size="small")


class TestMDeBERTa(BackboneContract):
    component = MDeBERTa

    @pytest.fixture
    def options(self, tmp_path: Path) -> MDeBERTa:
        return MDeBERTa(path=published(tmp_path, MDeBERTa))


class TestOnTheHub(OptionsContract):
    """Their published weights need a network, and hundreds of megabytes: what a spec says of them does not."""

    examples = (
        KcBERT(revision=COMMIT),
        KcBERT(size="large", revision=COMMIT),
        *(KLUE(model=model, revision=COMMIT) for model in KLUE.WEIGHTS),
        *(KoELECTRA(size=size, revision=COMMIT) for size in KoELECTRA.WEIGHTS),
        *(KcELECTRA(model=model) for model in KcELECTRA.WEIGHTS),
        *(KoBERT(model=model, dropout=0.1) for model in KoBERT.WEIGHTS),
        AXEncoder(pooling="mean"),
        KFDeBERTa(revision=COMMIT),
        *(KoreanDeBERTa(size=size, revision=COMMIT) for size in KoreanDeBERTa.WEIGHTS),
        MDeBERTa(dropout=0.0),
    )
