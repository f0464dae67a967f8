"""What the command prints."""

from pathlib import Path

import pytest

from my_package.command import count


def test_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "글.txt").write_text("안 좋은 영화\nnot bad\n", "utf-8")
    count(tmp_path / "글.txt")
    assert capsys.readouterr().out == "2 lines, 5 words, 5 syllables\n"
