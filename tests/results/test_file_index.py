"""What lists keep of the files of run folders: nothing that has changed since, whatever else writes beside it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from kexp.results import file_index, runs
from kexp.results.file_index import FileIndex
from kexp.results.runs import list_runs
from kexp.results.walk import runs_in, stamp_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(root: Path, name: str, seconds: float = 1.5, variant: str = "기본", seed: int = 1, **more: Any) -> Path:
    """Write a run folder with one run that has failed, and return it."""
    folder = root / name
    run = folder / variant / f"seed-{seed}"
    run.mkdir(parents=True, exist_ok=True)
    (folder / "spec.toml").write_text("[training]\nmonitor = 'macro_f1'\n", "utf-8")
    result = {"status": "failed", "reason": "no", "variant": variant, "seed": seed, "train_seconds": seconds, **more}
    (run / "result.json").write_text(json.dumps(result), "utf-8")
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the name of every file that is read."""
    found: list[str] = []
    for name in ("read_result", "read_spec", "read_summary"):
        real = getattr(runs.stored, name)
        monkeypatch.setattr(runs.stored, name, lambda path, real=real: (found.append(path.name), real(path))[1])
    return found


def test_only_changed_files_are_read_again(tmp_path: Path, reads: list[str]) -> None:
    root = tmp_path / "내 runs [1]"
    first, second = write(root, "x/20260101T000000Z-aa"), write(root, "x/20260102T000000Z-bb")
    rows = list_runs(root)
    assert [(row.folder, row.experiment, row.started, row.status, row.metric, row.seconds) for row in rows] == [
        (second, "x", "20260102T000000Z", "unfinished", "macro_f1", 1.5),
        (first, "x", "20260101T000000Z", "unfinished", "macro_f1", 1.5),
    ]
    assert sorted(reads) == ["result.json", "result.json", "spec.toml", "spec.toml"]
    reads.clear()
    assert list_runs(root) == rows
    assert reads == []
    # As long as before, at the same time: the file is another one.
    file = first / "기본/seed-1/result.json"
    times = file.stat()
    other = file.with_suffix(".other")
    other.write_text(file.read_text("utf-8").replace("1.5", "2.5"), "utf-8")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(file)
    assert [row.seconds for row in list_runs(root)] == [1.5, 2.5]
    assert reads == ["result.json"]
    reads.clear()
    (first / "spec.toml").write_text("[training]\nmonitor = 'accuracy'\n", "utf-8")
    file.unlink()
    assert [(row.metric, row.seconds) for row in list_runs(root)] == [("macro_f1", 1.5), ("accuracy", 0)]
    assert reads == ["spec.toml"]


def test_a_folder_that_is_gone_is_forgotten_and_another_in_its_place_is_read(
    tmp_path: Path, cache: Path, reads: list[str]
) -> None:
    root = tmp_path / "runs"
    gone = write(root, "x/20260101T000000Z-aa")
    write(root, "x/20260102T000000Z-bb")
    list_runs(root)
    shutil.rmtree(gone)
    write(root, "x/20260103T000000Z-cc")
    list_runs(root)
    (kept,) = (cache / "lists").glob("runs-*.json")
    assert "20260102T000000Z-bb" in kept.read_text("utf-8")
    assert "20260101T000000Z-aa" not in kept.read_text("utf-8")
    # Others of the same machine need not read what specs hold.
    assert kept.stat().st_mode & 0o077 == 0
    reads.clear()
    write(root, "x/20260101T000000Z-aa", seconds=7)
    assert [row.seconds for row in list_runs(root)] == [1.5, 1.5, 7]
    assert sorted(reads) == ["result.json", "spec.toml"]


@pytest.mark.parametrize("harm", ["half", "digit", "empty", "other version", "folder"])
def test_an_index_that_is_damaged_or_of_another_version_is_as_good_as_none(
    tmp_path: Path, cache: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    root = tmp_path / "runs"
    write(root, "x/20260101T000000Z-aa")
    rows = list_runs(root)
    (file,) = (cache / "lists").iterdir()
    content = file.read_bytes()
    if harm == "other version":
        monkeypatch.setattr(file_index, "FORMAT", 10_000)
    elif harm == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(
            {"half": content[: len(content) // 2], "digit": content.replace(b"1.5", b"9.5"), "empty": b""}[harm]
        )
    reads.clear()
    assert list_runs(root) == rows
    assert sorted(reads) == ["result.json", "spec.toml"]


def test_damaged_files_are_told_every_time_and_not_kept(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "runs"
    folder = write(root, "x/20260101T000000Z-aa")
    result = folder / "기본/seed-1/result.json"
    whole = result.read_text("utf-8")
    result.write_text("{half", "utf-8")
    assert [row.status for row in list_runs(root)] == ["unreadable"] == [row.status for row in list_runs(root)]
    # That of another run, of which the file itself is whole.
    result.write_text(whole.replace('"seed": 1', '"seed": 2'), "utf-8")
    assert [row.status for row in list_runs(root)] == ["unreadable"] == [row.status for row in list_runs(root)]
    result.unlink()
    os.mkfifo(result)
    assert [row.status for row in list_runs(root)] == ["unreadable"]


def test_without_a_cache_folder_lists_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "runs"
    write(root, "x/20260101T000000Z-aa")
    (tmp_path / "a file").touch()
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path / "a file"))
    assert [row.seconds for row in list_runs(root)] == [1.5]
    assert list_runs(tmp_path / "none") == []


def test_links_lead_to_the_experiment_they_are_of(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    target = write(tmp_path / "elsewhere", "y/20260101T000000Z-aa")
    (root / "x").mkdir(parents=True)
    (root / "x" / "20260102T000000Z-link").symlink_to(target)
    (root / "z").symlink_to(target.parent)
    assert [(row.folder.relative_to(root).as_posix(), row.experiment) for row in list_runs(root)] == [
        ("x/20260102T000000Z-link", "y"), ("z/20260101T000000Z-aa", "y"),
    ]  # fmt: skip


def test_runs_are_found_in_their_order_and_those_of_other_names_too(tmp_path: Path) -> None:
    names = ("나/seed-2", "나/seed-10", "가/draw-2/fold-1/seed-1", "가/draw-1/fold-10/seed-1", "가/draw-1/fold-2/seed-1",
             "가/fold-3/seed-1", "가/seed-x", ".hidden/seed-1", "가/fold-1/draw-1/seed-1", "가/other/seed-1")  # fmt: skip
    for name in names:
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "가" / "seed-3").touch()
    found = [(Path(path).relative_to(tmp_path).as_posix(), variant, repeat and repeat.folder) for path, variant, repeat in runs_in(tmp_path)]  # fmt: skip
    assert found == [
        ("가/seed-x", "가", None),
        *((name, name.partition("/")[0], name.partition("/")[2]) for name in (
            "가/fold-3/seed-1", "가/draw-1/fold-2/seed-1", "가/draw-1/fold-10/seed-1", "가/draw-2/fold-1/seed-1",
            "나/seed-2", "나/seed-10")),
    ]  # fmt: skip


def test_a_process_that_goes_on_writes_from_time_to_time(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(file_index.time, "monotonic", lambda: now[0])
    index, folder = FileIndex.stored(tmp_path, "specs"), str(tmp_path / "x/y")
    file = tmp_path / "x/y/spec.toml"
    file.parent.mkdir(parents=True)

    def add(name: str) -> None:
        path = file.with_name(name)
        path.write_text(name, "utf-8")
        index.get(str(path), stamp_of(str(path)) or "", lambda path: {"is": path.read_text("utf-8")})
        index.save([folder])

    add("first")
    add("second")
    (kept,) = (cache / "lists").iterdir()
    assert ("first" in kept.read_text(), "second" in kept.read_text()) == (True, False)
    now[0] += file_index.PAUSE
    index.save([folder])
    assert "second" in kept.read_text()
    # What has no JSON is read again by the next process.
    path = str(file.with_name("third"))
    Path(path).touch()
    index.get(path, stamp_of(path) or "", lambda path: {1, 2})
    now[0] += file_index.PAUSE
    index.save([folder])
    again = FileIndex.stored(tmp_path, "specs")
    assert again.get(path, stamp_of(path) or "", lambda path: "read") == "read"
    first = str(file.with_name("first"))
    assert again.get(first, stamp_of(first) or "", lambda path: "read") == {"is": "first"}
