"""Invented data files: each is read, or refused with a message that names the file; no other exception, ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexp.builtin.datasets import TableDataset
from kexp.contracts import DatasetContext
from kexp.errors import KexpError
from kexp.testing import damaged_bytes, odd_values
from tests.fuzz.test_specs import FUZZ

ROWS = [{"text": f'{number}번째 영화, "정말" 좋다', "label": number % 2} for number in range(6)]
CSV = "text,label\n" + "".join(f'"{row["text"].replace(chr(34), chr(34) * 2)}",{row["label"]}\n' for row in ROWS)
FILES = {
    "csv": CSV.encode(),
    "tsv": "".join(f"{row['text']}\t{row['label']}\n" for row in [{"text": "text", "label": "label"}, *ROWS]).encode(),
    "jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode(),
    "json": json.dumps({"data": ROWS}, ensure_ascii=False).encode(),
}


def read(path: Path) -> None:
    """Check and read a table as a run does."""
    options = TableDataset(path=path)
    if list(options.problems()):
        return
    refused: KexpError | None = None
    try:
        found = options.build(DatasetContext())
    except KexpError as error:
        refused = error
    if refused is None:
        assert all(isinstance(text, str) for text in found["train"]["text"])
        return
    assert path.name in str(refused)
    assert len(str(refused)) < 100_000


@pytest.mark.parametrize("kind", FILES)
def test_damaged_tables(kind: str, folder: Path) -> None:
    @settings(FUZZ, max_examples=110)
    @given(content=damaged_bytes([FILES[kind]]))
    def damaged(content: bytes) -> None:
        path = folder / f"damaged.{kind}"
        path.write_bytes(content)
        read(path)

    damaged()


@settings(FUZZ, max_examples=160)
@given(
    rows=st.lists(
        st.one_of(odd_values(), st.fixed_dictionaries({"text": odd_values(), "label": odd_values()})), max_size=4
    )
)
def test_invented_json_rows(rows: list[Any], folder: Path) -> None:
    path = folder / "invented.jsonl"
    path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows), encoding="utf-8")
    read(path)
