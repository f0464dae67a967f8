"""Rows that processes share: values of all rows, the parts of a loss, and the sum of their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch

from kexp.contracts import Batch, UnlabelledBatch
from kexp.devices import choose
from kexp.distributed import World
from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows
from kexp.testing.fixtures import tiny_classifier
from kexp.testing.objective_processes import ThreadWorld, in_processes

ROWS = 7


def rows(count: int) -> TokenRows:
    return TokenRows(torch.arange(count), np.ones(count, dtype=np.int64), None)


def labelled(world: ThreadWorld, count: int = ROWS) -> Batch:
    labels = torch.arange(count)[world.rank :: world.size]
    return Batch(rows(len(labels)), labels, count)


def model_of(world: ThreadWorld) -> Classifier:
    return Classifier(tiny_classifier()[0], choose("cpu", "fp32"), 0, world=cast("World", world))


def values() -> torch.Tensor:
    return torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(0))


LOSSES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "a mean": lambda values: values.logsumexp(-1).mean(),
    "the entropy of the mean prediction": lambda values: torch.special.entr(values.softmax(-1).mean(0)).sum(),
    "a contrast of rows": lambda values: (values @ values.T).logsumexp(-1).mean(),
    "a product of statistics": lambda values: values.var() * values.max(0).values.prod(),
}


@pytest.mark.parametrize("size", [2, 3, 7, 9])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_parts_of_any_loss_add_up_and_so_do_their_gradients(
    loss: Callable[[torch.Tensor], torch.Tensor], size: int
) -> None:
    whole = values().requires_grad_()
    expected = loss(whole)
    expected.backward()

    def work(world: ThreadWorld) -> tuple[torch.Tensor, torch.Tensor]:
        batch, own = labelled(world), values()[world.rank :: world.size].requires_grad_()
        (found,) = batch.gather(model_of(world), own)
        part = batch.part(loss(found))
        part.backward()
        assert own.grad is not None
        return part.detach(), own.grad

    parts = in_processes(size, work)
    assert float(sum(part for part, _ in parts)) == pytest.approx(expected.item(), rel=1e-6)
    assert whole.grad is not None
    for rank, (_, gradient) in enumerate(parts):
        torch.testing.assert_close(gradient, whole.grad[rank::size], rtol=1e-5, atol=1e-7)


def test_means_of_processes_add_up() -> None:
    def work(world: ThreadWorld) -> torch.Tensor:
        return labelled(world).mean(values()[world.rank :: world.size, 0])

    assert float(sum(in_processes(9, work))) == pytest.approx(values()[:, 0].mean().item(), rel=1e-6)


def test_values_of_several_types_and_shapes_are_gathered_exactly_in_the_order_of_the_rows() -> None:
    large = torch.arange(ROWS) + 2**40
    flags, table = torch.arange(ROWS) % 2 == 0, torch.randn(ROWS, 2, 4)

    def work(world: ThreadWorld) -> tuple[torch.Tensor, ...]:
        def own(all_values: torch.Tensor) -> torch.Tensor:
            return all_values[world.rank :: world.size]

        batch = UnlabelledBatch(rows(0), rows(0), own(large), ROWS)
        return batch.gather(model_of(world), own(large), own(flags), own(table))

    for found in in_processes(3, work):
        assert all(map(torch.equal, found, (large, flags, table)))
        assert [value.dtype for value in found] == [torch.int64, torch.bool, torch.float32]


def test_flags_alone_are_gathered() -> None:
    flags = torch.arange(ROWS) % 3 == 0
    found = in_processes(2, lambda world: labelled(world).gather(model_of(world), flags[world.rank :: world.size]))
    assert all(torch.equal(of_process, flags) for (of_process,) in found)


def test_what_had_no_gradient_gets_none_beside_what_has_one() -> None:
    def work(world: ThreadWorld) -> tuple[torch.Tensor, ...]:
        own = values()[world.rank :: world.size]
        return labelled(world).gather(model_of(world), own, own.clone().requires_grad_())

    assert [[value.requires_grad for value in found] for found in in_processes(2, work)] == [[False, True]] * 2


def test_where_one_process_trains_nothing_is_exchanged_and_nothing_changes() -> None:
    batch, own = Batch(rows(ROWS), torch.arange(ROWS)), values()
    model = None  # Nothing is asked of it.
    assert batch.gather(model, own, batch.labels) == (own, batch.labels)  # type: ignore[arg-type]
    loss = own.sum()
    assert batch.part(loss) is loss
    assert torch.equal(batch.mean(own[:, 0]), own[:, 0].mean())


def test_processes_that_exchange_different_things_fail_instead_of_waiting() -> None:
    def work(world: ThreadWorld) -> None:
        if world.rank:
            world.total(torch.zeros(3))

    with pytest.raises(AssertionError, match=r"at the same time: nothing, torch.float32 of shape \(3,\)"):
        in_processes(2, work)
