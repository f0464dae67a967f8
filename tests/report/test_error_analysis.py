"""Error rates by kind of text, against counts by hand and naive loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kexp.evaluate.proportions import wilson
from kexp.report.error_analysis import error_analysis


def rows(texts: list[str], wrong: list[int], **columns: Any) -> pd.DataFrame:
    """Return test rows of which some are wrong, the later the more confident."""
    label = ["긍정"] * len(texts)
    predicted = ["부정" if number in wrong else "긍정" for number in range(len(texts))]
    confidence = np.linspace(0.5, 0.99, len(texts))
    frame = {"row": range(len(texts)), "text": texts, "label": label, "predicted": predicted, "confidence": confidence}
    return pd.DataFrame({**frame, **columns})


def groups(found: dict[str, Any], title: str) -> dict[str, tuple[int, int]]:
    """Return rows and errors of every group of a kind."""
    (kind,) = (kind for kind in found["kinds"] if kind["title"] == title)
    return {group["name"]: (group["rows"], group["errors"]) for group in kind["groups"]}


@pytest.mark.parametrize(("count", "total"), [(0, 7), (3, 10), (10, 10), (57, 4961)])
def test_intervals_are_those_of_wilson(count: int, total: int) -> None:
    share, z = count / total, 1.959963984540054
    middle = (share + z**2 / 2 / total) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / 4 / total**2)
    assert wilson(count, total) == pytest.approx((max(middle - half, 0), min(middle + half, 1)), abs=1e-12)


def test_texts_are_told_by_negation_and_spacing() -> None:
    texts = [
        "재미있다", "안 재미있다", "재미없다", "정말 좋은 영화", "보지마", "안경 쓴 배우", "좋지 않은 영화다", "어이없이 웃기다",
        "연기를 못 한다", "괜찮은영화", "못 봤다", "아니다 정말",
    ]  # fmt: skip
    found = error_analysis(rows(texts, [1, 2, 6, 3]))
    assert groups(found, "negation") == {"without negation": (5, 1), "with negation": (7, 3)}
    spacing = groups(found, "spacing in characters per eojeol")
    assert spacing["no space at all"] == (4, 1)
    assert sum(count for count, _ in spacing.values()) == 12
    assert sum(errors for _, errors in spacing.values()) == 4
    assert (found["all"]["rows"], found["all"]["errors"], found["all"]["rate"]) == (12, 4, 4 / 12)
    assert (found["all"]["low"], found["all"]["high"]) == wilson(4, 12)


def test_lengths_are_quarters_of_the_rows() -> None:
    generator = np.random.default_rng(0)
    lengths = generator.permutation(np.arange(1, 101))
    wrong = np.flatnonzero(lengths > 90).tolist()
    found = error_analysis(rows(["가" * length for length in lengths], wrong))
    expected = {"1 to 25": (25, 0), "26 to 50": (25, 0), "51 to 75": (25, 0), "76 to 100": (25, 10)}
    assert groups(found, "length in characters") == expected
    tokens = error_analysis(rows(["가"] * 100, wrong, tokens=lengths, unknown_tokens=0))
    assert groups(tokens, "length in tokens") == expected
    # Equal lengths are not torn apart.
    same = error_analysis(rows(["가나"] * 9 + ["가나다라"], [9]))
    assert groups(same, "length in characters") == {"2": (9, 0), "4": (1, 1)}


def test_unknown_tokens_are_those_that_the_run_counted() -> None:
    found = error_analysis(rows(list("가나다라마"), [3, 4], tokens=[3] * 5, unknown_tokens=[0, 0, 1, 2, 7]))
    assert groups(found, "unknown tokens") == {"none": (2, 0), "1": (1, 0), "2 or more": (2, 2)}
    assert found["remark"] == ""
    older = error_analysis(rows(list("가나다라마"), [3, 4]))
    assert "unknown tokens" not in [kind["title"] for kind in older["kinds"]]
    assert older["remark"].startswith("predictions.parquet has no counts of tokens")


def test_the_most_confident_errors_are_examples() -> None:
    found = error_analysis(rows([f"{n}번 영화" for n in range(10)], [0, 2, 5, 7, 9]))
    (group,) = found["kinds"][1]["groups"]
    assert [example["row"] for example in group["examples"]] == [9, 7, 5]


def test_both_texts_of_a_pair_count() -> None:
    frame = rows(["좋다", "좋다", "좋다"], [0], text_pair=["안 좋다", "좋다", None])
    found = error_analysis(frame)
    assert groups(found, "negation") == {"without negation": (2, 0), "with negation": (1, 1)}
    assert groups(found, "length in characters") == {"2": (1, 0), "5": (1, 0), "7": (1, 1)}


def test_every_row_is_in_one_group_of_every_kind() -> None:
    generator = np.random.default_rng(1)
    letters = list("가나 안없못  지않")
    texts = ["".join(generator.choice(letters, generator.integers(1, 30))) for _ in range(300)]
    unknown = generator.integers(0, 5, 300)
    found = error_analysis(
        rows(texts, list(range(0, 300, 7)), tokens=generator.integers(2, 9, 300), unknown_tokens=unknown)
    )
    for kind in found["kinds"]:
        assert sum(group["rows"] for group in kind["groups"]) == 300
        assert sum(group["errors"] for group in kind["groups"]) == len(range(0, 300, 7))
        assert all(group["rows"] for group in kind["groups"])
        assert len({group["name"] for group in kind["groups"]}) == len(kind["groups"])


def test_one_row_alone_can_be_analysed() -> None:
    found = error_analysis(rows(["영화"], []))
    assert [len(kind["groups"]) for kind in found["kinds"]] == [1, 1, 1]
    assert found["all"]["errors"] == 0
