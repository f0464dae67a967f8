"""LoRA in models of every family: what is trained, that no way through the model passes it by, and what is saved."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import small_encoders
import torch
from transformers import AutoModelForSequenceClassification

from kexp.contracts.adapter import Adapter
from kexp.devices import choose
from kexp.errors import KexpError
from kexp.model.adapter import add_adapter, merged_weights, need_precision, round_base, save_classifier
from kexp.model.blocks import find_blocks
from kexp.model.flat import FlatModel, reason_not_flat
from kexp.model.forward import Classifier
from kexp.model.recomputation import recompute_activations
from kexp.model.token_rows import TokenRows
from kexp.moving_average import MovingAverage
from kexp.trained_weights import TrainedWeights, copy_model, fixed_digest, fixed_weights

ENCODERS = [*small_encoders.FLAT, *small_encoders.PADDED]
FAMILIES = [*ENCODERS, *small_encoders.DECODERS]
HEADS = {"score", "classifier", "pre_classifier", "pooler", "head"}


def adapted(family: str, *, nonzero: bool = True, seed: int = 1, **options: Any) -> Any:
    """Return a model with matrices whose product is not zero, as after training."""
    model = small_encoders.build(family).eval()
    add_adapter(model, Adapter(use="lora", **{"r": 2, "alpha": 4, "target": "all-linear", **options}), seed)
    if nonzero:
        generator = torch.Generator().manual_seed(3)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.data.normal_(0, 0.5, generator=generator)
    return model


def rows() -> TokenRows:
    lengths = torch.tensor([3, 9, 1, 6])
    ids = torch.randint(4, 60, (int(lengths.sum()),), generator=torch.Generator().manual_seed(0))
    return TokenRows(ids, lengths.numpy(), None)


def logits(model: Any) -> torch.Tensor:
    return Classifier(model, choose("cpu", "fp32"), 0)(rows())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_adapter_changes_no_logit_and_draws_nothing_from_others(family: str) -> None:
    plain = small_encoders.build(family).eval()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    model = adapted(family, nonzero=False)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), expected)
    torch.testing.assert_close(logits(model), logits(plain))
    one, same, other = (adapted(family, nonzero=False, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one if "lora_A" in name)


@pytest.mark.parametrize("family", FAMILIES)
def test_matrices_and_the_whole_head_are_trained_and_nothing_else(family: str) -> None:
    model = adapted(family)
    find_blocks(model).apply_freezing(())
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    plain = small_encoders.build(family)
    block_of = find_blocks(plain).block_of
    head = {name for name, _ in plain.named_parameters() if block_of[name.rpartition(".")[0]] == "head"}
    assert head
    assert all(HEADS & set(name.split(".")) for name in head), head
    assert {name for name in trained if "lora_" not in name} == head
    assert {name for name, _ in model.named_parameters() if "lora_" in name} <= trained
    # By gradients, not by flags.
    logits(model).square().sum().backward()
    moved = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert moved == trained
    still = [name for name in trained if "lora_" in name and not model.get_parameter(name).grad.any()]
    assert not still


@pytest.mark.parametrize(("target", "maps"), [("attention", 8), ("all-linear", 12), (("0.lin1",), 1)])
def test_parts_of_layers_in_lists_of_their_own_are_layers_too(target: Any, maps: int) -> None:
    model = small_encoders.build("xlm", emb_dim=16, n_layers=2, n_heads=2, n_words=60, dropout=0.0)
    add_adapter(model, Adapter(use="lora", r=2, target=target), 1)
    find_blocks(model).apply_freezing(())
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert sum("lora_A" in name for name in trained) == maps
    assert {name for name in trained if "lora_" not in name} == {
        "sequence_summary.summary.weight",
        "sequence_summary.summary.bias",
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_learns_and_is_saved(family: str, tmp_path: Path) -> None:
    model = adapted(family, nonzero=False)
    blocks = find_blocks(model)
    blocks.apply_freezing(())
    before = deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(blocks.parameter_groups(1.0, 0.0, 1.0), lr=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits(model), torch.tensor([0, 1, 0, 1])).backward()
        optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert changed <= trained
    # The first step of A is as small as its gradient, for which B is zero.
    assert all("lora_A" in name for name in trained - changed)
    expected = logits(model.eval()).detach()
    save_classifier(model, tmp_path)
    loaded, info = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert type(loaded) is type(small_encoders.build(family))
    torch.testing.assert_close(logits(loaded.eval()), expected, rtol=1e-4, atol=1e-5)
    for name in changed - {name for name in changed if "lora_" in name}:
        assert torch.equal(loaded.get_parameter(name), model.get_parameter(name)), name


@pytest.mark.parametrize(
    "options", [{}, {"dora": True}, {"rslora": True}, {"target": "attention"}, {"r": 1, "alpha": 32}]
)
@pytest.mark.parametrize("family", ["bert", "modernbert", *small_encoders.DECODERS])
def test_merged_weights_are_the_same_function(family: str, options: dict[str, Any]) -> None:
    model, plain = adapted(family, **options), small_encoders.build(family).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert not torch.allclose(logits(model), logits(plain), rtol=1e-3, atol=1e-5)
    plain.load_state_dict(merged_weights(model))
    torch.testing.assert_close(logits(plain), logits(model), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("family", small_encoders.FLAT)
def test_rows_without_padding_go_through_the_matrices(family: str) -> None:
    model = adapted(family)
    find_blocks(model).apply_freezing(())
    model.eval()
    assert reason_not_flat(model) is None

    def run(flat: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        model.zero_grad()
        found = FlatModel.of(model).logits(rows()) if flat else model(**rows().padded(0)).logits
        found.square().sum().backward()
        return found.detach(), {n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None}

    (flat, flat_gradients), (padded, padded_gradients) = run(True), run(False)
    torch.testing.assert_close(flat, padded, rtol=1e-4, atol=1e-5)
    assert flat_gradients.keys() == padded_gradients.keys()
    for name, gradient in flat_gradients.items():
        torch.testing.assert_close(gradient, padded_gradients[name], rtol=1e-3, atol=1e-5)


def test_another_adapter_of_peft_is_not_run_without_padding() -> None:
    from peft import IA3Config, inject_adapter_in_model

    model = small_encoders.build("bert")
    inject_adapter_in_model(IA3Config(target_modules=["query"], feedforward_modules=[]), model)
    assert "peft.tuners.ia3" in str(reason_not_flat(model))


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "modernbert", "deberta-v2", "albert", "qwen2"])
def test_targets_are_found_in_every_family(family: str) -> None:
    names = {
        target: {
            name.split(".lora_A")[0]
            for name, _ in adapted(family, target=target).named_parameters()
            if "lora_A" in name
        }
        for target in ("attention", "all-linear")
    }
    assert names["attention"] < names["all-linear"]
    assert all("att" in name for name in names["attention"])
    assert not any("classifier" in name or "score" in name or "pooler" in name for name in names["all-linear"])


def test_of_many_linear_maps_those_alone_are_adapted_that_are_named() -> None:
    # peft shortens long lists of names.
    model = small_encoders.build("bert", num_hidden_layers=7)
    add_adapter(model, Adapter(use="lora", target=("query", "key", "value")), 1)
    found = {name.split(".lora_A")[0].split("layer.")[1] for name in model.state_dict() if "lora_A" in name}
    parts = ("query", "key", "value")
    assert found == {f"{number}.attention.self.{part}" for number in range(7) for part in parts}


def test_named_targets_and_those_that_are_not_there() -> None:
    model = adapted("bert", target=("query", "attention.output.dense"))
    found = {
        name.split("layer.0.")[1].split(".lora_")[0]
        for name in model.state_dict()
        if "layer.0" in name and "lora_A" in name
    }
    assert found == {"attention.self.query", "attention.output.dense"}
    with pytest.raises(KexpError) as error:
        adapted("bert", target=("query", "q_proj"))
    assert "no linear map q_proj in its layers; they have attention.self.query" in str(error.value)


def test_freezing_a_block_freezes_its_matrices() -> None:
    model = adapted("bert")
    blocks = find_blocks(model)
    everything = blocks.apply_freezing(())
    count = blocks.apply_freezing({"embeddings", "layer.0"})
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert not any("layer.0" in name for name in trained)
    assert {name for name in trained if "layer.1" in name} == {
        n for n, _ in model.named_parameters() if "layer.1" in n and "lora_" in n
    }
    assert 0 < count < everything


def test_layer_decay_is_that_of_the_block() -> None:
    model = adapted("bert")
    blocks = find_blocks(model)
    rates = {id(w): g["base_lr"] for g in blocks.parameter_groups(1.0, 0.01, 0.5) for w in g["params"]}
    named = {name: rates[id(weight)] for name, weight in model.named_parameters() if id(weight) in rates}
    assert len(named) == len(rates)
    assert not set(named) & fixed_weights(model)
    for name, rate in named.items():
        assert rate == {"layer.0": 0.25, "layer.1": 0.5}.get(blocks.block_of[name.rpartition(".")[0]], 1.0)


@pytest.mark.parametrize("family", ["bert", "deberta-v2", "qwen2"])
def test_gradient_checkpointing_changes_no_gradient(family: str) -> None:
    gradients = []
    for recompute in (False, True):
        model = adapted(family, dropout=0.2)
        if recompute:
            recompute_activations(model)
        find_blocks(model).apply_freezing(())
        torch.manual_seed(0)
        logits(model).square().sum().backward()
        gradients.append({n: w.grad for n, w in model.named_parameters() if w.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert any("lora_A" in name for name in gradients[0])
    assert all(torch.equal(gradients[1][name], gradient) for name, gradient in gradients[0].items())


def test_the_state_has_no_fixed_weights_and_is_checked() -> None:
    model = adapted("bert")
    state = {name: value.clone() for name, value in TrainedWeights(model).state_dict().items()}
    assert not set(state) & fixed_weights(model)
    other = adapted("bert", nonzero=False, seed=2)
    assert fixed_digest(other) == fixed_digest(model)
    TrainedWeights(other).load_state_dict(state)
    assert torch.equal(logits(other), logits(model))
    name = next(iter(state))
    with pytest.raises(RuntimeError, match=name):
        TrainedWeights(other).load_state_dict({key: value for key, value in state.items() if key != name})
    with pytest.raises(RuntimeError, match="unexpected"):
        TrainedWeights(other).load_state_dict({**state, "odd": state[name]})
    other.bert.embeddings.word_embeddings.weight.data[3] += 1
    assert fixed_digest(other) != fixed_digest(model)


def test_copies_share_what_is_fixed_and_average_the_rest() -> None:
    model, average = adapted("bert"), MovingAverage()
    find_blocks(model).apply_freezing(())
    copied = average.of(model)
    fixed, start = fixed_weights(model), {n: w.clone() for n, w in copy_model(model).state_dict().items()}
    for name, weight in copied.named_parameters():
        assert (weight is model.get_parameter(name)) == (name in fixed)
        assert not weight.requires_grad
    assert model.classifier.weight.requires_grad
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name not in fixed:
                weight.add_(1)
    average.update(model, 0.5)
    for name, weight in copied.state_dict().items():
        torch.testing.assert_close(weight, start[name] + (0 if name in fixed else 0.5))
    assert not any(name.removeprefix("module.") in fixed for name in average.state_dict())
    again = MovingAverage()
    again.load_state_dict(average.state_dict())
    assert torch.equal(logits(again.of(model)), logits(copied))


@pytest.mark.parametrize("family", ["bert", "modernbert", "qwen2"])
def test_a_base_in_bf16_gives_the_same_logits_in_bf16_to_the_bit(family: str) -> None:
    hardware = choose("cpu", "bf16")
    adapter = Adapter(use="lora", base="bf16", target="all-linear")
    halved, whole = small_encoders.build(family).eval(), adapted(family, nonzero=False, r=8)
    size = sum(w.nbytes for w in halved.parameters())
    round_base(halved, adapter)
    assert sum(w.nbytes for w in halved.parameters()) < 0.85 * size
    add_adapter(halved, adapter, 1)
    for one, other in zip(halved.named_parameters(), whole.named_parameters(), strict=True):
        if "lora_" in one[0]:
            assert one[1].dtype == torch.float32
            one[1].data = other[1].data.clone()
    found, expected = (Classifier(model, hardware, 0)(rows()) for model in (halved, whole))
    assert torch.equal(found, expected)
    assert {value.dtype for value in merged_weights(halved).values()} == {torch.float32}
    need_precision(adapter, hardware)
    with pytest.raises(KexpError, match="this run computes in fp32; set training"):
        need_precision(adapter, choose("cpu", "fp32"))
