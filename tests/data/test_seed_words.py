"""Seed words: which unlabelled rows they label, what is counted, and what is refused."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from kexp.catalog import load_catalog
from kexp.data.prepare import prepare
from kexp.data.rows import PreparedData
from kexp.data.seed_words import label_by_words
from kexp.errors import DataError
from kexp.plan.resolve import resolve
from kexp.repeats import Repeat
from tests.support import kexp, tiny_spec

WORDS = {"긍정": ["재미있", "최고"], "부정": ["지루", "최악"]}


def rows(*texts: str) -> pd.DataFrame:
    return pd.DataFrame({"text": texts, "label": "", "number": range(len(texts))})


def labelled(table: pd.DataFrame, words: dict[str, list[str]] = WORDS) -> dict[str, str]:
    found, rest = label_by_words(table, words, ["긍정", "부정"])
    assert sorted([*found["number"], *rest["number"]]) == list(table["number"])
    assert set(rest["label"]) <= {""}
    return dict(zip(found["text"], found["label"], strict=True))


def test_words_of_one_label_alone_give_it_whatever_ending_follows() -> None:
    table = rows("재미있었다", "정말최고네", "지루했고 최악", "최고로 지루", "그냥 그렇다", "재미 있다")
    assert labelled(table) == {"재미있었다": "긍정", "정말최고네": "긍정", "지루했고 최악": "부정"}


def test_both_texts_of_a_pair_count() -> None:
    table = rows("가", "나", "최고").assign(text_pair=["최고", "지루", "지루"])
    assert labelled(table) == {"가": "긍정", "나": "부정"}


def test_words_that_find_nothing_are_refused_with_the_counts() -> None:
    with pytest.raises(DataError, match="of 2 unlabelled rows none holds words of one label alone; give words"):
        labelled(rows("가", "나"))
    with pytest.raises(DataError, match=r"of 3 unlabelled rows none .* alone; 1 hold words of several"):
        labelled(rows("가", "최고로 지루", "나"))


def test_a_label_that_the_data_do_not_have_is_named() -> None:
    with pytest.raises(DataError, match='no train row has the label "긍졍"; known: 긍정, 부정'):
        labelled(rows("최고"), {"긍졍": ["최고"], "부정": ["지루"]})


# --- in a spec -------------------------------------------------------------------------------------------------------

SPEC = tiny_spec(
    "seeds = [1]",
    """
[labelled]
per_class = 5
[labelled.seed_words]
"긍정" = ["최고"]
"부정" = ["지루"]
""",
)
ODD = 4


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """Return a file of 120 rows, a third with each word and a third without; in eight the word misleads."""
    lines = ["text,label"]
    for number in range(40):
        good, bad = ("부정", "긍정") if number < ODD else ("긍정", "부정")
        lines += [f"배우가 최고였다 {number},{good}", f"너무 지루했다 {number},{bad}", f"어제 보았다 {number},긍정"]
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(lines), "utf-8")
    return path


def prepared(write_spec: Callable[..., Path], reviews: Path, *changes: str) -> PreparedData:
    plan = resolve(write_spec(SPEC.format(data=reviews)), load_catalog(), assignments=changes)
    return prepare(plan.variants[0].spec, Repeat(1))


def test_rows_found_by_words_join_train_and_are_counted(write_spec: Callable[..., Path], reviews: Path) -> None:
    plain = prepared(write_spec, reviews, "labelled.seed_words.긍정=[]", "labelled.seed_words.부정=[]")
    data = prepared(write_spec, reviews)
    assert plain.unlabelled is not None
    assert data.unlabelled is not None
    assert "seed_words" not in plain.record
    moved = [text for text in plain.unlabelled.texts if "최고" in text or "지루" in text]
    assert data.train.texts == [*plain.train.texts, *moved]
    assert data.unlabelled.texts == [text for text in plain.unlabelled.texts if text not in moved]
    names = [data.labels[label] for label in data.train.labels[10:]]
    assert names == ["긍정" if "최고" in text else "부정" for text in moved]
    right = [int(text.split()[-1]) >= ODD for text in moved]
    assert data.record["seed_words"] == {
        "labels": {"긍정": names.count("긍정"), "부정": names.count("부정")},
        "oracle_accuracy": pytest.approx(sum(right) / len(right)),
    }
    counts = data.record["splits"]
    assert counts["train"]["added_by_seed_words"] == len(moved) == counts["unlabelled"]["labelled_by_seed_words"]
    assert counts["train"]["kept"] == 10 + len(moved)
    for split in ("validation", "test"):
        assert data.splits[split].texts == plain.splits[split].texts


def test_without_an_oracle_no_hidden_label_is_looked_at(write_spec: Callable[..., Path], reviews: Path) -> None:
    record = prepared(write_spec, reviews, "evaluation.oracle=false").record["seed_words"]
    assert set(record) == {"labels"}


def test_a_label_whose_words_find_nothing_is_warned_of(write_spec: Callable[..., Path], reviews: Path) -> None:
    record = prepared(write_spec, reviews, 'labelled.seed_words.부정=["노잼"]').record
    assert "labelled.seed_words: no unlabelled row holds words of 부정 alone" in record["warnings"]


def test_words_are_compared_in_nfc(write_spec: Callable[..., Path], reviews: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "최고")
    data = prepared(write_spec, reviews, f'labelled.seed_words.긍정=["{decomposed}"]')
    assert data.record == prepared(write_spec, reviews).record


def test_a_run_says_how_many_rows_words_added(write_spec: Callable[..., Path], reviews: Path, tmp_path: Path) -> None:
    done = kexp("run", write_spec(SPEC.format(data=reviews)), "--runs-dir", tmp_path / "runs")
    assert done.exit_code == 0, done.stderr
    assert "added by seed words" in done.stdout


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        (["labelled.seed_words.긍정=[]"], 'words of "부정" alone would teach nothing but this label'),
        (['labelled.seed_words.긍정=["최고", " "]'], "an empty word is in every text"),
        (['labelled.seed_words.긍정=["지루"]'], '"지루" is a word of "긍정" as well'),
        (["labelled.seed_words=3"], "labelled.seed_words"),
    ],
)
def test_words_that_cannot_be_used(
    changes: list[str], finding: str, write_spec: Callable[..., Path], reviews: Path
) -> None:
    refused = kexp(
        "check", write_spec(SPEC.format(data=reviews)), *(part for one in changes for part in ("--set", one))
    )
    assert refused.exit_code == 2
    assert finding in refused.stderr


def test_words_need_unlabelled_rows(write_spec: Callable[..., Path], reviews: Path) -> None:
    refused = kexp("check", write_spec(SPEC.replace("per_class = 5", "").format(data=reviews)))
    assert refused.exit_code == 2
    assert "seed_words: all rows are labelled, so there are no unlabelled rows" in refused.stderr
