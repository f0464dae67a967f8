"""Listing, showing and removing run folders that are built by hand."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import kexp
from typer.testing import CliRunner

from kexp.errors import KexpError
from kexp.report.run_lock import locked
from kexp.results import prune
from kexp.results.runs import list_runs, local_time

SPEC = 'name = "{name}"\nseeds = [1, 2]\n[training]\nmonitor = "{monitor}"\n[objective]\nuse = "cross-entropy"\n'
FOCAL = '[variants.plain]\n[variants."초점"]\nobjective = {use = "focal", gamma = 2.0}\n'
OLD = time.time() - 24 * 3600


def stamp(days: float = 0) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y%m%dT%H%M%SZ")


def make(
    runs_dir: Path,
    name: str,
    started: str,
    scores: dict[str, dict[str, float]] | None = None,
    *,
    status: str = "done",
    monitor: str = "macro_f1",
    lower: tuple[str, ...] = ("ece",),
) -> Path:
    """Make a run folder; without scores one that has no summary."""
    folder = runs_dir / name / f"{started}-abcdef01"
    folder.mkdir(parents=True)
    (folder / "spec.toml").write_text(SPEC.format(name=name, monitor=monitor) + FOCAL, "utf-8")
    environment = {"started": "2026-01-02T03:04:05+00:00", "command": ["kexp", "run", f"{name}.toml"]}
    (folder / "environment.json").write_text(json.dumps(environment), "utf-8")
    for number, (variant, means) in enumerate((scores or {}).items()):
        run = folder / variant / "seed-1"
        run.mkdir(parents=True)
        result = {"variant": variant, "seed": 1, "status": status, "reason": None, "train_seconds": 30.0 + number}
        result |= {"labels": ["a", "b"], "metrics": {"test": means}, "monitor": monitor}
        (run / "result.json").write_text(json.dumps(result), "utf-8")
    if scores is not None:
        variants = {
            variant: {"seeds": [1], "status": {"1": status}, "baselines": {}, "data": {},
                      "metrics": {"test": {metric: {"mean": mean, "sd": None, "n": 1} for metric, mean in means.items()}}}
            for variant, means in scores.items()
        }  # fmt: skip
        summary = {"experiment": name, "status": status, "lower_is_better": list(lower), "variants": variants,
                   "tests": [], "remarks": []}  # fmt: skip
        (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    for path in folder.rglob("*"):
        os.utime(path, (OLD, OLD))
    return folder


def study(runs_dir: Path, name: str, found: dict[str, Any] | None) -> Path:
    folder = runs_dir / name / f"{name}-01234567"
    folder.mkdir(parents=True)
    (folder / "study.toml").write_text("")
    (folder / "environment.json").write_text('{"started": "2026-03-01T12:00:00+00:00"}')
    if found is not None:
        (folder / "study.json").write_text(json.dumps(found))
    return folder


@pytest.fixture
def korean_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "KST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """Return a folder of three experiments' runs."""
    where = tmp_path / "runs"
    make(
        where,
        "nsmc",
        "20260101T000000Z",
        {"plain": {"macro_f1": 0.8, "ece": 0.05}, "초점": {"macro_f1": 0.9, "ece": 0.1}},
    )
    make(where, "nsmc", "20260103T000000Z", {"plain": {"macro_f1": 0.85, "ece": 0.02}}, status="failed")
    make(where, "dialect", "20260102T000000Z", {"plain": {"accuracy": 0.7}}, monitor="ece")
    make(where, "dialect", "20260104T000000Z")
    return where


# --- kexp runs ------------------------------------------------------------------------------------------------------


def rows(*arguments: str | Path) -> list[list[str]]:
    result = kexp("runs", *arguments)
    assert result.exit_code == 0, result.stderr
    return [line.split("\t") for line in result.stdout.splitlines()]


def test_folders_are_listed_newest_first_with_the_best_of_their_own_metric(runs_dir: Path, korean_clock: None) -> None:
    head, *found = rows("--runs-dir", runs_dir)
    assert head == ["started", "experiment", "status", "variants", "metric", "test", "variant", "training", "folder"]
    folders = [str(runs_dir / name) for name in (
        "dialect/20260104T000000Z-abcdef01", "nsmc/20260103T000000Z-abcdef01",
        "dialect/20260102T000000Z-abcdef01", "nsmc/20260101T000000Z-abcdef01",
    )]  # fmt: skip
    assert found == [
        ["2026-01-04 09:00", "dialect", "unfinished", "0", "", "", "", "", folders[0]],
        ["2026-01-03 09:00", "nsmc", "failed", "1", "macro_f1", "0.8500", "plain", "30 s", folders[1]],
        ["2026-01-02 09:00", "dialect", "done", "1", "", "", "", "30 s", folders[2]],
        ["2026-01-01 09:00", "nsmc", "done", "2", "macro_f1", "0.9000", "초점", "1 min 1 s", folders[3]],
    ]


def test_the_best_come_first_when_asked(runs_dir: Path) -> None:
    def scores(metric: str) -> list[str]:
        return [row[5] for row in rows("--runs-dir", runs_dir, "--sort", metric)[1:]]

    assert scores("macro_f1") == ["0.9000", "0.8500", "", ""]
    assert scores("ece") == ["0.0200", "0.0500", "", ""]  # fewer is better
    result = kexp("runs", "--runs-dir", runs_dir, "--sort", "macro-f1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == 'no run has a test metric "macro-f1"; did you mean "macro_f1"?\n'


def test_experiment_and_status_narrow_the_list(runs_dir: Path) -> None:
    assert [row[2] for row in rows("--runs-dir", runs_dir, "--spec", "nsmc")[1:]] == ["failed", "done"]
    assert [row[1] for row in rows("--runs-dir", runs_dir, "--status", "done")[1:]] == ["dialect", "nsmc"]
    assert rows("--runs-dir", runs_dir, "--status", "interrupted")[1:] == []
    for arguments, message in (
        (["--spec", "nsmb"], 'no run of "nsmb"; did you mean "nsmc"?'),
        (["--status", "fail"], 'unknown status "fail"; did you mean "failed"?'),
    ):
        result = kexp("runs", "--runs-dir", runs_dir, *arguments)
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"{message}\n")


def test_json_has_numbers(runs_dir: Path) -> None:
    listed = json.loads(kexp("runs", "--runs-dir", runs_dir, "--sort", "ece", "--json").stdout)
    assert listed[0]["best"] == {"metric": "ece", "variant": "plain", "value": 0.02}
    assert listed[1]["test"]["초점"] == {"macro_f1": 0.9, "ece": 0.1}
    assert listed[1]["seconds"] == 61.0
    assert listed[-1]["best"] is None


def test_whatever_stands_in_a_folder_it_is_listed(tmp_path: Path) -> None:
    folder = make(tmp_path, "x", "20260101T000000Z", {"plain": {"accuracy": 0.5}})
    (folder / "spec.toml").write_text("= broken")
    (folder / "plain" / "seed-1" / "result.json").write_text("{")
    (folder.parent / "mine").mkdir()
    (folder.parent / "mine" / "spec.toml").write_text("")
    (folder.parent / "mine" / "summary.json").write_text("{")
    found = {row.folder.name: row for row in list_runs(tmp_path)}
    assert found["20260101T000000Z-abcdef01"].best() == ("plain", 0.5)
    assert found["mine"].status == "unreadable"
    assert rows("--runs-dir", tmp_path)[1][0] == "mine"


def test_local_time_of_stamps_and_iso_dates(korean_clock: None) -> None:
    assert local_time("20261231T150000Z") == "2027-01-01 00:00"
    assert local_time("2026-12-31T15:00:00+00:00") == "2027-01-01 00:00"
    assert local_time("mine") == "mine"


def test_studies_are_listed_apart(runs_dir: Path, korean_clock: None) -> None:
    found = {"status": "done", "trials": {"complete": 4, "pruned": 0, "failed": 1}, "best_trial": 3, "best_value": 0.91,
             "goals": {"validation.macro_f1": "maximize"}, "final": "runs/dialect/x"}  # fmt: skip
    done, begun = study(runs_dir, "dialect", found), study(runs_dir, "nsmc", None)
    result = kexp("runs", "--runs-dir", runs_dir)
    assert str(done) not in result.stdout
    assert result.stderr == "2 studies: kexp runs --studies\n"
    head, *listed = rows("--runs-dir", runs_dir, "--studies")
    assert head == ["started", "experiment", "status", "trials", "metric", "best", "trial", "folder"]
    assert sorted(listed) == [
        ["2026-03-01 21:00", "dialect", "done", "4 complete, 1 failed", "validation.macro_f1", "0.91", "3", str(done)],
        ["2026-03-01 21:00", "nsmc", "unfinished", "", "", "", "", str(begun)],
    ]
    as_json = json.loads(kexp("runs", "--runs-dir", runs_dir, "--studies", "--json").stdout)
    assert {row["best"] for row in as_json} == {0.91, None}


# --- kexp runs show -------------------------------------------------------------------------------------------------


def test_a_folder_is_shown_with_its_variants_failures_and_paths(runs_dir: Path, korean_clock: None) -> None:
    folder = runs_dir / "nsmc" / "20260103T000000Z-abcdef01"
    path = folder / "plain" / "seed-1" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reason": "out of memory"}))
    text = kexp("runs", "show", folder).stdout
    told = dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    assert told["experiment"] == "nsmc"
    assert told["started"] == "2026-01-02 12:04"
    assert told["command"] == "kexp run nsmc.toml"
    assert told["variant 초점"] == "objective.use: cross-entropy -> focal; objective.gamma: – -> 2.0"
    assert told["plain"] == "0/1 (1 seed)\t0.8500\t0.0200"
    assert told["spec.toml"] == str(folder / "spec.toml")
    assert f"plain seed 1 failed: out of memory ({folder}/plain/seed-1/log.txt)" in text
    assert "report.html" not in told  # there is none


def test_a_folder_as_json(runs_dir: Path) -> None:
    folder = runs_dir / "nsmc" / "20260101T000000Z-abcdef01"
    shown = json.loads(kexp("runs", "show", folder, "--json").stdout)
    assert (shown["status"], shown["seconds"], shown["seeds"]) == ("done", 61.0, [1, 2])
    assert shown["asked"]["objective"] == {"use": "cross-entropy"}
    assert shown["variants"]["초점"]["objective.use"] == ["cross-entropy", "focal"]
    assert [(run["variant"], run["status"]) for run in shown["runs"]] == [("plain", "done"), ("초점", "done")]
    assert set(shown["paths"]) == {"spec.toml", "environment.json", "summary.json"}


def test_an_unfinished_folder_is_shown_too(runs_dir: Path) -> None:
    result = kexp("runs", "show", runs_dir / "dialect" / "20260104T000000Z-abcdef01")
    assert result.exit_code == 0
    assert "status\tunfinished" in result.stdout


@pytest.mark.parametrize("command", ["show", "prune"])
def test_other_folders_are_refused(command: str, runs_dir: Path, tmp_path: Path) -> None:
    extra = ["--yes"] if command == "prune" else []
    for path, message in (
        (tmp_path / "none", "does not exist"),
        (runs_dir / "nsmc", "is not a run folder: it has no spec.toml"),
        (study(runs_dir, "x", {}), "is a study, not a run folder; its page is study.html"),
    ):
        result = kexp("runs", command, path, *extra)
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"{path} {message}\n")


def test_options_before_the_subcommand_are_not_dropped(runs_dir: Path) -> None:
    result = kexp("runs", "--runs-dir", runs_dir, "prune", "--status", "done", "--yes")
    assert (result.exit_code, result.stderr) == (2, "kexp runs prune: put options after prune\n")
    assert len(list_runs(runs_dir)) == 4


# --- kexp runs prune ------------------------------------------------------------------------------------------------


def left(runs_dir: Path) -> list[str]:
    return [f"{row.experiment} {row.started}" for row in list_runs(runs_dir)]


ALL = ["dialect 20260104T000000Z", "nsmc 20260103T000000Z", "dialect 20260102T000000Z", "nsmc 20260101T000000Z"]


def test_nothing_goes_without_a_wish_or_without_a_yes(runs_dir: Path) -> None:
    result = kexp("runs", "prune", "--runs-dir", runs_dir, "--yes")
    assert result.exit_code == 2
    assert "select what to remove: --status, --older-than, --keep or folders" in result.stderr
    result = kexp("runs", "prune", "--runs-dir", runs_dir, "--status", "failed")
    assert result.exit_code == 2
    assert re.search(r"^nothing was removed: without a terminal, --yes is needed to remove 1 run folder, [\d.]+ k?B$",
                     result.stderr.strip())  # fmt: skip
    folder = runs_dir / "nsmc" / "20260103T000000Z-abcdef01"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shown = [line.split("\t")[1:] for line in result.stdout.splitlines()]
    assert shown == [
        ["status", "size", "folder"],
        ["failed", f"{size / 1000:.1f} kB" if size > 999 else f"{size} B", str(folder)],
    ]
    assert left(runs_dir) == ALL


@pytest.mark.parametrize(
    ("wish", "gone"),
    [
        (["--status", "failed"], [1]),
        (["--status", "unfinished"], [0]),
        (["--keep", "1"], [2, 3]),
        (["--keep", "2"], []),
        (["--keep", "0"], [0, 1, 2, 3]),
        (["--status", "done", "--keep", "1"], []),
        (["--older-than", "1d"], [0, 1, 2, 3]),
        (["--older-than", "5000w"], []),
    ],
)
def test_wishes(wish: list[str], gone: list[int], runs_dir: Path) -> None:
    result = kexp("runs", "prune", "--runs-dir", runs_dir, *wish, "--yes")
    assert result.exit_code == 0, result.stderr
    assert left(runs_dir) == [name for number, name in enumerate(ALL) if number not in gone]
    assert ("removed" in result.stderr) == bool(gone)


def test_age_is_that_of_the_stamp(tmp_path: Path) -> None:
    for days in (0, 20, 40):
        make(tmp_path, "x", stamp(days), {"plain": {}})
    kexp("runs", "prune", "--runs-dir", tmp_path, "--older-than", "30d", "--yes")
    assert [row.started[:8] for row in list_runs(tmp_path)] == [stamp(0)[:8], stamp(20)[:8]]
    for age in ("30", "d", "0d", "-1d", "1y"):
        result = kexp("runs", "prune", "--runs-dir", tmp_path, f"--older-than={age}", "--yes")
        assert (result.exit_code, result.stderr) == (
            2, f"--older-than {age}: expected an age such as 30d, 12h or 4w\n",
        )  # fmt: skip


def test_on_a_terminal_it_asks(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the runner puts in the place of standard input is typer's or click's, as the version has it.
    stdin = sys.modules[CliRunner.isolation.__module__]._NamedTextIOWrapper
    monkeypatch.setattr(stdin, "isatty", lambda self: True, raising=False)
    result = kexp("runs", "prune", "--runs-dir", runs_dir, "--status", "failed", stdin="n\n")
    assert result.exit_code == 1
    assert "remove 1 run folder, " in result.stderr
    assert result.stderr.endswith("nothing was removed\n")
    assert left(runs_dir) == ALL
    assert kexp("runs", "prune", "--runs-dir", runs_dir, "--status", "failed", stdin="").exit_code == 130
    assert left(runs_dir) == ALL
    assert kexp("runs", "prune", "--runs-dir", runs_dir, "--status", "failed", stdin="y\n").exit_code == 0
    assert left(runs_dir) == [ALL[0], *ALL[2:]]


def test_an_export_does_not_make_a_finished_run_look_busy(runs_dir: Path) -> None:
    folder = runs_dir / "nsmc" / "20260103T000000Z-abcdef01"
    # Its summary was written last of all that belongs to the run.
    (folder / "summary.json").touch()
    (folder / "plain" / "seed-1" / "onnx").mkdir(parents=True)
    kexp("runs", "prune", "--runs-dir", runs_dir, "--keep", "0", "--yes")
    assert left(runs_dir) == []


def test_runs_in_progress_are_left_alone_unless_named(runs_dir: Path) -> None:
    going, resumed = runs_dir / "dialect" / "20260104T000000Z-abcdef01", runs_dir / "nsmc" / "20260103T000000Z-abcdef01"
    (going / "plain" / "seed-1").mkdir(parents=True)
    (going / "plain" / "seed-1" / "metrics.jsonl").write_text("{}")
    (resumed / "plain" / "seed-1" / "metrics.jsonl").write_text("{}")
    result = kexp("runs", "prune", "--runs-dir", runs_dir, "--keep", "0", "--yes")
    assert left(runs_dir) == ALL[:2]
    assert result.stderr.count("kept: it was written to within the last 6 hours") == 2
    assert kexp("runs", "prune", going, "--yes").exit_code == 0
    assert left(runs_dir) == ALL[1:2]
    # Written to long ago, it is over.
    for path in resumed.rglob("*"):
        os.utime(path, (OLD, OLD))
    kexp("runs", "prune", "--runs-dir", runs_dir, "--keep", "0", "--yes")
    assert left(runs_dir) == []


def test_a_folder_that_a_process_uses_is_never_removed(runs_dir: Path) -> None:
    folder = next((runs_dir / "nsmc").glob("20260101*"))
    with locked(folder, pytest.fail):
        result = kexp("runs", "prune", "--runs-dir", runs_dir, "--keep", "0", "--yes")
        assert f"{folder} is kept: it is in use by process {os.getpid()} on " in result.stderr
        result = kexp("runs", "prune", folder, "--yes")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"{folder} is in use by process {os.getpid()} on ")
    assert "nsmc 20260101T000000Z" in left(runs_dir)


def test_what_a_study_tested_is_left_alone_unless_named(runs_dir: Path) -> None:
    found = {"status": "done", "trials": {}, "goals": {}}
    study(runs_dir, "nsmc", {**found, "final": "elsewhere/runs/nsmc/20260101T000000Z-abcdef01"})
    result = kexp("runs", "prune", "--runs-dir", runs_dir, "--status", "done", "--yes")
    assert left(runs_dir) == [*ALL[:2], ALL[3]]
    assert "kept: study nsmc-01234567 tested its best spec there" in result.stderr
    assert (runs_dir / "nsmc" / "nsmc-01234567" / "study.toml").is_file()


def test_what_an_unreadable_study_may_have_tested_is_left_alone_unless_named(runs_dir: Path) -> None:
    study(runs_dir, "nsmc", {"status": "done", "trials": "none"})
    result = kexp("runs", "prune", "--runs-dir", runs_dir, "--keep", "0", "--yes")
    assert left(runs_dir) == [ALL[1], ALL[3]]
    assert "kept: study nsmc-01234567 cannot be read, and may have tested its best spec there" in result.stderr


def test_only_run_folders_are_removed(runs_dir: Path) -> None:
    stray = runs_dir / "mine" / "notes"
    stray.mkdir(parents=True)
    (stray / "spec.toml").write_text('name = "mine"')
    result = kexp("runs", "prune", "--runs-dir", runs_dir, "--keep", "0", "--yes")
    assert f"{stray} is kept: it has no environment.json, so it may not be a run folder" in result.stderr
    assert (stray / "spec.toml").is_file()
    assert kexp("runs", "prune", stray, "--yes").stderr == f"{stray} is not a run folder: it has no environment.json\n"
    assert (stray / "spec.toml").is_file()


def test_links_are_never_followed(runs_dir: Path, tmp_path: Path) -> None:
    outside = make(tmp_path / "elsewhere", "other", "20260101T000000Z", {"plain": {}})
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "data.csv").write_text("text")
    (runs_dir / "linked").symlink_to(outside.parent, target_is_directory=True)
    (runs_dir / "dialect" / "20260105T000000Z-abcdef01").symlink_to(outside, target_is_directory=True)
    inner = runs_dir / "nsmc" / "20260101T000000Z-abcdef01"
    (inner / "data").symlink_to(treasure, target_is_directory=True)
    (inner / "plain" / "data").symlink_to(treasure, target_is_directory=True)
    result = kexp("runs", "prune", "--runs-dir", runs_dir, "--keep", "0", "--yes")
    assert result.exit_code == 0
    assert result.stderr.count("kept: it is reached through a link") == 2
    assert not inner.exists()
    assert (treasure / "data.csv").read_text() == "text"
    assert (outside / "spec.toml").is_file()
    link = runs_dir / "dialect" / "20260105T000000Z-abcdef01"
    assert kexp("runs", "prune", link, "--yes").stderr == f"{link} is a link; name the folder itself\n"
    assert (outside / "spec.toml").is_file()
    assert prune.size_of(tmp_path) < 100_000


def test_a_removal_that_was_interrupted_can_be_repeated(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = runs_dir / "nsmc" / "20260101T000000Z-abcdef01"

    def full(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kexp.results.prune.shutil.rmtree", full)
    with pytest.raises(KeyboardInterrupt):
        prune.remove(folder)
    monkeypatch.undo()
    assert (folder / "spec.toml").is_file()
    assert kexp("runs", "prune", folder, "--yes").exit_code == 0
    assert not folder.exists()


def test_named_folders_obey_wishes_and_the_working_folder_may_be_one(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [runs_dir / "nsmc" / f"2026010{day}T000000Z-abcdef01" for day in (1, 3)]
    kexp("runs", "prune", *folders, "--status", "failed", "--yes")
    assert left(runs_dir) == [ALL[0], *ALL[2:]]
    monkeypatch.chdir(folders[0])
    assert kexp("runs", "prune", ".", "--yes").exit_code == 0
    monkeypatch.chdir(runs_dir)
    assert left(runs_dir) == [ALL[0], ALL[2]]
    with pytest.raises(KexpError, match="select what to remove"):
        prune.plan(runs_dir, [], prune.PruneFilter())
