"""Time steps of UDA: three separate passes, padded to max_length or to the longest row, and kexp.

    python benchmarks/uda_step.py --model FOLDER_OR_ID --data ratings_train.txt --steps 12

Every step takes labelled rows, unlabelled ones and an augmented view of each, forward and backward and through AdamW;
the views are made before, by deleting words, and are read from a column. The peers call the model once for each of the
three groups, as ported notebooks do: with every group padded to max_length, or each to its own longest row. What is
timed is the training loop; the contestants take turns, and must give the same losses on one batch without dropout.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from common import parser, report, reviews, table, take_turns
from contestants import (
    Outcome,
    Work,
    autocast,
    check_losses,
    details,
    device,
    load_classifier,
    run_kexp,
    save_classifier,
    synchronised,
)
from torch.nn.functional import cross_entropy, kl_div
from transformers import AutoTokenizer


def three_passes(work: Work, pool: pd.DataFrame, steps: int, ratio: int, *, fixed: bool) -> Outcome:
    """Train in a plain loop over a labelled batch, originals without gradient, and their augmented views."""
    model, tokenizer = load_classifier(work), AutoTokenizer.from_pretrained(work.model)
    texts = {"labelled": work.rows["text"], "original": pool["text"], "view": pool["view"]}
    ids = {name: tokenizer(list(column), truncation=True, max_length=work.max_length) for name, column in texts.items()}
    truth = torch.tensor(work.rows["label"].to_numpy())
    few, many = batches(len(truth), work.batch_size), batches(len(pool), work.batch_size * ratio)
    optimizer = torch.optim.AdamW(model.parameters(), lr=work.learning_rate, weight_decay=0.0)
    padding: dict[str, Any] = {"padding": "max_length" if fixed else "longest", "max_length": work.max_length}

    def logits(group: str, chosen: list[int]) -> torch.Tensor:
        rows = {name: [values[number] for number in chosen] for name, values in ids[group].items()}
        inputs = tokenizer.pad(rows, return_tensors="pt", **padding).to(device())
        with autocast(work.precision):
            found: torch.Tensor = model(**inputs).logits
        return found.float()

    losses: list[torch.Tensor] = []
    seen = 0
    model.train()
    started = synchronised()
    for _ in range(steps):
        labelled, unlabelled = next(few), next(many)
        loss = cross_entropy(logits("labelled", labelled), truth[labelled].to(device()))
        with torch.no_grad():
            target = logits("original", unlabelled).log_softmax(-1)
        predicted = logits("view", unlabelled).log_softmax(-1)
        loss = loss + kl_div(predicted, target, reduction="batchmean", log_target=True)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.detach())
        seen += len(labelled) + len(unlabelled)
    return Outcome(synchronised() - started, seen, len(losses), [float(loss) for loss in losses])


def kexp(work: Work, pool: pd.DataFrame, steps: int, ratio: int) -> Outcome:
    """Train by ``kexp run`` with the objective uda, on views that come with the data."""
    settings = {
        "objective.use": "uda", "dataset.augmented": "view", "labelled.pool_from": "file",
        "training.steps": steps, "training.unlabelled_ratio": ratio,
    }  # fmt: skip
    return run_kexp(work, {"train": work.rows, "unlabelled": pool}, settings)


def batches(count: int, size: int) -> Iterator[list[int]]:
    """Yield numbers of rows without end; every row once before any comes again."""
    while True:
        order = torch.randperm(count).tolist()
        yield from (order[start : start + size] for start in range(0, count - size + 1, size))


def with_views(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows beside a view of each, in which a fifth of the words is left out."""
    draw = random.Random(0)

    def shortened(text: str) -> str:
        words = text.split()
        return " ".join([word for word in words if draw.random() > 0.2] or words[:1])

    return pd.DataFrame({"text": rows["text"], "view": [shortened(text) for text in rows["text"]]})


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--labelled", type=int, default=4, help="labelled rows of a step")
    arguments.add_argument("--ratio", type=int, default=16, help="unlabelled rows of a step for each labelled one")
    arguments.add_argument("--max-length", type=int, default=64)
    arguments.add_argument("--steps", type=int, default=12)
    options = arguments.parse_args()
    few = 32 * options.labelled
    rows = reviews(options, few + options.rows)
    # Classes in turn: a few labelled rows must have both.
    rows = rows.iloc[rows.groupby("label").cumcount().argsort(kind="stable")]
    labelled, pool = rows.head(few), with_views(rows.tail(options.rows))
    runs = {
        "three passes, fixed padding": partial(three_passes, fixed=True),
        "three passes, dynamic padding": partial(three_passes, fixed=False),
        "kexp": kexp,
    }
    given = {"steps": options.steps, "ratio": options.ratio}
    with tempfile.TemporaryDirectory() as folder:
        plain = save_classifier(options.model, Path(folder, "plain"), dropout=False)
        work = Work(plain, labelled, options.max_length, 1, 0, options.labelled, precision=options.precision)
        # All labelled and all unlabelled rows in one step.
        one = replace(work, rows=labelled.head(options.labelled), log_every=1)
        all_of = pool.head(options.labelled * options.ratio)
        losses = {name: list(run(one, all_of, steps=3, ratio=options.ratio).losses) for name, run in runs.items()}
        equal: dict[str, Any] = check_losses(losses, options.precision)
        work = replace(work, model=save_classifier(options.model, Path(folder, "model")))
        found = take_turns({name: partial(run, work, pool, **given) for name, run in runs.items()}, options.rounds)
    steps = {outcome.steps for outcomes in found.values() for outcome in outcomes}
    if steps != {options.steps}:
        raise SystemExit(f"the contestants did {steps} steps, expected {options.steps}")
    equal |= {"steps": options.steps, "rows_of_a_step": {"labelled": options.labelled, "pairs": len(all_of)}}
    seconds = {name: [outcome.seconds / outcome.steps for outcome in outcomes] for name, outcomes in found.items()}
    title = f"a step of UDA, {options.labelled} labelled rows and {len(all_of)} pairs"
    recorded = {title: details({"kexp": found["kexp"]})}
    tables = [table(title, seconds, base="three passes, fixed padding")]
    report(options, tables, equal_work={title: equal}, details=recorded)


if __name__ == "__main__":
    main()
