"""Models of several columns and of pairs: files are read as in training, and one text is refused."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from support import kexp, tiny_spec

from kexp.errors import KexpError
from kexp.files import Layout
from kexp.inference.columns import TextColumns, changed_layout, columns_of, layout_as_in
from kexp.inference.input_tables import open_table
from kexp.trained import TrainedModel, load
from kexp.ui.app import make_app

TITLES, BODIES = ("배우", "각본", "음악", "영상"), {"긍정": ["최고다", "감동이다"], "부정": ["지루하다", "별로다"]}
ROWS = [
    (TITLES[number % 4], f'{number}번 "{body}" 정말', label)
    for number in range(60)
    for label, bodies in BODIES.items()
    for body in bodies[number % 2 : number % 2 + 1]
]


def train(folder: Path, dataset: str, rows: list[tuple[str, ...]]) -> Path:
    """Train on a file without header, with semicolons, in cp949 and with quotation marks in its texts."""
    lines = [";".join(row) for row in rows]
    (folder / "data.csv").write_text("\n".join(lines) + "\n", encoding="cp949")
    text = tiny_spec("seeds = [1]", dataset=dataset, epochs=2).replace('path = "{data}"', 'path = "data.csv"')
    (folder / "spec.toml").write_text(text, encoding="utf-8")
    result = kexp("run", folder / "spec.toml", "--runs-dir", folder / "runs", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    return Path(json.loads(result.stdout)["folder"]) / "default" / "seed-1"


FILE = 'header = false\ncolumns = ["제목", "본문", "분류"]\nseparator = ";"\nencoding = "cp949"\nquoting = false\n'


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = 'text = ["제목", "본문"]\njoin_with = " [SEP] "\nlabel = "분류"\n'
    return train(tmp_path_factory.mktemp("joined"), FILE + options, ROWS)


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = 'text = "제목"\ntext_pair = "본문"\nlabel = "분류"\n'
    return train(tmp_path_factory.mktemp("paired"), FILE + options, ROWS)


def refusal(*arguments: str | Path, stdin: str | None = None) -> str:
    result = kexp(*arguments, stdin=stdin)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr.strip().splitlines()[-1]


def printed(*arguments: str | Path) -> list[dict[str, str]]:
    result = kexp(*arguments)
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout), delimiter="\t", quoting=csv.QUOTE_MINIMAL))


def recorded(run: Path) -> tuple[list[int], np.ndarray]:
    """Return the numbers and probabilities of the test rows as training recorded them."""
    frame = pd.read_parquet(run / "predictions.parquet")
    frame = frame[frame["split"] == "test"]
    column = next(name for name in ("row", "number", "id") if name in frame)
    return frame[column].tolist(), frame[["probability:긍정", "probability:부정"]].to_numpy()


# --- predictions as in training --------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["joined", "paired"])
def test_a_file_is_read_as_in_training(model: str, request: pytest.FixtureRequest) -> None:
    run: Path = request.getfixturevalue(model)
    rows = printed("predict", run, "--input", run.parents[4] / "data.csv")
    assert [(row["제목"], row["본문"]) for row in rows] == [row[:2] for row in ROWS]
    numbers, expected = recorded(run)
    found = [[float(rows[number][f"probability:{label}"]) for label in ("긍정", "부정")] for number in numbers]
    assert np.asarray(found) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("model", ["joined", "paired"])
def test_evaluation_reads_texts_and_labels_as_in_training(model: str, request: pytest.FixtureRequest) -> None:
    run: Path = request.getfixturevalue(model)
    result = kexp("evaluate", run, "--data", run.parents[4] / "data.csv", "--json")
    assert result.exit_code == 0, result.output
    predicted = printed("predict", run, "--input", run.parents[4] / "data.csv")
    right = [row["predicted"] == row["분류"] for row in predicted]
    assert json.loads(result.stdout)["metrics"]["accuracy"] == pytest.approx(float(np.mean(right)))


def test_the_command_line_changes_what_the_spec_says(joined: Path, tmp_path: Path) -> None:
    expected = printed("predict", joined, "--input", joined.parents[4] / "data.csv")
    text = "\n".join(["head,body", *(f'{title},"{body.replace(chr(34), chr(34) * 2)}"' for title, body, _ in ROWS)])
    (tmp_path / "other.csv").write_text(text, encoding="utf-8")
    options = ("--text", "head", "--text", "body", "--header", "--separator", ",", "--quoting", "--encoding", "utf-8")
    rows = printed("predict", joined, "--input", tmp_path / "other.csv", *options)
    assert [row["confidence"] for row in rows] == [row["confidence"] for row in expected]
    other = printed("predict", joined, "--input", tmp_path / "other.csv", *options, "--join-with", " / ")
    assert [row["confidence"] for row in other] != [row["confidence"] for row in expected]


def test_a_file_of_another_kind_has_its_own_format(joined: Path, tmp_path: Path) -> None:
    expected = printed("predict", joined, "--input", joined.parents[4] / "data.csv")
    pd.DataFrame([row[:2] for row in ROWS], columns=["제목", "본문"]).to_parquet(tmp_path / "rows.parquet")
    rows = printed("predict", joined, "--input", tmp_path / "rows.parquet")
    assert [row["confidence"] for row in rows] == [row["confidence"] for row in expected]


@pytest.mark.parametrize("model", ["joined", "paired"])
def test_python_takes_rows_of_columns(model: str, request: pytest.FixtureRequest) -> None:
    trained = load(request.getfixturevalue(model))
    mappings = [{"제목": title, "본문": body} for title, body, _ in ROWS[:5]]
    numbers, expected = recorded(request.getfixturevalue(model))
    all_rows = [{"제목": title, "본문": body} for title, body, _ in ROWS]
    assert trained.predict(all_rows)[numbers] == pytest.approx(expected, abs=1e-6)
    tuples: Any = [row[:2] for row in ROWS[:5]]
    found = trained.predict(tuples) if model == "joined" else trained.predict(*map(list, zip(*tuples, strict=True)))
    assert found == pytest.approx(trained.predict(mappings), abs=1e-6)


# --- one text --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "trained_on"),
    [("joined", "2 text columns (제목, 본문)"), ("paired", "pairs of the text column 제목 and 본문")],
)
def test_one_text_is_refused(model: str, trained_on: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run: Path = request.getfixturevalue(model)
    expected = (
        f"the model was trained on {trained_on}, and is given one text; give a file with these columns with --input"
    )
    assert refusal("predict", run, "정말 최고다") == expected
    assert refusal("predict", run, "-", stdin="정말 최고다\n") == expected
    with pytest.raises(KexpError) as caught:
        load(run).predict(["정말 최고다"])
    assert str(caught.value).startswith(f"the model was trained on {trained_on}, and is given one text")
    (tmp_path / "one.jsonl").write_text('{"제목": "최고다"}\n', encoding="utf-8")
    assert "no column '본문'" in refusal("predict", run, "--input", tmp_path / "one.jsonl")
    assert "no column '본문'" in refusal("evaluate", run, "--data", tmp_path / "one.jsonl")


def test_another_number_of_columns_is_refused(joined: Path) -> None:
    data = joined.parents[4] / "data.csv"
    assert refusal("predict", joined, "--input", data, "--text", "본문") == (
        "--text 본문: the model was trained on 2 text columns (제목, 본문); name as many columns"
    )
    trained = load(joined)
    with pytest.raises(KexpError, match="expected as many texts, found 3"):
        trained.predict([("가", "나", "다")])
    with pytest.raises(KexpError, match="a row has no column 본문"):
        trained.predict([{"제목": "가"}])


def test_models_of_other_columns_are_not_averaged(joined: Path, paired: Path) -> None:
    with pytest.raises(KexpError, match=r"trained on other columns cannot be averaged: .* 2 text columns .* pairs of"):
        load(joined, paired)


# --- parts -----------------------------------------------------------------------------------------------------------


def test_blank_columns_make_an_empty_text() -> None:
    columns = TextColumns(("a", "b"), " [SEP] ")
    assert columns.text_of({"a": " ", "b": None}) == ""
    assert columns.text_of({"a": "가", "b": None}) == "가 [SEP] "
    assert columns.text_of({"a": 1, "b": "나"}) == "1 [SEP] 나"


def test_a_model_without_a_spec_takes_any_text() -> None:
    assert columns_of({}) == TextColumns()
    assert columns_of({}).changed(["a", "b"], " ", None).text == ("a", "b")


def test_the_format_holds_for_files_of_the_specs_kind(tmp_path: Path) -> None:
    dataset = {"train": "a.tsv", "header": False, "columns": ["x", "y"], "encoding": "cp949"}
    style = layout_as_in(dataset, Path("b.tsv"))
    assert style == Layout(encoding="cp949", header=False, columns=("x", "y"))
    assert layout_as_in(dataset, Path("b.csv")) == Layout()
    assert changed_layout(Layout(), columns=("u",), quoting=None) == Layout(header=False, columns=("u",))
    (tmp_path / "b.tsv").write_text("1\t2\t3\n", encoding="cp949")
    with pytest.raises(KexpError, match="found 3 columns, expected 2: x, y"):
        open_table(tmp_path / "b.tsv", "--input", style)


def test_the_model_says_what_it_was_trained_on(joined: Path) -> None:
    trained: TrainedModel = load(joined)
    assert trained.columns == TextColumns(("제목", "본문"), " [SEP] ", None, known=True)


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["joined", "paired"])
def test_the_page_has_a_text_for_each_column(model: str, request: pytest.FixtureRequest) -> None:
    run: Path = request.getfixturevalue(model)
    runs = run.parents[3]
    client = TestClient(make_app(runs, load, ["testserver"]))
    (shown,) = re.findall(r'data-columns="([^"]*)"', client.get("/predict").text)
    assert json.loads(html.unescape(shown)) == ["제목", "본문"]
    row = {"제목": "배우", "본문": "정말 최고다"}
    body = {"columns": row, "runs": [run.relative_to(runs).as_posix()]}
    (answer,) = client.post("/data/predict", json=body).json()
    expected = load(run).predict([row])[0]
    assert list(answer["probabilities"].values()) == pytest.approx(expected, abs=1e-6)
    assert [word for word, _ in answer["words"]] == ["배우", "정말", "최고다"]
    one = client.post("/data/predict", json={**body, "columns": {}, "text": "정말 최고다"})
    assert one.status_code == 422
    assert one.json()["detail"].startswith("the model was trained on ")
    assert one.json()["detail"].endswith("; give a text for each")
