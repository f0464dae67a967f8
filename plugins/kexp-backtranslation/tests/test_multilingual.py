"""M2M100, NLLB and OPUS-MT with several targets, as untrained miniatures: languages reach the model, not the text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import toy_language

from kexp.contracts import Decoding
from kexp.errors import KexpError
from kexp_backtranslation.ct2 import CTranslate2
from kexp_backtranslation.languages import language_code
from kexp_backtranslation.marian import Marian
from kexp_backtranslation.models import ModelSource
from kexp_backtranslation.workplace import Workplace

LINES = [line for row in toy_language.sentences() for line in row]
GREEDY = Decoding("greedy")


def _untrained(folder: Path, words: int) -> None:
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    torch.manual_seed(1)
    config = M2M100Config(
        vocab_size=words, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64,
        pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
    )  # fmt: skip
    M2M100ForConditionalGeneration(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def m2m100(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import sentencepiece
    from transformers import M2M100Tokenizer

    folder = tmp_path_factory.mktemp("m2m100")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_prefix=str(folder / "toy"), vocab_size=150, hard_vocab_limit=False,
        character_coverage=1.0, minloglevel=2,
    )  # fmt: skip
    loaded = sentencepiece.SentencePieceProcessor(model_file=str(folder / "toy.model"))
    pieces = [loaded.id_to_piece(number) for number in range(3, loaded.get_piece_size())]
    words = ["<s>", "<pad>", "</s>", "<unk>", *pieces]
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({word: number for number, word in enumerate(words)}), "utf-8")
    M2M100Tokenizer(str(vocabulary), str(folder / "toy.model")).save_pretrained(folder)
    _untrained(folder, len(words) + 100 + 8)  # languages, and the words that fairseq made up
    return folder


@pytest.fixture(scope="module")
def nllb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import NllbTokenizer

    folder = tmp_path_factory.mktemp("nllb")
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    made.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False))
    model = json.loads(made.to_str())["model"]
    tokenizer = NllbTokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])
    tokenizer.save_pretrained(folder)
    _untrained(folder, len(tokenizer) + 2)
    return folder


def _build(folder: Path, engine: str, way: tuple[str, str], store: Path, **options: Any) -> Any:
    source = ModelSource(path=folder)
    made = (
        Marian(model=source, **options)
        if engine == "marian"
        else CTranslate2(model=source, compute="float32", threads=1, **options)
    )
    return made.build(Workplace(*way, "cpu", store))


@pytest.mark.parametrize(("name", "english"), [("m2m100", "__en__"), ("nllb", "eng_Latn")])
def test_names_the_languages_to_the_model(
    name: str, english: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder, texts = request.getfixturevalue(name), toy_language.korean(10)
    made = {}
    for engine in ("marian", "ctranslate2"):
        translator = _build(folder, engine, ("ko", "en"), tmp_path)
        tokenizer = translator.vocabulary.tokenizer
        assert tokenizer.convert_ids_to_tokens(translator.vocabulary.target_id) == english
        first = tokenizer.convert_ids_to_tokens(translator.vocabulary.encode(texts)[0][0])
        assert first[0] == {"__en__": "__ko__", "eng_Latn": "kor_Hang"}[english]
        made[engine] = translator.translate(texts, GREEDY, 1, 0)
        back = _build(folder, engine, ("en", "ko"), tmp_path).vocabulary
        assert tokenizer.convert_ids_to_tokens(back.target_id) == {"__en__": "__ko__", "eng_Latn": "kor_Hang"}[english]
    assert made["marian"] == made["ctranslate2"]
    assert not any("_" in row[0] for row in made["marian"])


def test_a_marian_model_of_several_targets_gets_the_language_in_the_text(pair: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pair.forward, tmp_path / "several"))
    words = json.loads((folder / "vocab.json").read_text("utf-8"))
    places = sorted(words.values())[2:4]
    renamed = dict(zip(places, (">>eng<<", ">>jpn<<"), strict=True))
    vocabulary = {renamed.get(number, word): number for word, number in words.items()}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    vocabulary_of = _build(folder, "marian", ("ko", "ja"), tmp_path).vocabulary
    assert vocabulary_of.encode(["나는"])[0][0][0] == places[1]
    assert vocabulary_of.target_id is None
    with pytest.raises(KexpError, match=r'no usual code for the language "fr"; give its code with languages'):
        _ = _build(folder, "marian", ("ko", "fr"), tmp_path).vocabulary
    stated = _build(folder, "marian", ("ko", "fr"), tmp_path, languages={"fr": "eng"}).vocabulary
    assert stated.encode(["나는"])[0][0][0] == places[0]


def test_codes() -> None:
    assert language_code("ko", {}, {"ko", "en"}, "m") == "ko"
    assert language_code("ko", {}, {"kor_Hang"}, "m") == "kor_Hang"
    assert language_code("ko", {}, {"kor"}, "m") == "kor"
    assert language_code("zh", {"zh": "zho_Hant"}, {"zho_Hans", "zho_Hant"}, "m") == "zho_Hant"
    with pytest.raises(KexpError, match=r'knows no language "zho_Hand" \(languages.zh\); did you mean "zho_Hant"'):
        language_code("zh", {"zh": "zho_Hand"}, {"zho_Hant"}, "m")
