"""What the tests of data cards share: rows in files, and what a card looks at of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_files import catalog

from kexp.builtin.datasets import TableDataset
from kexp.data_card.reading import read_rows
from kexp.data_card.rows import CardRows
from kexp.plan.resolve import repeats_of
from kexp.spec.sections import Spec

Row = Mapping[str, Any]


def write_rows(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def labelled(*texts: tuple[str, str]) -> list[Row]:
    """Return rows of texts with their labels."""
    return [{"text": text, "label": label} for text, label in texts]


def spec_of(
    folder: Path, splits: Mapping[str, Sequence[Row]], *, dataset: Mapping[str, Any] | None = None, **sections: Any
) -> Spec:
    """Return a spec whose dataset has these splits, each in a file of its own."""
    files = {split: write_rows(folder / f"{split}.jsonl", rows) for split, rows in splits.items()}
    table = {"name": "test", "dataset": TableDataset(**files, **(dataset or {})), "backbone": "tiny", **sections}
    return Spec.model_validate(table, context={"catalog": catalog()})


def card_rows(folder: Path, splits: Mapping[str, Sequence[Row]], **sections: Any) -> CardRows:
    """Return what a card looks at of such a dataset."""
    spec = spec_of(folder, splits, **sections)
    return read_rows(spec, next(repeats_of(spec)))
