"""Time an epoch of training: a loop with fixed padding, Trainer of transformers, and kexp.

    python benchmarks/training.py --model FOLDER_OR_ID --data ratings_train.txt --rows 3000 --max-length 64 128

All train the same classifier on the same rows with AdamW, batch 32 and gradient clipping. They differ in padding: the
plain loop pads everything to max_length, Trainer pads to the longest row of a random batch, as people run it, and, at
its best, groups rows by length. Loading the model, reading and tokenising are not timed; the contestants take turns.
Before anything is timed, three steps on one batch without dropout must give all of them the same losses.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from common import parser, report, reviews, table, take_turns
from contestants import (
    Contestant,
    Work,
    details,
    kexp,
    need_equal_losses,
    need_equal_work,
    notebook,
    save_classifier,
)
from limit import Encoder, lengths_of, limit_row
from trainers import trainer, trainer_at_its_best
from transformers import AutoConfig, AutoTokenizer

CONTESTANTS: dict[str, Contestant] = {
    "loop, fixed padding": notebook,
    "Trainer": trainer,
    "Trainer, grouped by length": trainer_at_its_best,
    "kexp": kexp,
}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--max-length", type=int, nargs="+", default=[64])
    options = arguments.parse_args()
    rows = reviews(options)
    encoder = Encoder.of(AutoConfig.from_pretrained(options.model))
    tables, equal, recorded = [], {}, {}
    with tempfile.TemporaryDirectory() as folder:
        model = save_classifier(options.model, Path(folder))
        for max_length in options.max_length:
            work = Work(model, rows, max_length, precision=options.precision)
            losses = need_equal_losses(CONTESTANTS, work, options.model)
            title = f"an epoch at max_length {max_length}"
            found = take_turns({name: partial(run, work) for name, run in CONTESTANTS.items()}, options.rounds)
            equal[title] = {**need_equal_work(work, found), **losses}
            recorded[title] = details({"kexp": found["kexp"]})
            seconds = {name: [outcome.seconds for outcome in outcomes] for name, outcomes in found.items()}
            lengths = lengths_of(rows["text"], AutoTokenizer.from_pretrained(options.model), max_length)
            name, limit, figures = limit_row(encoder.training(lengths), options.precision, encoder)
            tables.append(
                table(title, {**seconds, name: limit}, base="loop, fixed padding", rows=len(rows), limit=figures)
            )
    report(options, tables, equal_work=equal, details=recorded)


if __name__ == "__main__":
    main()
