"""What each of several processes takes of a batch, and which device it trains on."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from kexp.distributed import World
from kexp.errors import KexpError
from kexp.experiment.hardware import hardware_of
from kexp.host_batches import HostBatch, HostRows, HostUnlabelledBatch, MicroBatch
from kexp.spec.training_section import Training
from kexp.train.equal_weights import bits
from kexp.train.step import to_device

LENGTHS = np.array([3, 1, 4, 2, 2])
IDS = np.arange(12)
ROWS = [[0, 1, 2], [3], [4, 5, 6, 7], [8, 9], [10, 11]]


def batch(hidden: torch.Tensor | None = None) -> MicroBatch:
    rows = HostRows(IDS, LENGTHS, IDS % 2, hidden)
    return MicroBatch(
        HostBatch(rows, np.arange(5) + 10, np.arange(5) + 20),
        HostUnlabelledBatch(rows, rows.part(0, 0), np.arange(5) + 30, np.arange(5) + 40),
    )


def rows_of(rows: HostRows) -> list[list[int]]:
    return [part.tolist() for part in np.split(rows.ids, np.cumsum(rows.lengths)[:-1])] if len(rows) else []


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_processes_divide_the_rows_of_a_batch(size: int) -> None:
    parts = [batch().every(size, rank) for rank in range(size)]
    for rank, part in enumerate(parts):
        unlabelled = part.unlabelled
        assert unlabelled is not None
        assert rows_of(part.labelled.inputs) == rows_of(unlabelled.original) == ROWS[rank::size]
        assert part.labelled.labels.tolist() == [10, 11, 12, 13, 14][rank::size]
        assert unlabelled.rows.tolist() == [30, 31, 32, 33, 34][rank::size]
        assert len(unlabelled.augmented) == 0
        assert part.labelled.inputs.types is not None
        assert (part.labelled.inputs.types == part.labelled.inputs.ids % 2).all()
    assert sorted(np.concatenate([part.labelled.inputs.ids for part in parts])) == IDS.tolist()


@pytest.mark.parametrize("each", ["token", "row"])
def test_hidden_states_and_labels_of_tokens_follow_their_rows(each: str) -> None:
    count = 12 if each == "token" else 5
    part = batch(torch.arange(count)[:, None].float()).every(2, 1).labelled.inputs
    assert part.hidden is not None
    assert part.hidden[:, 0].tolist() == ([3, 8, 9] if each == "token" else [1, 3])
    labels = HostBatch(HostRows(IDS, LENGTHS), IDS * 2).every(3, 2).labels
    assert labels.tolist() == [8, 10, 12, 14]


def test_a_batch_on_the_device_knows_how_many_rows_all_processes_have() -> None:
    labelled, unlabelled = to_device(batch(), torch.device("cpu"), World(2, 3))
    assert (len(labelled.inputs), labelled.all_rows) == (1, 5)
    assert unlabelled is not None
    assert (len(unlabelled.original), unlabelled.all_rows) == (1, 5)
    labelled, unlabelled = to_device(batch(), torch.device("cpu"))
    assert (len(labelled.inputs), labelled.all_rows) == (5, None)


def test_a_sum_of_bits_tells_weights_apart_and_has_no_order() -> None:
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert bits(values) == bits(values.flip(0))
    changed = values.clone()
    changed[7] = torch.nextafter(changed[7], torch.tensor(9.0))
    assert bits(values) != bits(changed)
    for other in (values.double(), values.bfloat16(), values > 0, torch.tensor(3), torch.zeros(0)):
        assert bits(other).dtype == torch.int64


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Any:
    def there(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return there


def device(stated: str, world: World) -> str:
    return str(hardware_of(Training(device=stated, precision="fp32", tf32=False), world).device)


def test_each_process_has_a_gpu_of_its_own(gpus: Any) -> None:
    gpus(4)
    assert [device("auto", World(rank, 8, rank % 4, 4)) for rank in (0, 3, 5)] == ["cuda:0", "cuda:3", "cuda:1"]
    assert device("cuda", World(2, 4, 2, 4)) == "cuda:2"
    assert device("cpu", World(2, 4, 2, 4)) == "cpu"
    assert device("cuda:1", World()) == "cuda:1"
    gpus(0)
    assert device("auto", World(1, 2, 1, 2)) == "cpu"


@pytest.mark.parametrize(
    ("stated", "count", "message"),
    [
        ("auto", 2, "training.device: 4 processes on this machine, of which each needs a GPU, and PyTorch sees 2; start torchrun "
         '--nproc_per_node 2, or use device "cpu"'),
        ("cuda", 1, "PyTorch sees 1; start one process, without torchrun, or use device"),
        ("cuda:1", 4, "training.device: cuda:1 is one GPU, and 4 processes train; use \"cuda\", which gives each process a GPU"),
    ],
)  # fmt: skip
def test_more_processes_than_gpus_are_refused(stated: str, count: int, message: str, gpus: Any) -> None:
    gpus(count)
    with pytest.raises(KexpError, match=re.escape(message)):
        device(stated, World(1, 4, 1, 4))
