"""Prepared data: every row accounted for, labels numbered, splits that depend on what the spec says and nothing else."""

from __future__ import annotations

import functools
import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kexp.builtin.tasks.single_label import SingleLabel
from kexp.catalog import load_catalog
from kexp.contracts import DatasetContext, DatasetOptions
from kexp.data.prepare import _label_names, prepare
from kexp.data.rows import PreparedData, Rows
from kexp.errors import DataError
from kexp.repeats import Repeat
from kexp.spec.sections import Spec

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
SPLITS = ("train", "validation", "test")

Columns = dict[str, list[Any]]


class Given(DatasetOptions):
    """A dataset that hands out what the test states."""

    splits: dict[str, Any]
    left_out: dict[str, int]

    def build(self, context: DatasetContext) -> Mapping[str, Dataset]:
        context.counts.update(self.left_out)
        return {
            split: made if isinstance(made, Dataset) else Dataset.from_dict(made) for split, made in self.splits.items()
        }


catalog = functools.cache(load_catalog)


def spec(
    splits: Mapping[str, Any], limit: object = None, left_out: dict[str, int] | None = None, **sections: Any
) -> Spec:
    dataset = Given(splits=dict(splits), limit=limit, left_out=left_out or {})
    table = {"name": "test", "dataset": dataset, "backbone": "tiny", **sections}
    return Spec.model_validate(table, context={"catalog": catalog()})


def prepared(splits: Mapping[str, Any], seed: int = 1, **sections: Any) -> PreparedData:
    return prepare(spec(splits, **sections), Repeat(seed))


def refusal(splits: Mapping[str, Any], **sections: Any) -> str:
    with pytest.raises(DataError) as caught:
        prepared(splits, **sections)
    return str(caught.value)


def table(counts: dict[str, int], prefix: str = "글") -> Columns:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return {"text": [f"{prefix} {row}" for row in range(len(labels))], "label": labels}


def classed(ids: list[int], names: list[str], prefix: str = "글") -> Dataset:
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    texts = [f"{prefix} {row}" for row in range(len(ids))]
    return Dataset.from_dict({"text": texts, "label": ids}, features=features)


def three(counts: dict[str, int]) -> dict[str, Columns]:
    return {split: table(counts, split) for split in SPLITS}


def numbers(data: PreparedData) -> dict[str, list[int]]:
    return {split: rows.numbers.tolist() for split, rows in data.splits.items()}


def unaccounted(data: PreparedData, split: str) -> int:
    """Return how many of the rows that were read are neither kept nor counted as gone."""
    counts = dict(data.record["splits"][split])
    counts.pop("contradictions_kept", None)
    return counts.pop("read") - sum(counts.values())


# --- rows ------------------------------------------------------------------------------------------------------------


def test_texts_labels_and_numbers_belong_together() -> None:
    given_rows = table({"긍정": 60, "부정": 40})
    data = prepared({"train": given_rows})
    for rows in data.splits.values():
        assert rows.texts == [given_rows["text"][number] for number in rows.numbers]
        assert [data.labels[label] for label in rows.labels] == [given_rows["label"][number] for number in rows.numbers]
        assert rows.labels.dtype == rows.numbers.dtype == np.int64
        assert rows.pairs is None
        assert len(rows) == len(rows.texts)
    assert sorted(number for split in numbers(data).values() for number in split) == list(range(100))


def test_decomposed_hangul_arrives_composed_and_meets_its_composed_twin() -> None:
    rows = table({"a": 50, "b": 50})
    rows["text"][3] = f" {unicodedata.normalize('NFD', '한국어')}"
    rows["text"][4] = "한국어"
    data = prepared({"train": rows})
    texts = [text for split in data.splits.values() for text in split.texts]
    assert texts.count("한국어") == 1
    assert all(unicodedata.is_normalized("NFC", text) for text in texts)
    assert data.record["splits"]["train"]["duplicates"] == 1


def test_pairs_stay_beside_their_texts() -> None:
    rows = table({"a": 50, "b": 50})
    rows["text_pair"] = [f"짝 {row}" for row in range(100)]
    data = prepared({"train": rows})
    for split in data.splits.values():
        assert split.pairs == [f"짝 {number}" for number in split.numbers]


def test_rows_keep_the_numbers_under_which_they_were_read_though_others_are_dropped() -> None:
    train = {"text": ["", "가", "가", "나", "다"], "label": ["a", "a", "a", "b", "b"]}
    data = prepared({**three({"a": 2, "b": 2}), "train": train})
    assert data.train.numbers.tolist() == [1, 3, 4]
    assert data.train.texts == ["가", "나", "다"]


# --- labels ----------------------------------------------------------------------------------------------------------


def test_words_are_numbered_by_alphabet() -> None:
    data = prepared({"train": table({"부정": 20, "긍정": 20, "중립": 20})})
    assert data.labels == ("긍정", "부정", "중립")


def test_numbers_are_numbered_by_value() -> None:
    rows = table({"10": 20, "2": 20, "-1": 20})
    rows["label"] = [int(label) for label in rows["label"]]
    assert prepared({"train": rows}).labels == ("-1", "2", "10")


def test_a_class_label_keeps_its_names_and_order() -> None:
    data = prepared({"train": classed([0, 1, 2] * 20, ["중립", "긍정", "부정"])})
    assert data.labels == ("중립", "긍정", "부정")
    assert data.train.labels.tolist() == [number % 3 for number in data.train.numbers]


def test_names_of_a_class_label_that_no_train_row_has_are_left_out() -> None:
    data = prepared({"train": classed([0, 2] * 20, ["중립", "긍정", "부정"])})
    assert data.labels == ("중립", "부정")
    assert set(data.train.labels) == {0, 1}


def test_labels_of_equal_value_are_numbered_in_an_order_that_does_not_vary() -> None:
    frame = Dataset.from_dict({"label": ["1", "01", "001", "0001", "00001", "000001"]}).to_pandas()
    assert _label_names(dict.fromkeys(SPLITS, frame), None, SingleLabel()) == (
        "000001",
        "00001",
        "0001",
        "001",
        "01",
        "1",
    )


def test_class_counts_are_of_the_labelled_train_rows() -> None:
    data = prepared({**three({"a": 30, "b": 20})}, labelled={"per_class": 7})
    count = SingleLabel().counts
    assert count(data.train.labels, data.labels) == [7, 7]
    data = prepared(three({"a": 30, "b": 20}))
    assert count(data.train.labels, data.labels) == [30, 20]


def test_one_label_alone_is_refused() -> None:
    message = 'dataset: every train row has the label "a"; expected at least two labels'
    assert refusal({"train": table({"a": 50})}) == message
    assert refusal(three({"a": 50})) == message


def test_labels_that_train_lacks_are_refused_with_the_split_and_the_rows() -> None:
    splits = three({"a": 20, "b": 20})
    splits["test"]["label"][3:6] = ["c", "d", "c"]
    assert refusal(splits) == (
        'dataset: label "c", "d" is in 3 rows of the test split but not in train; '
        "add train rows with it, or remove these rows"
    )
    splits = three({"a": 20, "b": 20})
    splits["validation"]["label"][0] = "c"
    assert refusal(splits) == (
        'dataset: label "c" is in 1 row of the validation split but not in train; '
        "add train rows with it, or remove these rows"
    )


@pytest.mark.parametrize("missing", [None, ""])
def test_rows_without_label_are_refused_whichever_plugin_read_them(missing: str | None) -> None:
    splits = three({"a": 20, "b": 20})
    splits["validation"]["label"][2:4] = [missing, missing]
    message = refusal(splits)
    assert message.startswith("dataset: 2 rows of the validation split have no label")


def test_a_class_label_of_minus_one_is_no_label() -> None:
    splits = {split: classed([0, 1] * 20, ["a", "b"], split) for split in SPLITS}
    message = refusal({**splits, "test": classed([-1] * 40, ["a", "b"], "test")})
    assert message.startswith("dataset: 40 rows of the test split have no label")


@pytest.mark.parametrize("column", ["text", "label"])
def test_a_column_that_a_plugin_forgot_is_named(column: str) -> None:
    rows = table({"a": 20, "b": 20})
    rows["document"] = rows.pop(column)
    message = refusal({"train": rows})
    assert message.startswith("dataset")
    assert f"'{column}'" in message or f'"{column}"' in message


def test_a_dataset_without_train_is_refused_with_what_it_has() -> None:
    rows = table({"a": 20, "b": 20})
    assert refusal({"test": rows, "validation": rows}) == "dataset: no train split; it has test, validation"


# --- the record ------------------------------------------------------------------------------------------------------


def test_every_row_is_accounted_for_when_splits_are_taken_out_of_train() -> None:
    rows = table({"a": 80, "b": 60, "c": 40})
    rows["text"][:5] = ["", " ", "같다", "같다", "같다"]
    rows["text"][100] = "같다"
    for sections in (
        {},
        {"limit": 20},
        {"limit": {"train": 50, "test": 5}},
        {"cleaning": {"balance": True, "min_percentile": 20.0}},
        {"labelled": {"n": 30}},
        {"labelled": {"per_class": 5}, "limit": 100, "split": {"validation": 7.0, "stratify": False}},
    ):
        data = prepared({"train": rows}, **sections)
        assert unaccounted(data, "train") == 0
        for split in ("validation", "test"):
            counts = data.record["splits"][split]
            assert counts["kept"] + counts["over_limit"] == data.record["splits"]["train"][f"taken_for_{split}"]


TEXTS = st.sampled_from(["가", "나", "다라", "마바사", " ", "", " 가", unicodedata.normalize("NFD", "가")])
TABLES = st.lists(st.tuples(TEXTS, st.sampled_from("ab")), min_size=1, max_size=20)


@PATIENT
@given(TABLES, TABLES, TABLES, st.sampled_from(["drop", "keep"]), st.sampled_from(["drop", "keep"]), st.integers(1, 3))
def test_every_row_of_every_split_is_kept_or_counted_once(
    train: list[Any], validation: list[Any], test: list[Any], repeated: str, overlap: str, longest: int
) -> None:
    """The first rows are fixed so that no split ends empty and train has both labels."""
    fixed = {"train": [("ㄱ", "a"), ("ㄴ", "b")], "validation": [("ㄷ", "a")], "test": [("ㄹ", "b")]}
    stated = {"train": train, "validation": validation, "test": test}
    splits = {
        split: {"text": [row[0] for row in fixed[split] + rows], "label": [row[1] for row in fixed[split] + rows]}
        for split, rows in stated.items()
    }
    cleaning = {
        "duplicates": repeated,
        "contradictions": repeated,
        "overlap": overlap,
        "max_characters": longest,
        "max_per_class": 6,
    }
    data = prepared(splits, cleaning=cleaning, limit={"train": 9, "test": 2})
    for split in SPLITS:
        assert unaccounted(data, split) == 0
        assert data.record["splits"][split]["read"] == len(splits[split]["text"])
        assert data.record["splits"][split]["kept"] == len(data.splits[split])
        assert max(map(len, data.splits[split].texts)) <= longest
    if overlap == "drop":
        assert data.record["splits"]["train"]["overlap"] == overlapping(splits, repeated, longest)


def overlapping(splits: Mapping[str, Columns], repeated: str, longest: int) -> int:
    """Count in plain Python the cleaned train rows whose text stands in another cleaned split."""
    left: dict[str, list[str]] = {}
    for split, columns in splits.items():
        rows = [
            (unicodedata.normalize("NFC", text).strip(), label)
            for text, label in zip(columns["text"], columns["label"], strict=True)
        ]
        labels: dict[str, set[str]] = {}
        for text, label in rows:
            labels.setdefault(text, set()).add(label)
        if repeated == "drop":
            rows = [row for row in dict.fromkeys(rows) if len(labels[row[0]]) == 1]
        left[split] = [text for text, _ in rows if 0 < len(text) <= longest]
    seen = {*left["validation"], *left["test"]}
    return sum(text in seen for text in left["train"])


def test_the_record_can_be_written_and_tells_labels_and_lengths() -> None:
    data = prepared(three({"a": 12, "b": 8}), left_out={"broken lines": 3})
    record = json.loads(json.dumps(data.record))
    assert record["labels"]["test"] == {"a": 12, "b": 8}
    assert record["characters"]["train"]["count"] == 20
    assert record["characters"]["train"]["max"] == len("train 10")
    assert "broken lines" in json.dumps(record)


def test_nothing_left_is_refused_with_what_became_of_the_rows() -> None:
    empty, same = {"text": [" "] * 6, "label": list("ababab")}, {"text": ["가"] * 6, "label": list("ababab")}
    remedy = "relax [cleaning] or check the data"
    assert refusal({"train": empty}) == f"dataset: no row of the train split is left (6 read, 6 empty); {remedy}"
    assert (
        refusal({"train": same}) == f"dataset: no row of the train split is left (6 read, 6 contradictions); {remedy}"
    )
    splits = {**three({"a": 5, "b": 5}), "test": empty}
    assert refusal(splits) == f"dataset: no row of the test split is left (6 read, 6 empty); {remedy}"
    rows = table({"a": 5, "b": 5})
    assert refusal(dict.fromkeys(SPLITS, rows)) == (
        f"dataset: no row of the train split is left (10 read, 10 overlap); {remedy}"
    )


# --- cleaning across splits ------------------------------------------------------------------------------------------


def test_percentiles_of_train_bound_every_split() -> None:
    splits = three({"a": 50, "b": 50})
    splits["train"]["text"] = [chr(0xAC00 + size) * size for size in range(1, 101)]
    splits["test"]["text"] = [chr(0xB000 + size) * (2 * size) for size in range(1, 101)]
    data = prepared(splits, cleaning={"min_percentile": 10.0, "max_percentile": 90.0})
    low, high = np.percentile(range(1, 101), [10, 90])
    assert [len(text) for text in data.train.texts] == [size for size in range(1, 101) if low <= size <= high]
    assert [len(text) for text in data.splits["test"].texts] == [
        2 * size for size in range(1, 101) if low <= 2 * size <= high
    ]


def test_splits_that_are_not_named_lose_empty_rows_only() -> None:
    splits = three({"a": 10, "b": 10})
    for columns in splits.values():
        columns["text"][:4] = ["", "같다", "같다", "길고 길고 길고 길다"]
    splits["train"]["text"][5] = splits["test"]["text"][5]
    data = prepared(splits, cleaning={"splits": ["validation"], "max_characters": 13})
    assert len(data.splits["train"]) == len(data.splits["test"]) == 19
    assert data.record["splits"]["train"]["empty"] == 1
    # "validation 10" and longer stay, the repetition goes.
    assert len(data.splits["validation"]) == 18


def test_overlap_may_be_kept() -> None:
    rows = table({"a": 10, "b": 10})
    data = prepared(dict.fromkeys(SPLITS, rows), cleaning={"overlap": "keep"})
    assert [len(data.splits[split]) for split in SPLITS] == [20, 20, 20]


def test_caps_and_balance_touch_train_alone() -> None:
    data = prepared(three({"a": 30, "b": 10}), cleaning={"balance": True})
    assert {split: Counter(rows.labels.tolist()) for split, rows in data.splits.items()} == {
        "train": {0: 10, 1: 10},
        "validation": {0: 30, 1: 10},
        "test": {0: 30, 1: 10},
    }
    assert data.record["splits"]["train"]["over_class_limit"] == 20


# --- limits and the labelled few -------------------------------------------------------------------------------------


def test_one_limit_is_for_every_split_and_a_table_for_those_it_names() -> None:
    splits = three({"a": 30, "b": 30})
    assert [len(prepared(splits, limit=15).splits[split]) for split in SPLITS] == [15, 15, 15]
    by_split = prepared(splits, limit={"train": 20, "test": 5})
    assert [len(by_split.splits[split]) for split in SPLITS] == [20, 60, 5]
    assert by_split.record["splits"]["train"]["over_limit"] == 40
    assert by_split.record["splits"]["validation"]["over_limit"] == 0


def test_the_unlabelled_pool_is_the_rest_of_train() -> None:
    data = prepared(three({"a": 30, "b": 20}), labelled={"n": 10})
    assert isinstance(data.unlabelled, Rows)
    assert sorted([*data.train.numbers, *data.unlabelled.numbers]) == list(range(50))
    assert Counter(data.train.labels.tolist()) == {0: 6, 1: 4}
    assert data.unlabelled.texts == [f"train {number}" for number in data.unlabelled.numbers]
    assert data.record["splits"]["train"]["unlabelled"] == 40
    assert [len(data.splits[split]) for split in ("validation", "test")] == [50, 50]


def test_without_the_section_there_is_no_pool() -> None:
    assert prepared(three({"a": 30, "b": 20})).unlabelled is None


def by_length(lengths: Sequence[int]) -> Columns:
    """Return a row of each length, with labels that alternate."""
    texts = [f"{number:03d}" + "가" * (length - 3) for number, length in enumerate(lengths)]
    return {"text": texts, "label": ["a", "b"] * (len(texts) // 2)}


def test_bounds_of_length_by_split_are_those_of_each_file() -> None:
    splits = {split: by_length([10, 11, 12, 13, 14, 15] * 4) for split in ("train", "validation", "test", "unlabelled")}
    bounds = {"min_characters": {"train": 12, "test": 13}, "max_characters": {"train": 14, "unlabelled": 11}}
    keep = {"overlap": "keep", "contradictions": "keep", "duplicates": "keep"}
    data = prepared(splits, cleaning={**bounds, **keep})
    assert data.unlabelled is None or not {*data.unlabelled.texts} & {*data.train.texts}
    kept = {split: sorted({len(text) for text in rows.texts}) for split, rows in data.splits.items()}
    assert kept == {"train": [12, 13, 14], "validation": [10, 11, 12, 13, 14, 15], "test": [13, 14, 15]}
    counts = data.record["splits"]
    assert {split: (of["too_short"], of["too_long"]) for split, of in counts.items()} == {
        "train": (8, 4), "validation": (0, 0), "test": (12, 0), "unlabelled": (0, 16),
    }  # fmt: skip


def test_bounds_of_length_by_split_hold_for_splits_taken_out_of_train() -> None:
    cleaning = {"min_characters": {"train": 12, "test": 14}, "max_characters": 15}
    data = prepared({"train": by_length(list(range(8, 18)) * 30)}, cleaning=cleaning, split={"test": 60})
    kept = {split: sorted({len(text) for text in rows.texts}) for split, rows in data.splits.items()}
    assert kept == {"train": [12, 13, 14, 15], "validation": list(range(8, 16)), "test": [14, 15]}
    counts = data.record["splits"]
    assert counts["train"]["taken_for_test"] == 60 == counts["test"]["kept"] + counts["test"]["too_short"]
    # Whatever is read is somewhere.
    assert counts["train"]["read"] == 300 == sum(counts["train"].values()) - 300


def test_one_bound_of_length_is_that_of_every_split() -> None:
    splits = {"train": by_length(list(range(8, 18)) * 30)}
    once = prepared(splits, cleaning={"min_characters": 12})
    each = prepared(splits, cleaning={"min_characters": dict.fromkeys(SPLITS, 12)})
    assert numbers(once) == numbers(each)
    assert once.record["splits"]["train"]["too_short"] == each.record["splits"]["train"]["too_short"] == 120


UDA = {"objective": "uda"}


def with_views(views: list[str | None], **sections: Any) -> PreparedData:
    """Prepare 40 labelled rows without views, and unlabelled rows of which the first six are among the labelled."""
    train = {"text": [f"row {number}" for number in range(40)], "label": ["a", "b"] * 20}
    texts = [f"row {number}" if number < 6 else f"other {number}" for number in range(len(views))]
    splits = {"train": train, "unlabelled": {"text": texts, "augmented": views}}
    return prepared({**splits, "test": train, "validation": train}, cleaning={"overlap": "keep"}, **sections)


def test_labelled_rows_are_never_among_the_unlabelled() -> None:
    data = with_views(["view"] * 20)
    assert data.unlabelled is not None
    assert data.unlabelled.texts == [f"other {number}" for number in range(6, 20)]
    assert data.record["splits"]["unlabelled"]["labelled"] == 6
    # Of the forty rows, ten keep their labels.
    few = with_views(["view"] * 20, labelled={"n": 10})
    assert few.unlabelled is not None
    assert not {*few.train.texts} & {*few.unlabelled.texts}
    in_file = sum(int(text.split()[1]) < 6 for text in few.train.texts)
    assert few.record["splits"]["unlabelled"]["labelled"] == in_file
    assert len(few.unlabelled) == 30 + 20 - in_file


def test_the_rest_of_train_can_stay_out_of_the_unlabelled_rows() -> None:
    data = with_views(["view"] * 20, labelled={"n": 10, "pool_from": "file", "pool": 5})
    assert data.unlabelled is not None
    assert len(data.unlabelled) == 5
    assert data.record["splits"]["train"]["not_among_the_labelled"] == 30
    assert set(data.unlabelled.texts) <= {f"{name} {number}" for name in ("row", "other") for number in range(20)}
    assert data.unlabelled.augmented == ["view"] * 5
    without = {"train": table({"a": 30, "b": 30})}
    message = 'labelled.pool_from: "file", but the dataset has no unlabelled split; add one, or remove it'
    assert refusal(without, labelled={"n": 10, "pool_from": "file"}) == message


def test_a_whole_file_stays_whole_and_labelled_rows_and_splits_are_others() -> None:
    train = {"text": [f"row {number}" for number in range(60)], "label": ["a", "b"] * 30}
    texts = [f"row {number}" for number in range(20)] + ["other"]
    unlabelled = {"text": texts, "augmented": [f"view of {text}" for text in texts]}
    sections = {"split": {"validation": 10, "test": 8}, "labelled": {"pool_from": "whole-file"}}
    for few in ({}, {"n": 12}, {"n": 12, "draws": 2}, {"per_class": 5, "pool": 15}):
        sections["labelled"] = {"pool_from": "whole-file", **few}
        data = prepared({"train": train, "unlabelled": unlabelled}, **sections)
        assert data.unlabelled is not None
        expected = set(range(20))
        if "pool" not in few:
            assert data.unlabelled.texts == texts
        assert len(data.unlabelled) == few.get("pool", 21)
        assert data.record["splits"]["train"]["in_the_unlabelled_file"] == 20
        assert data.record["splits"]["unlabelled"]["labelled"] == 0
        for rows in data.splits.values():
            assert not expected & {int(text.split()[1]) for text in rows.texts}
        assert (len(data.splits["validation"]), len(data.splits["test"])) == (10, 8)
        assert len(data.train) == few.get("n", 10 if "per_class" in few else 22)


def test_a_whole_file_that_is_missing_or_has_every_row_is_refused() -> None:
    train = table({"a": 30, "b": 30})
    message = 'labelled.pool_from: "whole-file", but the dataset has no unlabelled split; add one, or remove it'
    assert refusal({"train": train}, labelled={"n": 10, "pool_from": "whole-file"}) == message
    every = {"train": train, "unlabelled": {"text": train["text"]}}
    found = refusal(every, labelled={"n": 10, "pool_from": "whole-file"})
    assert found.startswith("dataset: no row of the train split is left (60 read, 60 in the unlabelled file)")


def test_texts_meet_those_of_a_whole_file_by_how_they_are_written_after_cleaning() -> None:
    train = {
        "text": ["한글 하나", " 한글 둘 ", "한글 셋", "한글 넷"] + [f"row {n}" for n in range(20)],
        "label": ["a", "b"] * 12,
    }
    unlabelled = {"text": [unicodedata.normalize("NFD", "한글 하나"), "한글 둘"]}
    data = prepared({"train": train, "unlabelled": unlabelled}, labelled={"pool_from": "whole-file"})
    assert data.record["splits"]["train"]["in_the_unlabelled_file"] == 2


@pytest.mark.parametrize("missing", [None, "", "  "])
def test_unlabelled_rows_without_a_view_are_dropped_and_counted(missing: str | None) -> None:
    views = [missing if number % 2 else f"view {number}" for number in range(20)]
    data = with_views(views, labelled={"n": 10}, **UDA)
    assert data.unlabelled is not None
    assert data.unlabelled.augmented
    assert all(view.startswith("view") for view in data.unlabelled.augmented)
    counts = data.record["splits"]["unlabelled"]
    in_file = counts["labelled"]
    assert counts["without_augmented_view"] == 30 + 20 - in_file - len(data.unlabelled)
    alone = with_views(views, labelled={"n": 10, "pool_from": "file"}, **UDA)
    assert alone.unlabelled is not None
    # Half of the file has a view.
    assert (
        10 - in_file
        <= len(alone.unlabelled)
        == 20
        - alone.record["splits"]["unlabelled"]["labelled"]
        - (alone.record["splits"]["unlabelled"]["without_augmented_view"])
    )
    # Objectives that need no view keep every row.
    assert "without_augmented_view" not in with_views(views, labelled={"n": 10}).record["splits"]["unlabelled"]


def test_unlabelled_rows_of_which_none_has_a_view_are_refused() -> None:
    with pytest.raises(DataError, match=r"dataset.augmented: none of the 14 unlabelled rows has an augmented view"):
        with_views([""] * 20, **UDA)


def test_the_labelled_rows_are_chosen_after_cleaning_and_limiting() -> None:
    data = prepared(three({"a": 40, "b": 40}), limit={"train": 30}, labelled={"n": 10})
    assert data.unlabelled is not None
    assert (len(data.train), len(data.unlabelled)) == (10, 20)


# --- seeds -----------------------------------------------------------------------------------------------------------


EVERYTHING = {"limit": {"train": 60, "test": 8}, "labelled": {"n": 20}, "cleaning": {"max_per_class": 55}}


def everything(training_seed: int, **split: object) -> list[Any]:
    data = prepared({"train": table({"a": 90, "b": 60})}, training_seed, **EVERYTHING, split=split)
    assert data.unlabelled is not None
    return [numbers(data), data.unlabelled.numbers.tolist()]


def test_the_training_seed_does_not_touch_the_data() -> None:
    assert everything(1) == everything(2)


def test_resplit_draws_anew_for_every_training_seed() -> None:
    assert everything(1, resplit=True) == everything(1, resplit=True)
    assert everything(1, resplit=True) != everything(2, resplit=True)


def test_the_seed_of_the_split_draws_anew() -> None:
    assert everything(1, seed=5) == everything(2, seed=5)
    assert everything(1, seed=5) != everything(1, seed=6)


# --- draws of the labelled rows, and folds ---------------------------------------------------------------------------


def drawn(splits: Mapping[str, Any], draw: int | None, seed: int = 1, **sections: Any) -> PreparedData:
    return prepare(spec(splits, **sections), Repeat(seed, draw))


def rows_of(data: PreparedData) -> tuple[list[int], list[int]]:
    """Return the numbers of the labelled and of the unlabelled rows."""
    assert data.unlabelled is not None
    return data.train.numbers.tolist(), data.unlabelled.numbers.tolist()


def test_draws_differ_in_the_labelled_rows_alone() -> None:
    given_rows = {"train": table({"긍정": 150, "부정": 100})}
    one = drawn(given_rows, None, labelled={"n": 20})
    draws = [drawn(given_rows, draw, labelled={"n": 20, "draws": 4}) for draw in (1, 2, 3, 4)]
    assert numbers(draws[0]) == numbers(one)
    assert rows_of(draws[0]) == rows_of(one)
    for data in draws:
        assert [numbers(data)[split] for split in ("validation", "test")] == [
            numbers(one)[split] for split in ("validation", "test")
        ]
        labelled, unlabelled = rows_of(data)
        assert len(labelled) == 20
        assert [data.labels[label] for label in data.train.labels].count("긍정") == 12
        everything = {*range(250)} - {*numbers(one)["validation"]} - {*numbers(one)["test"]}
        assert {*labelled} | {*unlabelled} == everything
        assert not {*labelled} & {*unlabelled}
    assert len({tuple(rows_of(data)[0]) for data in draws}) == 4
    again = drawn(given_rows, 3, labelled={"n": 20, "draws": 4})
    assert (rows_of(again), again.train.texts) == (rows_of(draws[2]), draws[2].train.texts)


def test_a_draw_is_the_same_for_every_seed_and_number_of_draws_and_holds_the_smaller_one() -> None:
    given_rows = {"train": table({"긍정": 150, "부정": 100})}
    few = drawn(given_rows, 2, labelled={"n": 20, "draws": 2})
    assert rows_of(drawn(given_rows, 2, seed=9, labelled={"n": 20, "draws": 5})) == rows_of(few)
    many = drawn(given_rows, 2, labelled={"n": 50, "draws": 2})
    assert {*rows_of(few)[0]} < {*rows_of(many)[0]}


def test_draws_follow_the_split_of_their_seed() -> None:
    given_rows = {"train": table({"긍정": 150, "부정": 100})}
    options = {"labelled": {"n": 20, "draws": 3}, "split": {"resplit": True}}
    found = [drawn(given_rows, draw, seed, **options) for draw in (1, 2) for seed in (1, 2)]
    assert len({tuple(rows_of(data)[0]) for data in found}) == 4
    assert numbers(found[0])["test"] == numbers(found[2])["test"] != numbers(found[1])["test"]


def test_draws_keep_the_unlabelled_rows_as_far_as_they_can() -> None:
    given_rows = {"train": table({"긍정": 300, "부정": 300})}
    first, *others = (drawn(given_rows, draw, labelled={"n": 30, "draws": 3, "pool": 200}) for draw in (1, 2, 3))
    pool = {*rows_of(first)[1]}
    assert len(pool) == 200
    for data in others:
        labelled, unlabelled = rows_of(data)
        assert len(unlabelled) == 200
        assert pool - {*labelled} <= {*unlabelled}
        assert not {*labelled} & {*unlabelled}


def test_draws_count_the_rows_that_they_leave_out_once() -> None:
    given_rows = {"train": table({"긍정": 60, "부정": 60})}
    data = drawn(given_rows, 2, labelled={"n": 10, "draws": 2, "pool": 30})
    assert unaccounted(data, "train") == 0
    assert data.record["splits"]["unlabelled"] == {"labelled": 0, "over_pool_limit": 56, "kept": 30}


def test_folds_cover_what_is_left_after_cleaning() -> None:
    rows = table({"긍정": 60, "부정": 60})
    rows["text"][5] = rows["text"][6] = "같은 글"
    rows["text"][70] = ""
    found = [prepare(spec({"train": rows}, split={"folds": 5}), Repeat(1, fold=fold)) for fold in range(1, 6)]
    tested = [number for data in found for number in numbers(data)["test"]]
    assert sorted(tested) == sorted({*range(120)} - {6, 70})
    for data in found:
        assert sorted(number for split in numbers(data).values() for number in split) == sorted(tested)
        assert unaccounted(data, "train") == 0
    same = prepare(spec({"train": rows}, split={"folds": 5}), Repeat(2, fold=1))
    assert numbers(same) == numbers(found[0])
    other = prepare(spec({"train": rows}, split={"folds": 5, "resplit": True}), Repeat(2, fold=1))
    assert numbers(other)["test"] != numbers(found[0])["test"]
