"""What the benchmarks share: which model and reviews they are given, and contestants that take turns."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from kexp.files import read_delimited


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that name a model and reviews; a benchmark adds its own."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--model", required=True)
    made.add_argument("--data", required=True, type=Path)
    made.add_argument("--text", default="document")
    made.add_argument("--separator", default="\t")
    made.add_argument("--rows", type=int, default=2000)
    made.add_argument("--rounds", type=int, default=3)
    return made


def reviews(options: argparse.Namespace) -> pd.DataFrame:
    """Return the requested rows, the same ones every time; none of them is empty."""
    frame = read_delimited(options.data, separator=options.separator, quoting=options.separator != "\t")
    return frame[frame[options.text].str.strip() != ""].sample(options.rows, random_state=0)


def turns(contestants: Iterable[str], rounds: int) -> Iterator[str]:
    """Yield each contestant once a round; another one begins every time, since a machine may tire."""
    names = list(contestants)
    for turn in range(rounds):
        yield from names[turn % len(names) :] + names[: turn % len(names)]
