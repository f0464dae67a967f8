"""Measure what many rows cost: memory, time until the first step, and time of batching (on Linux).

    python benchmarks/scale.py --rows 200000 2000000 20000000 --steps 50

Tables of synthetic reviews, of about 20 tokens each, are written to a temporary folder, and `kexp run` trains a small
random BERT on each in a process of its own, first without caches, then with an augmenter. The peak is that of resident
memory of the first process, libraries and mapped files included; seconds to the first step are those of all its
processors from its start. Batching alone is what the stream takes for a step where no model waits for it. 20 million
rows need 2 GB for the table and another 2 GB for its tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import report
from numpy.typing import NDArray

from kexp.data.ragged import offsets_of, ranges

WORDS, SYLLABLES, CHUNK = 30_000, 900, 100_000
FEWEST, MOST = 4, 14
"""Words of a text."""
HELD_OUT, VOCABULARY = 1000, 2800
COLUMNS = (
    "rows", "file, MiB", "peak, GiB", "processor, s to the first step", "batching alone, ms a step",
    "first step of an epoch with augmentation, s",
)  # fmt: skip

# Notes the processor's time at the first step and, at the last one, how long the stream takes for a step of its own.
PROBE = """
import atexit, itertools, json, sys, time
from kexp.cli import app
from kexp.experiment import train_and_test
from kexp.train import loop, step
wanted, file = int(sys.argv[3]), sys.argv[4]
found, take = {"count": 0}, step.OptimizerStep.__call__
def counted(self, *arguments):
    told = take(self, *arguments)
    found["count"] += 1
    if found["count"] == 1:
        found["first step"] = time.process_time()
        found["waited"] = time.perf_counter() - found.pop("begun")
    if found["count"] == wanted:
        steps = streams[0].epoch(1)
        next(steps)
        started = time.perf_counter()
        done = sum(1 for _ in itertools.islice(steps, 50))
        found["batching"] = (time.perf_counter() - started) / max(done, 1)
        steps.close()
    return told
def begun(self, epoch, place):
    found.setdefault("begun", time.perf_counter())
    streams.append(self.stream)
    return batches(self, epoch, place)
streams, batches = [], loop.Trainer._batches
step.OptimizerStep.__call__, loop.Trainer._batches = counted, begun
def write():
    status = open("/proc/self/status").read().splitlines()
    found["peak"] = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    json.dump(found, open(file, "w"))
atexit.register(write)
sys.argv = ["kexp", "run", sys.argv[1], "--quiet", "--runs-dir", sys.argv[2]]
app()
"""


def texts(rows: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Yield the lines of a table of reviews with their labels, as bytes, in chunks."""
    draw = np.random.default_rng(seed)
    syllables = draw.choice(np.arange(ord("가"), ord("힣") + 1), size=SYLLABLES, replace=False)
    words = ["".join(map(chr, draw.choice(syllables, draw.integers(2, 5)))) for _ in range(WORDS)]
    pieces = [*(f"{word} ".encode() for word in words), b"\t0\n", b"\t1\n"]
    sizes = np.asarray([len(piece) for piece in pieces])
    letters, starts = np.frombuffer(b"".join(pieces), np.uint8), offsets_of(sizes)[:-1]
    # Frequencies fall as those of a language do.
    shares = 1 / np.arange(10, WORDS + 10)
    bounds = np.cumsum(shares / shares.sum())
    for start in range(0, rows, CHUNK):
        ends = np.cumsum(draw.integers(FEWEST, MOST + 1, min(CHUNK, rows - start)) + 1)
        chosen = np.minimum(np.searchsorted(bounds, draw.random(ends[-1])), WORDS - 1)
        chosen[ends - 1] = WORDS + draw.integers(0, 2, len(ends))
        yield letters[ranges(starts[chosen], sizes[chosen])]


def write_table(path: Path, rows: int) -> None:
    with path.open("wb") as file:
        file.write(b"text\tlabel\n")
        for letters in texts(rows):
            file.write(letters.data)


def write_model(folder: Path) -> None:
    """Write a random BERT of one layer with a tokenizer that is learnt from synthetic reviews."""
    from transformers import BertConfig, BertForSequenceClassification

    from kexp.builtin.backbones import cased_wordpiece, wordpiece_vocabulary

    lines = next(texts(20_000)).tobytes().decode().splitlines()
    tokenizer = cased_wordpiece(wordpiece_vocabulary([line.partition("\t")[0] for line in lines], VOCABULARY))
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=64, max_position_embeddings=64)  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_spec(folder: Path, model: Path, steps: int, augmenter: str | None) -> Path:
    more = "" if augmenter is None else f'augmentation = {{labelled = {{use = "{augmenter}"}}}}\n'
    spec = folder / "spec.toml"
    spec.write_text(
        f"""{more}dataset = {{use = "table", path = "rows.tsv"}}
backbone = {{use = "hf", path = "{model}"}}
split = {{validation = {HELD_OUT}, test = {HELD_OUT}}}
training = {{steps = {steps}, batch_size = 32, max_length = 64, device = "cpu"}}
evaluation = {{baselines = []}}
""",
        "utf-8",
    )
    return spec


def run(spec: Path, steps: int) -> dict[str, float]:
    """Run a spec in a new process, with the cache of the folder, and return what was noted."""
    folder, file = spec.parent, spec.parent / "found.json"
    environment = {**os.environ, "KEXP_CACHE_DIR": str(folder / "cache")}
    command = ["-c", PROBE, spec, folder / "runs", steps, file]
    subprocess.run([sys.executable, *map(str, command)], env=environment, check=True, stdout=subprocess.DEVNULL)
    found: dict[str, float] = json.loads(file.read_text("utf-8"))
    return found


def line(model: Path, rows: int, options: argparse.Namespace) -> list[float]:
    """Return what is measured on so many rows, in the order of the columns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder / "rows.tsv", rows)
        plain = run(write_spec(folder, model, options.steps, None), options.steps)
        augmented = run(write_spec(folder, model, 2, options.augmenter), 2)
        size, peak = (folder / "rows.tsv").stat().st_size / 2**20, plain["peak"] / 2**20
    return [rows, size, peak, plain["first step"], 1000 * plain["batching"], augmented["waited"]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, nargs="+", default=[200_000, 2_000_000], help="rows of each table")
    arguments.add_argument("--steps", type=int, default=50, help="steps of each run")
    arguments.add_argument("--augmenter", default="random-deletion")
    arguments.add_argument("--json", type=Path, help="file that the figures are written to")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "model"
        write_model(model)
        lines = [line(model, rows, options) for rows in options.rows]
    report(options, [{"title": "many rows", "columns": COLUMNS, "lines": lines}])


if __name__ == "__main__":
    main()
