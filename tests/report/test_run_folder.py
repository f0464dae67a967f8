"""Files of run folders: written, read again, changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from kexp.errors import KexpError
from kexp.report.stored import read_result, write_result


def test_a_result_with_a_secret_in_its_reason_is_no_damaged_one(tmp_path: Path) -> None:
    reason = "https://user:hunter22@host/ does not answer"
    write_result(tmp_path / "result.json", {"status": "failed", "variant": "a", "seed": 1, "reason": reason})
    assert read_result(tmp_path / "result.json")["reason"] == "https://user:***@host/ does not answer"
    changed = (tmp_path / "result.json").read_text().replace('"seed": 1', '"seed": 2')
    (tmp_path / "result.json").write_text(changed)
    with pytest.raises(KexpError, match="contents do not match its checksum"):
        read_result(tmp_path / "result.json")
