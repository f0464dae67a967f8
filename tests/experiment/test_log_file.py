"""``log.txt`` on a disk that is full, in a folder that is gone, and where it may not be written."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from kexp.experiment.trackers import log_file

logger = logging.getLogger("kexp")


def test_a_full_disk_costs_the_log_and_one_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.txt"
    path.symlink_to("/dev/full")
    told: list[str] = []
    with log_file(path, told.append):
        for number in range(3):
            logger.warning("step %s", number)
    reason = "No space left on device; free some space; the run goes on without its log"
    assert told == [f"{path}: {reason}"]
    assert "Traceback" not in capsys.readouterr().err


FAILURE = """
import logging, sys
from pathlib import Path
from kexp.experiment.trackers import log_file
told = []
with log_file(Path(sys.argv[1]), told.append):
    logging.getLogger("kexp").info("begins")
    try:
        raise ValueError("the run failed")
    except ValueError:
        logging.getLogger("kexp").exception("it failed")
print(len(told))
"""


def test_a_traceback_that_the_log_cannot_take_is_not_printed_instead(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.symlink_to("/dev/full")
    ended = subprocess.run([sys.executable, "-c", FAILURE, path], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("1\n", "")


def test_a_folder_that_is_gone_costs_the_log_and_one_warning(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "log.txt"
    told: list[str] = []
    with log_file(path, told.append):
        logger.warning("one")
        logger.warning("two")
    assert len(told) == 1
    assert told[0].startswith(f"{path}: No such file or directory")


def test_a_warning_about_the_log_may_be_logged(tmp_path: Path) -> None:
    with log_file(tmp_path / "gone" / "log.txt"):
        logger.warning("one")


class Collecting(logging.Handler):
    """A handler that a program has set up for all records."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage())


def test_the_logging_of_a_program_stays_as_it_was(tmp_path: Path) -> None:
    root, handler = logging.getLogger(), Collecting()
    root.addHandler(handler)
    before = root.level
    try:
        root.setLevel(logging.WARNING)
        logging.captureWarnings(True)
        captured = warnings.showwarning
        with log_file(tmp_path / "log.txt"):
            logger.info("what the file alone gets")
            logger.warning("what both get")
        assert "what the file alone gets" in (tmp_path / "log.txt").read_text("utf-8")
        assert handler.seen == ["what both get"]
        assert handler.level == logging.NOTSET
        assert warnings.showwarning is captured
    finally:
        logging.captureWarnings(False)
        root.setLevel(before)
        root.removeHandler(handler)
    assert warnings.showwarning is not captured
