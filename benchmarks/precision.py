"""Time an epoch, and the prediction of a single text, in fp32 and in bf16, for random models of several sizes.

    python benchmarks/precision.py --rows 320

What bf16 gains depends on the size of the products and on whether the processor multiplies it natively: every forward
pass converts the weights first. No download is needed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from common import report, table, take_turns
from contestants import Work, kexp, need_equal_work, synchronised
from gpu_checks import Size, save_random, texts

from kexp.devices import choose, multiplies_bf16
from kexp.trained import load

SIZES = ((1, 64), (2, 128), (4, 256), (4, 768))
"""Layers, and the width of a layer."""
REPEATS = 20


def one_text(trained: Callable[[list[str]], object], text: str) -> float:
    """Return the seconds of predicting a text, the mean of several times."""
    started = synchronised()
    for _ in range(REPEATS):
        trained([text])
    return (synchronised() - started) / REPEATS


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=320)
    arguments.add_argument("--rounds", type=int, default=3, help="how often each precision runs")
    arguments.add_argument("--device", default="auto")
    arguments.add_argument("--json", type=Path, help="file that the figures are written to")
    options = arguments.parse_args()
    tables, equal = [], {}
    for layers, hidden in SIZES:
        size = Size(layers, hidden, options.rows, words=30, max_length=64)
        title = f"{layers} layers of width {hidden}"
        with tempfile.TemporaryDirectory() as folder:
            work = Work(save_random(Path(folder), size), texts(size), size.max_length, device=options.device)
            runs = {name: partial(kexp, work, {"training.precision": name}) for name in ("fp32", "bf16")}
            found = take_turns(runs, options.rounds)
            loaded = {name: load(work.model, device=options.device, precision=name).predict for name in runs}
            predicted = take_turns(
                {name: partial(one_text, predict, work.rows["text"][0]) for name, predict in loaded.items()},
                options.rounds,
            )
        equal[title] = need_equal_work(work, found)
        seconds = {name: [outcome.seconds for outcome in outcomes] for name, outcomes in found.items()}
        for what, measured in (("an epoch", seconds), ("a text", predicted)):
            # As a peer, so that there is a best one.
            tables.append(
                table(f"{what}, {title}", {"fp32": measured["fp32"], "kexp, bf16": measured["bf16"]}, base="fp32")
            )
    native = multiplies_bf16(str(choose(options.device, "fp32").device))
    print(f"The device {'multiplies' if native else 'does not multiply'} bf16 natively.\n")
    report(options, tables, equal_work=equal, native=native)


if __name__ == "__main__":
    main()
