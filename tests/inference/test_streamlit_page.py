"""The page of Streamlit's in the documentation, with a stand-in for that library alone."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from pages import Page
from support import REPOSITORY, kexp, tiny_spec

from kexp.trained import load

PAGE = Page(REPOSITORY / "docs" / "reference-experiments.md")


class Streamlit(types.ModuleType):
    """Records what a page shows; ``typed`` is what stands in its text box."""

    def __init__(self, typed: str | None) -> None:
        super().__init__("streamlit")
        self.typed = typed
        self.shown: list[tuple[str, Any]] = []

    def cache_resource(self, function: Any) -> Any:
        return function

    def text_input(self, label: str, value: str = "") -> str:
        return value if self.typed is None else self.typed

    def __getattr__(self, name: str) -> Any:
        if name not in ("title", "write", "bar_chart"):
            raise AttributeError(name)
        return lambda content: self.shown.append((name, content))


@pytest.fixture(scope="module")
def run(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "reviews.toml").write_text(tiny_spec().format(data=reviews), "utf-8")
    assert kexp("run", folder / "reviews.toml", "--runs-dir", folder / "runs", "--quiet").exit_code == 0
    (found,) = (folder / "runs").glob("*/*/default/seed-1")
    return found


@pytest.mark.parametrize("typed", [None, "12번째 영화 감동 배우 3 정말", "  ", ""])
def test_page_shows_the_label_and_every_probability(
    run: Path, monkeypatch: pytest.MonkeyPatch, typed: str | None
) -> None:
    (source,) = (block.text for block in PAGE.blocks if block.is_file and block.title == "page.py")
    assert len(source.splitlines()) <= 15
    page = Streamlit(typed)
    monkeypatch.setitem(sys.modules, "streamlit", page)
    monkeypatch.setattr(sys, "argv", ["page.py", str(run)])
    exec(compile(source, "page.py", "exec"), {"__name__": "__main__"})
    text = page.text_input("", "할머니가 뭐라 카노")
    if not text.strip():
        assert [name for name, _ in page.shown] == ["title"]
        return
    model = load(run)
    (expected,) = model.predict([text])
    shown = dict(page.shown)
    assert list(shown["bar_chart"].index) == list(model.labels)
    assert list(shown["bar_chart"]) == list(expected)
    assert shown["write"] == f"{model.labels[expected.argmax()]}, with a probability of {expected.max():.2f}"
