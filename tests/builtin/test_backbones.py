"""Backbones: a vocabulary that is the same everywhere, models that know their labels, and folders that are checked."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging

from kexp import hub
from kexp.builtin.backbones import HubBackbone, TinyBackbone, cased_wordpiece, wordpiece_vocabulary
from kexp.contracts import BackboneContext, TokenizerContext
from kexp.errors import KexpError
from kexp.experiment.model_check import check_padding
from kexp.pretrained import folder_problems, positions, set_dropout

LABELS = ("부정", "긍정", "중립")


def reviews(number: int = 200) -> list[str]:
    """Texts with many ties in the frequencies of their pieces."""
    draw = random.Random(0)
    stems = ["영화", "배우", "연기", "음악", "재미있", "지루하", "감동적이", "최고"]
    endings = ["가", "는", "도", "었다", "네요", "ㅋㅋ", "!", "고"]
    return [
        " ".join(draw.choice(stems) + draw.choice(endings) for _ in range(draw.randint(2, 9))) for _ in range(number)
    ]


TEXTS = reviews()
SMALL = {"layers": 2, "hidden": 16, "heads": 2, "vocabulary": 150, "positions": 40}


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable_progress_bar()
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    yield
    logging.set_verbosity(level)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return TinyBackbone(**SMALL).build_tokenizer(TokenizerContext(TEXTS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Path:
    """Return a model folder as save_pretrained makes it."""
    path = tmp_path_factory.mktemp("model")
    TinyBackbone(**SMALL).build(BackboneContext(LABELS, tokenizer)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder that a test may damage."""
    target = tmp_path / "copy"
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


# --- the vocabulary --------------------------------------------------------------------------------------------------


def test_the_vocabulary_begins_with_the_special_tokens_and_is_numbered_without_gaps() -> None:
    vocabulary = wordpiece_vocabulary(TEXTS, 120)
    assert list(vocabulary)[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert list(vocabulary.values()) == list(range(len(vocabulary)))


@pytest.mark.parametrize("size", [100, 120, 4000])
def test_the_vocabulary_is_at_most_as_large_as_stated(size: int) -> None:
    assert len(wordpiece_vocabulary(TEXTS, size)) <= size


def test_the_vocabulary_holds_frequent_words_and_every_character() -> None:
    vocabulary = wordpiece_vocabulary(TEXTS, 4000)
    assert {"영화", "재미있", "##네요"} <= set(vocabulary)
    characters = {character for text in TEXTS for character in text if character != " "}
    assert characters <= set(vocabulary)
    assert {f"##{character}" for character in characters} <= set(vocabulary)


def test_more_characters_than_room_keep_the_most_frequent() -> None:
    alphabet = [chr(0xAC00 + number) for number in range(300)]
    vocabulary = wordpiece_vocabulary([character * (number + 1) for number, character in enumerate(alphabet)], 100)
    assert len(vocabulary) <= 100
    assert alphabet[299] in vocabulary
    assert alphabet[0] not in vocabulary


def test_the_vocabulary_is_the_same_in_every_process() -> None:
    program = (
        "import json, sys\n"
        "from kexp.builtin.backbones import wordpiece_vocabulary\n"
        "json.dump(wordpiece_vocabulary(json.load(sys.stdin), 140), sys.stdout)"
    )
    made = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
        )
        for seed in ("1", "2")
    ]
    found = [json.loads(process.communicate(json.dumps(TEXTS))[0]) for process in made]
    here = wordpiece_vocabulary(TEXTS, 140)
    assert len(here) > 100
    assert list(found[0].items()) == list(found[1].items()) == list(here.items())


def test_hangul_stays_composed_and_case_is_kept() -> None:
    vocabulary = wordpiece_vocabulary(["한국어 영화 Good"] * 3, 100)
    assert all(unicodedata.is_normalized("NFC", token) for token in vocabulary)
    assert cased_wordpiece(vocabulary).tokenize("한국어 Good") == ["한국어", "Good"]


def test_a_text_of_the_vocabulary_comes_back_and_a_strange_one_is_unknown(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer("영화가 최고네요 !")["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "영화가 최고네요!"
    assert tokenizer.tokenize("뷁") == ["[UNK]"]


def test_a_saved_tokenizer_is_loaded_without_network_and_does_the_same(
    folder: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    loaded = AutoTokenizer.from_pretrained(folder)
    assert loaded(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert loaded.tokenize("영화가 Good") == tokenizer.tokenize("영화가 Good")


# --- the tiny model --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bert", "electra"])
def test_a_tiny_model_classifies_over_the_labels(family: str, tokenizer: PreTrainedTokenizerFast) -> None:
    options = TinyBackbone(family=family, **SMALL)
    model = options.build(BackboneContext(LABELS, tokenizer)).eval()
    inputs = tokenizer(TEXTS[:4], padding=True, truncation=True, max_length=40, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**inputs).logits
    assert logits.shape == (4, 3)
    assert torch.isfinite(logits).all()
    assert logits.dtype == torch.float32
    config = model.config
    assert config.model_type == family
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 16, 2)
    assert config.vocab_size == len(tokenizer)
    assert config.max_position_embeddings == 40
    assert config.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize("family", ["bert", "electra"])
def test_a_model_knows_its_labels_and_that_a_row_has_one(family: str, tokenizer: PreTrainedTokenizerFast) -> None:
    config = TinyBackbone(family=family, **SMALL).build(BackboneContext(LABELS, tokenizer)).config
    assert config.id2label == dict(enumerate(LABELS))
    assert config.label2id == {label: number for number, label in enumerate(LABELS)}
    assert config.num_labels == 3
    assert config.problem_type == "single_label_classification"


@pytest.mark.parametrize("family", ["bert", "electra"])
def test_dropout_is_that_before_the_classifier(family: str, tokenizer: PreTrainedTokenizerFast) -> None:
    model = TinyBackbone(family=family, dropout=0.37, **SMALL).build(BackboneContext(LABELS, tokenizer))
    head = model.dropout if family == "bert" else model.classifier.dropout
    assert head.p == 0.37
    others = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout) and module is not head}
    assert others == {0.1}


def test_the_seed_of_torch_decides_the_weights(tokenizer: PreTrainedTokenizerFast) -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat(
            [part.flatten() for part in TinyBackbone(**SMALL).build(BackboneContext(LABELS, tokenizer)).parameters()]
        )

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_positions_and_layers_are_known_before_anything_is_built() -> None:
    options = TinyBackbone(layers=7, positions=99)
    assert options.max_positions() == 99
    assert options.layer_count() == 7


def test_heads_that_do_not_divide_the_hidden_size_are_told() -> None:
    assert [str(problem) for problem in TinyBackbone(hidden=130, heads=4).problems()] == [
        "heads: 4 heads do not divide a hidden size of 130"
    ]
    assert list(TinyBackbone().problems()) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("family", "gpt2"),
        ("layers", 0),
        ("hidden", 4),
        ("heads", 0),
        ("vocabulary", 99),
        ("positions", 7),
        ("dropout", 1.0),
    ],
)
def test_options_out_of_bounds_are_refused(option: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        TinyBackbone(**{option: value})
    assert [error["loc"] for error in caught.value.errors()] == [(option,)]


# --- pre-trained models in a folder ----------------------------------------------------------------------------------


def test_a_folder_is_loaded_under_a_head_for_the_labels_at_hand(
    folder: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    options = HubBackbone(path=folder, dropout=0.25)
    assert list(options.problems()) == []
    loaded = options.build_tokenizer(TokenizerContext())
    assert loaded(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    model = options.build(BackboneContext(("아니오", "예"), loaded))
    assert model.config.id2label == {0: "아니오", 1: "예"}
    assert model.classifier.out_features == 2
    assert model.dropout.p == 0.25
    assert model.dtype == torch.float32
    stored = AutoModelForSequenceClassification.from_pretrained(folder)
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, stored.bert.embeddings.word_embeddings.weight)


def test_a_folder_whose_model_returns_tuples_is_read_all_the_same(
    copy: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    stated = json.loads((copy / "config.json").read_text("utf-8"))
    (copy / "config.json").write_text(json.dumps({**stated, "return_dict": False}), encoding="utf-8")
    model = HubBackbone(path=copy).build(BackboneContext(LABELS, tokenizer))
    check_padding(model, tokenizer, 8, "model")
    assert model(torch.tensor([[2, 5, 3]])).logits.shape == (1, len(LABELS))


def test_positions_and_layers_are_read_from_the_folder(folder: Path) -> None:
    assert HubBackbone(path=folder).max_positions() == 40
    assert HubBackbone(path=folder).layer_count() == 2


def told(path: Path) -> list[str]:
    assert [(problem.path, problem.message, problem.hint) for problem in HubBackbone(path=path).problems()] == [
        ("path", message, hint) for message, hint in folder_problems(path)
    ]
    return [f"{message}; {hint}" for message, hint in folder_problems(path)]


def test_a_folder_that_is_whole_has_no_problems(copy: Path) -> None:
    assert told(copy) == []


def test_a_folder_that_is_missing_or_a_file_is_told(tmp_path: Path) -> None:
    assert told(tmp_path / "none") == [f"{tmp_path / 'none'} does not exist; give a model folder"]
    (tmp_path / "file").write_text("weights")
    assert told(tmp_path / "file") == [f"{tmp_path / 'file'} is not a folder; give a model folder"]


def test_a_folder_without_configuration_and_weights_is_told_with_both(tmp_path: Path) -> None:
    remedy = "give a folder written by save_pretrained, or a download"
    assert told(tmp_path) == [
        f"{tmp_path} has no config.json; {remedy}",
        f"{tmp_path} has no weights (model.safetensors); {remedy}",
    ]


def test_a_configuration_that_is_damaged_is_told(copy: Path) -> None:
    config = copy / "config.json"
    config.write_text('{"model_type": "bert"')
    (problem,) = told(copy)
    assert problem.startswith(f"{config} cannot be read: ")
    assert problem.endswith("; download the model again")
    config.write_text("[]")
    assert told(copy) == [f"{config} is not an object; download the model again"]


@pytest.mark.parametrize("damage", ["cut in half", "cut at the end", "empty", "a pointer of Git LFS"])
def test_weights_that_are_damaged_are_told(copy: Path, damage: str) -> None:
    weights = copy / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(
        {
            "cut in half": whole[: len(whole) // 2],
            "cut at the end": whole[:-1],
            "empty": b"",
            "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 442\n",
        }[damage]
    )
    (problem,) = told(copy)
    assert problem.startswith(f"{weights} is damaged: ")
    assert problem.endswith("; download the model again")


def test_parts_of_the_weights_that_are_missing_are_told_by_name(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    (problem,) = told(copy)
    assert "model-00002-of-00002.safetensors" in problem
    assert "model-00001-of-00002.safetensors" not in problem


def test_a_folder_without_tokenizer_is_told_with_the_folder(copy: Path) -> None:
    for file in copy.glob("*token*"):
        file.unlink()
    with pytest.raises(KexpError) as caught:
        HubBackbone(path=copy).build_tokenizer(TokenizerContext())
    assert str(copy) in str(caught.value)
    assert "tokenizer" in str(caught.value)


def test_a_folder_that_cannot_be_loaded_is_told_with_the_reason(copy: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    (copy / "config.json").write_text('{"model_type": "no such model"}')
    with pytest.raises(KexpError) as caught:
        HubBackbone(path=copy).build(BackboneContext(LABELS, tokenizer))
    assert str(caught.value).startswith(f"backbone folder {copy} cannot be loaded: ")
    assert "no such model" in str(caught.value)


def test_either_a_hub_id_or_a_folder_has_to_be_stated(folder: Path) -> None:
    expected = "id: give either id, a hub id, or path, a local folder"
    assert [str(problem) for problem in HubBackbone().problems()] == [expected]
    assert [str(problem) for problem in HubBackbone(id="owner/name", path=folder).problems()] == [expected]
    assert [str(problem) for problem in HubBackbone(id="owner/name").problems()] == []


def test_a_hub_id_without_revision_is_warned_of(folder: Path) -> None:
    (warning,) = HubBackbone(id="owner/name").warnings()
    assert str(warning) == "revision: not pinned: the weights may change under the experiment; give a commit"
    assert list(HubBackbone(id="owner/name", revision="0123abc").warnings()) == []
    assert list(HubBackbone(path=folder).warnings()) == []


def test_a_hub_model_that_is_not_cached_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setenv("KEXP_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    forget()
    options = HubBackbone(id="kexp-tests/not-there", revision="0123abc")
    assert options.max_positions() is None
    assert options.layer_count() is None
    for build in (
        lambda: options.build_tokenizer(TokenizerContext()),
        lambda: options.build(BackboneContext(LABELS, None)),
    ):
        with pytest.raises(KexpError) as caught:
            build()
        assert str(caught.value).startswith(
            'backbone "kexp-tests/not-there" is not in the local cache and KEXP_OFFLINE or HF_HUB_OFFLINE is set; '
            'give a local folder with path = "...", or download it first where there is a network'
        )
    forget()


def forget() -> None:
    """Make kexp.hub ask again whether the hub can be reached."""
    for function in vars(hub).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()


# --- configurations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, 512),
        ({"model_type": "electra", "max_position_embeddings": 512, "pad_token_id": 1}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "camembert", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        # The table is used from behind the padding id, whichever that is.
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 0}, 513),
        ({"model_type": "gpt2", "n_positions": 1024}, 1024),
        ({"model_type": "t5"}, None),
        ({"model_type": "deberta-v2", "max_position_embeddings": -1}, None),
        ({}, None),
    ],
)
def test_usable_positions_are_what_the_table_leaves(config: dict[str, object], expected: int | None) -> None:
    assert positions(config) == expected


COMMON = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
SIZES: dict[str, dict[str, int]] = {
    "bert": COMMON,
    "roberta": COMMON,
    "electra": COMMON,
    "albert": COMMON | {"embedding_size": 16},
    "deberta": COMMON,
    "deberta-v2": COMMON,
    "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16},
    "xlnet": {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16},
}


@pytest.mark.parametrize("model_type", ["roberta", "xlm-roberta", "camembert", "bert", "electra", "distilbert"])
def test_a_model_reads_as_many_positions_as_it_is_said_to_and_no_more(model_type: str) -> None:
    sizes = SIZES.get(model_type, COMMON)
    config = AutoConfig.for_model(model_type, vocab_size=30, max_position_embeddings=22, pad_token_id=1, **sizes)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    usable = positions(config.to_dict())
    assert usable is not None
    with torch.inference_mode():
        assert model(input_ids=torch.full((1, usable), 5)).logits.shape == (1, 2)
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, usable + 1), 5))


@pytest.mark.parametrize("model_type", SIZES)
def test_dropout_before_the_classifier_is_found_under_its_many_names(model_type: str) -> None:
    def rates(dropout: float | None) -> list[float]:
        config = AutoConfig.for_model(model_type, vocab_size=30, **SIZES[model_type])
        set_dropout(config, dropout)
        model = AutoModelForSequenceClassification.from_config(config)
        return [float(module.p) for module in model.modules() if isinstance(module, torch.nn.Dropout)]

    assert 0.42 not in rates(None)
    assert rates(0.42).count(0.42) == 1


def test_a_model_without_dropout_before_the_classifier_is_refused_by_name() -> None:
    with pytest.raises(KexpError) as caught:
        set_dropout(AutoConfig.for_model("llama"), 0.1)
    assert str(caught.value) == "backbone.dropout: models of type llama have no dropout before the classifier"
