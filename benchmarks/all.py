"""Run every benchmark, write one JSON file, and put the tables into a page.

    python benchmarks/all.py --model FOLDER_OR_ID --data ratings_train.txt --json figures.json
    python benchmarks/all.py --from figures.json --page docs/performance.md

Both can be one command. Every benchmark is a process of its own, and the next one begins when it has ended; a machine
that does nothing else is needed. ``--only`` names those that are run; with ``--from`` they replace what the file has.
``--rows``, ``--rounds`` and ``--trials`` make all of them smaller, for a try. The status is 1 where one failed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import markdown

FOLDER = Path(__file__).parent
COMMANDS: dict[str, list[str]] = {
    "training": ["--rows", "3000", "--max-length", "64", "128"],
    "frozen": ["--rows", "1000"],
    "uda_step": ["--rows", "4000", "--steps", "12"],
    "tuning": ["--rows", "1000", "--trials", "20"],
    "prediction": ["--rows", "3000"],
    "serve": ["--rows", "1000", "--clients", "16"],
    "memory": ["--rows", "1000", "--max-length", "128"],
    "scale": ["--rows", "200000", "2000000", "20000000"],
    "options": ["--rows", "1000"],
}
OWN_TEXTS = ("scale",)
"""Benchmarks that make their texts and their model themselves."""
MARKED = re.compile(r"(?P<begin><!-- measured: (?P<name>\w+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
NOT_MEASURED = "*Not measured yet.*\n"


def measure(options: argparse.Namespace, found: dict[str, Any]) -> list[str]:
    """Run the benchmarks one after the other and put their reports into ``found``; return the names that failed.

    The file of figures is written after each of them, so that an interruption costs one.
    """
    failed = []
    for name in options.only or COMMANDS:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "figures.json")
            given = (
                [] if name in OWN_TEXTS else ["--model", options.model, "--data", options.data, "--text", options.text]
            )
            given += COMMANDS[name]
            given += [] if name in OWN_TEXTS else ["--rounds", options.rounds, "--precision", options.precision]
            given += [] if options.rows is None else ["--rows", options.rows]
            given += ["--trials", options.trials] if name == "tuning" and options.trials else []
            command = [sys.executable, FOLDER / f"{name}.py", *given, "--json", file]
            print(f"## {name}\n", flush=True)
            if subprocess.run([str(word) for word in command], check=False).returncode:
                failed.append(name)
                continue
            found[name] = json.loads(file.read_text("utf-8"))
        write(options.json, found)
    return failed


def write(file: Path | None, found: Mapping[str, Any]) -> None:
    if file is not None:
        file.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", "utf-8")


def filled(page: str, found: Mapping[str, Any]) -> str:
    """Return a page with what was measured between its marks; what was not measured is said so."""

    def put(match: re.Match[str]) -> str:
        name = match["name"]
        text = summary(found) if name == "summary" else section(found[name]) if name in found else NOT_MEASURED
        return f"{match['begin']}\n{text}\n{match['end']}"

    return MARKED.sub(put, page)


def section(report: Mapping[str, Any]) -> str:
    """Return the command and the tables of a benchmark as Markdown."""
    left_out = report.get("left_out", {})
    parts = [f"```text\n{report['command']}\n```", *(markdown(table) for table in report["tables"])]
    if left_out:
        parts.append(
            f"Left out, since this machine or this version does not have it: {', '.join(map(code, left_out))}."
        )
    return "\n\n".join(parts) + "\n"


def summary(found: Mapping[str, Any]) -> str:
    """Return machine, versions and the ratio of every table as Markdown."""
    first = next((report for name, report in found.items() if name not in OWN_TEXTS), None)
    if first is None:
        return NOT_MEASURED
    machine, versions = first["machine"], first["versions"]
    cores = f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads of PyTorch"
    packages = ", ".join(f"{name} {number}" for name, number in versions.items())
    model, data, precision = (first["options"][key] for key in ("model", "data", "precision"))
    lines = [
        f"Measured on {machine['gpu'] or cores}, {machine['system']}, with {packages}; model {code(model)}, texts of "
        f"{code(data)}, {precision}.",
        "",
        "| work | kexp, compared with | times as fast | with the best peer | times as fast |",
        "|---|---|--:|---|--:|",
    ]
    for report in (found[name] for name in COMMANDS if name in found and name not in OWN_TEXTS):
        for table in report["tables"]:
            row = next((row for row in table["rows"] if row["contestant"] == "kexp"), None)
            if row is not None and table["unit"] == "s":
                cells = [table["title"], table["base"], f"{row['to_base']:.2f}"]
                lines.append(f"| {' | '.join(cells)} | {table['best_peer']} | {row['to_best_peer']:.2f} |")
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    return f"`{text}`"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder of a Hugging Face model, or its hub id")
    parser.add_argument("--data", help="file of reviews with a column label of 0 and 1")
    parser.add_argument("--text", default="document", help="column of the texts")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, help="rows of every benchmark, for a try")
    parser.add_argument("--trials", type=int, help="trials of the search, for a try")
    parser.add_argument("--only", nargs="+", choices=COMMANDS, help="benchmarks that are run")
    parser.add_argument("--from", type=Path, dest="earlier", help="file of figures that were measured before")
    parser.add_argument("--json", type=Path, help="file that all figures are written to")
    parser.add_argument("--page", type=Path, help="page that the tables are put into")
    options = parser.parse_args(words)
    if (options.model is None) != (options.data is None) or (options.model is None and options.earlier is None):
        parser.error("give --model and --data to measure, or --from to use figures that were measured before")
    found = {} if options.earlier is None else json.loads(options.earlier.read_text("utf-8"))
    failed = [] if options.model is None else measure(options, found)
    write(options.json, found)
    if options.page:
        options.page.write_text(filled(options.page.read_text("utf-8"), found), "utf-8")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
