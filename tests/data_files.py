"""What tests of people's files share: a file, the dataset that is read from it, and what is said where it is not."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from kexp.builtin.datasets import HubDataset, TableDataset
from kexp.catalog import load_catalog
from kexp.contracts import DatasetContext
from kexp.data.prepare import prepare
from kexp.data.rows import PreparedData
from kexp.errors import DataError
from kexp.repeats import Repeat
from kexp.spec.sections import Spec

catalog = functools.cache(load_catalog)


def write(folder: Path, name: str, content: str | bytes, encoding: str = "utf-8") -> Path:
    """Write a file, with its folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def built(options: TableDataset | HubDataset, context: DatasetContext | None = None) -> dict[str, dict[str, Any]]:
    """Return the columns of every split of a dataset."""
    made = options.build(context or DatasetContext())
    return {split: rows.to_dict() for split, rows in made.items()}


def prepared(dataset: TableDataset, **sections: Any) -> PreparedData:
    """Prepare the data of a spec with this dataset."""
    table = {"name": "test", "dataset": dataset, "backbone": "tiny", **sections}
    return prepare(Spec.model_validate(table, context={"catalog": catalog()}), Repeat(1))


def refusal(call: Any) -> str:
    """Return the message of the ``DataError`` that a call raises."""
    with pytest.raises(DataError) as caught:
        call()
    return str(caught.value)


def problems(options: TableDataset) -> list[str]:
    """Return what is wrong with a dataset before it is read."""
    return [str(problem) for problem in options.problems()]
