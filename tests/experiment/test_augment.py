from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from kexp.builtin.augmenters import RandomDeletion
from kexp.catalog import Catalog
from kexp.cli import app
from kexp.experiment.augment import Pair
from kexp.experiment.inputs import PreparedInputs
from kexp.plan.resolve import resolve
from kexp.repeats import Repeat
from kexp.settings import cache_folder

Write = Callable[..., Path]

SPEC = """
[dataset]
use = "table"
path = "{data}"
[labelled]
per_class = 5
[backbone]
use = "tiny"
"""
DELETION = '[augmentation]\nunlabelled = {use = "random-deletion", p = 0.4}\n'


def kexp(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["augment", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def costly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RandomDeletion, "costly", True)


def test_show_prints_texts_beside_their_forms(write_spec: Write, reviews: Path) -> None:
    spec = write_spec(SPEC.format(data=reviews) + DELETION)
    header, *lines = [line.split("\t") for line in kexp(spec, "--show", 8).stdout.splitlines()]
    assert header == ["original", "augmented", "rejected"]
    assert len(lines) == 8
    for original, augmented, rejected in lines:
        assert set(augmented.split()) <= set(original.split())
        assert rejected == ""
    assert [line.split("\t") for line in kexp(spec, "--show", 8).stdout.splitlines()[1:]] == lines


def test_augmenter_that_is_shown_is_named_and_chosen(write_spec: Write, reviews: Path) -> None:
    spec = write_spec(SPEC.format(data=reviews) + DELETION + 'labelled = {use = "aeda", share = 1.0}\n')
    shown = kexp(spec, "--show", 5)
    assert shown.stderr.splitlines()[0] == (
        "default: augmentation.unlabelled, random-deletion; augmentation.labelled with --of labelled"
    )
    assert kexp(spec, "--show", 5, "--of", "unlabelled").stdout == shown.stdout
    other = kexp(spec, "--show", 5, "--of", "labelled")
    assert other.stderr.splitlines()[0] == (
        "default: augmentation.labelled, aeda; augmentation.unlabelled with --of unlabelled"
    )
    # AEDA puts marks between words and takes none away.
    for line in other.stdout.splitlines()[1:]:
        original, augmented, _ = line.split("\t")
        assert [word for word in augmented.split() if word not in set(".,!?;:")] == original.split()
        assert len(augmented) > len(original)
    alone = write_spec(SPEC.format(data=reviews) + DELETION)
    assert kexp(alone, "--show", 5).stderr.splitlines()[0] == "default: augmentation.unlabelled, random-deletion"


def test_changes_are_told_word_by_word() -> None:
    pair = Pair("이 영화 정말 재미있다", "이 작품 재미있다 정말로", "")
    assert list(pair.changes()) == [
        ("equal", "이", "이"),
        ("replace", "영화 정말", "작품"),
        ("equal", "재미있다", "재미있다"),
        ("insert", "", "정말로"),
    ]


@pytest.mark.usefixtures("costly")
def test_costly_forms_are_made_once_and_written(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    spec = write_spec(SPEC.format(data=reviews) + DELETION)
    result = kexp(spec, "--output", tmp_path / "pairs.csv", "--json")
    counts = json.loads(result.stdout)
    pool = 240 - 24 - 24 - 15
    assert counts == {"rows": pool, "accepted": pool, "forms": 1, "rejected": {}}
    assert "texts/s" in result.stderr
    frame = pd.read_csv(tmp_path / "pairs.csv")
    assert list(frame.columns) == ["text", "augmented"]
    assert len(frame) == pool
    again = kexp(spec, "--output", tmp_path / "again.parquet", "--json")
    assert "texts/s" not in again.stderr
    assert pd.read_parquet(tmp_path / "again.parquet")["augmented"].tolist() == frame["augmented"].tolist()


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_pairs_that_are_written_can_be_the_unlabelled_rows(
    write_spec: Write, tmp_path: Path, catalog: Catalog, suffix: str
) -> None:
    texts = [f'{n}번 영화, "최고"였다 정말 "굿' for n in range(60)]
    rows = "".join(f"{text}\t{n % 2}\n" for n, text in enumerate(texts))
    (tmp_path / "rows.txt").write_text("document\tlabel\n" + rows, encoding="utf-8")
    text = SPEC.format(data=tmp_path / "rows.txt").replace(
        "path =", 'text = "document"\naugmented = "translated"\npath ='
    )
    made = tmp_path / f"pairs.{suffix}"
    assert kexp(write_spec(text + DELETION), "--output", made, "--json").exit_code == 0
    spec = write_spec(
        text.replace("path =", f'unlabelled = "{made}"\npath =').replace("[labelled]", '[labelled]\npool_from = "file"')
    )
    data = PreparedInputs(catalog, cache_folder()).data(resolve(spec, catalog).base, Repeat(1))
    assert data.unlabelled is not None
    assert data.unlabelled.augmented is not None
    assert len(data.unlabelled) == 38
    assert {*data.unlabelled.texts} <= {*texts}
    for original, view in zip(data.unlabelled.texts, data.unlabelled.augmented, strict=True):
        assert {*view.split()} <= {*original.split()}


def test_texts_that_tsv_cannot_hold_are_refused(write_spec: Write, tmp_path: Path) -> None:
    rows = "".join(f'"첫 줄 {n}\n둘째 줄",{n % 2}\n' for n in range(60))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows, encoding="utf-8")
    made = tmp_path / "pairs.tsv"
    result = kexp(write_spec(SPEC.format(data=tmp_path / "rows.csv") + DELETION), "--output", made)
    assert result.exit_code == 2
    assert "a text has a tab or a line break; write .csv, .jsonl or .parquet" in result.stderr
    assert not made.exists()


@pytest.mark.usefixtures("costly")
def test_views_of_labelled_rows_are_made_ahead_for_training(
    write_spec: Write, reviews: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write_spec(SPEC.format(data=reviews) + DELETION.replace("unlabelled", "labelled"))
    counts = json.loads(kexp(spec, "--json").stdout)
    assert counts == {"rows": 15, "accepted": 15, "forms": 1, "rejected": {}}
    monkeypatch.setattr(RandomDeletion, "build", None)
    inputs = PreparedInputs(catalog, cache_folder()).inputs(resolve(spec, catalog).base, Repeat(7))
    assert inputs.labelled_views is not None
    assert len(inputs.labelled_views.views[0]) == 15


@pytest.mark.usefixtures("costly")
def test_limit_takes_a_part_of_the_pool(write_spec: Write, reviews: Path) -> None:
    counts = json.loads(kexp(write_spec(SPEC.format(data=reviews) + DELETION), "--limit", 7, "--json").stdout)
    assert counts["rows"] == 7


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("", [], "{spec}: the spec has no augmenter; name one in augmentation.unlabelled or augmentation.labelled"),
        (
            DELETION,
            [],
            "{spec}: the augmenter is not costly: it makes new texts every epoch, and nothing is made ahead",
        ),
        (DELETION, ["--of", "labelled"], "{spec}: the spec has no augmenter; name one in augmentation.labelled"),
        (DELETION, ["--of", "pool"], "--of pool: expected labelled or unlabelled"),
        (DELETION, ["--output", "x.txt"], "--output x.txt: expected a name that ends in .csv, .tsv, .jsonl, .parquet"),
        (
            DELETION,
            ["--output", "{folder}/no/x.csv"],
            "--output {folder}/no/x.csv: the folder {folder}/no does not exist; give a file in a folder that is there",
        ),
        (
            DELETION,
            ["--output", "{folder}/x.csv"],
            "--output {folder}/x.csv: is a folder; give a file in a folder that is there",
        ),
        (DELETION, ["--output", "{data}"], "--output {data}: the dataset reads this file; give another name"),
    ],
)
def test_mistakes_are_told(
    write_spec: Write, reviews: Path, tmp_path: Path, text: str, arguments: list[str], message: str
) -> None:
    data = tmp_path / "data.csv"
    data.write_bytes(reviews.read_bytes())
    (tmp_path / "x.csv").mkdir()
    spec = write_spec(SPEC.format(data=data) + text)
    places = {"spec": spec, "data": data, "folder": tmp_path}
    result = kexp(spec, *(argument.format(**places) for argument in arguments))
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == message.format(**places)
    assert data.read_bytes() == reviews.read_bytes()
