"""``kexp init`` of rows with several labels, with numbers, and with steps of a scale."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import kexp

from tests.init.test_init import init, refused, reviews, write_csv

SMALL = ("backbone.layers=1", "backbone.hidden=32", "backbone.heads=2", "training.epochs=1")
NAMES = ["여성/가족", "지역", "clean"]


def several(n: int) -> list[str]:
    """Return the labels of row n: none, one or two."""
    return [name for place, name in enumerate(NAMES) if n % (place + 2) == 0 and n % 5]


def run(spec: Path, *arguments: str) -> dict[str, Any]:
    """Run a spec with a smaller model, and return what it says."""
    sets = [part for value in SMALL for part in ("--set", value)]
    ran = kexp("run", spec, "--seeds", "1", "--json", "--quiet", "--runs-dir", spec.parent / "runs", *sets, *arguments)
    assert ran.exit_code == 0, ran.stderr
    return dict(json.loads(ran.stdout))


def truths(path: Path, count: int = 120, rare: int = 0) -> Path:
    """Write a column of 0 and 1 for each label, and one that has ``rare`` times a 1."""
    rows = [
        (text, *(int(name in several(n)) for name in NAMES), int(n < rare))
        for n, (text, _) in enumerate(reviews(count))
    ]
    return write_csv(path, [("문장", *NAMES, "기타"), *rows])


def lists(path: Path, *, written: bool) -> Path:
    found = [several(n) for n in range(120)]
    rows = [
        {"text": text, "labels": str(names) if written else names}
        for names, (text, _) in zip(found, reviews(), strict=True)
    ]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


def separated(path: Path, mark: str = ",") -> Path:
    rows = [(text, mark.join(several(n) or ["clean"])) for n, (text, _) in enumerate(reviews())]
    return write_csv(path, [("text", "label"), *rows], separator="\t")


def test_columns_of_0_and_1_are_labels_of_their_own(tmp_path: Path) -> None:
    found = init(truths(tmp_path / "data.csv", rare=20))
    assert found["dataset"]["label"] == [*NAMES, "기타"]
    assert found["task"] == {"use": "multi-label"}
    counts = Counter(name for n in range(120) for name in several(n))
    text = (tmp_path / "spec.toml").read_text("utf-8")
    assert "# 4 labels, any number of them per row, of different texts: " in text
    assert f"{NAMES[0]} {counts[NAMES[0]]}" in text
    assert "# 4 columns hold 0 and 1, and each is taken for a label of its own" in text
    assert '# thresholds = "best-f1"' in text
    assert run(tmp_path / "spec.toml")


def test_a_column_with_hardly_a_1_is_no_label(tmp_path: Path) -> None:
    assert init(truths(tmp_path / "data.csv", rare=2))["dataset"]["label"] == NAMES
    assert "# 기타 is no label: 2 rows" in (tmp_path / "spec.toml").read_text("utf-8")
    assert init(truths(tmp_path / "data.csv", rare=0))["dataset"]["label"] == NAMES


def test_columns_that_are_named_win(tmp_path: Path) -> None:
    path = truths(tmp_path / "data.csv", rare=20)
    found = init(path, "--label", "지역")
    assert found["dataset"]["label"] == "지역"
    assert "task" not in found
    found = init(path, "--label", "clean", "--label", "기타")
    assert (found["dataset"]["label"], found["task"]) == (["clean", "기타"], {"use": "multi-label"})


def test_several_named_columns_hold_0_and_1(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "data.csv", [("text", "a", "label"), *((t, n % 2, of) for n, (t, of) in enumerate(reviews()))]
    )
    assert "column 'label' holds '부정', expected 0 or 1" in refused(path, "--label", "a", "--label", "label")


def test_columns_of_truth_beside_a_named_label_are_no_labels(tmp_path: Path) -> None:
    rows = [(text, label, n % 2, n % 3 % 2, n % 5 % 2) for n, (text, label) in enumerate(reviews())]
    path = write_csv(tmp_path / "data.csv", [("text", "sentiment", "a", "b", "c"), *rows])
    assert init(path)["dataset"]["label"] == "sentiment"


def test_columns_of_a_file_without_header_get_names(tmp_path: Path) -> None:
    rows = [(text, n % 2, n % 3 % 2, n % 5 % 2) for n, (text, _) in enumerate(reviews())]
    found = init(write_csv(tmp_path / "data.csv", rows))["dataset"]
    assert found["columns"] == ["text", "label1", "label2", "label3"]
    assert found["label"] == ["label1", "label2", "label3"]


@pytest.mark.parametrize("written", [True, False])
def test_lists(tmp_path: Path, written: bool) -> None:
    found = init(lists(tmp_path / "data.jsonl", written=written))
    assert (found["dataset"]["label"], found["task"]) == ("labels", {"use": "multi-label"})
    without = sum(not several(n) for n in range(120))
    assert f"{without} of 120 have none." in (tmp_path / "spec.toml").read_text("utf-8")
    assert run(tmp_path / "spec.toml")


@pytest.mark.parametrize("mark", [",", ", ", ";", "|"])
def test_cells_of_several_labels(tmp_path: Path, mark: str) -> None:
    found = init(separated(tmp_path / "data.tsv", mark))
    assert (found["dataset"]["label_separator"], found["task"]) == (mark.strip(), {"use": "multi-label"})
    assert "# 3 labels, any number of them per row" in (tmp_path / "spec.toml").read_text("utf-8")
    if mark == ",":
        assert run(tmp_path / "spec.toml")


def test_rare_names_of_cells_are_left_out(tmp_path: Path) -> None:
    rows = [(text, ",".join(several(n) or ["clean"])) for n, (text, _) in enumerate(reviews())]
    rows += [("하나뿐인 글이다", "clean,기타"), ("둘째 글이다 정말", "기타")]
    found = init(write_csv(tmp_path / "data.csv", [("text", "label"), *rows]))
    assert found["dataset"]["leave_out"] == ["기타"]


@pytest.mark.parametrize("name", ["score", "점수", "평점", "label"])
def test_measured_values_are_numbers_to_learn(tmp_path: Path, name: str) -> None:
    rows = [(text, "FM"[n % 2], f"{n % 11 / 2:.2f}") for n, (text, _) in enumerate(reviews())]
    found = init(write_csv(tmp_path / "data.csv", [("text", "gender", name), *rows]))
    assert (found["dataset"]["label"], found["task"]) == (name, {"use": "regression"})
    text = (tmp_path / "spec.toml").read_text("utf-8")
    mean = sum(n % 11 / 2 for n in range(120)) / 120
    assert f"# Numbers from 0 to 5, of different texts: 11 different ones, mean {mean:.3g}\n" in text
    assert "# low = 0\n# high = 5\n" in text
    if name == "score":
        assert run(tmp_path / "spec.toml")


def test_measured_values_of_pairs_and_of_a_column_that_is_named(tmp_path: Path) -> None:
    rows = [(text, f"{text} 그렇다", f"{n % 50 / 10}") for n, (text, _) in enumerate(reviews())]
    found = init(
        write_csv(tmp_path / "data.tsv", [("sentence1", "sentence2", "거리"), *rows], separator="\t"), "--label", "거리"
    )
    assert (found["dataset"]["text_pair"], found["task"]) == ("sentence2", {"use": "regression"})


@pytest.mark.parametrize(("most", "far", "few"), [(5, False, True), (100, True, False)])
def test_what_else_could_be_done_with_numbers_is_said(tmp_path: Path, most: int, far: bool, few: bool) -> None:
    rows = [(text, n % (2 * most + 1) / 2) for n, (text, _) in enumerate(reviews(240))]
    init(write_csv(tmp_path / "data.csv", [("text", "score"), *rows]))
    text = (tmp_path / "spec.toml").read_text("utf-8")
    assert ("# A model begins at 0 and takes many steps" in text) == far
    assert ('use = "ordinal" would learn them as steps of a scale' in text) == few


def test_other_columns_are_said_once(tmp_path: Path) -> None:
    rows = [(text, label, "ab"[n % 2]) for n, (text, label) in enumerate(reviews())]
    init(write_csv(tmp_path / "data.csv", [("text", "label", "topic"), *rows]))
    assert (tmp_path / "spec.toml").read_text("utf-8").count("Other columns that could be the label: topic") == 1


def test_an_odd_number_is_refused(tmp_path: Path) -> None:
    rows = [(text, f"{n / 7:.3f}" if n else "없음") for n, (text, _) in enumerate(reviews())]
    path = write_csv(tmp_path / "data.csv", [("text", "score"), *rows])
    assert "and '없음', which is no number; correct it" in refused(path, "--label", "score")
    rows[0] = (rows[0][0], "N/A")
    write_csv(path, [("text", "score"), *rows])
    assert init(path)["cleaning"] == {"unlabelled": "drop"}


@pytest.mark.parametrize(("values", "said"), [("12345", True), ("01", False), ("159", False)])
def test_steps_of_a_scale_stay_classes(tmp_path: Path, values: str, said: bool) -> None:
    rows = [(text, values[n % len(values)]) for n, (text, _) in enumerate(reviews())]
    assert "task" not in init(write_csv(tmp_path / "data.csv", [("text", "별점"), *rows]))
    assert ('[task] use = "ordinal" learns it' in (tmp_path / "spec.toml").read_text("utf-8")) == said


MAKERS = (lambda path: truths(path / "data.csv", rare=9), lambda path: separated(path / "data.tsv"))


@pytest.mark.parametrize("template", ["compare", "search", "k-fold", "dialect"])
@pytest.mark.parametrize("rows", [14, 120])
def test_templates_of_numbers(tmp_path: Path, template: str, rows: int) -> None:
    named: Sequence[Any] = [(text, n * 7 % 10 / 2) for n, (text, _) in enumerate(reviews(rows))]
    init(write_csv(tmp_path / "data.csv", [("text", "score"), *named]), "--template", template)
    ran = kexp("run", tmp_path / "spec.toml", "--dry-run", "--json")
    assert ran.exit_code == 0, ran.stderr


@pytest.mark.parametrize("template", ["compare", "search", "k-fold", "dialect"])
@pytest.mark.parametrize("place", [0, 1])
def test_templates_of_several_labels(tmp_path: Path, template: str, place: int) -> None:
    init(MAKERS[place](tmp_path), "--template", template)
    ran = kexp("run", tmp_path / "spec.toml", "--dry-run", "--json")
    assert ran.exit_code == 0, ran.stderr
    variants = tomllib.loads((tmp_path / "spec.toml").read_text("utf-8")).get("variants", {})
    if template == "compare" and place == 0:
        assert variants["balanced"] == {"objective": {"use": "binary-cross-entropy", "pos_weight": "balanced"}}


def test_few_labels_need_classes(tmp_path: Path) -> None:
    path = truths(tmp_path / "data.csv")
    assert "--template few-labels: it draws as many labelled rows of each class" in refused(
        path, "--template", "few-labels"
    )


def test_a_terminal_is_asked_for_columns_of_0_and_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = truths(tmp_path / "data.csv", rare=20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kexp.cli.init._has_terminal", lambda: True)
    made = kexp("init", path, stdin="\n\n\ntiny\n\n")
    assert made.exit_code == 0, made.stderr
    assert tomllib.loads((tmp_path / "data.toml").read_text("utf-8"))["dataset"]["label"] == [*NAMES, "기타"]
    made = kexp("init", path, stdin="\n기타\n\ntiny\none.toml\n")
    assert tomllib.loads((tmp_path / "one.toml").read_text("utf-8"))["dataset"]["label"] == "기타"
