"""Time a server under load: kexp serve, and an endpoint around a pipeline of transformers as people write it.

    python benchmarks/serve.py --model FOLDER_OR_ID --data ratings_test.txt --rows 1000 --clients 16

Both servers are processes of their own on this machine, with the same model; the clients are threads of this one, which
send one text in each request over a connection that they keep. One client sends the next request when it has the answer
of the last; many do so beside each other, and kexp predicts together what waits. The contestants take turns, and must
give the same probabilities. Latencies are those that a client sees, from sending to the answer.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import parser, report, reviews, table, take_turns
from contestants import device, save_classifier
from transformers import AutoTokenizer, pipeline

SAME = {"fp32": 1e-4, "bf16": 3e-2}
"""Largest difference of a probability."""
PERCENTILES = (50, 95, 99)
PEER = "--pipeline"
"""First word of the command that runs the other server."""
Answers = np.ndarray
Load = tuple[float, np.ndarray, Answers]
"""Seconds of all requests, milliseconds of each, and probabilities of shape (texts, labels)."""


def serve_pipeline(folder: str, max_length: int) -> None:
    """Serve a pipeline of transformers, which one request at a time can use."""
    from threading import Lock

    import uvicorn
    from fastapi import FastAPI

    from kexp.ui.listening import listen

    classify = pipeline("text-classification", model=folder, device=device())
    app, lock = FastAPI(), Lock()

    @app.post("/predict")
    def predict(asked: dict[str, str]) -> dict[str, Any]:
        with lock:
            found = classify(asked["text"], truncation=True, max_length=max_length, top_k=None)
        return {"predictions": [{"probabilities": {one["label"]: one["score"] for one in found}}]}

    listening = listen("127.0.0.1", 0)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


@contextmanager
def running(command: Sequence[str]) -> Iterator[int]:
    """Run a server and yield its port, which it prints."""
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        found = next(
            (match for line in process.stderr if (match := re.match(r"http://127\.0\.0\.1:(\d+)", line))), None
        )
        if found is None:
            raise SystemExit(f"{' '.join(command)} did not begin")
        yield int(found[1])
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def loaded(port: int, clients: int, texts: list[str], labels: Sequence[str]) -> Load:
    """Send every text in a request of its own, by so many clients at once."""
    milliseconds, answers = np.empty(len(texts)), np.empty((len(texts), len(labels)))

    def client(rows: range) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for row in rows:
            body = json.dumps({"text": texts[row]}).encode()
            started = time.perf_counter()
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            milliseconds[row] = 1000 * (time.perf_counter() - started)
            if answer.status != 200:
                raise SystemExit(f"the server answers {answer.status}: {content.decode()}")
            probabilities = json.loads(content)["predictions"][0]["probabilities"]
            answers[row] = [probabilities[label] for label in labels]
        connection.close()

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        for _ in threads.map(client, (range(first, len(texts), clients) for first in range(clients))):
            pass
    return time.perf_counter() - started, milliseconds, answers


def tables(found: dict[str, list[Load]], clients: int, rows: int) -> list[dict[str, Any]]:
    """Return the table of seconds, and one of latencies for each percentile."""
    base = f"pipeline, {clients} clients"
    seconds = {name: [load[0] for load in loads] for name, loads in found.items()}
    made = [table(f"{rows:,} requests", seconds, base=base, rows=rows)]
    for percentile in PERCENTILES:
        latencies = {
            name: [float(np.percentile(load[1], percentile)) for load in loads] for name, loads in found.items()
        }
        made.append(table(f"latency, percentile {percentile}", latencies, base=base, unit="ms"))
    return made


def main() -> None:
    if sys.argv[1:2] == [PEER]:
        serve_pipeline(sys.argv[2], int(sys.argv[3]))
        return
    arguments: argparse.ArgumentParser = parser(__doc__, rows=1000)
    arguments.add_argument("--max-length", type=int, default=64)
    arguments.add_argument("--clients", type=int, default=16)
    options = arguments.parse_args()
    texts, clients, length = reviews(options)["text"].tolist(), options.clients, options.max_length
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        saved = save_classifier(options.model, Path(folder))
        tokenizer = AutoTokenizer.from_pretrained(saved, model_max_length=length)
        tokenizer.save_pretrained(saved)
        labels = list(json.loads((Path(saved) / "config.json").read_text("utf-8"))["id2label"].values())
        ours = ["-m", "kexp", "serve", str(saved), "--port", "0", "--precision", options.precision]
        ports = {
            "pipeline": servers.enter_context(running([__file__, PEER, str(saved), str(length)])),
            "kexp": servers.enter_context(running(ours)),
        }
        contestants: dict[str, Callable[[], Load]] = {
            "pipeline, 1 client": partial(loaded, ports["pipeline"], 1, texts, labels),
            f"pipeline, {clients} clients": partial(loaded, ports["pipeline"], clients, texts, labels),
            "kexp, 1 client": partial(loaded, ports["kexp"], 1, texts, labels),
            "kexp": partial(loaded, ports["kexp"], clients, texts, labels),
        }
        for port in ports.values():
            # Libraries prepare themselves on their first rows.
            loaded(port, clients, texts[:64], labels)
        found = take_turns(contestants, options.rounds)
    expected = next(iter(found.values()))[0][2]
    differences = {
        name: max(float(np.abs(load[2] - expected).max()) for load in loads) for name, loads in found.items()
    }
    if wrong := [name for name, difference in differences.items() if not difference <= SAME[options.precision]]:
        raise SystemExit(f"{', '.join(wrong)}: other probabilities than the pipeline: {differences}")
    made = tables(found, clients, len(texts))
    equal = {one["title"]: {"requests": len(texts), "largest_difference": differences} for one in made}
    report(options, made, equal_work=equal)


if __name__ == "__main__":
    main()
