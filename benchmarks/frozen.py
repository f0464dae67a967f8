"""Time training with frozen layers: Trainer, and kexp with and without stored hidden states.

    python benchmarks/frozen.py --model FOLDER_OR_ID --data ratings_train.txt --rows 2000 --cases 4:3 4:10 2:3 3:5

A case is the number of lowest layers that are frozen, the embeddings with them, and of epochs; as many layers as the
model has leave the head alone. Without cases they are: all layers for 3 and for 10 epochs, half of them for 3, all but
one for 5. In Trainer what is frozen has parameters without gradients, and rows are grouped by length. kexp runs frozen
layers once for every row, and that pass is part of its time. Loading the model, reading, tokenising and evaluation are
not timed; the contestants take turns, and must give the same losses on one batch without dropout.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

from common import parser, report, reviews, table, take_turns
from contestants import (
    Contestant,
    Outcome,
    Work,
    details,
    kexp,
    need_equal_losses,
    need_equal_work,
    save_classifier,
)
from limit import Encoder, lengths_of, limit_row
from trainers import trainer_at_its_best
from transformers import AutoConfig, AutoTokenizer


def every_step(work: Work) -> Outcome:
    """Train by kexp with the frozen layers run in every step."""
    return kexp(work, {"training.reuse_frozen": False})


CONTESTANTS: dict[str, Contestant] = {
    "Trainer, grouped by length": trainer_at_its_best,
    "kexp, frozen layers in every step": every_step,
    "kexp": kexp,
}


def case(stated: str) -> tuple[int, int]:
    layers, _, epochs = stated.partition(":")
    if not (layers.isdecimal() and epochs.isdecimal() and int(layers) and int(epochs)):
        raise argparse.ArgumentTypeError(f'expected LAYERS:EPOCHS, as "2:3", found "{stated}"')
    return int(layers), int(epochs)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--max-length", type=int, default=64)
    arguments.add_argument("--cases", type=case, nargs="+")
    options = arguments.parse_args()
    rows = reviews(options)
    encoder = Encoder.of(AutoConfig.from_pretrained(options.model))
    every = encoder.layers
    options.cases = options.cases or [(every, 3), (every, 10), (every // 2, 3), (every - 1, 5)]
    lengths = lengths_of(rows["text"], AutoTokenizer.from_pretrained(options.model), options.max_length)
    tables, equal, recorded = [], {}, {}
    with tempfile.TemporaryDirectory() as folder:
        model = save_classifier(options.model, Path(folder))
        for layers, epochs in options.cases:
            work = Work(model, rows, options.max_length, epochs, layers, precision=options.precision)
            losses = need_equal_losses(CONTESTANTS, work, options.model)
            what = "all but the head" if layers == every else f"{layers} of {every} layers"
            title = f"{what} frozen, {epochs} epochs"
            found = take_turns({name: partial(run, work) for name, run in CONTESTANTS.items()}, options.rounds)
            equal[title] = {**need_equal_work(work, found), **losses}
            recorded[title] = details({"kexp": found["kexp"]})
            seconds = {name: [outcome.seconds for outcome in outcomes] for name, outcomes in found.items()}
            flop = encoder.training(lengths, epochs, layers)
            name, limit, figures = limit_row(flop, options.precision, encoder)
            seconds[name] = limit
            base = "Trainer, grouped by length"
            tables.append(table(title, seconds, base=base, rows=epochs * len(rows), limit=figures))
    report(options, tables, equal_work=equal, details=recorded)


if __name__ == "__main__":
    main()
