"""Runs in another process, with ``job`` among its globals: back-translates, slowly enough to be killed in between."""

import os
import random
import time
from typing import Any

from kexp.contracts import AugmenterContext
from kexp_backtranslation.augmenter import BackTranslation
from kexp_backtranslation.seq2seq import Seq2SeqTranslator

job: dict[str, Any] = globals()["job"]
quick = Seq2SeqTranslator.translate


def slowly(*arguments: Any, **options: Any) -> list[list[str]]:
    time.sleep(0.01)
    return quick(*arguments, **options)


if job["engine"] == "marian":
    import torch

    torch.set_num_threads(1)
Seq2SeqTranslator.translate = slowly  # type: ignore[method-assign]
options = BackTranslation(translator=job["pair"].translator(job["engine"]), gate=job["gate"], **job["options"])
if job["together"]:  # wait for the other processes, so that they all start at once
    (job["store"] / str(os.getpid())).touch()
    while len(list(job["store"].iterdir())) < job["together"]:
        time.sleep(0.01)
augmenter = options.build(AugmenterContext(store=job["store"], device="cpu"))
augmenter(job["texts"], [random.Random(0) for _ in job["texts"]])
