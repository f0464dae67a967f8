"""NSMC, the Naver sentiment movie corpus: reviews that are negative or positive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from kexp.contracts import DatasetContext, DatasetOptions
from kexp.errors import DataError, Problem
from kexp.options import LocalPath

if TYPE_CHECKING:
    from datasets import Dataset

FILES = {"train": "ratings_train.txt", "test": "ratings_test.txt"}
LABELS = {"0": "negative", "1": "positive"}
SOURCE = "https://github.com/e9t/nsmc"


class NSMC(DatasetOptions):
    """Naver movie reviews, negative or positive, from NSMC's two files; validation is taken out of train.

    The files are UTF-8, tab-separated, with the columns ``id``, ``document`` and ``label`` and without quoting.
    """

    path: LocalPath = Field(description="Folder that holds ratings_train.txt and ratings_test.txt.")

    def problems(self) -> Iterable[Problem]:
        """Yield what is missing on disk."""
        if not self.path.is_dir():
            finding = "is not a folder" if self.path.exists() else "does not exist"
            yield Problem("path", f"{self.path} {finding}", f"give the folder that holds NSMC's files, from {SOURCE}")
            return
        missing = [name for name in FILES.values() if not (self.path / name).is_file()]
        if missing:
            yield Problem("path", f"{self.path} lacks {' and '.join(missing)}", f"download NSMC from {SOURCE}")

    def label_count(self) -> int | None:
        """Return the number of labels."""
        return 2

    def build(self, context: DatasetContext) -> Mapping[str, Dataset]:
        """Read both files; raises ``DataError`` with file and row."""
        return {split: _read(self.path / name) for split, name in FILES.items()}


def _read(path: Path) -> Dataset:
    from kexp.files import need_columns, read_delimited, to_dataset

    frame = read_delimited(path, separator="\t", quoting=False)
    need_columns(path, list(frame.columns), ("id", "document", "label"))
    labels = frame["label"].str.strip()
    strange = (~labels.isin(list(LABELS))).to_numpy()
    if strange.any():
        row = int(strange.argmax())
        raise DataError(
            f"{path}: data row {row + 1} (id {frame['id'][row]}): label {labels[row]!r}, where NSMC has 0 or 1 "
            f"({int(strange.sum())} such rows); correct them, or download the file again from {SOURCE}"
        )
    return to_dataset({"text": frame["document"], "label": labels}, path, LABELS)
