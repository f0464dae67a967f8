"""The model as objectives see it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from kexp.devices import choose
from kexp.errors import PluginError
from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows


def live(dropout: float = 0.0) -> Classifier:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    return Classifier(BertForSequenceClassification(config).train(), choose("cpu", "fp32"), 0)


def rows(*lengths: int, seed: int = 0) -> TokenRows:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 50, (sum(lengths),), generator=generator)
    return TokenRows(ids, np.asarray(lengths), torch.zeros_like(ids))


def test_one_pass_for_several_groups_gives_what_separate_passes_give() -> None:
    model = live()
    groups = [rows(4, 3, 4), rows(9, seed=1), rows(6, 2, 6, 5, 6, seed=2)]
    calls = []
    model.module.register_forward_pre_hook(lambda module, arguments: calls.append(1))
    together = model.logits(*groups)
    assert len(calls) == 1
    for logits, group in zip(together, groups, strict=True):
        torch.testing.assert_close(logits, model(group), rtol=1e-5, atol=1e-6)


def test_targets_have_neither_dropout_nor_gradient_and_modes_are_given_back() -> None:
    model = live(dropout=0.5)
    model.module.bert.embeddings.eval()
    modes = {name: module.training for name, module in model.module.named_modules()}
    first, second = model.target_logits(rows(5, 3, 5, 2)), model.target_logits(rows(5, 3, 5, 2))
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert {name: module.training for name, module in model.module.named_modules()} == modes
    (trained,) = model.logits(rows(5, 3, 5, 2))
    assert not torch.equal(trained, first)
    assert trained.requires_grad


def test_embedded_logits_are_those_of_the_tokens_and_carry_a_gradient() -> None:
    model = live(dropout=0.5)
    inputs = rows(5, 3, 5, 2)
    embeddings = model.embed(inputs).requires_grad_()
    assert embeddings.shape == (15, 16)
    logits = model.embedded_logits(embeddings, inputs)
    torch.testing.assert_close(logits, model.target_logits(inputs))
    logits.sum().backward()
    assert embeddings.grad is not None
    assert embeddings.grad.abs().sum() > 0


def test_another_module_can_be_asked_for_targets() -> None:
    model, teacher = live(), live()
    with torch.no_grad():
        teacher.module.classifier.bias += 1
    torch.testing.assert_close(
        model.target_logits(rows(3, 2), teacher.module), model.target_logits(rows(3, 2)) + 1, rtol=1e-5, atol=1e-6
    )


def test_rows_that_are_not_those_of_a_batch_are_refused() -> None:
    with pytest.raises(PluginError, match="given a value of type dict, expected the rows of a batch"):
        live().logits(rows(3), {"input_ids": torch.ones(1, 3)})  # type: ignore[arg-type]
