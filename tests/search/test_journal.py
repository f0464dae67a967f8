"""A study's journal that was damaged: by a process that died, by a full disk, by hand."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from kexp.errors import KexpError, RunFailed
from kexp.search import journal
from kexp.search.journal import open_journal
from kexp.search.silence_optuna import quiet_optuna

pytestmark = pytest.mark.usefixtures("_silent")


@pytest.fixture
def _silent():
    with quiet_optuna():
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the journal of a study with three trials."""
    study = study_in(tmp_path / "journal.log")
    for number in range(3):
        study.tell(study.ask({"x": optuna.distributions.FloatDistribution(0, 1)}), number)
    return tmp_path / "journal.log"


def study_in(path: Path) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=open_journal(path), load_if_exists=True)


def test_last_line_is_cut_off_wherever_it_ends(path: Path) -> None:
    whole = path.read_bytes()
    *before, last = whole.splitlines(keepends=True)
    for length in range(1, len(last)):
        path.write_bytes(b"".join(before) + last[:length])
        study = study_in(path)
        assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "RUNNING"]
        study.tell(2, 2.0)
        assert [trial.value for trial in study_in(path).trials] == [0, 1, 2]
        records = list(map(json.loads, path.read_bytes().splitlines()))
        assert records[: len(before)] == list(map(json.loads, before))


@pytest.mark.parametrize("rest", [b"\x00" * 10_000, b"{" * 5000, '{"study_name": "가'.encode()[:-1]])
def test_any_rest_without_an_end_is_cut_off(path: Path, rest: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + rest)
    study_in(path).set_user_attr("k", 1)
    assert path.read_bytes().startswith(whole + b"{")
    assert study_in(path).user_attrs == {"k": 1}


def test_first_line_that_was_never_finished(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    path.write_bytes(b'{"op_code": 0, "worker')
    assert study_in(path).trials == []
    assert len(study_in(path).get_trials()) == 0
    assert path.read_bytes().startswith(b'{"op_code":0,"worker_id"')


def test_line_of_a_living_process_is_not_cut_off(path: Path) -> None:
    """A writer that is interrupted between two halves of a line holds the lock, and another one waits for it."""
    program = (
        "import sys, time; from pathlib import Path; from kexp.search.journal import _Lock\n"
        "path = Path(sys.argv[1]); lock = _Lock(path); lock.acquire()\n"
        "file = path.open('ab', buffering=0); file.write(b'{\"op_code\":2,'); print('half', flush=True)\n"
        'time.sleep(1); file.write(b\'"study_id":0,"worker_id":"w","user_attr":{"a":1}}\\n\'); lock.release()\n'
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "half\n"
        study = study_in(path)
        study.set_user_attr("b", 2)
        assert writer.wait(timeout=60) == 0
    assert study_in(path).user_attrs == {"a": 1, "b": 2}


DAMAGE = {
    "no JSON": b"{nonsense\n",
    "two lines in one": b'{"op_code":4{"op_code":4}\n',
    "no UTF-8": b'{"op_code": "\xff\xfe"}\n',
    "another shape": b"[1, 2]\n",
    "no object": b"7\n",
    "no operation": b'{"worker_id": "w"}\n',
    "unknown operation": b'{"op_code": 99, "worker_id": "w"}\n',
    "missing keys": b'{"op_code": 4, "worker_id": "w"}\n',
    "another type": b'{"op_code": 4, "worker_id": "w", "study_id": 0, "datetime_start": 3}\n',
    "deep": b"[" * 100_000 + b"\n",
    "zeros": b"\x00" * 100 + b"\n",
    "empty line": b"\n",
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("last", [False, True])
def test_other_damage_is_told_with_its_line(path: Path, kind: str, last: bool) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    at = len(lines) if last else 4
    path.write_bytes(b"".join([*lines[:at], DAMAGE[kind], *lines[at:]]))
    before = path.read_bytes()
    with pytest.raises(KexpError) as told:
        open_journal(path)
    assert f"{path}, line {at + 1}: no record of Optuna's journal" in str(told.value)
    assert "restore the file, or delete the line" in str(told.value)
    assert path.read_bytes() == before


def test_a_changed_value_is_told_with_its_line(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if b'"values":[2' in line)
    path.write_bytes(b"".join([*lines[:at], lines[at].replace(b'"values":[2', b'"values":[3'), *lines[at + 1 :]]))
    with pytest.raises(KexpError, match=rf"line {at + 1}: .*its contents do not match its checksum"):
        open_journal(path)


def test_records_without_a_checksum_are_read(path: Path) -> None:
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert all(line.pop("checksum") for line in lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [trial.value for trial in study_in(path).trials] == [0, 1, 2]


def test_journal_that_is_no_file_or_cannot_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = path.parent / "folder" / "journal.log"
    folder.mkdir(parents=True)
    with pytest.raises(KexpError, match=r"journal\.log: Is a directory"):
        open_journal(folder)

    def refuse(place: object, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(journal.os, "open", refuse)
    with pytest.raises(KexpError, match=r"journal\.log: Permission denied"):
        open_journal(path)


def test_a_lock_that_cannot_be_released_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_in(path)

    def refuse(source: object, target: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr("optuna.storages.journal._file.os.rename", refuse)
        for _ in range(2):
            with pytest.raises(RunFailed, match=r"journal\.log cannot be written: Read-only file system"):
                study.set_user_attr("k", 1)
    study.set_user_attr("k", 2)
    assert study_in(path).user_attrs == {"k": 2}


def test_lock_of_a_dead_process_is_taken_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    relative = Path("journal.log")
    lock = path.with_name("journal.log.lock")
    study = study_in(relative)
    lock.symlink_to(path)
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += 10
        assert now < 1000

    monkeypatch.setattr("optuna.storages.journal._file.time.sleep", sleep)
    monkeypatch.setattr("optuna.storages.journal._file.time.monotonic", lambda: now)
    study.set_user_attr("k", 1)
    assert study_in(relative).user_attrs == {"k": 1}
    assert not os.path.lexists(lock)


def test_full_disk_is_told_and_what_was_half_written_is_cut_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_in(path)
    whole, honest = path.read_bytes(), os.fsync

    def full(number: int) -> None:
        os.ftruncate(number, os.fstat(number).st_size - 5)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFailed, match=r"journal\.log cannot be written: No space left on device; mend that, and the"):
        study.set_user_attr("k", 1)
    monkeypatch.setattr(os, "fsync", honest)
    assert path.read_bytes().startswith(whole)
    assert path.read_bytes() != whole
    study.set_user_attr("k", 2)
    assert study.user_attrs == study_in(path).user_attrs == {"k": 2}
