"""A dataset: rows of text with a label, in one or more splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import kexp
from kexp.contracts import DatasetContext, DatasetOptions
from kexp.errors import DataError, Problem
from kexp.options import LocalPath
from pydantic import Field

if TYPE_CHECKING:
    from datasets import Dataset


KEXP_API = 3
"""Version of the interface to plugins for which this was written."""


class MyDataset(DatasetOptions):
    """A folder with a text file per label: the file's name is the label, every line a text."""

    path: LocalPath = Field(description="Folder with files such as 좋음.txt and 나쁨.txt.")

    def problems(self) -> Iterable[Problem]:
        """Yield a folder that does not exist; ``kexp check`` reports it before anything is read."""
        if not self.path.is_dir():
            yield Problem("path", f"{self.path} is not a folder", "name the folder with a text file per label")

    def build(self, context: DatasetContext) -> Mapping[str, Dataset]:
        """Read all files; kexp takes validation and test out of train where a dataset does not bring them."""
        from datasets import Dataset

        rows = []
        # Sorted: the order in which a system lists files is not the same everywhere.
        for file in sorted(self.path.glob("*.txt")):
            lines = file.read_text("utf-8").splitlines()
            rows += [{"text": line, "label": file.stem} for line in lines if line.strip()]
            empty = sum(not line.strip() for line in lines)
            if empty:
                # Nothing is dropped without a count.
                context.counts["empty lines"] += empty
        if not rows:
            raise DataError(f"{self.path}: no text in any file that ends in .txt; expected a file per label")
        return {"train": Dataset.from_list(rows)}


@kexp.hookimpl
def kexp_datasets() -> Mapping[str, type[DatasetOptions]]:
    """Name the datasets of this package."""
    return {"my-name": MyDataset}
