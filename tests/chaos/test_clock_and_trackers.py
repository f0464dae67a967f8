"""Runs whose clock jumps back an hour, or whose tracker hangs, refuses or answers nonsense, end as they would have."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cases import FEW, SPECS, different, results_of, study_results
from processes import Commands, kill
from support import tiny_spec

HOUR = 3600.0


@pytest.fixture(scope="module")
def spec(kexp: Commands, reviews: Path) -> Path:
    """Return a spec that writes checkpoints by the clock alone."""
    path = kexp.folder / "timed.toml"
    path.write_text(tiny_spec(tables=FEW, epochs=4, checkpoint_every_minutes=1e-4, log_every=1).format(data=reviews))
    return path


@pytest.fixture(scope="module")
def results(kexp: Commands, spec: Path) -> dict[str, Any]:
    ended = kexp.run("run", spec, "--runs-dir", kexp.folder / "whole", "--quiet")
    assert ended.status == 0, ended.errors
    return results_of(*(kexp.folder / "whole" / "timed").iterdir())


@pytest.mark.usefixtures("nothing_lost")
def test_a_run_whose_clock_jumps_back(
    kexp: Commands, spec: Path, results: dict[str, Any], tally: Any, tmp_path: Path
) -> None:
    jump = {"seconds": HOUR, "folder": str(tmp_path), "after": "*/*/*/*/metrics.jsonl"}

    def strike(process: int) -> None:
        # In the middle of its second epoch, whose checkpoints only the clock makes.
        while b'"step": 15,' not in b"".join(path.read_bytes() for path in tmp_path.glob(jump["after"])):
            time.sleep(0.001)
        kill(process)

    ended = kexp.run("run", spec, "--runs-dir", tmp_path, "--quiet", meanwhile=strike, clock_back=jump)
    assert ended.status == -9, ended.errors
    (folder,) = (tmp_path / "timed").glob("[!.]*")
    ended = kexp.run("run", "--resume", folder, "--quiet", clock_back=jump)
    assert ended.status == 0, ended.errors
    events = [json.loads(line) for line in next(tmp_path.glob(jump["after"])).read_text("utf-8").splitlines()]
    assert [event["step"] > 12 for event in events if event["event"] == "started"] == [False, True]
    tally("clock that jumps back", ", ".join(different(results, results_of(folder))) or "survived", "a run")


@pytest.mark.usefixtures("nothing_lost", "long_only")
def test_a_study_whose_clock_jumps_back(kexp: Commands, reviews: Path, tally: Any, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(SPECS["study"].format(data=reviews), "utf-8")
    found = []
    for name, after in (("whole", "never"), ("jumped", "study/study-*/trials/0001/seed-1/metrics.jsonl")):
        jump = {"seconds": HOUR, "folder": str(tmp_path / name), "after": after}
        ended = kexp.run("tune", path, "--runs-dir", tmp_path / name, "--quiet", clock_back=jump)
        assert ended.status == 0, ended.errors
        found.append(study_results(*(tmp_path / name).glob("study/study-*")))
    tally("clock that jumps back", ", ".join(different(*found)) or "survived", "a study")


# --- trackers ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def server(answer: bytes | None) -> Iterator[int]:
    """Yield the port of a server that answers every request with these bytes; without any it says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    held.append(connection)
                    if answer is not None:
                        connection.recv(65536)
                        connection.sendall(answer)
                        connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        for connection in held:
            connection.close()


SERVERS = {
    "hangs": None,
    "answers nonsense": bytes(range(256)) * 8,
    "answers other JSON": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n[1, null]",
}


@pytest.mark.usefixtures("nothing_lost")
@pytest.mark.parametrize("kind", ["refuses", *SERVERS])
def test_a_tracker_whose_server(
    kind: str,
    kexp: Commands,
    spec: Path,
    results: dict[str, Any],
    tally: Any,
    long: bool,
    needs: Callable[[bool, str], None],
    tmp_path: Path,
) -> None:
    if kind not in ("hangs", "refuses") and not long:
        pytest.skip("needs minutes: make chaos")
    needs(importlib.util.find_spec("mlflow") is not None, "pip install 'kexp[mlflow]'")
    text = spec.read_text("utf-8")
    with server(SERVERS.get(kind)) as port:
        place = "http://127.0.0.1:1" if kind == "refuses" else f"http://127.0.0.1:{port}"
        tracked = f'trackers = [{{use = "mlflow", tracking_uri = "{place}"}}]\n{text}'
        (tmp_path / "timed.toml").write_text(tracked, "utf-8")
        ended = kexp.run(
            "run", tmp_path / "timed.toml", "--runs-dir", tmp_path / "runs",
            environment={"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "KEXP_OFFLINE": ""},
            patch={"kexp.experiment.trackers:TRACKER_TIMEOUT": 2.0},
        )  # fmt: skip
    if ended.status or "tracker mlflow: " not in ended.errors or "Traceback" in ended.errors:
        outcome = f"status {ended.status}: {ended.errors}"
    else:
        (folder,) = (tmp_path / "runs" / "timed").iterdir()
        outcome = ", ".join(different(results, results_of(folder))) or "survived"
    tally("tracker that cannot be used", outcome, kind)
