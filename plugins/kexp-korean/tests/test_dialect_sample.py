"""The synthetic corpus: counts, labels, groups, repeatability."""

from __future__ import annotations

import inspect
from collections import Counter, defaultdict
from typing import Any

import pytest
from pydantic import ValidationError

from kexp.contracts import DatasetContext
from kexp.errors import DataError
from kexp_korean import dialect_grammar
from kexp_korean.dialect_sample import DialectSample
from kexp_korean.schemes import REGIONS, Scheme

LABELS = {
    "two": ["standard", "dialect"],
    "four": ["standard", "gyeongsang", "jeju", "jeolla"],
    "region": ["gyeongsang", "jeju", "jeolla", "chungcheong", "gangwon"],
}


def read(**options: Any) -> list[tuple[str, str, str]]:
    dataset = DialectSample(**options).build(DatasetContext())["train"]
    names = dataset.features["label"].names
    return [(row["text"], names[row["label"]], row["group"]) for row in dataset]


@pytest.mark.parametrize("scheme", LABELS)
def test_labels_share_the_rows_evenly(scheme: Scheme) -> None:
    splits = DialectSample(scheme=scheme, rows=602).build(DatasetContext())
    assert list(splits) == ["train"]
    assert splits["train"].features["label"].names == LABELS[scheme]
    counts = Counter(label for _, label, _ in read(scheme=scheme, rows=602))
    assert sum(counts.values()) == 602
    assert max(counts.values()) - min(counts.values()) <= 1


def test_every_row_is_a_form_of_a_pair_that_differs() -> None:
    forms: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for region in REGIONS:
        for one in dialect_grammar.utterances(region, 400, seed=3):
            if one.standard != one.dialect:
                forms[one.recording] |= {(one.standard, "standard"), (one.dialect, "dialect")}
    found = read(rows=300, seed=3)
    assert all((text, label) in forms[group] for text, label, group in found)


@pytest.mark.parametrize("scheme", ["two", "four"])
def test_standard_rows_come_evenly_from_the_regions(scheme: Scheme) -> None:
    regions = REGIONS if scheme == "two" else REGIONS[:3]
    recordings = Counter(
        group.partition("-")[0] for _, label, group in read(scheme=scheme, rows=900) if label == "standard"
    )
    assert set(recordings) == set(regions)
    assert max(recordings.values()) - min(recordings.values()) <= 1


def test_standard_rows_come_from_late_recordings_too() -> None:
    found = read(scheme="four", rows=900)
    last = {label: max(group for _, name, group in found if name == label) for label in ("standard", "jeolla")}
    assert last["standard"] == last["jeolla"]


def test_same_options_same_rows() -> None:
    assert read(rows=100) == read(rows=100)
    assert read(rows=100) != read(rows=100, seed=1)


def test_markers_that_are_too_rare_are_an_error() -> None:
    with pytest.raises(DataError, match=r"raise marker_rate = 1e-09"):
        read(rows=20, marker_rate=1e-9)
    with pytest.raises(ValidationError):
        DialectSample(marker_rate=0)


def test_the_default_rate_is_the_generators() -> None:
    default = inspect.signature(dialect_grammar.utterances).parameters["marker_rate"].default
    assert DialectSample().marker_rate == default
    assert set(dialect_grammar.REGIONS) == set(REGIONS)


def test_the_smallest_sample_has_every_label() -> None:
    for scheme, labels in LABELS.items():
        assert {label for _, label, _ in read(scheme=scheme, rows=10)} == set(labels)
