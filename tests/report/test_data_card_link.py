from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kexp.report.data_card_link import data_card_link, rows_digest

ROWS = {"train": {"rows": 90, "digest": "00aa"}, "test": {"rows": 10, "digest": "00bb"}}
OTHERS = {**ROWS, "test": {"rows": 10, "digest": "00cc"}}
INPUTS: dict[str, Any] = {"plain": {"rows": ROWS, "labels": ["x", "y"]}, "uda": {"rows": OTHERS}}


def write_card(folder: Path, rows: dict[str, Any] | None) -> None:
    meta = "" if rows is None else f'<meta name="kexp-rows" content="{rows_digest(rows)}">'
    (folder / "data.html").write_text(f'<!doctype html><head><meta charset="utf-8">\n{meta}</head>', "utf-8")


def test_there_is_no_link_without_a_card(tmp_path: Path) -> None:
    assert data_card_link(tmp_path, INPUTS) is None
    (tmp_path / "data.html").mkdir()
    assert data_card_link(tmp_path, INPUTS) is None


def test_a_card_of_the_same_rows_is_linked(tmp_path: Path) -> None:
    write_card(tmp_path, ROWS)
    assert data_card_link(tmp_path, {"plain": INPUTS["plain"]}) == {"file": "data.html", "of": "", "remark": ""}
    assert data_card_link(tmp_path, INPUTS) == {"file": "data.html", "of": "plain", "remark": ""}
    write_card(tmp_path, OTHERS)
    assert data_card_link(tmp_path, INPUTS) == {"file": "data.html", "of": "uda", "remark": ""}


@pytest.mark.parametrize(
    ("rows", "inputs", "reason"),
    [
        ({"train": {"rows": 91, "digest": "00aa"}}, INPUTS, "it is of other rows than the runs read; "),
        (ROWS, {"plain": {"rows": {"train": ROWS["train"]}}}, "it is of other rows than the runs read; "),
        (None, INPUTS, "it does not say of which rows it is; "),
        (ROWS, {}, "environment.json does not say which rows the runs read"),
        (ROWS, {"plain": None}, "environment.json does not say which rows the runs read"),
        (ROWS, {"plain": {"labels": []}}, "environment.json does not say which rows the runs read"),
    ],
)
def test_other_cards_are_not_linked_and_the_reason_is_told(
    tmp_path: Path, rows: dict[str, Any] | None, inputs: dict[str, Any], reason: str
) -> None:
    write_card(tmp_path, rows)
    found = data_card_link(tmp_path, inputs)
    assert found is not None
    assert found["file"] == ""
    assert found["remark"].startswith(f"data.html, the data card in this folder, is not linked: {reason}")


def test_a_pipe_is_no_card(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.html")
    assert data_card_link(tmp_path, INPUTS) is None
