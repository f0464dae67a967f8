"""`kexp cache`: what is kept between experiments, and removing it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import kexp, tiny_spec

from kexp.results.caches import KINDS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("KEXP_CACHE_DIR", str(folder))
    for name, size in (("tokens/a", 1000), ("pretrained/b/state", 2000), ("pretrained/b.lock", 0), ("locks/c", 5)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * size)
    return folder


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_kinds_have_files_sizes_and_limits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEXP_HIDDEN_STATES_GIB", "0.5")
    found = {one["kind"]: one for one in json.loads(kexp("cache", "--json").stdout)}
    assert list(found) == list(KINDS)
    assert {kind: (one["files"], one["size"]) for kind, one in found.items() if one["files"]} == {
        "tokens": (1, 1000),
        "pretrained": (2, 2000),
    }
    assert {kind: one["limit"] for kind, one in found.items() if one["limit"] is not None} == {"hidden-states": 2**29}
    assert found["tokens"]["folder"] == str(folder / "tokens")
    shown = kexp("cache")
    assert "tokens\ttokenised texts\t1\t1.0 kB\t" in shown.stdout
    assert shown.stderr == f"{folder}\n"


def test_a_wrong_limit_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEXP_HIDDEN_STATES_GIB", "much")
    shown = kexp("cache")
    assert shown.exit_code == 2
    assert (
        'KEXP_HIDDEN_STATES_GIB: expected a number of GiB such as 10, or 0 to store none, found "much"' in shown.stderr
    )


def test_kinds_that_are_named_are_removed(folder: Path) -> None:
    removed = kexp("cache", "clear", "tokens", "augmented", "--yes")
    assert (removed.exit_code, removed.stderr) == (0, "removed tokens (1.0 kB)\n")
    assert left(folder) == {"pretrained/b/state", "pretrained/b.lock", "locks/c"}
    assert kexp("cache", "clear", "tokens", "--yes").stderr == "nothing to remove\n"


def test_all_kinds_are_removed_and_locks_stay(folder: Path) -> None:
    assert kexp("cache", "clear", "--yes").stderr == "removed tokens (1.0 kB), pretrained (2.0 kB)\n"
    assert left(folder) == {"locks/c"}


def test_nothing_is_removed_unasked(folder: Path) -> None:
    before = left(folder)
    for arguments, message in (
        (("tokens",), "nothing was removed: without a terminal, --yes is needed to remove tokens (1.0 kB)"),
        (("token", "--yes"), 'there is no cache "token"; did you mean "tokens"?'),
        (("../runs", "--yes"), 'there is no cache "../runs"; known: '),
    ):
        refused = kexp("cache", "clear", *arguments)
        assert refused.exit_code == 2
        assert message in refused.stderr
    assert left(folder) == before


def test_what_a_link_leads_to_stays(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept").write_text("x")
    (folder / "store").symlink_to(other)
    refused = kexp("cache", "clear", "store", "--yes")
    assert (refused.exit_code, left(other)) == (2, {"kept"})
    assert refused.stderr == f"{folder / 'store'} is a link; remove what it leads to yourself\n"


def test_the_rest_is_removed_where_another_process_removes_a_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"a", "b", "c", "d"}
    for name in names:
        (folder / "tokens" / name).write_text(name)
    remove = os.unlink

    def removed_before(name: str, *, dir_fd: int | None = None) -> None:
        monkeypatch.setattr(os, "unlink", remove)
        remove(name, dir_fd=dir_fd)
        remove(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", removed_before)
    assert kexp("cache", "clear", "tokens", "--yes").exit_code == 0
    assert not (folder / "tokens").exists()


def test_all_that_experiments_keep_has_a_kind(
    write_spec: Callable[..., Path], reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path / "cache"))
    spec = tiny_spec("", '[freezing]\nuse = "all-but-head"\n[pretraining]\nsteps = 2', epochs=2)
    assert kexp("run", write_spec(spec.format(data=reviews)), "--runs-dir", tmp_path / "runs").exit_code == 0
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"tokens", "pretrained", "hidden-states"}
    assert {"tokens", "pretrained", "hidden-states"} <= KINDS.keys()
