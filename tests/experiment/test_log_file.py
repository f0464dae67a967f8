"""``log.txt`` on a disk that is full, in a folder that is gone, and where it may not be written."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kexp.experiment.trackers import log_file

logger = logging.getLogger("kexp")


def test_a_full_disk_costs_the_log_and_one_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.txt"
    path.symlink_to("/dev/full")
    warnings: list[str] = []
    with log_file(path, warnings.append):
        for number in range(3):
            logger.warning("step %s", number)
    reason = "No space left on device; free some space; the run goes on without its log"
    assert warnings == [f"{path}: {reason}"]
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_that_is_gone_costs_the_log_and_one_warning(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "log.txt"
    warnings: list[str] = []
    with log_file(path, warnings.append):
        logger.warning("one")
        logger.warning("two")
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{path}: No such file or directory")


def test_a_warning_about_the_log_may_be_logged(tmp_path: Path) -> None:
    with log_file(tmp_path / "gone" / "log.txt"):
        logger.warning("one")
