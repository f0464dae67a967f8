"""Seed words: which unlabelled rows they label, what is counted, and what is refused."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from kexp.builtin.tasks.single_label import SingleLabel
from kexp.catalog import load_catalog
from kexp.data.prepare import prepare
from kexp.data.rows import PreparedData
from kexp.data.seed_words import label_by_words
from kexp.errors import DataError, SpecError
from kexp.experiment.input_checks import check_data
from kexp.plan.resolve import resolve
from kexp.pretraining.texts import gather
from kexp.repeats import Repeat
from kexp.report.run_page import facts
from kexp.spec.pretraining_section import Pretraining
from tests.support import kexp, tiny_spec

WORDS = {"긍정": ["재미있", "최고"], "부정": ["지루", "최악"]}


def rows(*texts: str) -> pd.DataFrame:
    return pd.DataFrame({"text": texts, "label": "", "number": range(len(texts))})


def labelled(table: pd.DataFrame, words: dict[str, list[str]] = WORDS) -> dict[str, str]:
    found, rest = label_by_words(table, words)
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


def test_words_are_characters_as_they_stand() -> None:
    table = rows("good", "Good", "so. bad", "sooo bad", "안 봄", "안녕")
    assert labelled(table, {"긍정": ["good", "안녕"], "부정": ["o. b", "안 "]}) == {
        "good": "긍정",
        "so. bad": "부정",
        "안 봄": "부정",
        "안녕": "긍정",
    }


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
    (path,) = (tmp_path / "runs").rglob("result.json")
    result = json.loads(path.read_text("utf-8"))
    guessed = sum(result["seed_words"]["labels"].values())
    assert result["rows"]["train"] == 10 + guessed
    shown = facts(result)["train rows with a guessed label"]
    right = result["seed_words"]["oracle_accuracy"]
    assert shown == f"{guessed} of {10 + guessed}, by seed words, {right:.1%} of them right"


@pytest.mark.parametrize("words", ['["멋지"]', "[]"])
def test_a_label_that_the_data_do_not_have_is_named(write_spec: Callable[..., Path], reviews: Path, words: str) -> None:
    with pytest.raises(DataError, match='no train row has the label "긍졍"; known: 긍정, 부정'):
        prepared(write_spec, reviews, f"labelled.seed_words.긍졍={words}")


def test_pretraining_reads_the_same_texts_with_words_and_without(
    write_spec: Callable[..., Path], reviews: Path
) -> None:
    plain = prepared(write_spec, reviews, "labelled.seed_words.긍정=[]", "labelled.seed_words.부정=[]")
    texts = [gather(data, Pretraining(), clean=str, trim=True) for data in (plain, prepared(write_spec, reviews))]
    assert texts[0].rows.texts == texts[1].rows.texts
    assert texts[0].counts == texts[1].counts


def test_rows_of_a_file_join_labelled_ones_with_numbers_of_their_own_and_without_views(
    write_spec: Callable[..., Path], reviews: Path, tmp_path: Path
) -> None:
    more = tmp_path / "more.csv"
    texts = [f"{text} {number}" for number in range(3) for text in ("최고네", "지루해", "글쎄")]
    more.write_text("text,view\n" + "".join(f"{text},{text} 새\n" for text in texts), "utf-8")
    own = [f"dataset.unlabelled={more}", "dataset.augmented=view"]
    for changes in ([*own, 'labelled.pool_from="file"'], own):
        data = prepared(write_spec, reviews, *changes)
        added = data.record["splits"]["train"]["added_by_seed_words"]
        assert added >= 6
        assert len({*data.train.numbers}) == len(data.train) == 10 + added
        assert data.train.augmented is None
        assert data.train.keys(partial(SingleLabel().decode, names=data.labels)).shape == (len(data.train),)
        assert data.unlabelled is not None
        assert data.unlabelled.keys(partial(SingleLabel().decode, names=data.labels)).shape == (len(data.unlabelled),)


def test_words_that_leave_too_few_unlabelled_rows_are_named(write_spec: Callable[..., Path], reviews: Path) -> None:
    fixmatch = ["objective=fixmatch", "augmentation.unlabelled=random-deletion", "training.batch_size=16"]
    for word, finding in [
        ("보았", "needs unlabelled rows, but none is left, since seed words label"),
        ("3", r"a step takes 48 unlabelled rows, but there are \d+, since seed words label .* fewer seed words"),
    ]:
        changes = [*fixmatch, f'labelled.seed_words.긍정=["최고", "{word}"]', "labelled.per_class=5"]
        plan = resolve(write_spec(SPEC.format(data=reviews)), load_catalog(), assignments=changes)
        spec = plan.variants[0].spec
        with pytest.raises(SpecError, match=finding):
            check_data(spec, prepare(spec, Repeat(1)))


def test_no_labelled_row_is_shown_as_an_unlabelled_one(write_spec: Callable[..., Path], reviews: Path) -> None:
    changes = ["augmentation.unlabelled=random-deletion", 'labelled.seed_words.긍정=["최고", "보았"]']
    options = (part for one in changes for part in ("--set", one))
    refused = kexp("augment", write_spec(SPEC.format(data=reviews)), "--show", "2", *options)
    assert refused.exit_code == 2
    assert "no unlabelled rows are left; give fewer seed words" in refused.stderr


def test_a_word_within_a_word_of_another_label_is_warned_of(write_spec: Callable[..., Path], reviews: Path) -> None:
    words = ['labelled.seed_words.긍정=["최고", "재미"]', 'labelled.seed_words.부정=["지루", "재미없"]']
    plan = resolve(write_spec(SPEC.format(data=reviews)), load_catalog(), assignments=words)
    (warning,) = plan.variants[0].spec.labelled.warnings()
    assert warning.path == "seed_words.부정"
    assert warning.message == '"재미없" gives no row this label, since every text with it holds "재미" of "긍정" too'
    checked = kexp("check", write_spec(SPEC.format(data=reviews)), *(part for one in words for part in ("--set", one)))
    assert checked.exit_code == 0
    assert "labelled.seed_words.부정" in checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        (
            ['labelled.seed_words.부정=["최고야", "안 최고"]'],
            'words of "긍정" alone would teach nothing but this label',
        ),
        (["labelled.seed_words.긍정=[]"], 'words of "부정" alone would teach nothing but this label'),
        (['labelled.seed_words.긍정=["최고", " "]'], "an empty word is in every text"),
        (['labelled.seed_words.긍정=["지루"]'], '"지루" is a word of "긍정" as well'),
        (["labelled.seed_words=3"], "labelled.seed_words"),
        ([f'labelled.seed_words.{unicodedata.normalize("NFD", "긍정")}=["좋"]'], "two labels are the same"),
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


@pytest.mark.parametrize(
    ("section", "options"),
    [("[variants.off.labelled]\nseed_words = {}", []), ("", ["--set", "labelled.seed_words={}"])],
)
def test_an_empty_table_that_would_leave_the_words_on_is_refused(
    section: str, options: list[str], write_spec: Callable[..., Path], reviews: Path
) -> None:
    refused = kexp("check", write_spec(SPEC.format(data=reviews) + section), *options)
    assert refused.exit_code == 2
    assert "labelled.seed_words: an empty table changes nothing" in refused.stderr


def test_an_empty_table_over_that_of_an_extended_file_is_refused(
    write_spec: Callable[..., Path], reviews: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    base = write_spec(SPEC.format(data=reviews))
    own.write_text(f'extends = "{base.name}"\n[training]\n[labelled]\nseed_words = {{}}\n', "utf-8")
    refused = kexp("check", own)
    assert refused.exit_code == 2
    assert "own.toml: labelled.seed_words: an empty table changes nothing" in refused.stderr


def test_words_need_unlabelled_rows(write_spec: Callable[..., Path], reviews: Path) -> None:
    refused = kexp("check", write_spec(SPEC.replace("per_class = 5", "").format(data=reviews)))
    assert refused.exit_code == 2
    assert "seed_words: all rows are labelled, so there are no unlabelled rows" in refused.stderr
