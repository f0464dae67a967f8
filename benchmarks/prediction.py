"""Time predictions: a loop with fixed padding, pipelines of transformers, and kexp.

    python benchmarks/prediction.py --model FOLDER_OR_ID --data ratings_test.txt --rows 2000

All predict the same texts with the same model, tokenising included. They differ in how batches are made: the loop pads
everything to max_length; a pipeline with batch_size 32 pads to the longest row of each batch, in the order of the texts
as people run it, and sorted by their length at its best. kexp orders by length itself. The contestants take turns, and
must give the same probabilities.

Beside them stands what a row of a file costs the host in kexp predict besides the model and the tokenizer: reading,
cleaning, batches, writing. A model is put in for it whose logits are ready.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import parser, report, reviews, table, take_turns
from contestants import autocast, device, save_classifier, synchronised
from limit import Encoder, lengths_of, limit_row
from transformers import AutoTokenizer, pipeline

from kexp.data.tokenising import tokenise
from kexp.inference.columns import TextColumns
from kexp.inference.input_tables import open_table
from kexp.inference.predict import Columns, predict_table
from kexp.inference.writers import sink_to
from kexp.trained import load

SAME = {"fp32": 1e-4, "bf16": 3e-2}
"""Largest difference of a probability."""
Answers = np.ndarray
Predict = Callable[[list[str]], Answers]


def loop(model: Any, tokenizer: Any, max_length: int, precision: str, texts: list[str]) -> Answers:
    """Predict in a plain loop over batches of 32 that are padded to max_length."""
    found = []
    with torch.inference_mode(), autocast(precision):
        for start in range(0, len(texts), 32):
            given = {"padding": "max_length", "truncation": True, "max_length": max_length, "return_tensors": "pt"}
            inputs = tokenizer(texts[start : start + 32], **given).to(model.device)
            found.append(model(**inputs).logits.float().softmax(-1).cpu().numpy())
    return np.concatenate(found)


def piped(classify: Any, max_length: int, precision: str, texts: list[str]) -> Answers:
    """Predict by a pipeline in the order of the texts."""
    with autocast(precision):
        rows = classify(texts, batch_size=32, truncation=True, max_length=max_length, top_k=None)
    numbers = classify.model.config.label2id
    found = np.empty((len(texts), len(numbers)))
    for place, row in enumerate(rows):
        for answer in row:
            found[place, numbers[answer["label"]]] = answer["score"]
    return found


def piped_sorted(classify: Any, max_length: int, precision: str, texts: list[str]) -> Answers:
    """Predict by a pipeline that is given the longest texts first."""
    order = np.argsort([-len(text) for text in texts], kind="stable")
    found = np.empty((len(texts), classify.model.config.num_labels))
    found[order] = piped(classify, max_length, precision, [texts[number] for number in order])
    return found


def kexp(trained: Any, texts: list[str]) -> Answers:
    """Predict by a model that kexp loaded."""
    answers: Answers = trained.predict(texts)
    return answers


class Ready:
    """Stands for a model whose logits are known."""

    def __init__(self, classifier: Any, labels: int) -> None:
        self.module, self.hardware, self.world = classifier.module, classifier.hardware, classifier.world
        # Probabilities of a trained model have many digits, and most of them are small.
        self.logits = torch.randn(4096, labels, generator=torch.Generator().manual_seed(0)) * 3

    def __call__(self, rows: Any) -> torch.Tensor:
        return self.logits[: len(rows)]


def host_time(trained: Any, labels: int, texts: list[str], folder: Path, rows: int = 20_000) -> dict[str, float]:
    """Return the microseconds of the processor per row of a file, by the format of the output, for so many labels.

    The tokenizer's own are taken off, which is measured alone.
    """
    texts = [text.replace("\t", " ") for text in (texts * (rows // len(texts) + 1))[:rows]]
    (folder / "rows.tsv").write_text("text\n" + "\n".join(texts) + "\n", "utf-8")
    pipeline = trained.members[0].pipeline
    names = tuple(f"주제 {number}" for number in range(labels))
    members = [replace(member, labels=names, classifier=Ready(member.classifier, labels)) for member in trained.members]
    ready = replace(trained, labels=names, members=members)
    columns = Columns(TextColumns(), None)

    def predicted(kind: str) -> None:
        input_table = open_table(folder / "rows.tsv", "--input")
        with sink_to(folder / f"out.{kind}", input_table, columns.added(ready), force=True) as sink:
            predict_table(ready, input_table, columns, sink)

    def used(call: Callable[[], object]) -> float:
        """Return the seconds of the processor; the least of three, since other programs take some away."""
        found = []
        for _ in range(3):
            started = time.process_time()
            call()
            found.append(time.process_time() - started)
        return min(found)

    tokens = used(lambda: tokenise(texts, pipeline.tokenizer, joint=pipeline.joint))
    return {kind: (used(partial(predicted, kind)) - tokens) / rows * 1e6 for kind in ("csv", "jsonl", "parquet")}


def timed(predict: Predict, texts: list[str]) -> tuple[float, Answers]:
    started = synchronised()
    answers = predict(texts)
    return synchronised() - started, answers


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--max-length", type=int, default=64)
    options = arguments.parse_args()
    texts, precision, length = reviews(options)["text"].tolist(), options.precision, options.max_length
    with tempfile.TemporaryDirectory() as folder:
        saved = save_classifier(options.model, Path(folder))
        # kexp cuts texts where the tokenizer says so.
        AutoTokenizer.from_pretrained(saved, model_max_length=length).save_pretrained(saved)
        trained = load(saved, precision=precision)
        classify = pipeline("text-classification", model=str(saved), device=device())
        classify.model.eval()
        contestants: dict[str, Predict] = {
            "loop, fixed padding": partial(loop, classify.model, classify.tokenizer, length, precision),
            "pipeline, batch_size 32": partial(piped, classify, length, precision),
            "pipeline, sorted by length": partial(piped_sorted, classify, length, precision),
            "kexp": partial(kexp, trained),
        }
        for predict in contestants.values():
            # Libraries prepare themselves on their first rows.
            predict(texts[:64])
        found = take_turns({name: partial(timed, run, texts) for name, run in contestants.items()}, options.rounds)
        config = classify.model.config
        host = {f"{labels} labels": host_time(trained, labels, texts, Path(folder)) for labels in (2, 60)}
    expected = found["loop, fixed padding"][0][1]
    differences = {name: max(float(np.abs(got - expected).max()) for _, got in runs) for name, runs in found.items()}
    if wrong := [name for name, difference in differences.items() if not difference <= SAME[precision]]:
        raise SystemExit(f"{', '.join(wrong)}: other probabilities than the loop: {differences}")
    seconds = {name: [second for second, _ in runs] for name, runs in found.items()}
    encoder = Encoder.of(config)
    lengths = lengths_of(texts, classify.tokenizer, length)
    name, limit, figures = limit_row(encoder.forward(lengths), precision, encoder)
    seconds[name] = limit
    title = f"prediction at max_length {length}"
    tables = [table(title, seconds, base="pipeline, batch_size 32", rows=len(texts), limit=figures)]
    for labels, found_of in host.items():
        shown = ", ".join(f"{kind} {used:.1f}" for kind, used in found_of.items())
        print(f"\nhost time of kexp predict with {labels}, us/row: {shown}")
    equal = {title: {"rows": len(texts), "largest_difference": differences}}
    report(options, tables, equal_work=equal, host_us_per_row=host)


if __name__ == "__main__":
    main()
