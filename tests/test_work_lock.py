"""Who waits for whom, when waiting ends, and folders and file systems without locks."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from kexp.errors import RunInterrupted
from kexp.work_lock import making


def test_the_first_does_not_wait_and_makes_the_folder(tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        with making("weights", tmp_path / "new/a.lock", told.append) as turn:
            assert (turn.waited, turn.refused) == (False, None)
            with pytest.raises(Timeout):
                FileLock(tmp_path / "new/a.lock").acquire(timeout=0)
    assert told == []


def test_a_lock_is_free_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), making("weights", tmp_path / "a.lock", print):
        raise ZeroDivisionError
    with FileLock(tmp_path / "a.lock").acquire(timeout=0):
        pass


def test_another_is_waited_for_and_told_of_once(tmp_path: Path) -> None:
    other, told = FileLock(tmp_path / "a.lock", thread_local=False), []
    other.acquire()

    def tell(line: str) -> None:
        told.append(line)
        threading.Timer(1.5, other.release).start()

    with making("weights", tmp_path / "a.lock", tell) as turn:
        assert (turn.waited, turn.refused) == (True, None)
    assert told == ["another process makes the same weights; they are waited for"]


def test_waiting_can_be_stopped(tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / "a.lock"),
        pytest.raises(RunInterrupted, match="stopped while another process made the same weights"),
        making("weights", tmp_path / "a.lock", lambda line: None, lambda: True),
    ):
        pytest.fail("the lock is held by another")


@pytest.mark.parametrize("error", [PermissionError(13, os.strerror(13)), NotImplementedError("no locks here")])
def test_where_there_can_be_no_lock_the_work_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*given: object, **named: object) -> None:
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with making("weights", tmp_path / "a.lock", pytest.fail) as turn:
        assert not turn.waited
        assert str(turn.refused) == str(error)


def test_a_file_in_the_place_of_the_folder_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with making("weights", tmp_path / "file/a.lock", pytest.fail) as turn:
        assert isinstance(turn.refused, OSError)
