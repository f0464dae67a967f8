from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from card_rows import card_rows, labelled

from kexp.data_card.characters import characters
from kexp.data_card.finding import Finding

TEXTS = {
    "좋다": set(),
    unicodedata.normalize("NFD", "영화 좋다"): {"decomposed"},
    unicodedata.normalize("NFD", "café"): {"decomposed", "no-hangul"},
    # The second of two code points of an ideograph is not decomposed.
    "\uf933 보고 왔다": set(),
    "Good movie": {"no-hangul"},
    "1234 !!": {"no-hangul"},
    "映画 良い": {"no-hangul"},
    "ㅋㅋㅋ": set(),
    "ㅠㅠ": set(),
    "좋다 😀": {"emoji"},
    "좋다 ❤️": {"emoji"},
    "⭐⭐": {"emoji", "no-hangul"},
    "좋다 · 「별」 ※ → ①": set(),
    "https://example.com/a 봐라": {"urls"},
    "WWW.example.com 좋다": {"urls"},
    "www. 좋다": set(),
    "깨진 \ufffd 글자": {"replacement-characters"},
    "": set(),
    "  ": set(),
}


def found(folder: Path, texts: list[str]) -> dict[str, Finding]:
    train = labelled(*[(text, "xy"[number % 2]) for number, text in enumerate(texts)])
    rows = card_rows(folder, {"train": train, "test": labelled(("좋은 영화", "x"))}, cleaning={"trim": False})
    return {finding.name: finding for finding in characters(rows)}


@pytest.mark.parametrize(("text", "expected"), TEXTS.items())
def test_a_text_is_of_these_kinds(tmp_path: Path, text: str, expected: set[str]) -> None:
    assert found(tmp_path, [text]).keys() == expected


def test_rows_are_counted_by_kind(tmp_path: Path) -> None:
    findings = found(tmp_path, list(TEXTS))
    for name, finding in findings.items():
        rows = [number for number, kinds in enumerate(TEXTS.values(), 1) if name in kinds]
        assert finding.count == len(rows)
        assert finding.rows == len(TEXTS) + 1
        assert [one.row for one in finding.examples] == rows[:5]
        assert finding.title.endswith(f"(train {len(rows)})")
    assert findings["decomposed"].handled
    assert not findings["urls"].handled
