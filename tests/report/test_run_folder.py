"""Files of run folders, written by several processes at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WRITE = """
import sys
from pathlib import Path
from kexp.report.run_folder import write_text
for _ in range(300):
    write_text(Path(sys.argv[1]), sys.argv[2] * 100_000)
"""


def test_processes_that_write_the_same_file_at_once_leave_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "study.html"
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITE, path, letter], stderr=subprocess.PIPE, text=True)
        for letter in "abc"
    ]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert path.read_text() in {letter * 100_000 for letter in "abc"}
    assert list(tmp_path.iterdir()) == [path]
