"""Time the same predictions three ways and print the ratios: a naive loop, a transformers pipeline, and kexp.

    python benchmarks/prediction.py --model RUN_FOLDER --data reviews.tsv --text document --rows 2000

All three predict the same texts with the same model in fp32, tokenising included. They differ in how batches are
made: the naive loop pads everything to max_length, the pipeline pads to the longest row of each batch in the order of
the texts, kexp puts rows of similar length together. The order of the contestants changes from round to round, and
their probabilities are compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from common import parser, reviews, turns
from transformers import PreTrainedModel, pipeline

from kexp.trained import load


def naive(model: PreTrainedModel, tokenizer, texts: list[str], max_length: int, batch_size: int) -> np.ndarray:
    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), batch_size):
            rows = texts[start : start + batch_size]
            inputs = tokenizer(
                rows, padding="max_length", truncation=True, max_length=max_length, return_tensors="pt"
            ).to(model.device)
            found.append(model(**inputs).logits.softmax(-1).cpu().numpy())
    return np.concatenate(found)


def piped(model: PreTrainedModel, tokenizer, texts: list[str], max_length: int, batch_size: int) -> np.ndarray:
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device=model.device)
    rows = classify(texts, batch_size=batch_size, truncation=True, max_length=max_length, top_k=None)
    numbers = model.config.label2id
    found = np.empty((len(texts), len(numbers)))
    for place, row in enumerate(rows):
        for answer in row:
            found[place, numbers[answer["label"]]] = answer["score"]
    return found


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--batch-size", type=int, default=128)
    options = arguments.parse_args()
    texts = reviews(options)[options.text].tolist()
    trained = load(options.model, precision="fp32", batch_size=options.batch_size)
    member = trained.members[0]
    model, pipeline = member.module, member.pipeline
    length, batch_size = pipeline.max_length, options.batch_size
    contestants: dict[str, Callable[[], np.ndarray]] = {
        f"naive loop, padded to {length}": lambda: naive(model, pipeline.tokenizer, texts, length, batch_size),
        "transformers pipeline": lambda: piped(model, pipeline.tokenizer, texts, length, batch_size),
        "kexp": lambda: trained.predict(texts),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    answers: dict[str, np.ndarray] = {}
    for name in turns(contestants, options.rounds):
        started = time.perf_counter()
        answers[name] = contestants[name]()
        seconds[name].append(time.perf_counter() - started)
    base, *_ = (statistics.median(times) for times in seconds.values())
    print(f"{'':32}{'seconds':>10}{'rows/s':>10}{'times as fast':>15}{'largest difference':>20}")
    for name, times in seconds.items():
        median = statistics.median(times)
        difference = np.abs(answers[name] - answers["kexp"]).max()
        print(f"{name:32}{median:10.2f}{len(texts) / median:10.0f}{base / median:15.2f}{difference:20.1e}")


if __name__ == "__main__":
    main()
