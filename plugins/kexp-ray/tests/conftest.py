"""What the tests share: no cluster but their own, short paths, and the folder of the helpers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def pytest_configure(config: pytest.Config) -> None:
    # Before any library reads them, and for all processes of the clusters.
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's processes let all others go first; on a busy machine that takes minutes.
        "RAY_worker_niceness": "0",
    }
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the cache of tests away from the user's."""
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("KEXP_RUNS_DIR", raising=False)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for Ray's sockets: a path to one has at most 107 bytes."""
    with TemporaryDirectory(prefix="kexp-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
