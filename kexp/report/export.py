"""A table of results as Markdown and LaTeX, for papers, and as CSV, for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kexp.report.results import is_best
from kexp.report.summary import over

Json = Mapping[str, Any]

NO_VALUE = "–"
"""Stands for a key that one of two specs lacks."""


def head(row: Json, models: int) -> str:
    """Return the name of a row, with its models if it is a baseline of some of them only."""
    of = row["baseline_of"]
    return f"{row['name']} of {', '.join(of)}" if of and len(of) < models else str(row["name"])


def cells(table: Json, row: Json) -> Iterator[tuple[str, bool]]:
    """Yield mean ± standard deviation (what varied, and how often) of every metric, and whether it is the best."""
    for metric in table["metrics"]:
        cell = row["cells"].get(metric)
        if cell is None or cell["mean"] is None:
            yield "", False
            continue
        spread = "" if cell.get("sd") is None else f" ± {cell['sd']:.4f}"
        runs = "" if row["baseline_of"] else f" ({over(cell)})"
        yield f"{cell['mean']:.4f}{spread}{runs}", is_best(table, row, metric)


def as_csv(table: Json) -> str:
    """Return a line per model and baseline, with columns for the mean of every metric, its spread and what varied."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    parts = ("mean", "sd", "n", "over")
    writer.writerow(["model", *(f"{metric} {part}" for metric in table["metrics"] for part in parts)])
    for row in table["rows"]:
        found = [row["cells"].get(metric, {}) for metric in table["metrics"]]
        name = head(row, len(table["models"]))
        writer.writerow([name, *("" if of.get(part) is None else of[part] for of in found for part in parts)])
    return file.getvalue()


def as_markdown(table: Json) -> str:
    """Return the table and a list of the findings in GitHub's Markdown."""
    arrows = [f"{metric} {'↓' if metric in table['lower'] else '↑'}" for metric in table["metrics"]]
    lines = [_piped(["model", *arrows]), _piped([":--", *["--:"] * len(arrows)])]
    for row in table["rows"]:
        marked = [_bold(text, "**", "**") if best else text for text, best in cells(table, row)]
        lines.append(_piped([_escaped(head(row, len(table["models"])), "|*_`<"), *marked]))
    if found := notes(table):
        lines += ["", *(f"- {_escaped(note, '*_`<')}" for note in found)]
    return "\n".join(lines) + "\n"


def as_latex(table: Json) -> str:
    """Return a tabular for the package booktabs, with the findings as comments."""
    arrows = [rf"{_tex(metric)} $\{'down' if metric in table['lower'] else 'up'}arrow$" for metric in table["metrics"]]
    lines = [
        rf"\begin{{tabular}}{{l{'r' * len(arrows)}}}",
        r"\toprule",
        " & ".join(["", *arrows]).lstrip() + r" \\",
        r"\midrule",
    ]
    baseline = False
    for row in table["rows"]:
        if row["baseline_of"] and not baseline:
            lines.append(r"\midrule")
            baseline = True
        marked = [_bold(text, r"\textbf{", "}") if best else text for text, best in cells(table, row)]
        values = [text.replace("±", r"$\pm$") for text in marked]
        lines.append(" & ".join([_tex(head(row, len(table["models"]))), *values]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", *(f"% {note}" for note in notes(table))]
    return "\n".join(lines) + "\n"


def notes(table: Json) -> list[str]:
    """Return the findings of a comparison: differences of specs, paired tests, remarks."""
    changed = [f"{pair}: {line}" for pair, lines in spec_notes(table) for line in lines]
    return [*changed, *test_notes(table), *table["remarks"]]


def spec_notes(table: Json) -> Iterator[tuple[str, list[str]]]:
    """Yield for every model but the first how its spec differs from that of the first."""
    first = table["models"][0]["name"]
    for name, found in table["differences"].items():
        yield f"{first} -> {name}", changes(found) or ["the same spec"]


def changes(differences: Mapping[str, tuple[str, str]]) -> list[str]:
    """Return a line per difference of two specs.

    Options of a component that the other spec replaces by another component are left out.
    """
    replaced = tuple(path.removesuffix("use") for path in differences if path.endswith(".use"))
    return [
        f"{path}: {before} -> {after}"
        for path, (before, after) in differences.items()
        if after != NO_VALUE or not path.startswith(replaced)
    ]


def test_notes(table: Json) -> list[str]:
    """Return what is stated about every pair, and after that what other metrics show."""
    return [test["sentence"] for stated in (True, False) for test in table["tests"] if test["stated"] is stated]


def _piped(parts: Sequence[str]) -> str:
    return f"| {' | '.join(parts)} |"


def _bold(text: str, before: str, after: str) -> str:
    mean, space, rest = text.partition(" ")
    return f"{before}{mean}{after}{space}{rest}"


def _escaped(text: str, marks: str) -> str:
    return "".join(f"\\{letter}" if letter in marks else letter for letter in text)


TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _tex(text: str) -> str:
    return "".join(TEX.get(letter, f"\\{letter}" if letter in "&%$#_{}" else letter) for letter in text)
