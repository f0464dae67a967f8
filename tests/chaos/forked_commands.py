"""A program that runs command lines of kexp in forked processes, which have imported torch already.

Reads a JSON object per line, ``arguments``, ``environment``, ``output``, ``errors`` and ``faults``; writes the number
of the process, and when it has ended its status: negative for a signal.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def import_all() -> None:
    """Import what the commands would, so that they begin at once."""
    import datasets

    import kexp.cli
    import kexp.experiment.run
    import kexp.inference.predict
    import kexp.search.tune
    from kexp.catalog import load_catalog

    load_catalog()
    import matplotlib.backends.backend_svg
    import matplotlib.pyplot
    import pyarrow.dataset
    import pyarrow.parquet
    import sklearn.feature_extraction.text
    import sklearn.linear_model
    import torch
    import torch.utils.data
    from transformers import BertForSequenceClassification, BertTokenizerFast, PreTrainedTokenizerFast

    assert all((datasets, matplotlib, pyarrow, sklearn, torch, kexp, BertForSequenceClassification, BertTokenizerFast))
    assert PreTrainedTokenizerFast


def run(request: dict[str, Any]) -> None:
    from faults import install

    from kexp.cli import app

    for name, path in (("output", 1), ("errors", 2)):
        opened = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, path)
        os.close(opened)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(request["environment"])
    sys.argv = ["kexp", *request["arguments"]]
    install(request["faults"])
    app(request["arguments"])


def main() -> None:
    import_all()
    print("ready", flush=True)
    # Not sys.stdin, of which a child would inherit what is buffered.
    while line := _line():
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            run(request)
            return
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


if __name__ == "__main__":
    main()
