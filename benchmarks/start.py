"""Time the start of kexp's commands, and of a run up to its first step, beside the imports that a script has as well.

    python benchmarks/start.py experiments/dialect.toml --rounds 5

Prints medians of the time on the processor and on the clock, in seconds. A run is ended right after its first step of
training; its phases follow one another: importing kexp, checking the spec, importing torch, preparing data and model
(with the import of transformers), assembling the run, and the step with its batch. A round before those that count
fills caches, kexp's and Python's. The order of the contestants changes from round to round.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict

from common import turns

# Notes when the functions of kexp that divide a run into phases return.
PROBE = """
import json, os, sys, time
from kexp.cli import app, experiments
marks = [("importing kexp", time.process_time())]
def after(module, name, phase):
    function = getattr(module, name)
    def timed(*arguments, **options):
        result = function(*arguments, **options)
        marks.append((phase, time.process_time()))
        return result
    setattr(module, name, timed)
def plan(*arguments, **options):
    planned = checked(*arguments, **options)
    marks.append(("checking the spec", time.process_time()))
    from kexp.experiment import run, train_and_test
    from kexp.train import step
    after(run, "choose", "importing torch")
    after(run, "_prepare", "preparing data and model")
    after(train_and_test, "assemble", "assembling the run")
    take = step.OptimizerStep.__call__
    def first(*arguments):
        take(*arguments)
        marks.append(("the first step", time.process_time()))
        print(json.dumps(marks), flush=True)
        os._exit(0)
    step.OptimizerStep.__call__ = first
    return planned
checked, experiments._plan = experiments._plan, plan
sys.argv = ["kexp", "run", sys.argv[1], "--quiet", "--runs-dir", sys.argv[2]]
app()
"""


def timed(command: list[str]) -> tuple[float, float, str]:
    """Run a Python process and return its time on the processor, on the clock, and what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *command], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, clock, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = "kexp run, to its first step"
        contestants = {
            "python -c pass": ["-c", "pass"],
            "import typer, pydantic": ["-c", "import typer, pydantic; pydantic.BaseModel"],
            "kexp --help": ["-m", "kexp", "--help"],
            "kexp check": ["-m", "kexp", "check", options.spec],
            "kexp plugins list": ["-m", "kexp", "plugins", "list"],
            "import torch": ["-c", "import torch"],
            "import transformers' BERT": ["-c", "from transformers import BertForSequenceClassification"],
            "import transformers' Trainer": ["-c", "from transformers import Trainer"],
            run: ["-c", PROBE, options.spec, folder],
        }
        for command in contestants.values():
            timed(command)
        processor, clock = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
        phases = defaultdict[str, list[float]](list)
        for name in turns(contestants, options.rounds):
            used, waited, printed = timed(contestants[name])
            processor[name].append(used)
            clock[name].append(waited)
            before = 0.0
            for phase, moment in json.loads(printed) if name == run else ():
                phases[phase].append(moment - before)
                before = moment
    print(f"{'':32}{'processor':>10}{'clock':>10}")
    for name in contestants:
        print(f"{name:32}{statistics.median(processor[name]):10.2f}{statistics.median(clock[name]):10.2f}")
    for phase, seconds in phases.items():
        print(f"  {phase:30}{statistics.median(seconds):10.2f}")


if __name__ == "__main__":
    main()
