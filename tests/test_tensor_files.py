"""Values with tensors come back as they were, and a file that is not what was written is never read."""

from __future__ import annotations

import errno
import math
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kexp.errors import KexpError
from kexp.tensor_files import DamagedFile, OtherOrigin, load, save

ORIGIN = {"spec": "ab", "rows": "cd"}


def values() -> dict[Any, Any]:
    layer = torch.nn.Linear(3, 2)
    weight = layer.weight.detach()
    return {
        "model": {"weight": weight, "tied": weight, "row": weight[1:], "column": weight[:, 1]},
        "optimizer": {0: {"step": torch.tensor(5.0)}, 1: {"betas": (0.9, 0.999)}},
        "kinds": [torch.ones(2, dtype=torch.bfloat16), torch.tensor([True]), torch.empty(0, 4), torch.tensor(7)],
        "array": np.arange(6, dtype=np.int32).reshape(2, 3),
        "numbers": [1, 2.5, math.inf, None, True, "한글 \ud800"],
    }


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and np.array_equal(first, second)
    if isinstance(first, dict):
        return list(first) == list(second) and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return type(first) is type(second) and all(map(equal, first, second))
    return first == second and type(first) is type(second)


def test_values_come_back_as_they_were(tmp_path: Path) -> None:
    value = values()
    save(tmp_path / "new" / "state.safetensors", value, ORIGIN)
    assert equal(load(tmp_path / "new" / "state.safetensors", ORIGIN), value)


def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save(path, {"w": torch.arange(8.0), "n": 3}, ORIGIN)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(DamagedFile, match=r"state\.safetensors is damaged"):
                load(path, ORIGIN)


def test_a_missing_file_and_one_of_another_origin_are_named(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    with pytest.raises(DamagedFile, match=r"state\.safetensors is missing"):
        load(path, ORIGIN)
    save(path, [1], ORIGIN)
    with pytest.raises(OtherOrigin, match=r"state\.safetensors was made from something else: rows, seed differ"):
        load(path, {"spec": "ab", "rows": "ef", "seed": "1"})


def test_a_value_of_another_type_is_named_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(KexpError, match="value/objective/history: a value of type set cannot be saved"):
        save(tmp_path / "state.safetensors", {"objective": {"history": {1}}}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_of_the_system_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    def full(*given: object, **named: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left") as failure:
        save(tmp_path / "state.safetensors", torch.ones(3), {})
    assert failure.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_others_may_read_what_they_may_read_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    save(tmp_path / "state.safetensors", torch.ones(3), {})
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1
