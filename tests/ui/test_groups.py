"""The table of runs: groups with means, options that differ, filters, and folders that change while they are read."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from ui_support import add_events, write_run

from kexp.ui import folders
from kexp.ui.groups import Groups
from kexp.ui.library import Library
from kexp.ui.times import iso_time

SPEC = '[training]\nlearning_rate = {rate}\nepochs = 3\n[variants."다른"]\ntraining = {{epochs = 5}}\n'
OLD, NEW = "x/20260101T000000Z-aa", "x/20260102T000000Z-bb"


def table(runs: Path, *arguments: object, **options: object) -> dict[str, list[str]]:
    found = Groups(folders.Folders(runs)).table(*arguments, **options)
    return {section.experiment: [group.key for group in section.groups] for section in found.sections}


def test_runs_of_a_variant_are_a_group_with_their_mean(empty: Path) -> None:
    for seed, value in enumerate((0.5, 0.7, 0.9)):
        write_run(empty, f"{OLD}/다른/seed-{seed}", value=value, spec=SPEC.format(rate=0.1))
    write_run(empty, f"{OLD}/plain/seed-1", value=0.2, spec=SPEC.format(rate=0.1))
    write_run(empty, f"{OLD}/plain/seed-2", value=None, spec=SPEC.format(rate=0.1))
    (section,) = Library(empty).groups.table().sections
    plain, other = section.groups
    assert (other.key, other.status, other.seconds) == (f"{OLD}/다른", "done", 6.0)
    assert other.test["accuracy"]["mean"] == pytest.approx(0.7)
    assert other.test["accuracy"]["sd"] == pytest.approx(0.2)
    assert other.test["accuracy"]["over"] == "3 seeds"
    assert (plain.status, plain.test["accuracy"]["mean"]) == ("1 done, 1 running", 0.2)
    assert section.metrics == ["accuracy"]
    assert (section.options, section.values) == (
        ["training.epochs"],
        {f"{OLD}/plain": ["3"], f"{OLD}/다른": ["5"]},
    )


def test_options_that_differ_have_columns_and_seeds_none(empty: Path) -> None:
    write_run(empty, f"{OLD}/plain/seed-1", spec="seeds = [1]\n[training]\nlearning_rate = 0.00012345678\n")
    write_run(empty, f"{NEW}/plain/seed-1", spec="seeds = [1, 2]\n[training]\nlearning_rate = 0.1\nlabel = 'x'\n")
    (section,) = Library(empty).groups.table().sections
    assert section.options == ["training.learning_rate", "training.label"]
    assert [section.values[group.key] for group in section.groups] == [["0.1", "x"], ["0.00012346", "–"]]


def test_options_that_all_have_come_first(empty: Path) -> None:
    write_run(empty, f"{OLD}/v/seed-1", spec='[objective]\nuse = "focal"\ngamma = 2.0\n[training]\nepochs = 3\n')
    write_run(empty, f"{NEW}/v/seed-1", spec='[objective]\nuse = "cross-entropy"\n[training]\nepochs = 5\n')
    (section,) = Library(empty).groups.table().sections
    assert section.options == ["training.epochs", "objective.use", "objective.gamma"]
    assert section.values[f"{OLD}/v"] == ["3", "focal", "2.0"]


def test_more_options_than_columns_are_counted(empty: Path) -> None:
    for place, value in ((OLD, 1), (NEW, 2)):
        write_run(empty, f"{place}/v/seed-1", spec="[a]\n" + "".join(f"o{n} = {value}\n" for n in range(20)))
    (section,) = Library(empty).groups.table().sections
    assert (len(section.options), section.left_out) == (12, 8)


def test_the_newest_folders_come_first_and_the_filter_looks_at_all(empty: Path) -> None:
    for day in range(1, 9):
        write_run(empty, f"영화/2026010{day}T000000Z-aa/좋은 변형/seed-1", status="failed" if day == 2 else "done")
    write_run(empty, "b/20260109T000000Z-aa/v/seed-1")
    key = "영화/2026010{}T000000Z-aa/좋은 변형"
    found = Groups(folders.Folders(empty)).table(limit=2)
    assert [[group.key for group in section.groups] for section in found.sections] == [
        ["b/20260109T000000Z-aa/v"],
        [key.format(8)],
    ]
    assert (found.shown, found.more) == (2, True)
    assert table(empty, "FAILED") == {"영화": [key.format(2)]}
    assert table(empty, "영화 0103") == {"영화": [key.format(3)]}
    assert list(table(empty, "변형")) == ["영화"]
    assert table(empty, "변형 b/") == {}
    assert table(empty, "", 100, "b") == {"b": ["b/20260109T000000Z-aa/v"]}
    assert table(empty, "", 1, "영화") == {"영화": [key.format(8)]}


def test_a_file_is_read_again_where_it_has_changed_alone(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in (1, 2):
        write_run(empty, f"{OLD}/v/seed-{seed}")
    going = write_run(empty, f"{OLD}/v/seed-3", value=None)
    read: list[str] = []
    original = folders.Folders._read
    monkeypatch.setattr(
        folders.Folders,
        "_read",
        lambda self, *args, **kwargs: (read.append(args[1]), original(self, *args, **kwargs))[1],
    )
    library = Library(empty)
    assert [(run.seed, run.step) for run in library.folders.runs(empty / OLD)] == [(1, 0), (2, 0), (3, 30)]
    assert len(read) == 3
    add_events(going, 40)
    assert [(run.seed, run.step) for run in library.folders.runs(empty / OLD)] == [(1, 0), (2, 0), (3, 40)]
    assert read[3:] == [str(going)]
    shutil.rmtree(empty / OLD / "v/seed-1")
    assert [run.seed for run in library.folders.runs(empty / OLD)] == [2, 3]
    (empty / OLD).rename(empty / NEW)
    assert library.folders.runs(empty / OLD) == []
    assert [group.key for group in library.groups.table().sections[0].groups] == [f"{NEW}/v"]


@pytest.mark.parametrize("content", ['{"status": "do', "", "[]", "null", '{"status": "done"}', "\0" * 9])
def test_a_half_written_file_is_unreadable_until_it_is_whole(empty: Path, content: str) -> None:
    path = write_run(empty, f"{OLD}/v/seed-1")
    write_run(empty, f"{OLD}/v/seed-2")
    whole = (path / "result.json").read_text("utf-8")
    library = Library(empty)
    (path / "result.json").write_text(content, "utf-8")
    assert [run.status for run in library.folders.runs(empty / OLD)] == ["unreadable", "done"]
    (empty / OLD / "spec.toml").write_text("[half", "utf-8")
    (section,) = library.groups.table().sections
    assert section.groups[0].status == "1 unreadable, 1 done"
    (path / "result.json").write_text(whole, "utf-8")
    assert library.groups.table().sections[0].groups[0].status == "done"


def test_a_run_whose_process_has_died_is_interrupted(empty: Path) -> None:
    path = write_run(empty, f"{OLD}/v/seed-1", value=None)
    library = Library(empty)
    assert library.run(f"{OLD}/v/seed-1").status == "running"
    holder = empty / OLD / "process.json"
    holder.write_text("{}")
    assert library.run(f"{OLD}/v/seed-1").status == "running"
    os.utime(holder, (1e9, 1e9))
    assert library.run(f"{OLD}/v/seed-1").status == "interrupted"
    holder.unlink()
    os.utime(path / "metrics.jsonl", (1e9, 1e9))
    assert library.run(f"{OLD}/v/seed-1").status == "interrupted"


def test_links_and_loops_are_no_runs(empty: Path) -> None:
    write_run(empty, f"{OLD}/v/seed-1")
    (empty / "loop").symlink_to("loop")
    (empty / OLD / "self").symlink_to(".", target_is_directory=True)
    draw = empty / OLD / "v" / "draw-1"
    draw.symlink_to(".", target_is_directory=True)
    assert [run.key for run in Library(empty).runs()] == [
        f"{OLD}/v/seed-1",
        f"{OLD}/v/draw-1/seed-1",
    ]


def test_a_result_may_say_what_it_likes(empty: Path) -> None:
    path = write_run(empty, f"{OLD}/v/seed-1")
    result = json.loads((path / "result.json").read_text())
    result["metrics"]["test"] = {"accuracy": None, "<b>": 1.0}
    (path / "result.json").write_text(json.dumps(result))
    (group,) = Library(empty).groups.table().sections[0].groups
    assert list(group.test) == ["<b>"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20260102T030405Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05+09:00", "2026-01-01T18:04:05Z"),
        ("0001-01-01T00:00:00+14:00", ""),
        ("<script>", ""),
        ("", ""),
    ],
)
def test_moments_are_told_in_utc(text: str, expected: str) -> None:
    assert iso_time(text) == expected
