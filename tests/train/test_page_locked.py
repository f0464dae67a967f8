"""Batches in page-locked memory: the same values, every array of them; without a GPU, the batches themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kexp.host_batches import HostBatch, HostRows, HostUnlabelledBatch, MicroBatch
from kexp.train.page_locked import locked, page_locked


def rows(hidden: torch.Tensor | None = None) -> HostRows:
    return HostRows(np.arange(5), np.array([2, 3]), np.zeros(5, np.int64), hidden)


def batch() -> MicroBatch:
    few = HostBatch(rows(torch.arange(10.0).reshape(5, 2)), np.array([0, 1]), np.array([7, 8]))
    return MicroBatch(few, HostUnlabelledBatch(rows(), rows().part(0, 0), np.array([4, 6])))


def test_every_array_of_a_batch_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: asked.append(tensor) or tensor)
    given, made = batch(), locked(batch())
    # Ids, lengths, types and labels with numbers of the labelled rows, and their hidden states; both views; row numbers.
    assert len(asked) == 3 + 1 + 2 + 3 + 3 + 1
    assert isinstance(made, MicroBatch)
    assert made.labelled.inputs.ids.tolist() == given.labelled.inputs.ids.tolist()
    assert made.labelled.labels.dtype == given.labelled.labels.dtype
    assert torch.equal(made.labelled.inputs.hidden, given.labelled.inputs.hidden)
    assert made.unlabelled is not None
    assert given.unlabelled is not None
    assert made.unlabelled.rows.tolist() == given.unlabelled.rows.tolist()
    assert made.unlabelled.numbers is None
    assert len(made.unlabelled.augmented) == 0


def test_without_a_gpu_batches_are_taken_as_they_are() -> None:
    step = [batch()]
    assert list(page_locked([step], torch.device("cpu"))) == [step]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_on_a_gpu_the_arrays_are_page_locked() -> None:
    ((made,),) = page_locked([[batch()]], torch.device("cuda", 0))
    assert torch.from_numpy(made.labelled.inputs.ids).is_pinned()
    assert torch.from_numpy(made.labelled.inputs.ids).to("cuda", non_blocking=True).tolist() == [0, 1, 2, 3, 4]
