"""Time a search, and the same trials one by one as runs of their own, and print what sharing work saves.

    python benchmarks/tuning.py experiments/nsmc.toml --trials 4 --set dataset.path=FOLDER --set backbone.path=FOLDER

The search does its trials in one worker process: data are read and cleaned once, texts tokenised once and cut to each
trial's length, no weights are written and the test split is not predicted. A run does all of that, in a fresh process
with an empty cache, as scripts do that are called in a loop. Training itself takes equally long; both times have it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

SPACE = [
    "search.sampler.use=random",
    "search.pruner.use=none",
    "search.space.training.max_length={choices = [16, 24, 32, 48, 64]}",
    "search.space.training.learning_rate={low = 1e-5, high = 1e-3, log = true}",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found, searching = search(options, Path(folder))
        table = pd.read_csv(Path(found["folder"], "trials.csv"))
        training = table["train_seconds"].sum()
        paths = [path for path in table.columns if path.startswith("training.")]
        alone = sum(run_alone(options, Path(folder), values) for values in table[paths].to_dict("records"))
    print(f"{len(table)} trials, {training:.1f} s of training in both")
    print(f"one search:    {searching:7.1f} s, {searching - training:6.1f} s beside training")
    print(f"as many runs:  {alone:7.1f} s, {alone - training:6.1f} s beside training")
    beside = (alone - training) / (searching - training)
    print(f"the search is {alone / searching:.2f} times as fast as the runs, beside training {beside:.2f} times")


def search(options: argparse.Namespace, folder: Path) -> tuple[dict, float]:
    """Search and return what was found and the seconds up to the end of the last trial."""
    command = ["tune", options.spec, "--trials", options.trials, "--runs-dir", folder / "search", "--json"]
    started = time.time()
    found = json.loads(kexp(command, [*SPACE, *options.assignments], folder / "shared cache"))
    ended = max(path.stat().st_mtime for path in Path(found["folder"]).glob("trials/*/seed-*/result.json"))
    return found, ended - started


def run_alone(options: argparse.Namespace, folder: Path, values: dict) -> float:
    """Train one trial's spec in a process of its own, with an empty cache, and return the seconds."""
    assignments = [f"{path}={value}" for path, value in values.items()]
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        started = time.time()
        kexp(["run", options.spec, "--runs-dir", folder / "runs", "--set", "evaluation.baselines=[]"],
             [*options.assignments, *assignments], Path(cache))  # fmt: skip
        return time.time() - started


def kexp(command: list, assignments: list[str], cache: Path) -> str:
    """Call kexp with a cache folder and return its standard output."""
    sets = [word for assignment in assignments for word in ("--set", assignment)]
    environment = {**os.environ, "KEXP_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-m", "kexp", *map(str, command), *sets, "--quiet"],
        env=environment, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return done.stdout


if __name__ == "__main__":
    main()
