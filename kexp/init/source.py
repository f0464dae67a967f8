"""Which file is which split: one file that kexp divides, or the files of a folder by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from kexp.contracts import UNLABELLED
from kexp.errors import DataError
from kexp.files import format_of

NAMES = {
    UNLABELLED: ("unlabelled", "unlabeled", "unlabel", "unsup", "unsupervised", "라벨없음"),
    "test": ("test", "tst", "테스트", "평가", "시험"),
    "validation": ("validation", "valid", "val", "dev", "development", "검증"),
    "train": ("train", "training", "trn", "학습", "훈련"),
}
"""Words in the names of files, by the split that they stand for; the first that fits."""


def files_of(path: Path) -> Mapping[str, Path]:
    """Return the file of each split; a single one is train.

    Raises ``DataError`` for a folder whose files cannot be told apart, with their names.
    """
    if not path.is_dir():
        if not path.exists():
            raise DataError(f"{path} does not exist; expected a table, or a folder of tables")
        return {"train": path}
    tables = _tables(path)
    if not tables:
        raise DataError(f"{path}: no table in this folder; expected CSV, TSV, TXT, JSON, JSONL, Parquet or XLSX files")
    if len(tables) == 1:
        return {"train": tables[0]}
    found: dict[str, list[Path]] = {}
    for table in tables:
        if split := _split_of(table.name):
            found.setdefault(split, []).append(table)
    names = ", ".join(table.name for table in tables)
    if several := next((files for files in found.values() if len(files) > 1), None):
        same = " and ".join(file.name for file in several)
        raise DataError(f"{path}: {same} seem to be of one split; give one of the files, or remove the others")
    if "train" not in found:
        raise DataError(f"{path}: no file has train in its name; give one of the files: {names}")
    return {split: files[0] for split, files in found.items()}


def left_aside(path: Path, files: Mapping[str, Path]) -> list[Path]:
    """Return the tables of a folder that stand for no split."""
    return [file for file in _tables(path) if file not in files.values()] if path.is_dir() else []


def _tables(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file() and format_of(file) and file.name[0] != ".")


def _split_of(name: str) -> str | None:
    # "trainset" and "학습데이터" are the same words, said of a file.
    whole = re.split(r"[^a-z가-힣]+", name.lower().partition(".")[0])
    words = {re.sub(r"(?<=..)(용|데이터|자료|파일|셋|세트|집합|data|set|file|s)+$", "", word) for word in whole} | {
        *whole
    }
    # "no_label" and the like beside "test" is a test file without labels.
    return next((split for split, known in NAMES.items() if words & set(known)), None)
