"""Measure how long `kexp data` takes for many short texts, and the most memory that it holds (on Linux).

    python benchmarks/data_card.py --rows 1000000

The texts are synthetic: 20 to 60 characters of Korean-looking words whose frequencies fall as those of a language do.
2 % of them are copies of the text before them, equal or with another ending. The command runs in a process of its own;
its lines are printed with the seconds since it began.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

WORDS = 30_000
COPIES = 0.02


def texts(count: int, seed: int = 0) -> Iterator[str]:
    """Yield texts of 20 to 60 characters."""
    draw = np.random.default_rng(seed)
    syllables = draw.choice(np.arange(ord("가"), ord("힣") + 1), size=1200, replace=False)
    words = ["".join(map(chr, draw.choice(syllables, draw.integers(2, 5)))) for _ in range(WORDS)]
    shares = 1 / np.arange(10, WORDS + 10)
    numbers = iter(draw.choice(WORDS, size=20 * count, p=shares / shares.sum()).tolist())
    copied, other, longest = draw.random(count) < COPIES, draw.random(count) < 0.5, draw.integers(20, 61, count)
    text = words[0]
    for row in range(count):
        if copied[row]:
            text += " ㅋㅋ" if other[row] else ""
        else:
            text = ""
            while len(text) < 20:
                text += f" {words[next(numbers)]}"
            while len(text := f"{text} {words[next(numbers)]}") <= longest[row]:
                pass
        yield text[: longest[row]].strip()


def write(folder: Path, options: argparse.Namespace) -> Path:
    """Write the rows and a spec."""
    labels = np.random.default_rng(1).integers(0, 4, options.rows).tolist()
    with (folder / "rows.tsv").open("w", encoding="utf-8") as file:
        file.write("text\tlabel\n")
        file.writelines(f"{text}\tclass {label}\n" for text, label in zip(texts(options.rows), labels, strict=True))
    backbone = {"use": "tiny"} if options.model is None else {"use": "hf", "path": str(options.model.resolve())}
    stated = ", ".join(f"{key} = {json.dumps(value)}" for key, value in backbone.items())
    spec = folder / "rows.toml"
    spec.write_text(f'backbone = {{{stated}}}\ndataset = {{use = "table", path = "rows.tsv"}}\n', "utf-8")
    return spec


def measure(spec: Path) -> str:
    """Return the seconds of the command, those of all processors, its most memory in GiB, and how much it found."""
    command = [sys.executable, "-m", "kexp", "data", str(spec), "--json"]
    environment = {**os.environ, "KEXP_CACHE_DIR": str(spec.parent / "cache")}
    start = time.perf_counter()
    with (
        (spec.parent / "card.json").open("w+", encoding="utf-8") as card,
        subprocess.Popen(command, stdout=card, stderr=subprocess.PIPE, text=True, env=environment) as process,
    ):
        assert process.stderr is not None
        for line in process.stderr:
            print(f"{time.perf_counter() - start:7.1f} s  {line.rstrip()}", flush=True)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"kexp data ended with status {process.returncode}")
        card.seek(0)
        found = len(json.load(card)["findings"])
    seconds, busy = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
    return f"{seconds:.1f} s, {busy:.1f} s of processor time, {usage.ru_maxrss / 2**20:.2f} GiB, {found} findings"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument(
        "--model", type=Path, help="folder of a model whose tokenizer is used; else a small fresh one"
    )
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(write(Path(folder), options))
    print(f"{options.rows:,} rows: {found}")


if __name__ == "__main__":
    main()
