"""Trackers on real runs, read back with the tools of W&B, TensorBoard, MLflow and Trackio themselves."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import kexp, tiny_spec
from typer.testing import Result

from kexp.builtin.trackers import TRACKERS, TensorBoard, Wandb, common
from kexp.builtin.trackers.trackio import quiet_stdout
from kexp.builtin.trackers.wandb_plots import worst_first
from kexp.builtin.trackers.wandb_settings import key_configured
from kexp.contracts import RunIdentity, Task
from kexp.packages import missing
from kexp.search.trial_training import run_trial
from kexp.train.step import OptimizerStep

Json = dict[str, Any]
KEY = "0123456789" * 4

SPEC = tiny_spec('name = "reviews"\nseeds = [1]', "[evaluation]\nbaselines = []")
W_AND_B = """
[[trackers]]
use = "wandb"
"""
OTHERS = """
[[trackers]]
use = "tensorboard"
[[trackers]]
use = "trackio"
[[trackers]]
use = "mlflow"
log_artifacts = true
"""


def run_of(result: Result, seed: int = 1) -> Path:
    return Path(json.loads(result.stdout)["folder"]) / "default" / f"seed-{seed}"


def events_of(run: Path) -> list[Json]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]


def expected(run: Path) -> dict[tuple[int, str], float]:
    """Return every number of every event by step and name, from ``metrics.jsonl`` alone."""
    found: dict[tuple[int, str], float] = {}
    for event in events_of(run):
        step = event.pop("step")
        numbers: Json = {}
        match event.pop("event"):
            case "epoch":
                numbers = {"train/trainable_parameters": event["trainable_parameters"]}
            case "step":
                numbers = {f"train/{name}": value for name, value in {**event.pop("logs"), **event}.items()}
            case "evaluation":
                numbers = {f"validation/{name}": value for name, value in event.pop("metrics").items()}
                numbers |= {f"pool/{name}": value for name, value in event.pop("pool").items()}
                numbers |= {"epoch": event["epoch"], "train/mean_loss": event["train_loss"]}
                numbers |= {"validation/seconds": event["seconds"], "validation/best": float(event["best"])}
        found |= {(step, name): value for name, value in numbers.items()}
    return found


def assert_all_there(wanted: Mapping[tuple[int, str], float], found: Mapping[tuple[int, str], float]) -> None:
    # TensorBoard has single precision.
    assert {place: found.get(place) for place in wanted} == pytest.approx(wanted, rel=1e-6)


@pytest.fixture(autouse=True, scope="module")
def _libraries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the libraries write away from the user's folders, and what they set away from other tests."""
    before = dict(os.environ)
    folder = tmp_path_factory.mktemp("libraries")
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_", "TRACKIO_", "KEXP_OFFLINE"))]:
        del os.environ[name]
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "TRACKIO_DIR"):
        os.environ[name] = str(folder / name.lower())
    os.environ["NETRC"] = str(folder / "netrc")
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    yield
    import wandb

    wandb.teardown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def write(reviews: Path, write_spec: Callable[..., Path]) -> Callable[[str], Path]:
    """Return a function that writes the spec with trackers behind it."""
    return lambda trackers: write_spec(SPEC.format(data=reviews) + trackers)


# --- Weights & Biases -------------------------------------------------------------------------------------------------


@cache
def records(folder: Path) -> list[Json]:
    """Read a run of W&B with W&B's own tool."""
    told = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in told.stdout.splitlines()]


def of(folder: Path, kind: str) -> list[Json]:
    return [record[kind] for record in records(folder) if record["type"] == kind]


def wandb_folders(run: Path, kind: str = "offline-run") -> list[Path]:
    return sorted((run / "wandb").glob(f"{kind}-*"))


def logged(*folders: Path) -> dict[tuple[int, str], float]:
    rows = [row for folder in folders for row in of(folder, "history")]
    return {(row["step"]["num"], name): value for row in rows for name, value in row["item"].items()}


def summary(folder: Path) -> Json:
    found: Json = {}
    for record in of(folder, "summary"):
        found |= record["update"]
    return found


def exit_codes(folder: Path) -> list[int]:
    return [record.get("exit_code", 0) for record in of(folder, "exit")]


@pytest.fixture(scope="module")
def mirrored(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Run two seeds with all trackers at once, for all tests that read what is there then."""
    folder = tmp_path_factory.mktemp("mirrored")
    spec = folder / "spec.toml"
    options = 'mode = "offline"\ntags = ["한국어", "test"]\nnotes = "a note"\nlog_model = true\ntable_rows = 10\n'
    text = SPEC.format(data=reviews).replace("[1]", "[1, 2]")
    spec.write_text(text + W_AND_B + options + OTHERS, encoding="utf-8")
    result = kexp("run", spec, "--runs-dir", folder / "runs", "--json")
    assert result.exit_code == 0, result.stderr
    return result


def test_run_with_all_trackers_is_as_quiet_as_one_without(mirrored: Result) -> None:
    assert json.loads(mirrored.stdout)["status"] == "done"
    assert mirrored.stdout.count("\n") == 1
    lines = mirrored.stderr.splitlines()
    lasting = [line for line in lines if not line.endswith("…")]
    assert all(line.startswith(("preparing", "comparing", "run ", "default seed")) for line in lasting), mirrored.stderr
    assert "warning" not in mirrored.stderr


@pytest.mark.parametrize("seed", [1, 2])
def test_wandb_has_every_number_of_every_event_at_its_step(mirrored: Result, seed: int) -> None:
    run = run_of(mirrored, seed)
    (folder,) = wandb_folders(run)
    found = logged(folder)
    wanted = expected(run)
    assert len(wanted) > 30
    assert_all_there(wanted, found)


def test_wandb_knows_what_the_run_is(mirrored: Result) -> None:
    run = run_of(mirrored)
    (folder,) = wandb_folders(run)
    (told,) = of(folder, "run")
    assert told["project"] == "reviews"
    assert told["run_group"] == run.parent.parent.name
    assert told["job_type"] == "default"
    assert told["display_name"] == "default seed 1"
    assert told["tags"] == ["한국어", "test"]
    assert told["notes"] == "a note"
    config = told["config"]["update"]
    assert config["training"]["learning_rate"] == 5e-3
    assert config["backbone"] == {
        "use": "tiny",
        "family": "bert",
        "layers": 1,
        "hidden": 32,
        "heads": 2,
        "vocabulary": 300,
        "positions": 256,
    }
    assert (config["variant"], config["seed"], config["seeds"]) == ("default", 1, [1, 2])
    assert "trackers" not in config
    assert told["run_id"] != of(wandb_folders(run_of(mirrored, 2))[0], "run")[0]["run_id"]


def last_evaluation(run: Path) -> Json:
    return [event for event in events_of(run) if event["event"] == "evaluation"][-1]["metrics"]


def final(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return what a tracker holds of the kept model by split and metric."""
    return {
        name.removeprefix("final/"): metrics[name] for name in metrics if re.match("final/(validation|test)/", name)
    }


def test_every_tracker_ends_with_the_metrics_of_the_kept_model_alone(mirrored: Result) -> None:
    run = run_of(mirrored, 2)
    result = json.loads((run / "result.json").read_text())
    kept = {f"{split}/{name}": value for split, of in result["metrics"].items() for name, value in of.items()}
    # The last epoch's metrics are others, so that whoever mistakes them for those of the kept model is found out.
    assert result["best_epoch"] < result["epochs"]
    assert last_evaluation(run)["macro_f1"] != result["metrics"]["validation"]["macro_f1"]
    (folder,) = wandb_folders(run)
    ends: dict[str, Mapping[str, Any]] = {
        "wandb": summary(folder),
        "mlflow": mlflow_run(run).data.metrics,
        "tensorboard": {name: value for (_, name), value in scalars(run)},
        "trackio": {name: value for (_, name), value in trackio_history(run)},
    }
    assert {name: final(metrics) for name, metrics in ends.items()} == {
        name: pytest.approx(kept, rel=1e-6) for name in ends
    }
    # Nothing that is logged while a run trains has such a name.
    names = {name for _, name in logged(folder)}
    assert "validation/macro_f1" in names
    assert not any(name.startswith("final/") for name in names)
    # W&B's summary would otherwise show the last epoch's metrics as if they were the run's.
    assert not [name for name in summary(folder) if name.startswith(("validation/", "test/macro_f1"))]


def test_wandb_ends_with_metrics_plots_table_and_model(mirrored: Result) -> None:
    run = run_of(mirrored)
    (folder,) = wandb_folders(run)
    assert exit_codes(folder) == [0]
    result, found = json.loads((run / "result.json").read_text()), summary(folder)
    assert found["status"] == "done"
    for split in ("validation", "test"):
        for name, value in result["metrics"][split].items():
            assert found[f"final/{split}/{name}"] == pytest.approx(value)
    assert found["best_epoch"] == result["best_epoch"]
    panels = [name for record in of(folder, "config") for name in record["update"]]
    assert [name for name in panels if "visualize" in name] == [
        "_wandb.visualize.test/confusion_matrix", "_wandb.visualize.test/pr_curve",
    ]  # fmt: skip
    matrix = {(row[0], row[1]): row[2] for row in table(folder, "test/confusion_matrix_table")}
    assert matrix == {
        (true, said): result["confusion_matrix"]["test"][i][j]
        for i, true in enumerate(result["labels"])
        for j, said in enumerate(result["labels"])
    }
    assert {row[0] for row in table(folder, "test/pr_curve_table")} == set(result["labels"])
    artifact = next(record for record in of(folder, "artifact") if record["type"] == "model")
    assert {"config.json", "model.safetensors"} <= {file["path"] for file in artifact["manifest"]["contents"]}
    assert {file["local_path"] for file in artifact["manifest"]["contents"]} == {
        str(path) for path in (run / "model").iterdir()
    }


def table(folder: Path, name: str) -> list[list[Any]]:
    (row,) = [row["item"] for row in of(folder, "history") if f"{name}.path" in row["item"]]
    return json.loads((folder / "files" / row[f"{name}.path"]).read_text("utf-8"))["data"]


def test_table_of_predictions_begins_with_the_surest_mistakes(mirrored: Result) -> None:
    run = run_of(mirrored)
    (folder,) = wandb_folders(run)
    rows = table(folder, "test/predictions")
    frame = pd.read_parquet(run / "predictions.parquet", filters=[("split", "==", "test")])
    assert len(rows) == 10
    texts = set(frame["text"])
    assert all(row[1] in texts for row in rows)


def test_surest_mistakes_come_first_and_doubtful_hits_after_them() -> None:
    frame = pd.DataFrame(
        {
            "split": "test",
            "row": range(5),
            "label": list("aabbb"),
            "predicted": list("abbab"),
            "confidence": [0.9, 0.6, 0.7, 0.8, 0.5],
        }
    )
    assert list(worst_first(frame)["row"]) == [3, 1, 4, 2, 0]
    assert list(worst_first(frame)) == ["row", "label", "predicted", "confidence"]


# --- TensorBoard, MLflow, Trackio -------------------------------------------------------------------------------------


def accumulated(run: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    return found.Reload()


def scalars(run: Path) -> list[tuple[tuple[int, str], float]]:
    found = accumulated(run)
    return [((event.step, name), event.value) for name in found.Tags()["scalars"] for event in found.Scalars(name)]


def text(run: Path, tag: str) -> str:
    (event,) = accumulated(run).Tensors(f"{tag}/text_summary")
    return event.tensor_proto.string_val[0].decode()


def test_tensorboard_has_every_number_of_every_event_at_its_step(mirrored: Result) -> None:
    run = run_of(mirrored)
    found, wanted = scalars(run), expected(run)
    assert len(found) == len(dict(found))
    assert_all_there(wanted, dict(found))


def test_tensorboard_ends_with_metrics_beside_hyperparameters(mirrored: Result) -> None:
    run = run_of(mirrored)
    result, found = json.loads((run / "result.json").read_text()), dict(scalars(run))
    assert found[36, "final/test/macro_f1"] == pytest.approx(result["metrics"]["test"]["macro_f1"])
    assert found[36, "final/validation/macro_f1"] == pytest.approx(result["metrics"]["validation"]["macro_f1"])
    assert text(run, "status") == "done"
    assert "    learning_rate = 0.005" in text(run, "spec").splitlines()
    from tensorboard.plugins.hparams import plugin_data_pb2

    contents = accumulated(run).SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(contents).session_start_info
    assert start.hparams["training.learning_rate"].number_value == 5e-3
    assert start.hparams["backbone.use"].string_value == "tiny"


def mlflow_run(run: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient().get_run((run / "mlflow-id").read_text().strip())


def mlflow_history(run: Path) -> list[tuple[tuple[int, str], float]]:
    from mlflow import MlflowClient

    client, found = MlflowClient(), mlflow_run(run)
    return [
        ((metric.step, name), metric.value)
        for name in found.data.metrics
        for metric in client.get_metric_history(found.info.run_id, name)
    ]


def test_mlflow_has_every_number_of_every_event_at_its_step(mirrored: Result) -> None:
    run = run_of(mirrored)
    found, wanted = mlflow_history(run), expected(run)
    assert len(found) == len(dict(found))
    assert_all_there(wanted, dict(found))


def test_mlflow_knows_parameters_end_and_files(mirrored: Result) -> None:
    from mlflow import MlflowClient

    run = run_of(mirrored)
    result, found = json.loads((run / "result.json").read_text()), mlflow_run(run)
    assert MlflowClient().get_experiment(found.info.experiment_id).name == "reviews"
    assert (found.info.run_name, found.info.status) == ("default seed 1", "FINISHED")
    assert found.data.params["training.learning_rate"] == "0.005"
    assert found.data.params["seed"] == "1"
    assert found.data.tags["kexp.group"] == run.parent.parent.name
    assert found.data.tags["kexp.status"] == "done"
    assert found.data.metrics["final/test/macro_f1"] == pytest.approx(result["metrics"]["test"]["macro_f1"])
    files = {file.path for file in MlflowClient().list_artifacts(found.info.run_id)}
    assert files == {"result.json", "predictions.parquet", "model"}


def trackio_run(run: Path) -> tuple[str, Json]:
    import trackio

    name = f"default {run.name.replace('-', ' ')} ({run.parent.parent.name})"
    (found,) = [one for one in trackio.Api().runs("reviews") if one.name == name]
    return name, found.config or {}


def trackio_history(run: Path) -> list[tuple[tuple[int, str], Any]]:
    from trackio.sqlite_storage import SQLiteStorage

    rows = SQLiteStorage.get_logs("reviews", trackio_run(run)[0])
    return [((row["step"], name), row[name]) for row in rows for name in row if name not in ("step", "timestamp")]


def test_trackio_has_every_number_of_every_event_at_its_step(mirrored: Result) -> None:
    run = run_of(mirrored)
    found, wanted = trackio_history(run), expected(run)
    assert len(found) == len(dict(found))
    assert_all_there(wanted, dict(found))


def test_trackio_knows_group_spec_and_end(mirrored: Result) -> None:
    run = run_of(mirrored)
    result, found, config = (
        json.loads((run / "result.json").read_text()),
        dict(trackio_history(run)),
        trackio_run(run)[1],
    )
    assert config["_Group"] == run.parent.parent.name
    assert config["training"]["learning_rate"] == 5e-3
    assert found[36, "final/status"] == "done"
    assert found[36, "final/test/macro_f1"] == pytest.approx(result["metrics"]["test"]["macro_f1"])


# --- other ends than a good one ---------------------------------------------------------------------------------------


def test_failed_run_is_closed_as_failed_everywhere(
    write: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: OptimizerStep, step: int) -> None:
        if step == 14:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(OptimizerStep, "_set_learning_rate", full)
    # A password on the command line, which W&B would send along.
    monkeypatch.setattr(sys, "argv", ["kexp", "--storage", "postgresql://me:secret@host/db"])
    result = kexp(
        "run", write(W_AND_B + 'mode = "offline"' + OTHERS), "--runs-dir", tmp_path / "runs", "--json", "--quiet"
    )
    assert result.exit_code == 1
    run = run_of(result)
    (folder,) = wandb_folders(run)
    assert exit_codes(folder) == [1]
    assert summary(folder)["status"] == "failed"
    assert "No space left" in summary(folder)["reason"]
    wanted = expected(run)
    assert_all_there(wanted, logged(folder))
    assert not [path for path in folder.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]
    assert (mlflow_run(run).info.status, mlflow_run(run).data.tags["kexp.status"]) == ("FAILED", "failed")
    assert text(run, "status") == "failed: No space left on device; free some space"
    assert dict(trackio_history(run))[events_of(run)[-1]["step"], "final/status"] == "failed"


def test_interrupted_run_is_closed_and_goes_on_as_the_same(write: Callable[[str], Path], tmp_path: Path) -> None:
    spec = write(W_AND_B + 'mode = "offline"' + OTHERS)
    process = subprocess.Popen(
        [sys.executable, "-m", "kexp", "run", str(spec), "--set", "training.epochs=30", "--runs-dir", str(tmp_path / "runs")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A service of this process is no service of that one.
        env={name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if any('"epoch": 2.0' in path.read_text() for path in tmp_path.glob("runs/*/*/*/*/metrics.jsonl")):
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    # Nothing of the libraries' on the terminal.
    assert not re.search("wandb|mlflow|trackio|alembic", stdout + stderr, re.IGNORECASE), stdout + stderr
    folder = next((tmp_path / "runs" / "reviews").iterdir())
    run = folder / "default" / "seed-1"
    stopped_at = events_of(run)[-1]["step"]
    assert mlflow_run(run).info.status == "KILLED"
    assert dict(trackio_history(run))[stopped_at, "final/status"] == "interrupted"

    resumed = kexp("run", "--resume", folder, "--json", "--quiet")
    assert resumed.exit_code == 0, resumed.stderr
    first, second = wandb_folders(run)
    assert [exit_codes(first), exit_codes(second)] == [[255], [0]]
    assert of(first, "run")[0]["run_id"] == of(second, "run")[0]["run_id"]
    assert (mlflow_run(run).info.status, mlflow_run(run).data.tags["kexp.status"]) == ("FINISHED", "done")
    wanted = expected(run)
    for found in (logged(first, second), mlflow_history(run), trackio_history(run), scalars(run)):
        assert_all_there(wanted, dict(found))


# --- servers that do not answer ---------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """As much of a W&B server as a run needs; what ``gate`` says to a request is its status, once it says it."""

    daemon_threads = True

    def __init__(self, gate: Callable[[str], int]) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.gate = gate
        self.history: list[Json] = []
        self.ids: set[str] = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        return {"WANDB_BASE_URL": f"http://127.0.0.1:{self.server_port}", "WANDB_API_KEY": KEY}


class Answering(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        name = body.get("operationName") or (re.findall(r"(?:query|mutation) (\w+)", body.get("query", "")) or [""])[0]
        status = self.server.gate(name or self.path)
        if self.path.endswith("/file_stream") and status == 200:
            lines = body.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
            self.server.history += map(json.loads, lines)
            self.server.ids.add(self.path.split("/")[-2])
        model = {"id": "P", "name": "reviews", "entity": {"id": "E", "name": "me"}}
        data: Json = {
            "Viewer": {"viewer": {"id": "V", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}},
            "RunResumeStatus": {"model": {**model, "bucket": None}},
            "UpsertBucket": {"upsertBucket": {"bucket": {"id": "B", **_run(body), "project": model}, "inserted": True}},
        }.get(name, {})
        self.answer(status if data or not name else 400, {"data": data} if data else {})

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, {})

    def do_GET(self) -> None:
        self.answer(404, {})

    def answer(self, status: int, body: Json) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _run(body: Json) -> Json:
    variables = body.get("variables") or {}
    return {"name": variables.get("name"), "displayName": variables.get("displayName"), "historyLineCount": 0}


@contextmanager
def serving(gate: Callable[[str], int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve W&B, to a library that reads its environment anew."""
    import wandb

    server = Server(gate)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    wandb.teardown()
    try:
        yield server
    finally:
        wandb.teardown()
        server.shutdown()
        server.server_close()


def warning_of(run: Path) -> str:
    """Return the one warning of the log."""
    (line,) = [line for line in (run / "log.txt").read_text("utf-8").splitlines() if " WARNING kexp" in line]
    return line.partition("kexp: ")[2]


def assert_it_can_be_sent(run: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what a warning said, with a server that answers: every number of every event arrives."""
    arguments = shlex.split(command)
    with serving(lambda name: 200, monkeypatch) as server:
        sent = subprocess.run(
            [sys.executable, "-m", *arguments], capture_output=True, text=True, check=False, timeout=60,
            env={name: value for name, value in os.environ.items() if name not in ("WANDB_SERVICE", "WANDB_SILENT")},
        )  # fmt: skip
        assert sent.returncode == 0, sent.stderr
        found = {(row["_step"], name): value for row in server.history for name, value in row.items()}
        wanted = expected(run)
        assert_all_there(wanted, found)
        assert server.ids == {(run / "wandb-id").read_text().strip()}


def assert_no_key(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_training_is_over_while_the_server_still_hangs(
    write: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers nothing until all of training is in ``metrics.jsonl``; then it refuses the key."""
    over: list[bool] = []

    def wait_for_training(name: str) -> int:
        deadline = time.monotonic() + 100
        while not over and time.monotonic() < deadline:
            time.sleep(0.02)
            for path in tmp_path.glob("runs/*/*/*/*/metrics.jsonl"):
                over.extend('"event": "finished"' in line for line in path.read_text().splitlines()[-1:])
                over[:] = filter(None, over)
        return 401

    with serving(wait_for_training, monkeypatch):
        result = kexp("run", write(W_AND_B + "init_timeout = 60"), "--runs-dir", tmp_path / "runs", "--json")
    assert over
    assert result.exit_code == 0, result.stderr
    run = run_of(result)
    (folder,) = wandb_folders(run)
    assert exit_codes(folder) == [0]
    wanted = expected(run)
    assert_all_there(wanted, logged(folder))
    assert "the run is offline" in warning_of(run)
    assert_no_key(tmp_path / "runs")


def test_server_that_hangs_for_ever_costs_a_warning_that_says_what_to_do(
    write: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()
    with serving(lambda name: 400 * end.wait(), monkeypatch):
        spec = write(W_AND_B + "init_timeout = 2")
        result = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json")
        end.set()
    assert result.exit_code == 0, result.stderr
    run = run_of(result)
    (folder,) = wandb_folders(run)
    assert exit_codes(folder) == [0]
    wanted = expected(run)
    assert wanted[36, "train/loss"]
    assert_all_there(wanted, logged(folder))
    said, _, command = warning_of(run).partition("; send it later with: ")
    assert said.startswith("tracker wandb: the run is offline: ")
    assert warning_of(run) in result.stderr
    assert shlex.split(command) == ["wandb", "sync", str(folder)]
    assert_it_can_be_sent(run, command, monkeypatch)
    assert_no_key(tmp_path / "runs")


def test_server_that_hangs_at_the_end_leaves_a_file_that_can_be_sent(
    write: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()
    with serving(lambda name: 500 * end.wait() if name.startswith("/files") else 200, monkeypatch) as server:
        spec = write(W_AND_B + "finish_timeout = 2")
        result = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json")
        end.set()
    assert result.exit_code == 0, result.stderr
    run = run_of(result)
    (folder,) = wandb_folders(run, "run")
    said, _, command = warning_of(run).partition("; send the rest with: ")
    assert said == "tracker wandb: not everything was sent within 2 s"
    assert shlex.split(command) == ["wandb", "sync", "--include-online", str(folder)]
    assert server.history == []
    assert_it_can_be_sent(run, command, monkeypatch)
    assert_no_key(tmp_path / "runs")


def test_tracker_that_cannot_start_at_all_costs_a_warning(
    write: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    def broken(**options: object) -> None:
        raise wandb.Error("the disk is full")

    monkeypatch.setattr(wandb, "init", broken)
    result = kexp("run", write(W_AND_B), "--runs-dir", tmp_path / "runs", "--json", "--set", "training.epochs=1")
    assert json.loads(result.stdout)["status"] == "done"
    assert "tracker wandb: failed and is left out: the disk is full" in result.stderr


def identity(folder: Path, **stated: Any) -> RunIdentity:
    """Return a run that is over already, for trackers that are used without kexp around them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text('{"status": "failed", "reason": "of the test"}')
    return RunIdentity("reviews", "group", folder.name, 1, str(folder), {}, **stated)


def steps(*numbers: int) -> list[Json]:
    told = dict.fromkeys(("learning_rate", "gradient_norm", "examples_per_second", "tokens_per_second", "epoch"), 0.5)
    return [{"event": "step", "step": number, "loss": float(number), "logs": {}, **told} for number in numbers]


def test_resumed_run_without_a_server_is_sent_to_the_run_that_it_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end, warned = threading.Event(), []
    run = identity(tmp_path / "run", resumed_at=4, warn=warned.append)
    (tmp_path / "run" / "wandb-id").write_text("abcd1234\n")
    with serving(lambda name: 400 * end.wait(), monkeypatch):
        tracker = Wandb(init_timeout=1).build(run)
        for event in steps(5, 6):
            tracker.log(event)
        tracker.finish("failed")
        end.set()
    (command,) = [text.partition("; send it later with: ")[2] for text in warned]
    (folder,) = wandb_folders(tmp_path / "run")
    assert shlex.split(command) == ["wandb", "sync", "--id", "abcd1234", str(folder)]
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in steps(5, 6)))
    assert_it_can_be_sent(tmp_path / "run", command, monkeypatch)


def test_resumed_run_is_resumed_on_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda name: 200, monkeypatch) as server:
        for resumed_at in (None, 2):
            tracker = Wandb().build(identity(tmp_path / "run", resumed_at=resumed_at))
            for event in steps(1, 2) if resumed_at is None else steps(3, 4):
                tracker.log(event)
            tracker.finish("failed")
    assert server.ids == {(tmp_path / "run" / "wandb-id").read_text().strip()}
    assert [row["_step"] for row in server.history if "train/loss" in row] == [1, 2, 3, 4]


def test_runs_in_several_threads_do_not_meet(tmp_path: Path) -> None:
    def follow(name: str, numbers: range) -> None:
        tracker = Wandb(mode="offline").build(identity(tmp_path / name))
        for event in steps(*numbers):
            tracker.log(event)
        tracker.finish("pruned" if name == "a" else "failed")

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(follow, "ab", (range(1, 50), range(50, 99))))
    for name, numbers, code in (("a", range(1, 50), 0), ("b", range(50, 99), 1)):
        (folder,) = wandb_folders(tmp_path / name)
        rows = [row["item"] for row in of(folder, "history")]
        assert [row["train/loss"] for row in rows if "train/loss" in row] == list(numbers)
        assert exit_codes(folder) == [code]


def test_tensorboard_forgets_what_a_killed_process_told_after_its_checkpoint(tmp_path: Path) -> None:
    for resumed_at, numbers in ((None, range(1, 9)), (4, range(5, 11))):
        tracker = TensorBoard().build(identity(tmp_path / "run", resumed_at=resumed_at))
        for event in steps(*numbers):
            tracker.log(event)
        tracker.finish("failed")
    assert [place[0] for place, _ in scalars(tmp_path / "run") if place[1] == "train/loss"] == list(range(1, 11))


def test_standard_output_of_other_threads_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    other = threading.Thread(target=lambda: print("a result"))
    with quiet_stdout():
        print("a greeting")
        other.start()
        other.join()
    print("the end")
    assert capsys.readouterr().out == "a result\nthe end\n"


# --- a search's trials, and what is chosen before a run ---------------------------------------------------------------


class Link:
    """A search that ends a trial at its second report."""

    def __init__(self) -> None:
        self.reports = 0

    def report(self, step: int, value: float) -> str:
        self.reports += 1
        return "prune" if self.reports == 2 else "go on"

    def should_stop(self) -> bool:
        return False


@pytest.mark.parametrize("reports", ["macro_f1", None], ids=["pruned", "done"])
def test_every_trial_is_a_run_of_the_study(reviews: Path, tmp_path: Path, reports: str | None) -> None:
    spec = tomllib.loads(SPEC.format(data=reviews) + W_AND_B + 'mode = "offline"\nlog_model = true\n' + OTHERS)
    task = {
        "name": "trial-0007",
        "group": "reviews-study",
        "table": spec,
        "repeats": ({"seed": 1},),
        "reports": reports,
        "by_run": False,
    }
    trial = run_trial(Task(7, {**task, "folder": str(tmp_path)}), Link())
    status = "pruned" if reports else "done"
    assert trial["status"] == status
    run = tmp_path / "seed-1"
    (folder,) = wandb_folders(run)
    (told,) = of(folder, "run")
    assert (told["run_group"], told["job_type"], told["display_name"]) == (
        "reviews-study",
        "trial-0007",
        "trial-0007 seed 1",
    )
    assert exit_codes(folder) == [0]
    assert summary(folder)["status"] == status
    assert (mlflow_run(run).info.status, mlflow_run(run).data.tags["kexp.status"]) == ("FINISHED", status)
    assert text(run, "status").startswith(status)
    shown = [name for record in of(folder, "config") for name in record["update"] if "visualize" in name]
    # No test rows, and no predictions in a file.
    assert shown == ([] if reports else ["_wandb.visualize.validation/confusion_matrix"])
    assert "model" not in {artifact["type"] for artifact in of(folder, "artifact")}


@pytest.mark.parametrize(
    ("stated", "environment", "mode"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_API_KEY": KEY}, "online"),
        ("auto", {"WANDB_API_KEY": KEY, "KEXP_OFFLINE": "1"}, "offline"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, "offline"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": "dryrun"}, "offline"),
        ("auto", {"WANDB_MODE": "online"}, "online"),
        ("auto", {"WANDB_MODE": "disabled"}, "disabled"),
        ("online", {}, "online"),
        ("online", {"KEXP_OFFLINE": "true"}, "offline"),
        ("online", {"WANDB_MODE": "offline"}, "offline"),
        ("online", {"WANDB_MODE": "online", "KEXP_OFFLINE": "1"}, "online"),
        ("offline", {"WANDB_API_KEY": KEY}, "offline"),
        ("disabled", {"WANDB_API_KEY": KEY}, "disabled"),
    ],
)
def test_mode_follows_the_user_then_the_spec_then_the_key(
    stated: Any, environment: Mapping[str, str], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Wandb(mode=stated).chosen_mode()[0] == mode


@pytest.mark.parametrize(
    ("netrc", "settings", "known"),
    [
        ("", "", False),
        ("machine api.wandb.ai login user password k", "", True),
        ("machine github.com login user password k", "", False),
        ("machine own.host login user password k", "[default]\nbase_url = https://own.host\n", True),
        ("machine api.wandb.ai login user password k", "[default]\nbase_url = https://own.host\n", False),
        ("machine api.wandb.ai login", "", False),
        ("", "[default]\napi_key = k\n", True),
        ("", "no section", False),
    ],
)
def test_key_is_found_where_wandb_finds_it(
    netrc: str, settings: str, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text(netrc)
    (tmp_path / "settings").write_text(settings)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    assert key_configured() == known


def test_wandb_offline_of_the_user_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings").write_text("[default]\nmode = offline\n")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert Wandb().chosen_mode() == ("offline", "")


def test_online_without_a_key_is_told_before_anything_happens(write: Callable[[str], Path]) -> None:
    spec = write(W_AND_B + 'mode = "online"')
    result = kexp("check", spec)
    assert result.exit_code == 2
    assert result.stderr.strip() == (
        f"{spec}: trackers[0].mode: online, and no W&B key is configured; "
        'run `wandb login`, set WANDB_API_KEY, or use mode = "auto" or "offline"'
    )


@pytest.mark.parametrize("name", TRACKERS)
def test_missing_package_is_told_before_anything_happens(
    name: str, write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == name else find(wanted))
    spec = write(f'[[trackers]]\nuse = "{name}"')
    result = kexp("check", spec)
    assert result.exit_code == 2
    assert result.stderr.strip() == f"{spec}: trackers[0]: needs the package {name}; pip install 'kexp[{name}]'"


def test_folder_of_that_name_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "surely_not_installed").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [problem.hint for problem in missing("surely_not_installed", "x")] == ["pip install 'x'"]


def test_checking_a_spec_imports_no_tracker() -> None:
    script = (
        "import sys; from kexp.catalog import load_catalog\n"
        "for entry in load_catalog().entries('tracker'): list(entry.options().problems())\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {*TRACKERS, "torch", "pandas"} & set(done.stdout.split())


def test_a_run_of_a_draw_and_a_fold_is_named_by_them() -> None:
    run = RunIdentity("reviews", "group", "plain", 1, ".", {}, draw=2, fold=3)
    assert common.title(run) == "plain draw 2, fold 3, seed 1"
    assert common.configuration(run) == {"group": "group", "variant": "plain", "draw": 2, "fold": 3, "seed": 1}
    assert common.title(RunIdentity("reviews", "group", "plain", 1, ".", {})) == "plain seed 1"


def test_passwords_of_addresses_are_not_told() -> None:
    spec = {
        "dataset": {"path": "https://me:secret@host/file", "label": "a:b@c"},
        "trackers": ["secret"],
        "seeds": (1, 2),
    }
    run = RunIdentity("reviews", "group", "plain", 1, ".", spec)
    assert common.configuration(run) == {
        "dataset": {"path": "https://me:***@host/file", "label": "a:b@c"},
        "seeds": [1, 2], "group": "group", "variant": "plain", "seed": 1,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["mlflow", "trackio"])
def test_kexp_offline_keeps_trackers_off_the_network(
    name: str, write: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEXP_OFFLINE", "1")
    options = {"mlflow": 'tracking_uri = "https://mlflow.invalid"', "trackio": 'space_id = "me/space"'}[name]
    spec = write(f'[[trackers]]\nuse = "{name}"\n{options}')
    result = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json", "--set", "training.epochs=1")
    assert json.loads(result.stdout)["status"] == "done"
    assert "KEXP_OFFLINE is set" in warning_of(run_of(result))
