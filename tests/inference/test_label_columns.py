"""The labels of a labelled table are read as those of training were."""

from __future__ import annotations

from typing import Any

import pytest

from kexp.builtin.tasks.multi_label import MultiLabel
from kexp.builtin.tasks.regression import Regression
from kexp.builtin.tasks.single_label import SingleLabel
from kexp.errors import DataError
from kexp.inference.label_columns import LabelColumns


def read(dataset: dict[str, Any], rows: list[dict[str, Any]], task: Any, given: str | None = None) -> list[str]:
    return LabelColumns.of(dataset, list(rows[0]), given).read(rows, task, "file.csv", range(1, len(rows) + 1))


def test_cells_are_divided_at_the_separator_of_training() -> None:
    rows = [{"emotions": "기쁨,놀람"}, {"emotions": "슬픔"}, {"emotions": ""}]
    dataset = {"label": "emotions", "label_separator": ","}
    assert read(dataset, rows, MultiLabel()) == ["기쁨|놀람", "슬픔", ""]
    assert read({**dataset, "blank_label": "none"}, rows, MultiLabel()) == ["기쁨|놀람", "슬픔", "(none)"]


def test_a_column_for_each_label_is_read_as_in_training() -> None:
    rows = [{"남성": "1", "여성": "0"}, {"남성": "0", "여성": "0"}, {"남성": "1", "여성": "1"}]
    assert read({"label": ["남성", "여성"]}, rows, MultiLabel()) == ["남성", "(none)", "남성|여성"]
    with pytest.raises(
        DataError, match=r"file.csv: data row 1, column '여성': found a string \(아마\), expected 0 or 1"
    ):
        read({"label": ["남성", "여성"]}, [{"남성": "1", "여성": "아마"}], MultiLabel())


def test_files_of_kexp_itself_have_the_column_label() -> None:
    rows = [{"label": "남성|여성"}, {"label": "(none)"}]
    assert read({"label": ["남성", "여성"]}, rows, MultiLabel()) == ["남성|여성", "(none)"]
    # A separator of training says nothing of another column.
    assert read({"label": "emotions", "label_separator": ","}, [{"label": "a,b"}], MultiLabel()) == ["a,b"]


def test_one_label_and_numbers_are_read_by_their_task() -> None:
    assert read({"label": "점수"}, [{"점수": "3.50"}, {"점수": ""}], Regression()) == ["3.5", ""]
    assert read({"label": "종류"}, [{"종류": " 긍정 ", "다른": "x"}], SingleLabel()) == ["긍정"]
    assert read({"label": "종류"}, [{"종류": "긍정", "다른": "x"}], SingleLabel(), given="다른") == ["x"]
