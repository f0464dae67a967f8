"""Run folders that the tests publish."""

from __future__ import annotations

import json
from pathlib import Path

from support import kexp, tiny_spec


def trained(reviews: Path, folder: Path, *, name: str = "리뷰", spec: str = "") -> Path:
    """Train three seeds in a folder below ``folder`` and return the run folder."""
    text = spec or tiny_spec(
        "seeds = [1, 2, 3]\n" + 'description = "영화 리뷰 (짧은 글) | 세 가지"', layers=1, epochs=2
    )
    (folder / f"{name}.toml").write_text(text.format(data=reviews), encoding="utf-8")
    result = kexp("run", folder / f"{name}.toml", "--runs-dir", folder / "runs", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    return Path(json.loads(result.stdout)["folder"])
