"""Measure the peak of memory in training: Trainer and kexp, each in a process of its own.

    python benchmarks/memory.py --model FOLDER_OR_ID --data ratings_train.txt --rows 3000 --max-length 128

The peak is that of the resident memory of the process, libraries included; on a GPU it is what PyTorch's allocator had
given out at most. Both train the same classifier for an epoch on the same rows with AdamW and batch 32.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from common import parser, report, reviews, table, take_turns
from contestants import Contestant, Work, need_equal_losses, need_equal_work, save_classifier

NAMES = ("Trainer", "Trainer, grouped by length", "kexp")


def contestant(name: str) -> Contestant:
    """Return a contestant; what the others import is not in memory."""
    if name == "kexp":
        from contestants import kexp

        return kexp
    from trainers import trainer, trainer_at_its_best

    return trainer if name == "Trainer" else trainer_at_its_best


def alone(options: argparse.Namespace, folder: Path, name: str) -> float:
    """Train in a new process and return its peak in MiB."""
    given = ["--model", folder, "--data", options.data, "--text", options.text, "--separator", options.separator]
    given += ["--rows", options.rows, "--max-length", options.max_length, "--precision", options.precision]
    command = [sys.executable, __file__, *map(str, given), "--alone", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    peak: float = json.loads(done.stdout.splitlines()[-1])
    return peak


def train(options: argparse.Namespace) -> float:
    """Train in this process and return its peak in MiB."""
    work = Work(Path(options.model), reviews(options), options.max_length, precision=options.precision)
    need_equal_work(work, {options.alone: [contestant(options.alone)(work)]})
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if status.is_file():
        # Of this process alone: what getrusage tells begins with the memory of the process that started this one.
        peak = next(line for line in status.read_text("utf-8").splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 2**10
    # In bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--max-length", type=int, default=128)
    arguments.add_argument("--alone", choices=NAMES, help="train this way in this process, and print its peak")
    options = arguments.parse_args()
    if options.alone:
        print(json.dumps(train(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        model = save_classifier(options.model, Path(folder))
        work = Work(model, reviews(options), options.max_length, precision=options.precision)
        losses = need_equal_losses({name: contestant(name) for name in NAMES}, work, options.model)
        peaks = take_turns({name: partial(alone, options, model, name) for name in NAMES}, options.rounds)
    title = f"peak of memory, an epoch at max_length {options.max_length}"
    equal = {"rows": len(work.rows), "steps": work.steps, **losses}
    report(options, [table(title, peaks, base="Trainer", unit="MiB")], equal_work={title: equal})


if __name__ == "__main__":
    main()
