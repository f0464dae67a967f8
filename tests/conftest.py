"""What many tests share: the catalog, spec files, small tables, the shared real data."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from kexp.catalog import Catalog, load_catalog

REPOSITORY = Path(__file__).parent.parent
# Modules that tests share; pytest's importlib mode leaves their folder out.
sys.path.insert(0, str(Path(__file__).parent))
# A test says whether something is right, on a busy machine too: never how long it takes.
settings.register_profile("kexp", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kexp")


def pytest_configure(config: pytest.Config) -> None:
    # Before any library reads them: no test may reach for the network, and small models on a busy machine are far
    # faster with one thread than with two that wait for each other.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # What was asked of this pytest is not for those that tests start.
    os.environ.pop("PYTEST_ADDOPTS", None)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep caches and run folders of tests away from the user's."""
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("KEXP_RUNS_DIR", raising=False)


@pytest.fixture
def write_spec(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a spec file into the test's folder."""

    def write(text: str, name: str = "spec.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 240 short texts in three classes that a small model learns in a few steps."""
    words = {
        "좋음": ["최고", "재미있다", "감동"],
        "나쁨": ["지루하다", "최악", "별로"],
        "보통": ["그럭저럭", "무난", "보통"],
    }
    rows = ["text,label"]
    for number in range(80):
        for label, known in words.items():
            rows.append(f"{number}번째 영화 {known[number % 3]} 배우 {number % 7} 정말,{label}")
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real reviews and the small Korean BERT, where there is one."""
    folder = Path(os.environ.get("KEXP_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs real data: {folder} is not there, and KEXP_SHARED names no other folder")
    return folder


@pytest.fixture(scope="session")
def needs() -> Callable[[bool, str], None]:
    """Return a function that skips a test with a reason; where everything is installed, that is a failure."""

    def needs(there: bool, reason: str) -> None:
        if not there and "KEXP_NO_SKIPS" in os.environ:
            pytest.fail(f"nothing may be skipped here: {reason}")
        if not there:
            pytest.skip(reason)

    return needs


@pytest.fixture(scope="module")
def chromium(needs: Callable[[bool, str], None]) -> Iterator[Any]:
    """A browser without a window, closed with the file: while it is open, an event loop runs in this thread."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    needs(browser is not None, "chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        yield opened
        opened.close()
