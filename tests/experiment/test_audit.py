"""Sheets for a reader's verdicts on augmented views, and what filled sheets give."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from kexp.cli import app
from kexp.experiment.audit import COLUMNS, QUESTIONS

Write = Callable[..., Path]

SPEC = """
[dataset]
use = "table"
path = "{data}"
[labelled]
per_class = 5
[backbone]
use = "tiny"
[augmentation]
unlabelled = {{use = "random-deletion", unit = "eojeol", p = 0.4}}
"""


def kexp(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["augment", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def spec(write_spec: Write, reviews: Path) -> Path:
    return write_spec(SPEC.format(data=reviews))


@pytest.fixture
def sheet(spec: Path, tmp_path: Path) -> Path:
    path = tmp_path / "sheet.csv"
    assert kexp(spec, "--audit", 20, "--output", path).exit_code == 0
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill(path: Path, answers: Callable[[int, str], str], target: Path | None = None) -> Path:
    """Answer the question of each row, by its place from 0."""
    rows = read(path)
    for number, row in enumerate(rows):
        row |= {question: answers(number, question) for question in QUESTIONS}
    target = target or path
    with target.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return target


def test_a_sheet_has_changed_pairs_of_a_seeded_choice(spec: Path, sheet: Path, tmp_path: Path) -> None:
    assert sheet.read_bytes().startswith(b"\xef\xbb\xbf")
    rows = read(sheet)
    assert list(rows[0]) == list(COLUMNS)
    assert [row["number"] for row in rows] == [str(number) for number in range(1, 21)]
    assert len({row["row"] for row in rows}) == 20
    for row in rows:
        assert row["augmenter"] == 'unlabelled random-deletion {"p": 0.4, "unit": "eojeol"}'
        assert set(row["augmented"].split()) < set(row["original"].split())
        assert row["label"] in ("좋음", "나쁨", "보통")
        assert [row[question] for question in (*QUESTIONS, "note")] == [""] * 4
    again = tmp_path / "again.csv"
    counts = json.loads(kexp(spec, "--audit", 20, "--output", again, "--json").stdout)
    assert again.read_bytes() == sheet.read_bytes()
    assert counts == {"sheet": str(again), "rows": 20, "unchanged": counts["unchanged"], "rejected": 0, "repeated": 0}


def test_a_sheet_has_no_more_rows_than_the_augmenter_changes(spec: Path, tmp_path: Path) -> None:
    counts = json.loads(kexp(spec, "--audit", 1000, "--output", tmp_path / "all.csv", "--json").stdout)
    assert counts["rows"] + counts["unchanged"] + counts["repeated"] == 240 - 24 - 24 - 15


def test_rates_have_wilson_intervals_and_count_what_is_missing(spec: Path, sheet: Path) -> None:
    def answers(number: int, question: str) -> str:
        if question == "note" or (question == "meaning kept" and number >= 10):
            return ""
        if question == "grammatical":
            return "Yes" if number < 15 else "no"
        return "예" if number % 2 else "y"

    fill(sheet, answers)
    found = json.loads(kexp(spec, "--audit-results", sheet, "--json").stdout)
    (result,) = found["sheets"]
    (of,) = result["augmenters"].values()
    assert of["rows"] == 20
    label, grammatical, meaning = (of["questions"][question] for question in QUESTIONS)
    assert (label["yes"], label["n"], label["missing"], label["rate"]) == (20, 20, 0, 1.0)
    # Wilson's interval of 20 of 20: (n / (n + z**2), 1); of 15 of 20 by hand.
    assert label["low"] == pytest.approx(20 / (20 + 1.959964**2), abs=1e-6)
    assert label["high"] == 1.0
    assert (grammatical["yes"], grammatical["n"], grammatical["rate"]) == (15, 20, 0.75)
    assert (grammatical["low"], grammatical["high"]) == pytest.approx((0.531299, 0.888138), abs=1e-6)
    assert (meaning["n"], meaning["missing"]) == (10, 10)
    printed = kexp(spec, "--audit-results", sheet).stdout.splitlines()
    assert printed[0].split("\t") == ["sheet", "augmenter", "question", "yes (95 % interval)", "n", "missing"]
    assert printed[2].split("\t")[2:] == ["grammatical", "75.0% (53.1% to 88.8%)", "20", "0"]


def test_an_empty_sheet_has_no_rates(spec: Path, sheet: Path) -> None:
    found = json.loads(kexp(spec, "--audit-results", sheet, "--json").stdout)
    (of,) = found["sheets"][0]["augmenters"].values()
    assert of["questions"]["grammatical"] == {"yes": 0, "n": 0, "missing": 20, "rate": None, "low": None, "high": None}


def test_two_readers_agree_by_cohens_kappa(spec: Path, sheet: Path, tmp_path: Path) -> None:
    first = fill(sheet, lambda number, question: "yes" if number < 12 else "no", tmp_path / "first.csv")
    second = fill(
        sheet,
        lambda number, question: "" if question == "meaning kept" else "yes" if number < 10 or number > 17 else "no",
        tmp_path / "second.csv",
    )
    found = json.loads(kexp(spec, "--audit-results", first, "--audit-results", second, "--json").stdout)
    assert [one["sheet"] for one in found["sheets"]] == [str(first), str(second)]
    agreement = found["agreement"]
    # 16 of 20 agree; both say yes to 12 of 20, so that chance agrees on .6 * .6 + .4 * .4 = .52.
    assert agreement["label kept"] == {"n": 20, "agree": 16, "kappa": pytest.approx((0.8 - 0.52) / 0.48)}
    assert agreement["meaning kept"] == {"n": 0, "agree": 0, "kappa": None}
    printed = kexp(spec, "--audit-results", first, "--audit-results", second).stdout
    assert "label kept\t16 of 20\t0.58" in printed


def test_a_sheet_may_come_back_as_a_workbook(spec: Path, sheet: Path, tmp_path: Path) -> None:
    fill(sheet, lambda number, question: "yes")
    workbook = tmp_path / "sheet.xlsx"
    pd.read_csv(sheet, encoding="utf-8-sig", dtype=str).to_excel(workbook, index=False)
    found = json.loads(kexp(spec, "--audit-results", workbook, "--json").stdout)
    (of,) = found["sheets"][0]["augmenters"].values()
    assert of["questions"]["label kept"]["yes"] == 20


def test_a_filled_sheet_or_another_file_is_never_replaced(spec: Path, sheet: Path, tmp_path: Path) -> None:
    before = sheet.read_bytes()
    assert kexp(spec, "--audit", 20, "--output", sheet).exit_code == 0
    assert sheet.read_bytes() == before
    fill(sheet, lambda number, question: "no" if number == 3 and question == "grammatical" else "")
    filled = sheet.read_bytes()
    result = kexp(spec, "--audit", 20, "--output", sheet)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        f"{sheet} exists and has 1 verdicts and notes; give another name with --output"
    )
    assert sheet.read_bytes() == filled
    other = tmp_path / "reviews.csv"
    other.write_text("text,label\n좋다,1\n", "utf-8")
    result = kexp(spec, "--audit", 20, "--output", other)
    assert (result.exit_code, other.read_text("utf-8")) == (2, "text,label\n좋다,1\n")
    assert result.stderr.splitlines()[-1].endswith("is no sheet of an audit; give another name with --output")


def test_unknown_verdicts_are_told_with_their_rows(spec: Path, sheet: Path) -> None:
    fill(sheet, lambda number, question: "maybe" if number in (1, 4) and question == "grammatical" else "yes")
    result = kexp(spec, "--audit-results", sheet)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-2:] == [
        f"{sheet}: data row {number}: grammatical: 'maybe'; expected yes, no or nothing" for number in (2, 5)
    ]


def test_results_of_another_augmenter_are_refused(spec: Path, sheet: Path) -> None:
    result = kexp(spec, "--audit-results", sheet, "--set", "augmentation.unlabelled.p=0.2")
    assert result.exit_code == 2
    message = result.stderr.splitlines()[-1]
    assert 'has rows of unlabelled random-deletion {"p": 0.4, "unit": "eojeol"}' in message
    assert '(unlabelled random-deletion {"p": 0.2, "unit": "eojeol"})' in message
    assert message.endswith("give the spec, and --set, that made the sheet")


def test_mistakes_are_told(spec: Path, sheet: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.csv"
    part.write_text("".join(sheet.read_text("utf-8-sig").splitlines(keepends=True)[:8]), "utf-8")
    for arguments, message in (
        (["--audit", 5, "--show", 5], "--show, --audit and --audit-results do different things; give one of them"),
        (["--audit", 5, "--output", tmp_path / "x.txt"], "give a name that ends in .csv"),
        (["--audit", 5, "--output", tmp_path / "no" / "x.csv"], "cannot be written"),
        (["--audit-results", tmp_path / "none.csv"], "does not exist; give a sheet of --audit"),
        (["--audit-results", sheet, "--audit-results", part], "13 rows are in one of the two sheets only"),
        (["--audit-results", sheet] * 1 + ["--audit-results", sheet] * 2, "3 sheets; give one, or those of two"),
        (
            ["--audit", 5, "--set", 'augmentation.unlabelled={use = "random-deletion", p = 0.000001}'],
            "nothing to audit",
        ),
    ):
        result = kexp(spec, *arguments)
        assert result.exit_code == 2, arguments
        assert message in result.stderr, result.stderr
