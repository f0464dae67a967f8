"""The model as objectives see it."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_encoders import FLAT, PADDED, build
from small_training import WAYS
from support import unseen
from transformers import BertConfig
from waiting import Reads

from kexp.devices import choose
from kexp.errors import PluginError
from kexp.model.blocks import find_blocks
from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows


@pytest.fixture(params=["flat", "padded"])
def way(request: pytest.FixtureRequest) -> str:
    """The way in which rows go through the models of a test."""
    return request.param


def live(way: str, dropout: float = 0.0) -> Classifier:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    return Classifier(WAYS[way](config).train(), choose("cpu", "fp32"), 0)


def rows(*lengths: int, seed: int = 0) -> TokenRows:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 50, (sum(lengths),), generator=generator)
    return TokenRows(ids, np.asarray(lengths), torch.zeros_like(ids))


def test_one_pass_for_several_groups_gives_what_separate_passes_give(way: str) -> None:
    model = live(way)
    groups = [rows(4, 3, 4), rows(9, seed=1), rows(6, 2, 6, 5, 6, seed=2)]
    calls = []
    model.module.bert.embeddings.register_forward_pre_hook(lambda module, arguments: calls.append(1))
    together = model.logits(*groups)
    assert len(calls) == 1
    for logits, group in zip(together, groups, strict=True):
        torch.testing.assert_close(logits, model(group), rtol=1e-5, atol=1e-6)


def test_targets_have_neither_dropout_nor_gradient_and_modes_are_given_back(way: str) -> None:
    model = live(way, dropout=0.5)
    model.module.bert.embeddings.eval()
    modes = {name: module.training for name, module in model.module.named_modules()}
    first, second = model.target_logits(rows(5, 3, 5, 2)), model.target_logits(rows(5, 3, 5, 2))
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert {name: module.training for name, module in model.module.named_modules()} == modes
    (trained,) = model.logits(rows(5, 3, 5, 2))
    assert not torch.equal(trained, first)
    assert trained.requires_grad


def test_embedded_logits_are_those_of_the_tokens_and_carry_a_gradient(way: str) -> None:
    model = live(way, dropout=0.5)
    inputs = rows(5, 3, 5, 2)
    embeddings = model.embed(inputs).requires_grad_()
    assert embeddings.shape == (15, 16)
    logits = model.embedded_logits(embeddings, inputs)
    torch.testing.assert_close(logits, model.target_logits(inputs))
    logits.sum().backward()
    assert embeddings.grad is not None
    assert embeddings.grad.abs().sum() > 0


@pytest.mark.parametrize("family", ["modernbert-decoder", "ctrl", "qwen2", "albert", "convbert", "mpnet"])
def test_embedded_logits_are_those_of_the_tokens_in_families_that_find_the_last_token_themselves(family: str) -> None:
    more = {"modernbert-decoder": {"bos_token_id": 1, "eos_token_id": 2}, "ctrl": {"dff": 32}}.get(family, {})
    module = build(family, initializer_range=0.5, **more)
    model = Classifier(module.train(), choose("cpu", "fp32"), 0)
    inputs = replace(rows(5, 3, 5, 2), types=None)
    embeddings = model.embed(inputs).requires_grad_()
    logits = model.embedded_logits(embeddings, inputs)
    assert logits.std(0).min() > 1e-4
    torch.testing.assert_close(logits, model.target_logits(inputs))
    logits[1].sum().backward()
    assert embeddings.grad is not None
    assert embeddings.grad[5:8].abs().sum() > 0
    assert not embeddings.grad[8:].any()
    assert not module.get_input_embeddings()._forward_hooks


def test_another_module_can_be_asked_for_targets(way: str) -> None:
    model, teacher = live(way), live(way)
    with torch.no_grad():
        teacher.module.classifier.bias += 1
    torch.testing.assert_close(
        model.target_logits(rows(3, 2), teacher.module), model.target_logits(rows(3, 2)) + 1, rtol=1e-5, atol=1e-6
    )


def test_rows_that_are_not_those_of_a_batch_are_refused(way: str) -> None:
    with pytest.raises(PluginError, match="given a value of type dict, expected the rows of a batch"):
        live(way).logits(rows(3), {"input_ids": torch.ones(1, 3)})  # type: ignore[arg-type]


# --- hidden states that are known -------------------------------------------------------------------------------------


def known(model: Classifier, rows: TokenRows, layers: int) -> tuple[Classifier, TokenRows]:
    """Return a model that goes on after some layers, which are frozen, and rows with what these return."""
    for module in (model.module.bert.embeddings, *model.module.bert.encoder.layer[:layers]):
        module.eval().requires_grad_(False)
    return replace(model, known_layers=layers), replace(rows, hidden=model.hidden(rows, layers))


@pytest.mark.parametrize("layers", [1, 2])
def test_known_hidden_states_give_the_logits_and_gradients_of_the_whole_model(layers: int) -> None:
    whole, few = live("flat", dropout=0.3), rows(5, 3, 7)
    model, given = known(whole, few, layers)
    assert given.hidden is not None
    assert given.hidden.shape == ((15, 16) if layers == 1 else (3, 16))
    found = []
    for classifier, inputs in ((model, given), (whole, few)):
        torch.manual_seed(1)
        logits = torch.cat(classifier.logits(inputs, inputs))
        logits.square().sum().backward()
        found.append([logits, *(p.grad for p in whole.module.parameters() if p.grad is not None)])
        whole.module.zero_grad()
    assert len(found[0]) > 3
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    padded = replace(live("padded"), module=whole.module.eval())
    torch.testing.assert_close(model(given), padded.module(**few.padded(0)).logits, rtol=1e-5, atol=1e-6)


def test_known_hidden_states_are_those_of_the_model_and_its_own_word_embeddings_alone() -> None:
    whole, few = live("flat"), rows(5, 3, 7)
    model, given = known(whole, few, 1)
    teacher = copy.deepcopy(whole.module)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.mul_(0.9)
    assert torch.equal(model.target_logits(given, teacher), whole.target_logits(few, teacher))
    assert not torch.equal(model.target_logits(given, teacher), model.target_logits(given))
    embeddings = 2 * model.embed(given)
    assert torch.equal(model.embedded_logits(embeddings, given), whole.embedded_logits(embeddings, few))


def test_rows_beside_known_ones_go_through_the_frozen_layers_alone() -> None:
    whole, few, others = live("flat", dropout=0.3), rows(5, 3, 7), rows(4, 2, seed=1)
    model, given = known(whole, few, 1)
    found = []
    for classifier, inputs in ((model, given), (whole, few)):
        torch.manual_seed(1)
        found.append(torch.cat(classifier.logits(inputs, others)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)
    assert len(found[0]) == 5


def test_padded_models_have_no_hidden_states_to_go_on_from() -> None:
    model = live("padded")
    assert model.way == "padded: OwnBert of small_training has no forward pass without padding."
    assert live("flat").way == "flat"
    with pytest.raises(ValueError, match="OwnBert of small_training has no forward pass without padding"):
        model.hidden(rows(3), 1)


def test_rows_without_tokens_are_padded(way: str) -> None:
    model, few = live(way), rows(3, 0, 2)
    model.module.eval()
    found, expected = model(few), model.module(**few.padded(0)).logits
    torch.testing.assert_close(found, expected, equal_nan=True)


@pytest.mark.parametrize("family", FLAT)
def test_what_frozen_blocks_give_is_all_that_the_trained_ones_need(family: str) -> None:
    module = build(family, num_hidden_layers=3)
    classifier, few, blocks = Classifier(module, choose("cpu", "fp32"), 0), rows(5, 3, 7), find_blocks(module)
    assert classifier.way == "flat"
    few = replace(few, types=None)
    for layers in (1, 2, 3):
        blocks.apply_freezing(blocks.names[: layers + 1])
        frozen = classifier.flat.layers(classifier.flat.embed(few), few, 0, layers)
        assert not frozen.requires_grad
        rest = replace(classifier, known_layers=layers)
        rest.logits(replace(few, hidden=classifier.hidden(few, layers)))[0].square().sum().backward()
        assert all((p.grad is not None) == p.requires_grad for p in module.parameters())
        module.zero_grad()


def test_no_rows_have_no_logits_and_reach_no_weight(way: str) -> None:
    model = live(way)
    none = rows()
    assert model.target_logits(none).shape == (0, 2)
    first, second = model.logits(none, none)
    assert first.shape == second.shape == (0, 2)
    first.sum().backward()
    embeddings = model.embed(none).requires_grad_()
    (gradient,) = torch.autograd.grad(model.embedded_logits(embeddings, none).sum(), embeddings)
    assert gradient.shape == (0, 16)
    assert all(parameter.grad is None for parameter in model.module.parameters())
    with torch.no_grad():
        assert not model.logits(none)[0].requires_grad
    # Beside rows of another group they change nothing.
    nothing, some = model.logits(none, rows(4, 3))
    assert len(nothing) == 0
    assert torch.equal(some, model(rows(4, 3)))


@pytest.mark.parametrize("family", PADDED)
def test_rows_of_equal_length_go_without_a_mask_and_no_gpu_would_be_waited_for(family: str) -> None:
    model = Classifier(build(family).eval(), choose("cpu", "fp32"), 0)
    seen: list[bool] = []
    model.module.register_forward_pre_hook(
        unseen(lambda module, given, named: seen.append("attention_mask" in named)), with_kwargs=True
    )
    # Padding ids at both ends are real tokens here, of which the library would warn.
    equal, others = rows(6, 6, 6), rows(6, 2, 6)
    equal.ids[::6] = equal.ids[5::6] = model.module.config.pad_token_id
    expected = model.module(**equal.padded(0)).logits
    model.module.train()
    before = vars(model.module.base_model).keys()
    with Reads() as reads:
        model(equal).sum().backward()
    # ConvBERT makes a mask itself, and the library looks at it.
    assert reads.found == (["_local_scalar_dense"] if family == "convbert" else [])
    assert vars(model.module.base_model).keys() == before
    model.module.eval()
    torch.testing.assert_close(model(equal), expected, rtol=1e-5, atol=1e-6)
    model(others)
    assert seen == [True, False, False, True]


def test_models_of_others_are_always_given_their_mask() -> None:
    model = live("padded")
    seen: list[object] = []
    model.module.register_forward_pre_hook(
        lambda module, given, named: seen.append(named["attention_mask"].tolist()), with_kwargs=True
    )
    model(rows(2, 2))
    assert seen == [[[1, 1], [1, 1]]]
