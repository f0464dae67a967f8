"""Hidden states in memory and in files: damage, no room, several processes, the oldest removed first."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kexp import tensor_files
from kexp.errors import KexpError, RunInterrupted
from kexp.experiment.hidden_state_store import HiddenStateStore, Wanted, remove_oldest

ALL = torch.arange(60, dtype=torch.float32).reshape(15, 4)


class Maker:
    """Makes the rows of ``ALL`` in parts, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Iterator[torch.Tensor]:
        self.times += 1
        yield from ALL.split([7, 5, 3])


@pytest.fixture
def maker() -> Maker:
    return Maker()


def wanted(maker: Maker, key: str = "a") -> Wanted:
    return Wanted(key, ALL[:1], len(ALL), maker)


def test_the_file_is_what_is_saved_of_the_whole(tmp_path: Path) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        values = ALL.to(dtype)
        with tensor_files.saving_rows(tmp_path / "parts", values[:1], 15, {"from": "가"}) as append:
            for some in values.split(4):
                append(some)
        tensor_files.save(tmp_path / "whole", values, {"from": "가"})
        for mapped in (False, True):
            found = tensor_files.load(tmp_path / "parts", {"from": "가"}, mapped=mapped)
            assert found.dtype == dtype
            assert torch.equal(found, tensor_files.load(tmp_path / "whole", {"from": "가"}))
        assert (tmp_path / "parts").stat().st_mode == (tmp_path / "whole").stat().st_mode


def test_a_file_that_was_not_finished_is_not_there(tmp_path: Path) -> None:
    def stop() -> Iterator[torch.Tensor]:
        yield ALL[:7]
        raise KeyboardInterrupt

    store = HiddenStateStore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        store.get(Wanted("a", ALL[:1], 15, stop), mapped=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.lock"]


@pytest.mark.parametrize("mapped", [False, True])
def test_made_once_for_all_processes(tmp_path: Path, maker: Maker, mapped: bool) -> None:
    store = HiddenStateStore(tmp_path)
    for one in (store, store, HiddenStateStore(tmp_path)):
        assert torch.equal(one.get(wanted(maker), mapped=mapped), ALL)
    assert maker.times == 1
    assert torch.equal(HiddenStateStore(tmp_path).get(wanted(maker), mapped=not mapped), ALL)
    assert maker.times == 1


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("damage", ["bit", "end", "empty", "other"])
def test_a_damaged_file_is_told_and_made_anew(tmp_path: Path, maker: Maker, mapped: bool, damage: str) -> None:
    HiddenStateStore(tmp_path).get(wanted(maker), mapped=mapped)
    path, told = tmp_path / "a.safetensors", []
    content = path.read_bytes()
    if damage == "other":
        HiddenStateStore(tmp_path).get(wanted(maker, "b"), mapped=mapped)
        (tmp_path / "b.safetensors").replace(path)
    else:
        changed = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        path.write_bytes({"bit": changed, "end": content[:-3], "empty": b""}[damage])
    found = HiddenStateStore(tmp_path, told.append).get(wanted(maker), mapped=mapped)
    assert torch.equal(found, ALL)
    assert path.read_bytes() == content
    assert len(told) == 1
    assert told[0].startswith(str(path))
    assert told[0].endswith("; its hidden states are made anew")


def test_without_room_they_stay_in_memory_and_a_file_is_refused(
    tmp_path: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *given: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("kexp.tensor_files.saving_rows", full)
    told: list[str] = []
    store = HiddenStateStore(tmp_path, told.append)
    for _ in range(2):
        assert torch.equal(store.get(wanted(maker), mapped=False), ALL)
    assert maker.times == 1
    assert len(told) == 1
    assert "hidden states cannot be stored" in told[0]
    assert "No space left on device" in told[0]
    assert told[0].endswith("; they are kept in the memory of this process alone")
    with pytest.raises(KexpError, match="No space left on device"):
        store.get(wanted(maker, "b"), mapped=True)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, maker: Maker) -> None:
    (tmp_path / "file").write_text("")
    told: list[str] = []
    store = HiddenStateStore(tmp_path / "file" / "hidden-states", told.append)
    assert torch.equal(store.get(wanted(maker), mapped=False), ALL)
    assert "hidden states cannot be stored" in told[0]


def test_a_folder_that_cannot_be_looked_into_is_told(tmp_path: Path, maker: Maker) -> None:
    told: list[str] = []
    # A name that no file system takes is refused as a folder without permissions is.
    folder = tmp_path / ("x" * 300)
    store = HiddenStateStore(folder, told.append)
    assert torch.equal(store.get(wanted(maker), mapped=False), ALL)
    reason = "File name too long; choose a shorter name"
    assert told == [
        f"{folder / 'a.safetensors'}: {reason}; its hidden states are made anew",
        f"hidden states cannot be stored: {folder}: {reason}; they are kept in the memory of this process alone",
    ]
    with pytest.raises(KexpError, match=r"cannot be stored: .*File name too long"):
        HiddenStateStore(folder).get(wanted(maker), mapped=True)


def test_a_folder_that_is_removed_meanwhile_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "hidden-states"

    def cleared() -> Iterator[torch.Tensor]:
        yield ALL[:7]
        shutil.rmtree(folder)
        yield ALL[7:]

    told: list[str] = []
    store = HiddenStateStore(folder, told.append)
    with pytest.raises(KexpError, match=r"hidden states cannot be stored: .*a\.safetensors: No such file"):
        store.get(Wanted("a", ALL[:1], 15, cleared), mapped=True)
    folder.mkdir()
    assert torch.equal(store.get(Wanted("b", ALL[:1], 15, cleared), mapped=False), ALL)
    assert (folder / "b.safetensors").is_file()
    assert told == []
    remove_oldest(tmp_path / "gone", 0, folder)


@pytest.mark.parametrize("limit", [0, 100])
def test_more_than_the_limit_is_not_stored(tmp_path: Path, maker: Maker, limit: int) -> None:
    told: list[str] = []
    store = HiddenStateStore(tmp_path, told.append, limit)
    assert torch.equal(store.get(wanted(maker), mapped=False), ALL)
    assert len(told) == (limit > 0)
    assert not list(tmp_path.glob("*.safetensors"))


def test_half_of_a_disk_stays_free(tmp_path: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 400})())
    with pytest.raises(KexpError, match="more than half"):
        HiddenStateStore(tmp_path).get(wanted(maker), mapped=True)


def test_what_was_used_longest_ago_is_removed_first(tmp_path: Path, maker: Maker) -> None:
    store = HiddenStateStore(tmp_path)
    for key in "abc":
        store.get(wanted(maker, key), mapped=True)
    size = (tmp_path / "a.safetensors").stat().st_size
    for second, key in enumerate("abc"):
        os.utime(tmp_path / f"{key}.safetensors", (second, second))
    # Used again, by a process that has it in memory.
    kept = store.get(wanted(maker, "a"), mapped=True)
    HiddenStateStore(tmp_path, limit=2 * size).get(wanted(maker, "d"), mapped=True)
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {"a.safetensors", "d.safetensors"}
    remove_oldest(tmp_path, 0, tmp_path / "d.safetensors")
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["d.safetensors"]
    # What was removed while it is used is still there for who uses it.
    assert torch.equal(kept, ALL)


def test_memory_has_what_the_last_run_used(tmp_path: Path, maker: Maker) -> None:
    store = HiddenStateStore(tmp_path, limit=0)
    for key in "abc":
        store.get(wanted(maker, key), mapped=False)
    store.free_others([wanted(maker, key) for key in "bcd"])
    assert [*store.recent] == ["b", "c"]
    for key in "bc":
        assert torch.equal(store.get(wanted(maker, key), mapped=False), ALL)
    assert maker.times == 3


def test_leftovers_of_killed_processes_are_removed_when_they_are_old(tmp_path: Path) -> None:
    for name, when in ((".new.part", None), (".old.part", 0)):
        (tmp_path / name).write_text("")
        if when is not None:
            os.utime(tmp_path / name, (when, when))
    remove_oldest(tmp_path, 0, tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == [".new.part"]


def test_the_second_of_two_waits_for_the_first(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()
    told: list[str] = []

    def slow() -> Iterator[torch.Tensor]:
        begun.set()
        assert go_on.wait(30)
        yield ALL

    def tell(line: str) -> None:
        told.append(line)
        go_on.set()

    first = threading.Thread(
        target=lambda: HiddenStateStore(tmp_path).get(Wanted("a", ALL[:1], 15, slow), mapped=False)
    )
    first.start()
    assert begun.wait(30)
    other = Maker()
    assert torch.equal(HiddenStateStore(tmp_path, tell).get(wanted(other), mapped=False), ALL)
    first.join()
    assert other.times == 0
    assert told == ["another process makes the same hidden states; they are waited for"]


@pytest.mark.parametrize("mapped", [False, True])
def test_making_stops_when_it_should(tmp_path: Path, maker: Maker, mapped: bool) -> None:
    asked: list[None] = []

    def should_stop() -> bool:
        asked.append(None)
        return len(asked) == 2

    store = HiddenStateStore(tmp_path)
    with pytest.raises(RunInterrupted, match="stopped while hidden states of frozen blocks were made"):
        store.get(wanted(maker), mapped=mapped, should_stop=should_stop)
    assert not store.recent
    assert [path.name for path in tmp_path.iterdir()] == ["a.lock"]
    # The lock is free again.
    assert torch.equal(store.get(wanted(maker), mapped=mapped), ALL)
