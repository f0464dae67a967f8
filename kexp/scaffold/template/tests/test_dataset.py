"""The dataset in kexp's suite for datasets, and what it counts and refuses."""

from pathlib import Path

import pytest
from kexp.contracts import DatasetContext
from kexp.errors import DataError
from kexp.testing import DatasetContract, korean_reviews

from my_package.dataset import MyDataset


def write(folder: Path) -> Path:
    texts, labels = korean_reviews(80)
    for number, name in enumerate(("나쁨", "좋음")):
        lines = [text for text, label in zip(texts, labels, strict=True) if label == number]
        (folder / f"{name}.txt").write_text("\n".join([*lines, "", ""]), "utf-8")
    return folder


class TestMyDataset(DatasetContract):
    component = MyDataset

    @pytest.fixture
    def options(self, tmp_path: Path) -> MyDataset:
        return MyDataset(path=write(tmp_path))


def test_every_line_is_a_row_or_counted(tmp_path: Path) -> None:
    context = DatasetContext()
    train = MyDataset(path=write(tmp_path)).build(context)["train"]
    assert len(train) == 80
    assert set(train["label"]) == {"나쁨", "좋음"}
    assert context.counts == {"empty lines": 2}


def test_a_folder_without_texts_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no text in any file"):
        MyDataset(path=tmp_path).build(DatasetContext())
