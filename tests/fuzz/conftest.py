from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a small table, which is the working folder."""
    folder = tmp_path_factory.mktemp("fuzz")
    rows = [f"{number}번째 영화,{'좋음' if number % 2 else '나쁨'}" for number in range(20)]
    (folder / "data.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder
