"""On a narrow terminal no number and no name is broken across lines; elsewhere there are plain lines alone."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

from kexp.cli.run_line import RunLine, fitting, packed
from kexp.cli.table_layout import columns_of, laid_out
from kexp.cli.tables import console_of, is_screen, print_table
from kexp.report.epochs import epoch_table, spare_columns

METRICS = ["accuracy", "macro_f1", "weighted_f1", "mcc", "cross_entropy", "ece"]
EPOCHS = [
    {
        "epoch": number + 1.0, "step": 12 * number, "train_loss": 0.6984, "validation_loss": 0.6837, "train": {},
        "validation": dict.fromkeys(METRICS, 0.1234 + number / 100), "train_seconds": 64.0 + number,
        "validation_seconds": 3.2, "best": number == 1,
    }
    for number in range(12)
]  # fmt: skip
RESULTS = [
    ["default", "2/2 (2 seeds)", *["0.8123 ± 0.0123"] * 6],
    ["작은-학습률-긴-이름", "2/2 (2 seeds)", *["0.7123 ± 0.0123"] * 6],
    ["  majority", "", *["0.5000"] * 6],
    ["  tfidf-logreg", "", *["0.7777"] * 6],
]
TABLES: dict[str, tuple[list[str], list[list[str]], int | None]] = {
    "results": (["model", "runs", *METRICS], RESULTS, 1),
    "epochs": (*epoch_table(EPOCHS), 0),
    "options": (
        ["option", "type", "default", "description"],
        [["class_weights", '"none" | "balanced" or list of number', '"none"', "none, balanced, or one weight per label id"]],
        None,
    ),
    "confusion": (
        ["label", *(f"감정-{number:02d}" for number in range(20))],
        [[f"감정-{row:02d}", *(f"{row * 1000 + column:,}" for column in range(20))] for row in range(20)],
        1,
    ),
    "labels with blanks": (["label", "train", "test"], [["아주 긴 라벨 이름 하나 둘 셋 넷", "1,234,567", "12"]] * 3, 1),
}  # fmt: skip


def drawn(header: list[str], rows: list[list[str]], right: int | None, width: int) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO(), highlight=False)
    for table in laid_out(columns_of(header, rows, right), "title", width):
        console.print(table)
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 300])
@pytest.mark.parametrize("name", TABLES)
def test_no_number_and_no_name_of_a_table_is_broken(name: str, width: int) -> None:
    header, rows, right = TABLES[name]
    lines = drawn(header, rows, right, width)
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(f" {line} " for line in lines)
    words = {word for of in (header, *rows) for cell in of for word in cell.split()}
    assert words <= {*text.split()}
    # Numbers with their spread, and names with blanks, stand on one line.
    whole = {row[0].strip() for row in rows} | {
        cell for row in rows for cell in row[slice(right, None) if right else slice(0)]
    }
    assert not [cell for cell in whole if cell and f" {cell} " not in text]


def test_every_cell_stands_beside_its_row_and_below_its_column_also_where_the_table_is_in_parts() -> None:
    header, rows, right = TABLES["confusion"]
    lines = drawn(header, rows, right, 60)
    heads = [number for number, line in enumerate(lines) if line.lstrip().startswith("label")]
    assert len(heads) > 1
    found: dict[tuple[str, str], str] = {}
    for start, end in zip(heads, [*heads[1:], len(lines)], strict=True):
        columns = lines[start].split()[1:]
        for line in lines[start:end]:
            if (cells := line.split()) and cells[0] in {row[0] for row in rows} and len(cells) == len(columns) + 1:
                found |= {(cells[0], column): cell for column, cell in zip(columns, cells[1:], strict=True)}
    assert {key: found.get(key) for key in ((row[0], name) for row in rows for name in header[1:])} == {
        (row[0], name): cell for row in rows for name, cell in zip(header[1:], row[1:], strict=True)
    }


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def printed(monkeypatch: pytest.MonkeyPatch, width: int, **how: object) -> str:
    screen = Screen()
    monkeypatch.setenv("TERM", "xterm-256color")
    console = Console(file=screen, width=width, highlight=False, force_terminal=True, color_system=None)
    header, rows = epoch_table(EPOCHS)
    print_table("by epoch", header, rows, right=0, console=console, **how)  # type: ignore[arg-type]
    return re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())


def test_the_epoch_table_is_one_table_at_80_columns_and_says_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    spare = spare_columns(EPOCHS, "macro_f1")
    assert spare[:2] == ["validation time", "train time"]
    assert "macro_f1" not in spare
    wide, narrow = (printed(monkeypatch, width, spare=spare) for width in (80, 60))
    assert wide.endswith("left out, since the terminal is narrow: train time, validation time\n")
    note = " ".join(narrow.split("left out, since the terminal is narrow: ")[1].split())
    assert note == "weighted_f1, mcc, ece, train time, validation time"
    for text in (wide, narrow):
        assert text.count("macro_f1") == 1
        assert sum(line.split()[:1] in [[str(number)] for number in range(1, 13)] for line in text.splitlines()) == 12
    assert "left out" not in printed(monkeypatch, 120, spare=spare)


@pytest.mark.parametrize("term", ["dumb", "unknown", "pipe"])
def test_without_a_terminal_there_are_plain_lines(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = io.StringIO() if term == "pipe" else Screen()
    assert not is_screen(out)
    monkeypatch.setattr(sys, "stdout", out)
    print_table("title", ["이름", "값"], [["가", "0.1234"]], right=1)
    console_of().print(f"[bold]{'긴 문장 ' * 60}[/]")
    assert out.getvalue() == f"이름\t값\n가\t0.1234\n{'긴 문장 ' * 60}\n"


def test_no_color_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    console_of().print("[red]failed[/]")
    assert not re.search(r"\x1b\[[0-9;]*3\d", screen.getvalue())


def test_sentences_are_broken_between_words_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    sentence = "default beats 작은-학습률 by 0.667 macro_f1 (95 % interval 0.571 to 0.763, 2 seeds, p < 0.001) :smile:"
    console_of().print(sentence)
    assert max(map(cell_len, screen.getvalue().splitlines())) <= 60
    assert screen.getvalue().split() == sentence.split()


UNITS = [
    "작은-학습률 seed 1",
    "epoch 1",
    "train loss 0.6938",
    "accuracy 0.5000",
    "macro_f1 0.3333",
    "mcc 0.0000",
    "best",
]


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 100, 200])
def test_the_line_of_an_evaluation_holds_loss_and_monitor_and_breaks_neither(width: int) -> None:
    lines = packed(UNITS, ["accuracy 0.5000", "mcc 0.0000"], width)
    assert max(map(cell_len, lines)) <= width
    found = [unit for line in lines for unit in re.split(r"\s{2,}", line.strip())]
    assert found == [unit for unit in UNITS if unit in found]
    assert {"train loss 0.6938", "macro_f1 0.3333", "best"} <= {*found}
    assert (found == UNITS) == (cell_len("  ".join(UNITS)) <= width or set(UNITS) == {*found})
    assert len(lines) == 1 or not {"accuracy 0.5000", "mcc 0.0000"} & {*found}


@pytest.mark.parametrize("width", [10, 24, 40, 60, 80, 200])
def test_the_lines_of_a_run_hold_whole_units_that_fit(width: int) -> None:
    line = RunLine()
    assert line.lines(width) == []
    line.begin("run 3 of 6", "작은-학습률 seed 1", "macro_f1", 12_000, 0, lambda: "about 12 minutes left for all")
    line.move(3_000, 0.5678, 1234.5)
    line.measured({"macro_f1": 0.8123})
    first, second = line.lines(width)
    assert max(map(cell_len, (first, second))) <= max(width, 41)
    assert cell_len(second) <= width
    if width >= 60:
        assert first.startswith("run 3 of 6  작은-학습률")
        assert first.endswith("about 12 minutes left for all")
        assert "3,000/12,000  loss 0.5678  macro_f1 0.8123" in second
    line.end()
    assert line.lines(width) == []


@pytest.mark.parametrize("width", [10, 24, 40, 60, 80, 120])
def test_the_line_of_a_run_among_several_fits_and_keeps_the_seed(width: int) -> None:
    line = RunLine()
    line.label = "작은-학습률-그리고-이름이-긴-변형 draw 2, seed 11"
    assert cell_len(line.compact(width)) <= width
    line.begin("run 3 of 6", line.label, "macro_f1", 12_000, 0, str)
    line.move(3_000, 0.5678, 1234.5, 1.25)
    line.measured({"macro_f1": 0.8123})
    text = line.compact(width)
    assert cell_len(text) <= width
    if width >= 40:
        assert "seed 11  3,000/12,000" in text
    if width >= 60:
        assert "3,000/12,000  loss 0.5678  macro_f1 0.8123" in text
    if width >= 80:
        assert "epoch 1.25" in text


def test_a_name_that_is_longer_than_the_line_is_cut_with_an_ellipsis() -> None:
    assert fitting(["가" * 40, "0.1234"], 21) == ["가" * 10 + "…"]
    assert fitting(["", "abc", "de"], 5) == ["abc"]
