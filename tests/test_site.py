"""The built documentation, in a browser: what a search finds, and what is not shown."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

REPOSITORY = Path(__file__).parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.chromium]


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, needs: Callable[[bool, str], None]) -> Path:
    needs(importlib.util.find_spec("mkdocs") is not None, "pip install 'kexp[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=environment)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def page(site: Path, chromium: Any) -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(site)))
    Thread(target=server.serve_forever, daemon=True).start()
    page = chromium.new_page()
    page.goto(f"http://127.0.0.1:{server.server_port}/")
    yield page
    page.close()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("max_length", "training.max_length"),
        ("learning_rate", "training.learning_rate"),
        ("training.max_length", "training.max_length"),
        ("batch_size", "training.batch_size"),
        ("epochs", "training.epochs"),
        ("patience", "training.patience"),
        ("max_percentile", "cleaning.max_percentile"),
        ("labelled.per_class", "labelled.per_class"),
    ],
)
def test_a_search_for_a_key_finds_its_description_first(site: Path, page: Any, words: str, first: str) -> None:
    field = page.locator("input.md-search__input")
    field.click()
    field.fill("")
    page.keyboard.type(words)
    # Results of what was typed before come first.
    page.wait_for_function(
        """key => {
            const found = [...document.querySelectorAll("a.md-search-result__link")].map(link => new URL(link.href));
            return found.length > 1 && found[0].pathname == "/reference/spec/" && found[1].hash == "#" + key;
        }""",
        arg=first,
        timeout=30_000,
    )
    assert f'<h3 id="{first}">' in (site / "reference/spec/index.html").read_text("utf-8")


def test_what_only_the_tests_read_is_not_shown(page: Any) -> None:
    root = page.evaluate("location.origin")
    for place in ("reliability", "tracking", "ko", "components/objective/focal"):
        page.goto(f"{root}/{place}/")
        text = page.locator("article").inner_text()
        assert "kexp run" in text
        for hidden in ("not executed", "status: ", "test $?", "|| true", "<!--"):
            assert hidden not in text, place
