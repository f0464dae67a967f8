"""Run folders written by hand as kexp writes them, and the page on a server of this process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from kexp.ui.app import Load, make_app
from kexp.ui.streams import Streams

LABELS = ["긍정적인 감상평", "부정적인 감상평"]


def event(step: int, value: float = 0.5) -> list[dict[str, Any]]:
    """Return the events of a step and an evaluation; ten steps are an epoch."""
    rest = {"train_loss": value, "best": True, "seconds": 0.1, "metrics": {"accuracy": value, "cross_entropy": value}}
    return [
        {"event": "step", "step": step, "epoch": step / 10, "loss": value, "learning_rate": 0.1},
        {"event": "evaluation", "step": step, "epoch": step / 10, **rest},
    ]


def write_run(
    runs: Path, key: str, *, value: float | None = 0.75, steps: int = 3, spec: str = "", status: str = "done"
) -> Path:
    """Write a run as kexp does, ``experiment/folder/variant/seed-n``; without a ``value`` it has no result yet."""
    path = runs / key
    path.mkdir(parents=True, exist_ok=True)
    (path.parents[1] / "spec.toml").write_text(f'name = "x"\n{spec}', "utf-8")
    events = [{"event": "started", "step": 0, "total_steps": 100}]
    events += [one for step in range(1, steps + 1) for one in event(10 * step, step / 10)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events), "utf-8")
    if value is not None:
        experiment, _, variant, seed = key.split("/")
        result = {
            "status": status,
            "experiment": experiment,
            "variant": variant,
            "seed": int(seed.removeprefix("seed-")),
            "labels": LABELS,
            "metrics": {"test": {"accuracy": value}, "validation": {"accuracy": value}},
            "confusion_matrix": {"test": [[30, 10], [5, 55]]},
            "monitor": "accuracy",
            "train_seconds": 2.0,
        }
        (path / "result.json").write_text(json.dumps(result), "utf-8")
    return path


def add_events(path: Path, *steps: int) -> None:
    """Append events, as training does."""
    with (path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(one) + "\n" for step in steps for one in event(step))


@contextmanager
def served(runs: Path, load: Load) -> Iterator[str]:
    """Serve the page in a thread, and yield its address."""
    streams = Streams()
    config = uvicorn.Config(make_app(runs, load, ["127.0.0.1"], streams), port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        streams.stop()
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def tab(chromium: Any, address: str, **options: Any) -> Iterator[Any]:
    """Open a tab; errors of its scripts fail the test that has them."""
    context = chromium.new_context(base_url=address, timezone_id="Asia/Seoul", **options)
    page = context.new_page()
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    try:
        yield page
        assert errors == []
    finally:
        context.close()
