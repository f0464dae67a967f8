"""The page in a real browser: open, sort, filter, compare, predict."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

import pytest
from fastapi.testclient import TestClient
from markupsafe import escape
from typer.testing import CliRunner, Result

from kexp.cli import app
from kexp.inference.loading import load
from kexp.ui.app import make_app


@pytest.mark.chromium
def test_table_sorts_and_filters(page: Any) -> None:
    page.goto("/")
    column = page.locator("thead th", has_text="test accuracy")
    number = column.evaluate("cell => cell.cellIndex")
    cells = page.locator(f"tbody tr.group > *:nth-child({number + 1})")

    def values() -> list[float]:
        return [float(value) for value in cells.evaluate_all("cells => cells.map(cell => cell.dataset.value)")]

    column.locator("button").click()
    rising = values()
    assert rising == sorted(rising)
    assert len(rising) == 2
    column.locator("button").click()
    assert values() == sorted(rising, reverse=True)
    assert column.get_attribute("aria-sort") == "descending"
    page.fill("#filter", "focal done")
    page.wait_for_function("() => document.querySelectorAll('tr.group').length === 1")
    assert page.locator("tr.group th").inner_text().strip() == "focal"
    page.reload()
    assert page.locator("tr.group").count() == 1
    assert page.input_value("#filter") == "focal done"
    page.fill("#filter", "nothing like this")
    page.wait_for_selector("text=No run is found")


def test_chosen_runs_are_stated_about_as_methods(client: TestClient, runs: Path) -> None:
    (folder,) = runs.glob("*/*")
    (said, *_) = (
        test["sentence"] for test in json.loads((folder / "summary.json").read_text())["tests"] if test["stated"]
    )
    keys = [
        f"{folder.relative_to(runs).as_posix()}/{name}/seed-{seed}" for name in ("plain", "focal") for seed in (1, 2)
    ]
    assert f"<li>{escape(said)}</li>" in client.get("/compare", params={"run": keys}).text
    repeats = client.get("/compare", params={"run": keys[:2]}).text
    assert "<li>" not in repeats
    assert "Their specs are equal." in repeats


@pytest.mark.chromium
def test_two_runs_are_compared(page: Any, runs: Path) -> None:
    page.goto("/")
    for variant in ("plain", "focal"):
        page.locator(f"button[aria-label$='/{variant}']").click()
        page.locator(f"input[value*='/{variant}/']").first.check()
    page.click("#compare")
    page.wait_for_url("**/compare?**")
    assert page.url.count("run=") == 2
    page.wait_for_function(
        "() => document.querySelectorAll('.plot[data-curve=loss] .scatterlayer .trace').length === 2"
    )
    text = page.inner_text("main")
    assert "objective.use" in text
    assert "cross-entropy" in text
    assert page.locator("table.confusion").count() == 2
    key = unquote(page.url.rpartition("run=")[2])
    matrix = json.loads((runs / key / "result.json").read_text("utf-8"))["confusion_matrix"]["test"]
    shown = page.locator("table.confusion").nth(1).locator("tbody td").all_inner_texts()
    assert [int(text) for text in shown] == [count for row in matrix for count in row]
    page.select_option("#metric", "accuracy")
    assert page.locator("text=Which differences are more than chance?").count() == 1


@pytest.mark.chromium
def test_sentence_is_predicted_and_words_are_weighed(page: Any, runs: Path) -> None:
    page.goto("/predict")
    page.fill("#text", "12번째 영화 감동 배우 3 정말")
    boxes = page.locator("input[name=run]")
    boxes.nth(1).check()
    page.click("#predict .button")
    page.wait_for_function("() => document.querySelectorAll('#answers .words').length === 2")
    assert page.locator("#answers .card").count() == 2
    first = page.locator("#answers .card").first
    probabilities = [float(text) for text in first.locator(".probability span:last-child").all_inner_texts()]
    assert sum(probabilities) == pytest.approx(1, abs=0.002)
    key = first.locator("h2").inner_text()
    expected = load(runs / key).predict(["12번째 영화 감동 배우 3 정말"])[0]
    assert probabilities == pytest.approx(sorted(expected, reverse=True), abs=0.0006)
    assert first.locator(".words span").all_inner_texts() == ["12번째", "영화", "감동", "배우", "3", "정말"]
    # The choice is in the address.
    page.reload()
    assert page.locator("input[name=run]:checked").count() == 2


@pytest.mark.chromium
def test_curve_of_a_running_experiment_grows(page: Any, runs: Path) -> None:
    source = next(iter(sorted(runs.glob("*/*/plain/seed-1"))))
    lines = (source / "metrics.jsonl").read_text("utf-8").splitlines(keepends=True)
    going = source.parent.parent / "plain" / "seed-9"
    going.mkdir()
    try:
        (going / "metrics.jsonl").write_text("".join(lines[: len(lines) // 2]), encoding="utf-8")
        page.goto("/")
        row = page.locator('tr[data-key$="plain/seed-9"]')
        page.locator("button[aria-label$='/plain']").click()
        assert row.locator(".running").inner_text() == "running"
        page.goto(f"/compare?run={going.relative_to(runs).as_posix()}")
        points = page.locator(".plot[data-curve=cross_entropy] .scatterlayer .point")
        page.wait_for_selector(".plot[data-curve=cross_entropy] .scatterlayer .point")
        before = points.count()
        (going / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
        page.wait_for_function(
            "before => document.querySelectorAll('.plot[data-curve=cross_entropy] .scatterlayer .point').length > before",
            arg=before,
        )
    finally:
        shutil.rmtree(going)


def test_the_data_card_of_a_run_folder_is_served_beside_its_report(client: TestClient, runs: Path) -> None:
    folder = client.get("/data/runs").json()[0]["key"].rsplit("/", 2)[0]
    answer = client.get(f"/file/{folder}/data.html")
    assert (answer.status_code, answer.json()["detail"]) == (404, "data.html does not exist yet")
    card = runs / folder / "data.html"
    card.write_text("<!doctype html>", "utf-8")
    try:
        assert client.get(f"/file/{folder}/data.html").text == "<!doctype html>"
        assert client.get("/file/nothing/data.html").status_code == 404
    finally:
        card.unlink()


def test_foreign_names_and_foreign_files_are_refused(client: TestClient, runs: Path) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    key = client.get("/data/runs").json()[0]["key"]
    assert client.get(f"/file/{key.rsplit('/', 2)[0]}/report.html").status_code == 200
    for path in (
        f"{key.rsplit('/', 2)[0]}/spec.toml",
        "../../etc/report.html",
        "nothing/report.html",
        f"{key}/study.html",
    ):
        assert client.get(f"/file/{path}").status_code == 404, path
    assert client.get("/data/curves", params={"run": "../../etc"}).status_code == 404
    assert client.get("/static/../app.py").status_code == 404


@pytest.mark.parametrize(
    "body", [{}, {"text": "", "runs": ["x"]}, {"text": "가", "runs": []}, {"text": "가", "runs": ["x"] * 9}]
)
def test_questions_without_sense_are_refused(client: TestClient, body: dict[str, Any]) -> None:
    answer = client.post("/data/predict", json=body)
    assert answer.status_code == 422
    assert re.fullmatch(r"(body(\.\w+)?: (is required|a text is needed|expected [^;]+)(; )?)+", answer.json()["detail"])


def test_requests_of_other_pages_are_refused(client: TestClient) -> None:
    body = {"text": "가", "runs": ["no/such/run"]}
    for origin in ("http://evil.example", "null", "http://testserver.evil.example", "http://testserver:81"):
        for answer in (
            client.post("/data/predict", json=body, headers={"Origin": origin}),
            client.get("/data/runs", headers={"Origin": origin}),
        ):
            assert (answer.status_code, answer.json()["detail"]) == (403, f"requests from {origin} are refused")
    assert client.get("/data/runs", headers={"Origin": "http://testserver"}).status_code == 200


def test_a_body_is_read_up_to_a_limit(client: TestClient) -> None:
    pieces = [b"x" * 2**20] * 50
    sent = []

    def stream() -> Iterator[bytes]:
        for piece in pieces:
            sent.append(piece)
            yield piece

    for content in (b"".join(pieces), stream()):
        answer = client.post("/data/predict", content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["detail"]) == (413, "the body is longer than 4,194,304 bytes")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"text": "\\ud800", "runs": ["x"]}',
        b'{"text": "\xff", "runs": ["x"]}',
        b'{"text": 1e999, "runs": ["x"]}',
        b'{"text": "a", "runs": [' + b"9" * 5000 + b"]}",
        b'{"columns": {"\\ud800": "a"}, "runs": ["x"]}',
    ],
)
def test_a_wrong_body_is_told_without_a_traceback(client: TestClient, content: bytes) -> None:
    answer = client.post("/data/predict", content=content, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert answer.json()["detail"]


@pytest.mark.parametrize("key", ["a\0b", "가" * 5000, "a/" * 500, "\ud800"])
def test_keys_that_are_no_file_names_are_unknown(client: TestClient, key: str) -> None:
    answer = client.post("/data/predict", content=json.dumps({"text": "가", "runs": [key]}))
    assert answer.status_code in (404, 422)
    if key != "\ud800":
        assert client.get("/data/curves", params={"run": key}).status_code == 404


def test_unknown_run_is_refused(client: TestClient) -> None:
    answer = client.post("/data/predict", json={"text": "가", "runs": ["no/such/run"]})
    assert answer.status_code == 404
    assert answer.json()["detail"] == "no run or study no/such/run"


def test_empty_folder_says_how_to_begin(tmp_path: Path) -> None:
    client = TestClient(make_app(tmp_path, load, ["testserver"]))
    assert "kexp run SPEC" in client.get("/").text
    assert "kexp tune SPEC" in client.get("/studies").text
    assert "no trained model" in client.get("/predict").text


def test_port_that_is_taken_is_one_line(runs: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = CliRunner().invoke(app, ["ui", "--runs-dir", str(runs), "--port", str(taken.getsockname()[1])])
    assert result.exit_code == 2
    assert "is not available" in result.stderr
    assert "--port" in result.stderr


# --- a link to one model ----------------------------------------------------------------------------------------------


def checked(text: str) -> list[str]:
    return re.findall(r'name="run" value="([^"]+)"[^>]* checked', text)


def test_a_link_chooses_one_model_or_several(client: TestClient) -> None:
    keys = [run["key"] for run in client.get("/data/runs").json()]
    assert checked(client.get("/predict").text) == keys[:1]
    for key in keys:
        assert checked(client.get("/predict", params={"run": key}).text) == [key]
        assert f'<a href="/predict?{escape(urlencode({"run": key}))}">predict</a>' in client.get("/").text
    text = client.get("/predict", params={"run": keys[1:3]}).text
    assert sorted(checked(text)) == sorted(keys[1:3])
    # Those chosen stand first.
    assert sorted(re.findall(r'name="run" value="([^"]+)"', text)[:2]) == sorted(keys[1:3])


def test_a_link_to_no_model_says_so(client: TestClient, runs: Path) -> None:
    answer = client.get("/predict", params={"run": "no/such/run"})
    assert (answer.status_code, "no run or study no/such/run" in answer.text) == (404, True)
    assert client.get("/predict", params={"run": "../../etc"}).status_code == 404
    assert client.get("/predict", params={"run": ["x"] * 9}).status_code == 422
    source = next(iter(sorted(runs.glob("*/*/plain/seed-1"))))
    bare = source.parent / "seed-8"
    shutil.copytree(source, bare, ignore=shutil.ignore_patterns("model"))
    try:
        key = bare.relative_to(runs).as_posix()
        answer = client.get("/predict", params={"run": key})
        assert (answer.status_code, f"the run {key} has no model" in answer.text) == (422, True)
        assert f"/predict?{urlencode({'run': key})}" not in client.get("/").text
    finally:
        shutil.rmtree(bare)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that ``kexp ui`` would open."""
    paths: list[str] = []
    monkeypatch.setattr("kexp.ui.serve.serve", lambda *arguments: paths.append(arguments[-1]))
    return paths


def ui(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["ui", *map(str, arguments)])


def test_the_command_opens_the_page_of_a_model(client: TestClient, runs: Path, opened: list[str]) -> None:
    (folder,) = runs.glob("*/*")
    for arguments, wanted in (
        ([folder / "focal/seed-2"], ["focal/seed-2"]),
        ([folder / "focal/seed-2/model"], ["focal/seed-2"]),
        ([folder, "--variant", "plain", "--seed", 1], ["plain/seed-1"]),
        ([folder / "plain"], ["plain/seed-1", "plain/seed-2"]),
    ):
        assert ui(*arguments, "--runs-dir", runs).exit_code == 0
        keys = [f"{folder.relative_to(runs).as_posix()}/{run}" for run in wanted]
        assert sorted(checked(client.get(opened[-1]).text)) == keys
    assert ui("--runs-dir", runs).exit_code == 0
    assert opened[-1] == "/"


def test_the_command_refuses_what_is_no_model_of_its_runs_folder(runs: Path, tmp_path: Path, opened: list[str]) -> None:
    (folder,) = runs.glob("*/*")
    elsewhere = ui(folder / "focal/seed-2", "--runs-dir", tmp_path)
    assert elsewhere.exit_code == 2
    assert f"is not in the runs folder {tmp_path}; use --runs-dir {runs}" in elsewhere.stderr
    shutil.copytree(folder / "focal/seed-2/model", tmp_path / "model")
    alone = ui(tmp_path / "model", "--runs-dir", tmp_path)
    assert (alone.exit_code, "is not the model of a run" in alone.stderr) == (2, True)
    assert "holds models of 2 variants" in ui(folder, "--runs-dir", runs).stderr
    assert "does not exist" in ui(tmp_path / "none").stderr
    assert "name one" in ui("--seed", 1, "--runs-dir", runs).stderr
    assert opened == []
