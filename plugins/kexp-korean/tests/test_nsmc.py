"""NSMC's files, good and bad."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kexp.contracts import DatasetContext
from kexp.errors import DataError
from kexp_korean.nsmc import NSMC

HEADER = "id\tdocument\tlabel\n"
TRAIN = HEADER + '1\t아 더빙.. 진짜 "짜증나네요 목소리\t0\n2\t\t1\n3\tNA\t1\n4\tnull\t0\n'
TEST = HEADER + '5\t"굿\t1\n'
SHARED = Path(os.environ.get("KEXP_SHARED", Path(__file__).parents[4] / "shared"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ratings_train.txt").write_text(TRAIN, "utf-8")
    (tmp_path / "ratings_test.txt").write_text(TEST, "utf-8")
    return tmp_path


def test_reads_both_files_as_they_stand(folder: Path) -> None:
    options = NSMC(path=folder)
    assert list(options.problems()) == []
    splits = options.build(DatasetContext())
    assert set(splits) == {"train", "test"}
    assert splits["train"].column_names == ["text", "label"]
    # Quotation marks that never close, empty documents and words that pandas takes for nothing stay what they are.
    assert splits["train"]["text"][:] == ['아 더빙.. 진짜 "짜증나네요 목소리', "", "NA", "null"]
    assert splits["train"]["label"][:] == [0, 1, 1, 0]
    assert splits["test"][0] == {"text": '"굿', "label": 1}
    assert splits["train"].features["label"].names == ["negative", "positive"]


def test_reads_a_byte_order_mark_and_windows_line_ends(folder: Path) -> None:
    (folder / "ratings_test.txt").write_bytes(b"\xef\xbb\xbf" + TEST.replace("\n", "\r\n").encode())
    assert NSMC(path=folder).build(DatasetContext())["test"][0] == {"text": '"굿', "label": 1}


def test_names_what_is_missing(folder: Path) -> None:
    (folder / "ratings_test.txt").unlink()
    (problem,) = NSMC(path=folder).problems()
    assert problem.path == "path"
    assert "ratings_test.txt" in problem.message
    assert "ratings_train.txt" not in problem.message
    assert "github.com/e9t/nsmc" in problem.hint


def test_refuses_what_is_no_folder(folder: Path) -> None:
    (problem,) = NSMC(path=folder / "nowhere").problems()
    assert "does not exist" in problem.message
    (problem,) = NSMC(path=folder / "ratings_train.txt").problems()
    assert "is not a folder" in problem.message


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (HEADER.encode() + "1\t좋다\t2\n".encode(), "data row 1: label '2'"),
        (HEADER.encode() + "1\t좋다\t1\n2\t나쁘다\t\n".encode(), "data row 2: label ''"),
        (HEADER.encode() + "1\t좋다\t1\n".encode("cp949"), "line 2: byte 0x"),
        (HEADER.encode() + "1\t좋다\t1\n2\t나\t쁘다\t0\n".encode(), "line 3: found 4 cells, expected 3"),
        (b"id\tlabel\n1\t1\n", "no column 'document'"),
        (b"", "empty"),
    ],
)
def test_tells_file_and_place_of_bad_content(folder: Path, content: bytes, finding: str) -> None:
    (folder / "ratings_train.txt").write_bytes(content)
    with pytest.raises(DataError, match=finding) as caught:
        NSMC(path=folder).build(DatasetContext())
    assert str(folder / "ratings_train.txt") in str(caught.value)


@pytest.mark.shared
def test_reads_the_shared_reviews() -> None:
    path = SHARED / "data" / "nsmc"
    if not path.is_dir():
        pytest.skip(f"{path} is absent: set KEXP_SHARED")
    splits = NSMC(path=path).build(DatasetContext())
    for split, rows in (("train", 150_000), ("test", 10_000)):
        lines = (path / f"ratings_{split}.txt").read_text("utf-8").split("\n")[1:-1]
        assert len(lines) == rows == len(splits[split])
        expected = [line.split("\t")[1:] for line in lines]
        assert splits[split]["text"][:] == [document for document, _ in expected]
        assert splits[split]["label"][:] == [int(label) for _, label in expected]
