"""Files that are whole or not there, written by several processes at once, and writers that fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kexp.atomic_files import remove_leftovers, replacing, replacing_folder, write_text
from kexp.errors import KexpError

WRITE = """
import sys
from pathlib import Path
from kexp.atomic_files import write_text
for _ in range(300):
    write_text(Path(sys.argv[1]), sys.argv[2] * 100_000)
"""


def at_once(program: str, path: Path) -> None:
    """Run a program in three processes at once, each with a letter of its own for what it writes to a path."""
    processes = [
        subprocess.Popen([sys.executable, "-c", program, path, letter], stderr=subprocess.PIPE, text=True)
        for letter in "abc"
    ]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors


def test_processes_that_write_the_same_file_at_once_leave_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "study.html"
    at_once(WRITE, path)
    assert path.read_text() in {letter * 100_000 for letter in "abc"}
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_halfway_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "한글.json"
    write_text(path, "before")

    def fail() -> None:
        with replacing(path) as part:
            part.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for text in ("first", "second"):
        with replacing_folder(path) as part:
            (part / "inner").mkdir()
            (part / "inner" / text).write_text(text)
        assert [found.name for found in (path / "inner").iterdir()] == [text]

    def fail() -> None:
        with replacing_folder(path) as part:
            (part / "third").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (path / "inner" / "second").read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


REPLACE = """
import sys
from pathlib import Path
from kexp.atomic_files import replacing_folder
for _ in range(50):
    with replacing_folder(Path(sys.argv[1])) as part:
        for name in "12":
            (part / name).write_text(sys.argv[2])
"""


def test_processes_that_replace_the_same_folder_at_once_leave_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "모형"
    at_once(REPLACE, path)
    assert [(path / name).read_text() for name in "12"] in [[letter] * 2 for letter in "abc"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_does_not_replace_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_text("mine")
    with pytest.raises(NotADirectoryError), replacing_folder(path) as part:
        (part / "weights").touch()
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_contents_are_on_the_disk_before_the_file_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "spec.toml", []
    monkeypatch.setattr("kexp.atomic_files.os.fsync", lambda number: seen.append(path.exists()))
    write_text(path, "x")
    # The file before it is renamed, its folder afterwards.
    assert seen == [False, True]


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("가" * 85)
    write_text(path, "x")
    assert path.read_text() == "x"


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    file, folder = replacing(tmp_path / "file"), replacing_folder(tmp_path / "folder")
    file.__enter__().touch()
    folder.__enter__()
    kept = tmp_path / "kept.part"
    kept.touch()
    assert len(list(tmp_path.iterdir())) == 3
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [kept]


LIMITED = """
import errno, resource, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from kexp.atomic_files import replacing, replacing_folder

def weights(path):
    save_file({"a": torch.zeros(10_000)}, path / "model.safetensors")

def tokenizer(path):
    words = {str(number): number for number in range(1000)}
    Tokenizer(WordLevel(words, "0")).save(str(path / "tokenizer.json"))

def text(path):
    (path / "text").write_text("a" * 10_000, "utf-8")

def one(path):
    save_file({"a": torch.zeros(10_000)}, path)

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for write, within in ((weights, replacing_folder), (tokenizer, replacing_folder), (text, replacing_folder), (one, replacing)):
    try:
        with within(Path(sys.argv[1]) / "new") as part:
            write(part)
    except OSError as error:
        print(error.errno == errno.EFBIG, error.strerror, Path(error.filename).relative_to(sys.argv[1]))
"""


def test_whatever_writes_a_file_that_the_system_refuses_it_is_an_error_of_the_system(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == ["True File too large new"] * 4
    assert list(tmp_path.iterdir()) == []


def test_an_error_names_the_file_by_its_final_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as failure, replacing_folder(tmp_path / "new") as part:
        (part / "absent" / "text").write_text("a", "utf-8")
    assert failure.value.filename == str(tmp_path / "new" / "absent" / "text")


def test_errors_that_are_not_of_the_system_pass(tmp_path: Path) -> None:
    for error in (KexpError("no weights (os error 2)"), ValueError("no number"), ConnectionError("no server")):
        with pytest.raises(type(error)) as failure, replacing_folder(tmp_path / "new"):
            raise error
        assert failure.value is error
        assert str(error) in ("no weights (os error 2)", "no number", "no server")
    assert list(tmp_path.iterdir()) == []
