"""Several runs of an experiment at once: what is equal to runs one after the other, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import kexp, tiny_spec

Write = Callable[[str], Path]

TIMES = ("seconds", "time_shares", "per_second", "memory", "data_share", "energy")
"""Parts of the names of what differs between two runs of equal bits."""


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: without_times(item)
            for key, item in value.items()
            if not any(part in key for part in TIMES) and key != "checksum"
        }
    return [without_times(item) for item in value] if isinstance(value, list) else value


def files_of(folder: Path) -> dict[str, Any]:
    """Return what the runs of a folder have written, without what measures time."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix in (".parquet", ".safetensors"):
            found[name] = path.read_bytes()
        elif path.name == "metrics.jsonl":
            found[name] = [without_times(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
        elif path.name in ("result.json", "summary.json"):
            found[name] = without_times(json.loads(path.read_text("utf-8")))
    return found


VARIANTS = """
[variants."기본"]
[variants.frozen]
freezing.use = "embeddings"
"""


def folder_of(runs: Path) -> Path:
    (folder,) = runs.glob("*/*")
    return folder


def test_runs_at_once_have_the_bytes_of_runs_one_after_the_other(
    write_spec: Write, reviews: Path, tmp_path: Path
) -> None:
    spec = write_spec(tiny_spec("seeds = [1, 2]", VARIANTS, epochs=2).format(data=reviews))
    result = kexp("run", spec, "--runs-dir", tmp_path / "one", "--quiet")
    assert result.exit_code == 0, result.stderr
    result = kexp("run", spec, "--runs-dir", tmp_path / "several", "--jobs", 3)
    assert result.exit_code == 0, result.stderr
    one, several = (folder_of(tmp_path / name) for name in ("one", "several"))
    assert one.name.rpartition("-")[2] == several.name.rpartition("-")[2]
    expected = files_of(one)
    assert len([name for name in expected if name.endswith("model.safetensors")]) == 4
    assert files_of(several) == expected
