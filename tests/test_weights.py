"""Checkpoints of every family: what they lack is refused by name, and a head of another task is replaced."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedModel

from kexp.builtin.backbones import HubBackbone, cased_wordpiece
from kexp.contracts import BackboneContext
from kexp.errors import KexpError
from kexp.inference.loading import load
from kexp.weights import replace_head

LABELS = ("부정", "긍정")
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "영화", "정말", "최고", "별로", "##다"]
TOKENIZER = cased_wordpiece({token: number for number, token in enumerate(VOCABULARY)})

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
TOKENS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": SMALL,
    "roberta": SMALL,
    "electra": SMALL | {"embedding_size": 8},
    "albert": SMALL | {"embedding_size": 8},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 16},
    "deberta-v2": SMALL,
    "modernbert": SMALL | TOKENS,
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
    "llama": SMALL,
}


def make(folder: Path, family: str = "bert", *, head: bool = False, labels: tuple[str, ...] = LABELS) -> Path:
    """Write a checkpoint with random weights: of the base model alone, or of a classifier."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, vocab_size=len(VOCABULARY), **{**FAMILIES[family], "pad_token_id": 0})
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    model = (AutoModelForSequenceClassification if head else AutoModel).from_config(config)
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def rename(folder: Path, new: Callable[[str], str | None]) -> None:
    """Rename the weights of a checkpoint; those without a new name are lost."""
    path = folder / "model.safetensors"
    kept = {name: tensor for old, tensor in load_file(path).items() if (name := new(old)) is not None}
    save_file(kept, path, metadata={"format": "pt"})


def build(folder: Path, labels: tuple[str, ...] = LABELS, **options: Any) -> PreTrainedModel:
    return HubBackbone(path=folder, **options).build(BackboneContext(labels, TOKENIZER))


def head(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return what is outside of the base model, without the pooler."""
    base = f"{model.base_model_prefix}."
    return {
        name: tensor for name, tensor in model.state_dict().items() if not name.startswith(base) and "pool" not in name
    }


# --- what is missing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prefix", ["module.", "net.model."])
def test_names_with_another_prefix_are_refused_with_it(family: str, prefix: str, tmp_path: Path) -> None:
    rename(make(tmp_path, family, head=True), lambda name: f"{prefix}{name}")
    with pytest.raises(KexpError) as caught:
        build(tmp_path)
    assert f'its names begin with "{prefix}"' in str(caught.value)
    assert "without that prefix" in str(caught.value)


@pytest.mark.parametrize("family", ["bert", "electra", "roberta", "distilbert"])
def test_a_prefix_in_the_place_of_the_base_models_is_named(family: str, tmp_path: Path) -> None:
    rename(make(tmp_path, family), lambda name: f"encoder_model.{name}")
    with pytest.raises(KexpError, match=r'its names begin with "encoder_model\."'):
        build(tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_layer_that_is_missing_is_refused_by_name(family: str, tmp_path: Path) -> None:
    make(tmp_path, family, head=True)
    names = load_file(tmp_path / "model.safetensors")
    last = [name for name in names if any(part in name for part in ("layer.1.", "layers.1.", "h.1.", "layer_groups"))]
    assert last
    rename(tmp_path, lambda name: None if name == last[0] else name)
    with pytest.raises(KexpError) as caught:
        build(tmp_path)
    assert str(caught.value) == (
        f'backbone "{tmp_path}": its weights lack {last[0]}, which would stay random; give a checkpoint that is whole'
    )


def test_many_missing_weights_are_counted(tmp_path: Path) -> None:
    rename(make(tmp_path), lambda name: None if name.startswith("encoder.layer.1.") else name)
    with pytest.raises(KexpError, match=r"bert\.encoder\.layer\.1\.attention.* and 11 more, which would stay random"):
        build(tmp_path)


def test_embeddings_of_another_size_are_refused_with_both_sizes(tmp_path: Path) -> None:
    make(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**config, "vocab_size": 12}), "utf-8")
    with pytest.raises(KexpError, match=r"word_embeddings\.weight \(10 x 16, expected 12 x 16\)"):
        build(tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_base_model_without_head_or_pooler_is_taken_as_it_is(family: str, tmp_path: Path) -> None:
    rename(make(tmp_path, family), lambda name: None if "pooler" in name else name)
    stored = load_file(tmp_path / "model.safetensors")
    loaded = build(tmp_path).base_model.state_dict()
    assert stored
    assert all(torch.equal(loaded[name], tensor) for name, tensor in stored.items())


def test_a_trained_model_with_another_prefix_is_refused_with_it(tmp_path: Path) -> None:
    rename(make(tmp_path, head=True), lambda name: f"module.{name}")
    with pytest.raises(KexpError, match=r'its names begin with "module\."'):
        load(tmp_path)


# --- heads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("labels", [LABELS, ("가", "나", "다")])
def test_a_fine_tuned_head_is_replaced_whole(family: str, labels: tuple[str, ...], tmp_path: Path) -> None:
    make(tmp_path, family, head=True)
    stored = load_file(tmp_path / "model.safetensors")
    torch.manual_seed(1)
    model = build(tmp_path, labels)
    matrices = {name: tensor for name, tensor in head(model).items() if tensor.ndim > 1}
    assert matrices
    assert all(not torch.equal(tensor, stored[name]) for name, tensor in matrices.items())
    torch.manual_seed(1)
    again = head(build(tmp_path, labels))
    assert all(torch.equal(tensor, again[name]) for name, tensor in matrices.items())
    others = model.state_dict().keys() - head(model).keys()
    assert all(torch.equal(model.state_dict()[name], stored[name]) for name in others & stored.keys())


def test_the_head_on_a_base_model_is_the_one_that_transformers_draws(tmp_path: Path) -> None:
    make(tmp_path)
    torch.manual_seed(1)
    expected = AutoModelForSequenceClassification.from_pretrained(tmp_path).classifier.weight
    torch.manual_seed(1)
    assert torch.equal(build(tmp_path).classifier.weight, expected)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_a_head_is_kept_on_request_and_its_rows_follow_the_labels(
    family: str, order: tuple[int, ...], tmp_path: Path
) -> None:
    names = ("부정", "긍정", "중립")
    make(tmp_path, family, head=True, labels=names)
    inputs = TOKENIZER(["영화 정말 최고"], return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        expected = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()(**inputs).logits
        labels = tuple(names[number] for number in order)
        model = build(tmp_path, labels, keep_head=True).eval()
        torch.testing.assert_close(model(**inputs).logits, expected[:, list(order)])
    assert model.config.id2label == dict(enumerate(labels))


def test_a_head_of_other_labels_is_not_kept(tmp_path: Path) -> None:
    make(tmp_path, head=True)
    with pytest.raises(KexpError) as caught:
        build(tmp_path, ("0", "1"), keep_head=True)
    assert str(caught.value) == (
        f'backbone "{tmp_path}": the labels of its head are 부정, 긍정, those of the data 0, 1; '
        "rename them with dataset.label_names, or leave out backbone.keep_head"
    )


def test_a_base_model_has_no_head_to_keep(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(KexpError, match=r"lack classifier\.bias, classifier\.weight, .* a whole classifier"):
        build(tmp_path, keep_head=True)


def test_a_head_is_copied_from_a_model_of_the_same_kind(tmp_path: Path) -> None:
    config = AutoConfig.from_pretrained(make(tmp_path))
    model, fresh = (AutoModelForSequenceClassification.from_config(config) for _ in range(2))
    assert not torch.equal(model.classifier.weight, fresh.classifier.weight)
    replace_head(model, fresh)
    assert torch.equal(model.classifier.weight, fresh.classifier.weight)
    assert not torch.equal(model.bert.pooler.dense.weight, fresh.bert.pooler.dense.weight)


# --- padding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2"])
def test_padding_of_another_token_than_the_tokenizers_is_refused(family: str, tmp_path: Path) -> None:
    make(tmp_path, family)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**config, "pad_token_id": 3}), "utf-8")
    with pytest.raises(KexpError, match=r"config\.json says pad_token_id 3, but the tokenizer pads with 0"):
        build(tmp_path)


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert"])
def test_padding_that_is_not_stated_is_the_tokenizers(family: str, tmp_path: Path) -> None:
    make(tmp_path, family)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    del config["pad_token_id"]
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    assert build(tmp_path).config.pad_token_id == 0
