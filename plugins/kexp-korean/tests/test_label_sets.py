"""Corpora of label sets and scores: the tasks that they show, their other readings, and training on them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from corpus_files import EXAMPLES, GROUPS, KINDS, Example, plain, write
from sklearn.metrics import f1_score
from typer.testing import CliRunner

from kexp.builtin.tasks.regression import Regression
from kexp.builtin.tasks.single_label import SingleLabel
from kexp.cli import app
from kexp.contracts import DatasetContext
from kexp.errors import DataError
from kexp.testing.dataset import context_of
from kexp_korean.klue import KLUE
from kexp_korean.label_sets import KOLD, KOTE, KMHaS, UnSmile
from kexp_korean.published import Corpus

TASKS = {
    "unsmile": ("multi-label", "the columns 여성/가족 to clean are labels, of which a row may have several"),
    "kmhas": ("multi-label", 'a cell of label holds several labels, with "," between them'),
    "kote": ("multi-label", 'a cell of labels holds several labels, with "," between them'),
    "korsts": ("regression", "score is a number from 0 to 5"),
    "klue-sts": ("regression", "labels.real-label is a number from 0 to 5"),
}
TINY = """
seeds = [1]
[dataset]
use = "{use}"
path = {path}
{options}
[backbone]
use = "tiny"
layers = 1
hidden = 16
heads = 2
vocabulary = 300
positions = 64
[training]
epochs = 2
max_length = 32
batch_size = 16
learning_rate = 3e-3
"""


def kexp(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def labels_of(options: Corpus, split: str = "train", context: DatasetContext | None = None) -> list[Any]:
    """Return the labels of a split, with their names."""
    made = options.build(context or context_of(options))[split]
    feature = made.features["label"]
    names = getattr(getattr(feature, "feature", feature), "names", None)
    if names is None:
        return list(made["label"])
    return [[names[n] for n in label] if isinstance(label, list) else names[label] for label in made["label"]]


@pytest.mark.parametrize("name", EXAMPLES)
def test_corpora_show_the_task_of_their_labels(name: str, tmp_path: Path) -> None:
    assert EXAMPLES[name].read_from(tmp_path).shown_task() == TASKS.get(name)


@pytest.mark.parametrize("name", ["unsmile", "kmhas", "kote"])
def test_names_are_in_the_published_order(name: str, tmp_path: Path) -> None:
    EXAMPLES[name].write(tmp_path)
    options = EXAMPLES[name].read_from(tmp_path)
    expected = {"unsmile": GROUPS, "kmhas": KINDS, "kote": KOTE.EMOTIONS}[name]
    for rows in options.build(context_of(options)).values():
        assert rows.features["label"].feature.names == [*expected]
    assert options.label_count() == len(set(expected))


def test_kote_has_44_emotions() -> None:
    assert len(set(KOTE.EMOTIONS)) == 44
    assert [KOTE.EMOTIONS[n] for n in (0, 24, 32, 43)] == ["불평/불만", "없음", "흐뭇함(귀여움/예쁨)", "안심/신뢰"]


def test_labels_are_those_that_a_loop_over_the_files_finds(tmp_path: Path) -> None:
    """UnSmile by column, K-MHaS and KOTE by the numbers in a cell."""
    for name in ("unsmile", "kmhas", "kote"):
        EXAMPLES[name].write(tmp_path / name)
    lines = (tmp_path / "unsmile" / "unsmile_train_v1.0.tsv").read_text("utf-8").splitlines()
    header = lines[0].split("\t")
    expected = [
        [header[place] for place, cell in enumerate(line.split("\t")[:-1]) if place and cell == "1"]
        for line in lines[1:]
    ]
    assert [] in expected
    assert labels_of(UnSmile(path=tmp_path / "unsmile")) == expected
    for corpus, file, names in ((KMHaS, "data/kmhas_train.txt", KINDS), (KOTE, "train.tsv", KOTE.EMOTIONS)):
        path = tmp_path / ("kmhas" if corpus is KMHaS else "kote")
        with (path / file).open(encoding="utf-8", newline="") as read:
            cells = [row[-1] for row in csv.reader(read, delimiter="\t")][corpus is KMHaS :]
        assert labels_of(corpus(path=path)) == [[names[int(n)] for n in cell.split(",")] for cell in cells]


# --- other readings ----------------------------------------------------------------------------------------------------


def test_a_recognisable_person_is_one_more_label(tmp_path: Path) -> None:
    EXAMPLES["unsmile"].write(tmp_path)
    without, found = labels_of(UnSmile(path=tmp_path)), labels_of(UnSmile(path=tmp_path, person=True))
    assert found == [own + ["개인지칭"] * (row % 2) for row, own in enumerate(without)]
    (problem,) = UnSmile(path=tmp_path, person=True, label="clean").problems()
    assert problem.path == "person"


def test_readings_of_one_class(tmp_path: Path) -> None:
    EXAMPLES["unsmile"].write(tmp_path / "unsmile")
    sets = labels_of(UnSmile(path=tmp_path / "unsmile"))
    clean = UnSmile(path=tmp_path / "unsmile", label="clean")
    assert clean.shown_task() is None
    assert labels_of(clean) == ["clean" if "clean" in own else "not clean" for own in sets]
    EXAMPLES["kmhas"].write(tmp_path / "kmhas")
    sets = labels_of(KMHaS(path=tmp_path / "kmhas"))
    hate = KMHaS(path=tmp_path / "kmhas", label="hate")
    assert (hate.shown_task(), hate.label_count()) == (None, 2)
    assert labels_of(hate) == ["Not Hate Speech" if own == ["Not Hate Speech"] else "Hate Speech" for own in sets]


def test_hate_that_is_none_is_refused_where_a_comment_has_one_class(tmp_path: Path) -> None:
    EXAMPLES["kmhas"].write(tmp_path)
    write(tmp_path / "data" / "kmhas_valid.txt", plain([("document", "label"), ("글", 8), ("또", "0,8")]))
    assert labels_of(KMHaS(path=tmp_path), "validation") == [["Not Hate Speech"], ["Origin", "Not Hate Speech"]]
    with pytest.raises(
        DataError, match="data row 2: label '0,8', where a row is Hate Speech or Not Hate Speech, not bo"
    ):
        KMHaS(path=tmp_path, label="hate").build(DatasetContext())


@pytest.mark.parametrize(("label", "kept"), [("OFF", 84), ("TGT", 72), ("GRP", 36)])
def test_levels_of_kold(label: str, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    EXAMPLES["kold"].write(tmp_path)
    items = json.loads((tmp_path / "data" / "kold_v1.json").read_text("utf-8"))
    options = KOLD(path=tmp_path, label=label, title=True)
    context = context_of(options)
    rows = options.build(context)["train"]
    expected = [item for item in items if item[label] is not None]
    assert [*zip(rows["text"], rows["text_pair"], strict=True)] == [(it["title"], it["comment"]) for it in expected]
    assert len(rows) == context.counts["kold_v1.json as train"] == kept
    assert context.counts[f"rows without {label} left out"] == len(items) - kept
    # Rows keep the numbers that they have in the file, and the published number is that of the file.
    assert [*context.rows.get("train", range(1, 85))] == [n for n, it in enumerate(items, 1) if it[label] is not None]
    assert "has 84 rows, published are 40,429" in context.warnings[0]
    if label == "GRP":
        assert options.shown_task() == ("multi-label", 'a cell of GRP holds several labels, with "&" between them')
        assert labels_of(options) == [it["GRP"].split(" & ") for it in expected]
        assert options.label_count() is None
    elif label == "TGT":
        assert labels_of(options) == [it["TGT"] for it in expected]


def test_other_targets_have_one_name(tmp_path: Path) -> None:
    made = [
        {"title": "제목", "comment": f"글 {n}", "OFF": True, "TGT": name} for n, name in enumerate(("other", "others"))
    ]
    write(tmp_path / "kold_v1.json", json.dumps(made))
    assert labels_of(KOLD(path=tmp_path, label="TGT")) == ["other", "other"]


def test_a_level_that_no_row_has_is_told(tmp_path: Path) -> None:
    write(tmp_path / "kold_v1.json", json.dumps([{"comment": "글", "OFF": False, "TGT": None, "GRP": ""}]))
    with pytest.raises(DataError, match=r"kold_v1.json: every row lacks a text or label"):
        KOLD(path=tmp_path, label="GRP").build(context_of(KOLD(path=tmp_path, label="GRP")))


def test_labels_of_klue_sts(tmp_path: Path) -> None:
    EXAMPLES["klue-sts"].write(tmp_path)
    (path,) = tmp_path.rglob("*_train.json")
    items = json.loads(path.read_text("utf-8"))
    real, rounded, binary = (
        KLUE(path=tmp_path, task="sts", label=label) for label in ("real-label", "label", "binary-label")
    )
    assert labels_of(real) == labels_of(KLUE(path=tmp_path, task="sts")) == [it["labels"]["real-label"] for it in items]
    assert labels_of(rounded) == [it["labels"]["label"] for it in items]
    assert binary.shown_task() is None
    assert labels_of(binary) == [("negative", "positive")[it["labels"]["binary-label"]] for it in items]
    (problem, _) = KLUE(path=tmp_path, task="ynat", label="label").problems()
    assert (problem.path, problem.message) == ("label", '"label" is a label of task = "sts", not of "ynat"')


# --- tasks that labels are not for --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "task", "finding"),
    [
        ("unsmile", SingleLabel(), r"found a list \(\['여성/가족'\]\), expected one label"),
        ("kmhas", Regression(), "expected a number"),
        ("korsts", SingleLabel(), r"found a float \(3.8\)"),
        ("korsts", Regression(low=1, high=5), "found 0, expected a number from 1 to 5"),
    ],
)
def test_a_task_that_the_labels_are_not_for_is_refused(name: str, task: Any, finding: str, tmp_path: Path) -> None:
    EXAMPLES[name].write(tmp_path)
    shown = TASKS[name][0]
    remedy = f'the labels of the corpus are those of task "{shown}", which a spec without \\[task\\] has'
    with pytest.raises(DataError, match=f"{finding}.*; {remedy}"):
        EXAMPLES[name].read_from(tmp_path).build(DatasetContext(label_of=task.label_of))


@pytest.mark.parametrize(
    ("name", "task", "finding"),
    [
        ("unsmile", "single-label", 'task "single-label" has one label per row, but the columns 여성/가족 to clean'),
        ("korsts", "single-label", "expected one label"),
        ("klue-ynat", "regression", "expected a number"),
    ],
)
def test_a_run_of_another_task_says_so(name: str, task: str, finding: str, tmp_path: Path) -> None:
    EXAMPLES[name].write(tmp_path / "data")
    spec = spec_of(EXAMPLES[name], tmp_path)
    ran = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--quiet", "--set", f"task.use={task}")
    assert ran.exit_code in (1, 2)
    assert finding in ran.stderr


def test_a_corpus_of_classes_may_be_read_as_sets_of_one(tmp_path: Path) -> None:
    example = EXAMPLES["3i4k"]
    expected = example.write(tmp_path)
    context = context_of(EXAMPLES["kmhas"].read_from(tmp_path))
    assert labels_of(example.read_from(tmp_path), context=context) == [row.label for row in expected["train"]]


# --- training ----------------------------------------------------------------------------------------------------------


def spec_of(example: Example, folder: Path, more: str = "") -> Path:
    from kexp_korean import plugin

    (use,) = [name for name, component in plugin.kexp_datasets().items() if component is example.component]
    options = "\n".join(f"{key} = {json.dumps(value)}" for key, value in example.options.items())
    text = TINY.format(use=use, path=json.dumps(str(folder / "data")), options=options)
    return write(folder / "spec.toml", text + more)


def run(example: Example, folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the result of a run, and its predictions on test."""
    example.write(folder / "data")
    ran = kexp("run", spec_of(example, folder), "--runs-dir", folder / "runs", "--quiet", "--json")
    assert ran.exit_code == 0, ran.stderr
    seed = Path(json.loads(ran.stdout)["folder"]) / "default" / "seed-1"
    predictions = pd.read_parquet(seed / "predictions.parquet")
    return json.loads((seed / "result.json").read_text("utf-8")), predictions[predictions["split"] == "test"]


def test_a_corpus_of_label_sets_trains(tmp_path: Path) -> None:
    result, predictions = run(EXAMPLES["kmhas"], tmp_path)
    assert result["labels"] == [*KINDS]
    assert result["dataset"] == {"licence": KMHaS.licence, "homepage": KMHaS.homepage}
    truth, found = (
        np.array([[name in label.split("|") for name in KINDS] for label in predictions[column]])
        for column in ("label", "predicted")
    )
    assert truth.any(1).all()
    expected = f1_score(truth, found, average="macro", zero_division=0)
    assert result["metrics"]["test"]["macro_f1"] == pytest.approx(expected)


def test_a_corpus_of_scores_trains(tmp_path: Path) -> None:
    result, predictions = run(EXAMPLES["korsts"], tmp_path)
    truth, found = (predictions[column].to_numpy(float) for column in ("label", "predicted"))
    assert {*truth} <= {5.0, 3.8, 0.0, 4.25, 2.6}
    assert result["metrics"]["test"]["mae"] == pytest.approx(np.abs(truth - found).mean())
    assert result["metrics"]["test"]["pearson"] == pytest.approx(np.corrcoef(truth, found)[0, 1], abs=1e-6)
