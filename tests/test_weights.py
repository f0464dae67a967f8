"""Checkpoints of every family: what they lack is refused by name, and a head of another task is replaced."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_encoders
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedModel

from kexp.builtin.backbones import HubBackbone, cased_wordpiece
from kexp.contracts import BackboneContext, TokenizerContext
from kexp.errors import KexpError
from kexp.inference.loading import load
from kexp.weights import replace_head

LABELS = ("부정", "긍정")
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "영화", "정말", "최고", "별로", "##다"]
TOKENIZER = cased_wordpiece({token: number for number, token in enumerate(VOCABULARY)})

# Of decoders, those whose head is that of a classifier.
FAMILIES: dict[str, dict[str, Any]] = {
    **{family: {} for family in ("bert", "roberta", "electra", "albert", "distilbert", "deberta-v2", "modernbert")},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
    "llama": {},
}


def make(folder: Path, family: str = "bert", *, head: bool = False, labels: tuple[str, ...] = LABELS) -> Path:
    """Write a checkpoint with random weights: of the base model alone, or of a classifier."""
    torch.manual_seed(0)
    config = small_encoders.config(family, vocab_size=len(VOCABULARY), **FAMILIES[family])
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


# --- files as they come ----------------------------------------------------------------------------------------------


def problems(folder: Path) -> list[str]:
    return [str(problem) for problem in HubBackbone(path=folder).problems()]


def restate(folder: Path, name: str = "config.json", **values: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


def as_pickle(folder: Path, content: Any) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_a_wrappers_prefix_is_seen_by_the_names_alone(prefix: str, tmp_path: Path) -> None:
    rename(make(tmp_path), lambda name: f"{prefix}{name}")
    (problem,) = problems(tmp_path)
    assert f'its names begin with "{prefix}"; save the weights again under names without that prefix' in problem


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.bert.", "bert.bert.", "encoder.", "module.model."])
@pytest.mark.parametrize("whole", [False, True])
def test_a_prefix_is_refused_or_does_no_harm(prefix: str, whole: bool, tmp_path: Path) -> None:
    make(tmp_path, head=whole)
    stored = load_file(tmp_path / "model.safetensors")
    rename(tmp_path, lambda name: f"{prefix}{name}")
    # transformers takes the name of the base model off once.
    if prefix == "bert.bert." and not whole:
        loaded = build(tmp_path).base_model.state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in stored.items())
        return
    with pytest.raises(KexpError, match="its names begin with"):
        build(tmp_path)


LAYERS = {"bert": "num_hidden_layers", "gpt2": "n_layer", "distilbert": "n_layers", "deberta-v2": "num_hidden_layers"}


@pytest.mark.parametrize("family", LAYERS)
@pytest.mark.parametrize("stated", [1, 3])
def test_another_number_of_layers_is_seen_by_the_names_alone(family: str, stated: int, tmp_path: Path) -> None:
    restate(make(tmp_path, family), **{LAYERS[family]: stated})
    (problem,) = problems(tmp_path)
    assert f"config.json says {stated} layers, the weights have those of number 0, 1" in problem


def test_a_layer_in_the_middle_is_seen_by_the_names_alone(tmp_path: Path) -> None:
    rename(make(tmp_path), lambda name: name.replace("layer.1.", "layer.2."))
    assert "config.json says 2 layers, the weights have those of number 0, 2" in problems(tmp_path)[0]


@pytest.mark.parametrize("family", ["bert", "gpt2", "distilbert", "deberta-v2"])
@pytest.mark.parametrize("whole", [False, True])
def test_layers_that_would_be_left_out_are_refused(family: str, whole: bool, tmp_path: Path) -> None:
    restate(make(tmp_path, family, head=whole), **{LAYERS[family]: 1})
    with pytest.raises(KexpError, match=r"its weights have .*\.1\..*, for which the model has no place; correct the"):
        build(tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(family: str, number: float, tmp_path: Path) -> None:
    path = make(tmp_path, family, head=True) / "model.safetensors"
    stored = load_file(path)
    name = sorted(name for name, tensor in stored.items() if tensor.ndim > 1)[-1]
    stored[name].view(-1)[0] = number
    save_file(stored, path, metadata={"format": "pt"})
    for use in (build, load):
        with pytest.raises(KexpError, match=rf"not finite \(NaN or infinite\): {name}"):
            use(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_are_read_in_full(dtype: torch.dtype, tmp_path: Path) -> None:
    path = make(tmp_path, head=True) / "model.safetensors"
    stored = {name: tensor.to(dtype) for name, tensor in load_file(path).items()}
    save_file(stored, path, metadata={"format": "pt"})
    restate(tmp_path, dtype=str(dtype).removeprefix("torch."))
    torch.manual_seed(1)
    model = build(tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.bert.pooler.dense.weight, stored["bert.pooler.dense.weight"].float())
    # The fresh head has all digits, too.
    assert not torch.equal(model.classifier.weight, model.classifier.weight.to(dtype).float())


class Marker:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("use", [build, load])
def test_pickles_of_more_than_weights_are_refused_and_not_run(use: Callable[[Path], Any], tmp_path: Path) -> None:
    as_pickle(make(tmp_path / "model", head=True), {"weight": Marker(tmp_path / "ran")})
    with pytest.raises(KexpError, match="a pickle that holds more than weights and could run code; give them as safet"):
        use(tmp_path / "model")
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_are_read(tmp_path: Path) -> None:
    stored = load_file(make(tmp_path, head=True) / "model.safetensors")
    as_pickle(tmp_path, stored)
    assert torch.equal(build(tmp_path).bert.pooler.dense.weight, stored["bert.pooler.dense.weight"])


def test_a_checkpoint_of_another_tool_is_refused_with_what_it_has(tmp_path: Path) -> None:
    as_pickle(make(tmp_path), {"state_dict": load_file(tmp_path / "model.safetensors"), "epoch": torch.tensor(3)})
    with pytest.raises(KexpError, match=r"and 32 more, which would stay random; .*; it has epoch, state_dict"):
        build(tmp_path)


def test_weights_in_two_files_are_warned_of(tmp_path: Path) -> None:
    torch.save(load_file(make(tmp_path) / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (warning,) = HubBackbone(path=tmp_path).warnings()
    assert (
        warning.message == f"{tmp_path} has model.safetensors and pytorch_model.bin, of which model.safetensors is read"
    )


def test_a_bias_of_an_old_head_is_replaced_too(tmp_path: Path) -> None:
    path = make(tmp_path, head=True) / "model.safetensors"
    stored = {name: tensor for name, tensor in load_file(path).items() if name != "classifier.weight"}
    stored["classifier.bias"][:] = torch.tensor([5.0, -5.0])
    save_file(stored, path, metadata={"format": "pt"})
    assert torch.equal(build(tmp_path).classifier.bias, torch.zeros(2))


def test_weights_of_another_type_of_model_are_told_by_their_names(tmp_path: Path) -> None:
    restate(make(tmp_path, head=True), model_type="roberta")
    with pytest.raises(KexpError, match=r"of type bert, config\.json says roberta; take both from one"):
        build(tmp_path)


@pytest.mark.parametrize("stated", [None, {"do_lower_case": True}])
def test_a_tokenizer_that_splits_syllables_is_refused(stated: dict[str, Any] | None, tmp_path: Path) -> None:
    make(tmp_path, head=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY), "utf-8")
    if stated is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(stated))
    for use in (lambda: HubBackbone(path=tmp_path).build_tokenizer(TokenizerContext()), lambda: load(tmp_path)):
        with pytest.raises(KexpError, match=r'splits Hangul into letters, .*; state "do_lower_case": false'):
            use()
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "strip_accents": False}))
    assert HubBackbone(path=tmp_path).build_tokenizer(TokenizerContext()).tokenize("영화 최고") == ["영화", "최고"]


@pytest.mark.parametrize("words", [["▁영화", "▁최고", "▁정말"], ["▁영화", "최고", "▁정말", "▁배우"]])
def test_a_vocabulary_of_another_tokenizer_class_is_refused(words: list[str], tmp_path: Path) -> None:
    make(tmp_path, head=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    (tmp_path / "vocab.txt").write_text("\n".join([*VOCABULARY[:5], *words]), "utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "strip_accents": False}))
    for use in (lambda: HubBackbone(path=tmp_path).build_tokenizer(TokenizerContext()), lambda: load(tmp_path)):
        with pytest.raises(KexpError, match=r'another class than its vocabulary: BertTokenizer .* such as "[가-힣]+"'):
            use()


INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize("parts", [3, None, [], {}, "x", {"a": 3}, {"a": None}, {"a": ["b"]}])
def test_an_index_of_another_form_is_refused_in_one_line(parts: Any, tmp_path: Path) -> None:
    (make(tmp_path) / INDEX).write_text(json.dumps({"weight_map": parts}))
    assert f"{tmp_path / INDEX}: expected weight_map to be an object of names of files, found " in problems(tmp_path)[0]


def test_a_part_that_is_missing_or_lacks_what_is_listed_is_named(tmp_path: Path) -> None:
    path = make(tmp_path) / "model.safetensors"
    stored = load_file(path)
    path.unlink()
    names = sorted(stored)
    parts = {"one.safetensors": names[:5], "two.safetensors": names[5:]}
    for part, of in parts.items():
        save_file({name: stored[name] for name in of}, tmp_path / part, metadata={"format": "pt"})
    listed = {name: part for part, of in parts.items() for name in of}
    (tmp_path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": listed}))
    assert problems(tmp_path) == []
    assert torch.equal(build(tmp_path).bert.pooler.dense.weight, stored["pooler.dense.weight"])
    save_file({name: stored[name] for name in names[6:]}, tmp_path / "two.safetensors", metadata={"format": "pt"})
    assert f"lacks weights that {INDEX} lists: {names[5]}" in problems(tmp_path)[0]
    (tmp_path / "two.safetensors").unlink()
    assert "lacks a part of the weights: two.safetensors" in problems(tmp_path)[0]
