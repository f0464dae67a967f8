"""What the benchmarks share: their options, reviews, contestants that take turns, and reports as JSON and Markdown."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from kexp.files import read_delimited

PACKAGES = ("kexp", "torch", "transformers", "accelerate", "numpy")
OURS = "kexp"
"""How the name of every contestant begins that is no peer."""
LIMIT = "limit"
"""How the name of the row begins that was computed, not run."""


def parser(description: str | None, rows: int = 2000) -> argparse.ArgumentParser:
    """Return a parser of the options that name a model and reviews; a benchmark adds its own."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--model", required=True, help="folder of a Hugging Face model, or its hub id")
    made.add_argument("--data", required=True, type=Path, help="file of reviews with a column label of 0 and 1")
    made.add_argument("--text", default="document", help="column of the texts")
    made.add_argument("--separator", default="\t")
    made.add_argument("--rows", type=int, default=rows)
    made.add_argument("--rounds", type=int, default=3, help="how often every contestant runs")
    made.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    made.add_argument("--json", type=Path, help="file that the figures are written to")
    return made


def reviews(options: argparse.Namespace, rows: int | None = None) -> pd.DataFrame:
    """Return the requested rows, the same ones every time, with columns text and label; all texts differ."""
    frame = read_delimited(options.data, separator=options.separator, quoting=options.separator != "\t")
    frame = pd.DataFrame({"text": frame[options.text].str.strip(), "label": frame["label"].astype("int64")})
    frame = frame[frame["text"] != ""].drop_duplicates("text")
    wanted = rows or options.rows
    if len(frame) < wanted:
        raise SystemExit(f"{options.data}: {len(frame)} different texts, {wanted} are needed; lower --rows")
    return frame.sample(wanted, random_state=0).reset_index(drop=True)


def turns(contestants: Iterable[str], rounds: int) -> Iterator[str]:
    """Yield each contestant once a round; another one begins every time, since a machine may tire."""
    names = list(contestants)
    for turn in range(rounds):
        yield from names[turn % len(names) :] + names[: turn % len(names)]


def take_turns(contestants: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[Any]]:
    """Run every contestant once a round, and return what each of them returned, in the order of the rounds."""
    found: dict[str, list[Any]] = {name: [] for name in contestants}
    for name in turns(contestants, rounds):
        found[name].append(contestants[name]())
    return found


# --- tables ---------------------------------------------------------------------------------------------------------


def table(
    title: str,
    measured: Mapping[str, Sequence[float]],
    *,
    base: str,
    unit: str = "s",
    rows: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return a table of medians of what was measured, and how they compare with ``base`` and with the best peer.

    Ratios are how many times as fast a contestant is; of any other unit than seconds they are how many times as much.
    """
    medians = {name: statistics.median(values) for name, values in measured.items()}
    best = min((name for name in medians if not name.startswith((OURS, LIMIT))), key=lambda name: medians[name])

    def ratio(name: str, to: str) -> float:
        one, other = medians[to], medians[name]
        return one / other if unit == "s" else other / one

    lines = [
        {
            "contestant": name,
            "measured": list(values),
            "median": medians[name],
            "to_base": ratio(name, base),
            "to_best_peer": ratio(name, best),
            **({} if rows is None else {"rows_per_second": rows / medians[name]}),
        }
        for name, values in measured.items()
    ]
    return {"title": title, "unit": unit, "base": base, "best_peer": best, "rows": lines, **more}


def markdown(found: Mapping[str, Any]) -> str:
    """Return a table as Markdown; one with ``columns`` has ``lines`` of figures and compares nobody."""
    if "columns" in found:
        head = [f"| {' | '.join(found['columns'])} |", "|" + "--:|" * len(found["columns"])]
        return "\n".join([*head, *(f"| {' | '.join(map(_short, line))} |" for line in found["lines"])])
    per_second = "rows_per_second" in found["rows"][0]
    limit = next((row["median"] for row in found["rows"] if row["contestant"].startswith(LIMIT)), None)
    what = "times as fast as" if found["unit"] == "s" else "times as much as"
    names = [found["unit"], "lowest – highest", *(["rows/s"] if per_second else []), f"{what} {found['base']}"]
    names += [] if found["best_peer"] == found["base"] else [f"{what} the best peer"]
    names += [] if limit is None else ["share of the limit"]
    lines = [f"| {found['title']} | {' | '.join(names)} |", "|---|" + "--:|" * len(names)]
    for row in found["rows"]:
        values = row["measured"]
        cells = [_short(row["median"]), "" if len(values) < 2 else f"{_short(min(values))} – {_short(max(values))}"]
        cells += [f"{row['rows_per_second']:,.0f}"] if per_second else []
        cells += [f"{row['to_base']:.2f}"]
        cells += [] if found["best_peer"] == found["base"] else [f"{row['to_best_peer']:.2f}"]
        cells += [] if limit is None else [f"{limit / row['median']:.0%}"]
        lines.append(f"| {row['contestant']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


# --- reports --------------------------------------------------------------------------------------------------------


def report(options: argparse.Namespace, tables: Sequence[Mapping[str, Any]], **more: Any) -> None:
    """Print the tables, and write them with the machine and the versions to the file of ``--json``, if there is one."""
    for found in tables:
        print(markdown(found) + "\n")
    if options.json:
        name = Path(sys.argv[0]).stem
        # Where files lie is nobody's business: the figures may be published.
        stated = {key: Path(value).name if isinstance(value, Path) else value for key, value in vars(options).items()}
        if "model" in stated and Path(stated["model"]).exists():
            stated["model"] = Path(stated["model"]).name
        whole = {
            "benchmark": name, "command": _command(name, sys.argv[1:]),
            "options": stated, "machine": machine(), "versions": versions(), "tables": list(tables), **more,
        }  # fmt: skip
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _command(name: str, words: Sequence[str]) -> str:
    """Return the command without the file of figures, and with names instead of paths."""
    kept = [Path(word).name if Path(word).exists() else word for word in words]
    if "--json" in kept:
        place = kept.index("--json")
        kept[place : place + 2] = []
    return shlex.join(["python", f"benchmarks/{name}.py", *kept])


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter to speed."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"system": platform.system(), "processor": _processor(), "cores": len(os.sched_getaffinity(0)),
            "threads": torch.get_num_threads(), "gpu": gpu}  # fmt: skip


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text("utf-8").splitlines() if listed.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
