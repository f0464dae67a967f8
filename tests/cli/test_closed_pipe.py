"""The reader of the output may leave before its end, as ``head`` does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import tiny_spec

ROWS = "text,label\n" + "".join(f"문장 {number},{number % 2}\n" for number in range(40))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["check", "a.toml"], ["run", "a.toml", "--dry-run"], ["plugins"], ["schema"]],
    ids=" ".join,
)
def test_every_command_ends_quietly_with_one_status(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "a.csv").write_text(ROWS, encoding="utf-8")
    (tmp_path / "a.toml").write_text(tiny_spec().format(data="a.csv"), encoding="utf-8")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "kexp", *arguments]
    ended = subprocess.run(command, cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert ended.returncode == 141
    assert "Traceback" not in ended.stderr
    assert "Broken" not in ended.stderr
