"""Run folders whose files were damaged, or written by something else, whatever stands in them."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tomli_w
from fastapi.testclient import TestClient
from support import kexp, tiny_spec

from kexp.inference.loading import load
from kexp.results.runs import list_runs
from kexp.ui.app import make_app

SPEC = tiny_spec("seeds = [1, 2]", '[variants.plain]\n[variants.focal]\nobjective.use = "focal"', epochs=1)
OTHERS: tuple[Any, ...] = (None, True, -1, 3, 10**30, 1.5, "", "글", "inf", [], [[]], [None], {}, {"a": {}}, {"가": 1})
MUTATIONS = int(os.environ.get("KEXP_FUZZ_CASES", "12"))
"""Of every file."""


@pytest.fixture(scope="module")
def finished(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a runs folder with one finished experiment."""
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "reviews.toml").write_text(SPEC.format(data=reviews), "utf-8")
    result = kexp("run", folder / "reviews.toml", "--runs-dir", folder / "runs", "--quiet")
    assert result.exit_code == 0, result.stderr
    return folder / "runs"


@pytest.fixture
def runs_dir(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of it with a second, sound experiment."""
    shutil.copytree(finished, tmp_path / "runs")
    (experiment,) = (tmp_path / "runs").iterdir()
    (folder,) = experiment.iterdir()
    shutil.copytree(folder, experiment / f"20000101T000000Z-{folder.name.partition('-')[2]}")
    return tmp_path / "runs"


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container in a JSON value with every key of it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from places(item)


def mutated(whole: Any, draw: random.Random) -> Any:
    """Return a JSON value in which one value is another one, or is missing."""
    value = copy.deepcopy(whole)
    container, key = draw.choice(list(places(value)))
    if draw.random() < 0.3:
        del container[key]
    else:
        container[key] = draw.choice(OTHERS)
    return value if draw.random() < 0.95 else draw.choice(OTHERS)


def damaged(path: Path, number: int) -> bytes:
    """Return other contents of a file: cut off, with other bytes, or with another value in it."""
    draw, content = random.Random(f"{path.name} {number}"), path.read_bytes()
    if number % 8 == 0:
        return content[: draw.randrange(len(content))]
    if number % 8 == 1 or path.suffix == ".parquet":
        at = draw.randrange(len(content))
        return content[:at] + draw.randbytes(draw.choice([1, 4, 100])) + content[at + 1 :]
    if path.suffix == ".toml":
        table = mutated(tomllib.loads(content.decode()), draw)
        return tomli_w.dumps(table).encode() if isinstance(table, dict) and not has_none(table) else b""
    if path.suffix == ".jsonl":
        lines = content.splitlines()
        at = draw.randrange(len(lines))
        lines[at] = json.dumps(mutated(json.loads(lines[at]), draw), ensure_ascii=False).encode()
        return b"\n".join(lines) + b"\n"
    return json.dumps(mutated(json.loads(content), draw), ensure_ascii=False).encode()


def has_none(value: Any) -> bool:
    return value is None or any(has_none(container[key]) for container, key in places(value))


FILES = (
    "spec.toml",
    "environment.json",
    "summary.json",
    "plain/seed-1/result.json",
    "plain/seed-1/metrics.jsonl",
    "plain/seed-1/predictions.parquet",
)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_ends_in_a_message_and_hides_no_other_folder(name: str, runs_dir: Path) -> None:
    folder = sorted(next(runs_dir.iterdir()).iterdir())[-1]
    sound, original = sorted(next(runs_dir.iterdir()).iterdir())[0], (folder / name).read_bytes()
    client = TestClient(make_app(runs_dir, load, ["testserver"]))
    for number in range(MUTATIONS):
        (folder / name).write_bytes(original)
        (folder / name).write_bytes(damaged(folder / name, number))
        for command in (["runs", "--runs-dir", runs_dir], ["runs", "show", folder], ["compare", folder, sound]):
            result = kexp(*command)
            assert result.exit_code == 0 or (result.exit_code == 2 and str(folder) in result.stderr), (number, command)
        if number % 8 < 3:
            result = kexp("report", folder)
            assert result.exit_code == 0 or (result.exit_code == 2 and str(folder) in result.stderr), number
        assert {row.folder.name: row.status for row in list_runs(runs_dir)}[sound.name] == "done"
        listed = client.get("/data/runs").json()
        assert [run["status"] for run in listed if f"/{sound.name}/" in run["key"]] == ["done"] * 4, number
        keys = [run["key"] for run in listed]
        for page in ("/", "/predict", "/studies"):
            assert client.get(page).status_code == 200, (number, page)
        for key in keys:
            assert client.get("/compare", params={"run": [key, keys[-1]]}).status_code in (200, 422), (number, key)
            assert client.get("/data/curves", params={"run": key}).status_code in (200, 422), (number, key)


def test_an_unreadable_result_is_shown_and_left_out_of_comparisons_with_a_remark(runs_dir: Path) -> None:
    folder = sorted(next(runs_dir.iterdir()).iterdir())[-1]
    path = folder / "plain" / "seed-1" / "result.json"
    path.write_text(path.read_text("utf-8").replace('"labels": [', '"labels": [1, '), "utf-8")
    row = next(row for row in list_runs(runs_dir) if row.folder == folder)
    assert row.status == "unreadable"
    reason = f"{path}: labels.0 is not as kexp writes it: expected a string, found 1; restore the file"
    shown = json.loads(kexp("runs", "show", folder, "--json").stdout)
    assert [(run["status"], run["reason"]) for run in shown["runs"] if run["variant"] == "plain"] == [
        ("unreadable", reason),
        ("done", None),
    ]
    found = json.loads(kexp("compare", folder, "--json").stdout)
    assert f"left out: {reason}" in found["remarks"]
    assert {model["variant"]: model["seeds"] for model in found["models"]} == {"plain": [2], "focal": [1, 2]}


def test_a_result_in_which_a_digit_has_changed_is_no_result(runs_dir: Path) -> None:
    folder = sorted(next(runs_dir.iterdir()).iterdir())[-1]
    path = folder / "plain" / "seed-1" / "result.json"
    result = json.loads(path.read_text("utf-8"))
    result["metrics"]["test"]["accuracy"] += 0.001
    path.write_text(json.dumps(result), "utf-8")
    reason = f"{path} is damaged: its contents do not match its checksum"
    shown = json.loads(kexp("runs", "show", folder, "--json").stdout)
    assert [run["reason"] for run in shown["runs"] if run["status"] == "unreadable"] == [reason]
    resumed = kexp("run", "--resume", folder, "--quiet")
    assert (resumed.exit_code, resumed.stderr.partition(";")[0]) == (1, reason)
    del result["checksum"]
    path.write_text(json.dumps(result), "utf-8")
    assert "unreadable" not in kexp("runs", "show", folder, "--json").stdout


def test_predictions_in_which_a_bit_has_changed_are_refused(runs_dir: Path) -> None:
    folder = sorted(next(runs_dir.iterdir()).iterdir())[-1]
    path = folder / "plain" / "seed-1" / "predictions.parquet"
    content, probability = bytearray(path.read_bytes()), pd.read_parquet(path)["probability:좋음"].iloc[3]
    at = content.index(np.float64(probability).tobytes())
    content[at + 6] ^= 1
    path.write_bytes(content)
    resumed = kexp("run", "--resume", folder, "--quiet")
    assert resumed.exit_code == 1
    assert resumed.stderr.startswith(f"{path}: cannot be read: ")
    assert f"; delete {path.with_name('result.json')} to do this run again; continue with: " in resumed.stderr


def test_a_result_of_another_run_is_no_result(runs_dir: Path) -> None:
    folder = sorted(next(runs_dir.iterdir()).iterdir())[-1]
    shutil.copy(folder / "focal" / "seed-2" / "result.json", folder / "plain" / "seed-1" / "result.json")
    shown = json.loads(kexp("runs", "show", folder, "--json").stdout)
    run = next(run for run in shown["runs"] if (run["variant"], run["seed"]) == ("plain", 1))
    assert run["reason"] == f"{folder / 'plain/seed-1/result.json'}: it is the result of focal seed 2"


def test_a_damaged_line_of_the_events_is_named_and_half_a_last_line_is_left_out(runs_dir: Path) -> None:
    folder = sorted(next(runs_dir.iterdir()).iterdir())[-1]
    path = folder / "plain" / "seed-1" / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + '{"event": "warning", "message": "글'.encode()[:-1])
    assert kexp("report", folder).exit_code == 0
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b'{"event": \n', *lines[1:]]))
    result = kexp("report", folder)
    assert (result.exit_code, result.stderr.partition(": cannot be read")[0]) == (2, f"{path}:2")


@pytest.mark.parametrize("name", ["spec.toml", "environment.json", "plain/seed-1/result.json"])
def test_a_model_whose_run_is_damaged_predicts_the_same_or_says_why_not(name: str, runs_dir: Path) -> None:
    folder = sorted(next(runs_dir.iterdir()).iterdir())[-1]
    original = (folder / name).read_bytes()
    expected = kexp("predict", folder / "plain" / "seed-1", "최고의 영화").stdout
    assert expected
    for number in range(MUTATIONS):
        (folder / name).write_bytes(original)
        (folder / name).write_bytes(damaged(folder / name, number))
        result = kexp("predict", folder / "plain" / "seed-1", "최고의 영화")
        assert result.stdout == expected or (result.exit_code == 2 and str(folder) in result.stderr), number


@pytest.mark.parametrize("name", ["environment.json", "summary.json", "default/seed-1/result.json"])
def test_pipe_in_place_of_a_file_is_not_waited_for(runs_dir: Path, name: str) -> None:
    folder = sorted(runs_dir.glob("*/*"))[-1]
    path = folder / name.replace("default", "plain")
    path.unlink()
    os.mkfifo(path)
    for command in (("report", folder), ("runs", "show", folder), ("compare", folder)):
        result = kexp(*command)
        assert result.exit_code == 0 or str(path) in result.stderr or "has no summary.json" in result.stderr
    report = kexp("report", folder)
    if name == "environment.json":
        assert (report.exit_code, report.stderr) == (2, f"{path} is no regular file; expected a file of kexp\n")


def test_link_to_itself_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    result = kexp("compare", tmp_path / "loop")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{tmp_path / 'loop'}")


def test_folder_whose_name_is_not_utf8_is_shown_as_unreadable(runs_dir: Path) -> None:
    # So are Korean names in an archive from Windows.
    other = os.fsdecode(os.fsencode(runs_dir) + b"/\xc7\xd1")
    shutil.copytree(next(path for path in runs_dir.iterdir()), other)
    shown = kexp("runs", "--runs-dir", runs_dir)
    assert shown.exit_code == 0
    assert "\\udcc7\\udcd1" in shown.stdout
    client = TestClient(make_app(runs_dir, load, ["testserver"]))
    assert client.get("/").status_code == 200
    runs = client.get("/data/runs").json()
    broken = [run for run in runs if run["status"] == "unreadable"]
    assert len(broken) == len(runs) / 2
    assert all(run["reason"] == f"the name of the folder {run['key']} is not UTF-8; rename it" for run in broken)
    json_text = {"content-type": "application/json"}
    refused = client.post("/data/predict", content=b'{"runs": ["\\udcff"], "text": "a"}', headers=json_text)
    assert (refused.status_code, refused.json()) == (404, {"detail": "no run or study \\udcff"})


@pytest.mark.parametrize("place", ["", " ", "s3://bucket/runs", "http://host/runs", "\udcff"])
def test_runs_folder_is_a_folder_with_a_name_in_utf8(place: str) -> None:
    for command in (("runs",), ("tune", "spec.toml"), ("run", "spec.toml"), ("ui",)):
        result = kexp(*command, "--runs-dir", place)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "Invalid value for '--runs-dir'" in result.stderr


@pytest.mark.parametrize(
    "asked", [{"text": "  "}, {"text": "\u200b"}, {"columns": {"body": "영화"}}, {"columns": {"text": " "}}]
)
def test_page_predicts_nothing_without_a_text(runs_dir: Path, asked: dict[str, Any]) -> None:
    client = TestClient(make_app(runs_dir, load, ["testserver"]))
    run = client.get("/data/runs").json()[0]["key"]
    answer = client.post("/data/predict", json={"runs": [run], **asked})
    detail = "the model was trained on the text column text; give a text for each"
    assert (answer.status_code, answer.json()) == (422, {"detail": detail})
    given = client.post("/data/predict", json={"runs": [run], "columns": {"text": "영화"}})
    assert given.json() == client.post("/data/predict", json={"runs": [run], "text": "영화"}).json()
