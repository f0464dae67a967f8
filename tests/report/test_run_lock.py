"""The lock of a run folder, with processes that hold it, end and are killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kexp.errors import KexpError
from kexp.report import run_lock
from kexp.report.run_lock import HOLDER, locked, user_of

HOLD = """
import sys, time
from pathlib import Path
from kexp.report.run_lock import locked
with locked(Path(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_and_a_killed_one_taken_over(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        since = json.loads((tmp_path / HOLDER).read_text())["since"]
        name = f"process {process.pid} on {socket.gethostname()} (since {since})"
        with pytest.raises(KexpError) as refused, locked(tmp_path, pytest.fail):
            pass
        assert str(refused.value) == f"{tmp_path} is in use by {name}; wait until it is done, or stop it"
        assert user_of(tmp_path) == name
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert user_of(tmp_path) is None
    warnings: list[str] = []
    with locked(tmp_path, warnings.append):
        assert json.loads((tmp_path / HOLDER).read_text())["process"] == os.getpid()
    assert warnings == [f"{tmp_path} is taken over from {name}, which has ended"]
    with locked(tmp_path, pytest.fail):
        pass
    assert not (tmp_path / HOLDER).exists()


def test_where_locks_of_other_hosts_cannot_be_seen_their_signs_of_life_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = {"process": 7, "host": "node-3", "since": "2026-01-01T00:00:00+00:00"}
    (tmp_path / HOLDER).write_text(json.dumps(holder))
    (tmp_path / run_lock.LOCK).touch()
    os.utime(tmp_path / HOLDER, (time.time() - 20, time.time() - 20))
    with pytest.raises(KexpError, match=r"process 7 on node-3 .*alive 20 s ago.*try again in 100 s"):
        locked(tmp_path, pytest.fail).__enter__()
    assert (tmp_path / HOLDER).is_file()
    assert user_of(tmp_path) == "process 7 on node-3 (since 2026-01-01T00:00:00+00:00)"
    os.utime(tmp_path / HOLDER, (time.time() - 200, time.time() - 200))
    assert user_of(tmp_path) is None
    warnings: list[str] = []
    monkeypatch.setattr(run_lock, "BEAT", 0.05)
    with locked(tmp_path, warnings.append):
        os.utime(tmp_path / HOLDER, (0, 0))
        deadline = time.monotonic() + 10
        while not (tmp_path / HOLDER).stat().st_mtime and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (tmp_path / HOLDER).stat().st_mtime > 0
    assert len(warnings) == 1


@pytest.mark.parametrize("content", ["", "[]", '{"process": "x", "host": 1, "since": 2}', "null"])
def test_a_damaged_name_of_the_holder_is_no_obstacle(tmp_path: Path, content: str) -> None:
    (tmp_path / HOLDER).write_text(content)
    with locked(tmp_path, pytest.fail):
        pass
