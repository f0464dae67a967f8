"""The loss is that of transformers for equal masks, in every family, with the head on the masked tokens alone."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import small_encoders
import torch
from small_encoders import FLAT, PADDED
from transformers import AutoModelForMaskedLM

from kexp.contracts import Batch
from kexp.devices import choose
from kexp.distributed import World
from kexp.errors import KexpError
from kexp.host_batches import HostBatch, HostRows
from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows
from kexp.pretraining.masked_lm import MaskedTokens, mean_loss, shared_weights
from kexp.pretraining.masking import IGNORED
from kexp.testing.objective_processes import ThreadWorld, in_processes

FAMILIES = [*FLAT, *PADDED]


def build(family: str) -> Any:
    return small_encoders.build(family, AutoModelForMaskedLM)


def batch() -> HostBatch:
    random = np.random.default_rng(0)
    lengths = np.asarray([12, 12, 9, 8, 6, 4])
    ids = random.integers(5, 60, lengths.sum())
    labels = np.where(random.random(ids.shape) < 0.3, random.integers(5, 60, ids.shape), IGNORED)
    return HostBatch(HostRows(ids, lengths), labels)


def on_device(host: HostBatch) -> Batch:
    return Batch(TokenRows.of(host.inputs, torch.device("cpu")), torch.from_numpy(host.labels))


def padded(host: HostBatch) -> dict[str, torch.Tensor]:
    """Return what transformers takes, with the labels."""
    rows = TokenRows.of(host.inputs, torch.device("cpu"))
    return {**rows.padded(0), "labels": rows.spread(torch.from_numpy(host.labels), IGNORED)}


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradients_are_those_of_transformers(family: str) -> None:
    plain, model = build(family), build(family)
    host = batch()
    objective = MaskedTokens()
    classifier = Classifier(model, choose("cpu", "fp32"), 0)
    objective.check(classifier, host)
    assert objective.by_token
    assert (classifier.way == "flat") == (family in FLAT)
    plain.eval(), model.eval()
    expected = plain(**padded(host)).loss
    loss = objective.step(classifier, on_device(host), None, None).loss  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    expected.backward(), loss.backward()
    theirs = {name: parameter.grad for name, parameter in plain.named_parameters()}
    for name, parameter in model.named_parameters():
        if theirs[name] is not None:
            torch.testing.assert_close(parameter.grad, theirs[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("family", "head"), [("bert", "cls"), ("albert", "predictions")])
def test_the_head_sees_the_masked_tokens_alone(family: str, head: str) -> None:
    model, host = build(family), batch()
    seen = []
    module = model.get_submodule(head)
    module.register_forward_hook(lambda module, given, output: seen.append(output.shape.numel()))
    MaskedTokens().step(Classifier(model, choose("cpu", "fp32"), 0), on_device(host), None, None)  # type: ignore[arg-type]
    assert seen == [int((host.labels != IGNORED).sum()) * 60]


def test_rows_without_tokens_are_padded() -> None:
    model, host = build("bert").eval(), batch()
    gap = HostBatch(HostRows(host.inputs.ids, np.asarray([12, 0, 12, 9, 8, 6, 4])), host.labels)
    objective, classifier = MaskedTokens(), Classifier(model, choose("cpu", "fp32"), 0)
    (found, count), (expected, same) = (objective.loss(classifier, on_device(each)) for each in (gap, host))
    assert count == same
    torch.testing.assert_close(found, expected)


class MixingHead(torch.nn.Module):
    """A head in which a token sees the one before it."""

    def __init__(self, head: torch.nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(hidden + hidden.roll(1, 1))
        return found


def test_a_head_that_mixes_tokens_is_run_on_all_of_them() -> None:
    model, host = build("bert"), batch()
    model.cls = MixingHead(model.cls)
    model.eval()
    with torch.no_grad():
        expected = model(**padded(host)).loss
    objective, classifier = MaskedTokens(), Classifier(model, choose("cpu", "fp32"), 0)
    objective.check(classifier, host)
    assert not objective.by_token
    found = objective.step(classifier, on_device(host), None, None).loss  # type: ignore[arg-type]
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_batch_without_masked_tokens_has_no_loss_and_no_gradient() -> None:
    model, host = build("bert"), batch()
    empty = HostBatch(host.inputs, np.full_like(host.labels, IGNORED))
    loss = MaskedTokens().step(Classifier(model, choose("cpu", "fp32"), 0), on_device(empty), None, None).loss  # type: ignore[arg-type]
    loss.backward()
    assert loss.item() == 0
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.parameters())


def test_the_mean_loss_weighs_every_masked_token_alike() -> None:
    model, host = build("bert"), batch()
    model.eval()
    with torch.no_grad():
        expected = float(model(**padded(host)).loss)
    model.train()
    parts = [host.part(0, 1), host.part(1, 6)]
    found = mean_loss(MaskedTokens(), Classifier(model, choose("cpu", "fp32"), 0), parts)
    assert found == pytest.approx(expected, rel=1e-5)
    assert model.training


@pytest.mark.parametrize("family", FAMILIES)
def test_a_classifier_gets_all_weights_of_the_encoder(family: str) -> None:
    source, target = build(family), small_encoders.build(family)
    for parameter in source.parameters():
        parameter.data.add_(1.0)
    found = shared_weights(source, target)
    target.load_state_dict(found, strict=False)
    theirs = dict(source.base_model.named_parameters())
    for name, parameter in target.base_model.named_parameters():
        assert "pooler" in name or torch.equal(parameter, theirs[name]), name


def test_another_encoder_is_refused() -> None:
    with pytest.raises(KexpError, match="BertForMaskedLM and RobertaForSequenceClassification do not share roberta"):
        shared_weights(build("bert"), small_encoders.build("roberta"))


@pytest.mark.parametrize("size", [2, 7])
@pytest.mark.parametrize("family", ["bert", "albert"])
def test_parts_of_several_processes_add_up_to_the_mean_over_all_masked_tokens(family: str, size: int) -> None:
    host, alone = batch(), build(family).eval()
    whole = MaskedTokens().step(Classifier(alone, choose("cpu", "fp32"), 0), on_device(host), None, None).loss  # type: ignore[arg-type]
    whole.backward()

    def work(world: ThreadWorld) -> tuple[float, Any]:
        model = deepcopy(alone)
        model.zero_grad()
        of_token = np.repeat(np.arange(len(host)), host.inputs.lengths) % size == world.rank
        inputs = HostRows(host.inputs.ids[of_token], host.inputs.lengths[world.rank :: size])
        part = replace(on_device(HostBatch(inputs, host.labels[of_token])), all_rows=len(host))
        classifier = Classifier(model, choose("cpu", "fp32"), 0, world=cast("World", world))
        loss = MaskedTokens().step(classifier, part, None, None).loss  # type: ignore[arg-type]
        loss.backward()
        return loss.item(), {name: parameter.grad for name, parameter in model.named_parameters()}

    parts = in_processes(size, work)
    assert sum(loss for loss, _ in parts) == pytest.approx(whole.item(), rel=1e-6)
    for name, parameter in alone.named_parameters():
        found = [gradients[name] for _, gradients in parts if gradients[name] is not None]
        if parameter.grad is not None:
            torch.testing.assert_close(sum(found), parameter.grad, rtol=1e-4, atol=1e-6)
