"""Time a search over learning rate and epochs with frozen layers, with and without shared hidden states.

    python benchmarks/tuning.py --model FOLDER_OR_ID --data ratings_train.txt --rows 1000 --trials 20

The same trials are done three ways: by ``kexp tune``; by ``kexp tune`` with the frozen layers run in every step of
every trial; and by a ``kexp run`` for each trial with an empty cache, as scripts do that are called in a loop. Only the
layers that are frozen can be shared, so all layers are, unless --frozen says how many. What is timed is training, the
hidden states included, which all three record themselves. The seconds of the whole commands stand in the file of
--json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from common import parser, report, reviews, table, take_turns
from contestants import Work, call_kexp, run_kexp, save_classifier, write_spec
from transformers import AutoConfig

PARAMETERS = ["training.epochs", "training.learning_rate"]


def settings(work: Work) -> dict[str, Any]:
    return {"freezing.use": "bottom-layers", "freezing.layers": work.frozen}


def search(work: Work, validation: pd.DataFrame, trials: int, *, reuse: bool) -> dict[str, Any]:
    """Search and return the trials, and the seconds of their training and of the command."""
    space = {
        "training.reuse_frozen": reuse, "search.metric": "validation.macro_f1", "search.sampler.use": "random",
        "search.pruner.use": "none", "search.trials": trials, "split.validation": 0.1,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {"train": work.rows, "validation": validation, "test": validation}
        spec = write_spec(folder, work, files, {**settings(work), **space})
        with spec.open("a", encoding="utf-8") as file:
            file.write('[search.space]\n"training.learning_rate" = {low = 1e-5, high = 1e-3, log = true}\n')
            file.write('"training.epochs" = {low = 2, high = 5}\n')
        started = time.perf_counter()
        done = call_kexp("tune", spec, "--runs-dir", folder / "runs", "--json", "--quiet", cache=folder / "cache")
        whole = time.perf_counter() - started
        found = pd.read_csv(Path(json.loads(done)["folder"], "trials.csv"))
    parameters = found[PARAMETERS].to_dict("records")
    return {"seconds": float(found["train_seconds"].sum()), "command_seconds": whole, "trials": parameters}


def runs(work: Work, trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Train every trial by a run of its own; return the seconds of training and of the commands."""
    seconds = whole = 0.0
    for trial in trials:
        own = replace(work, epochs=trial["training.epochs"], learning_rate=trial["training.learning_rate"])
        outcome = run_kexp(own, {"train": work.rows}, settings(work))
        seconds += outcome.details["train_seconds"]
        whole += outcome.details["command_seconds"]
    return {"seconds": seconds, "command_seconds": whole, "trials": trials}


def main() -> None:
    arguments: argparse.ArgumentParser = parser(__doc__, rows=1000)
    arguments.add_argument("--max-length", type=int, default=64)
    arguments.add_argument("--trials", type=int, default=20)
    arguments.add_argument("--frozen", type=int, help="number of lowest layers that are frozen")
    options = arguments.parse_args()
    few = max(16, options.rows // 10)
    rows = reviews(options, options.rows + few)
    frozen = options.frozen or AutoConfig.from_pretrained(options.model).num_hidden_layers
    with tempfile.TemporaryDirectory() as folder:
        model = save_classifier(options.model, Path(folder))
        work = Work(model, rows.head(options.rows), options.max_length, frozen=frozen, precision=options.precision)
        shared = partial(search, work, rows.tail(few), options.trials)
        known = shared(reuse=True)["trials"]
        contestants = {
            "frozen layers in every step": partial(shared, reuse=False),
            "a run for each trial": partial(runs, work, known),
            "kexp": partial(shared, reuse=True),
        }
        found = take_turns(contestants, options.rounds)
    if any(one["trials"] != known for outcomes in found.values() for one in outcomes):
        raise SystemExit("the contestants did not do the same trials")
    seconds = {name: [one["seconds"] for one in outcomes] for name, outcomes in found.items()}
    title = f"{options.trials} trials, {frozen} layers frozen"
    commands = {name: [one["command_seconds"] for one in outcomes] for name, outcomes in found.items()}
    tables = [table(title, seconds, base="frozen layers in every step")]
    report(options, tables, equal_work={title: {"trials": known}}, details={title: {"command_seconds": commands}})


if __name__ == "__main__":
    main()
