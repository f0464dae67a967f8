"""Tracker ``mlflow``: a run per run on an MLflow server, or in a database of the working folder."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sqlite3
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from kexp import nested
from kexp.builtin.trackers.common import (
    configuration,
    final_metrics,
    measured,
    remember,
    remembered,
    result,
    title,
)
from kexp.contracts import RunIdentity, Tracker, TrackerOptions
from kexp.errors import KexpError, Problem
from kexp.options import Address
from kexp.packages import missing
from kexp.settings import cache_folder, offline

if TYPE_CHECKING:
    from mlflow import MlflowClient

STATUS = {"done": "FINISHED", "pruned": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
KEY_LENGTH, VALUE_LENGTH, TAG_LENGTH, BATCH = 250, 6000, 8000, 100
"""Limits of MLflow: characters of a name, of a parameter's value and of a tag, and parameters per request."""


class MLflow(TrackerOptions):
    """Log runs to MLflow: one run per variant, seed, draw and fold, in an experiment named like the spec."""

    tracking_uri: Address | None = Field(
        None, description="Server or database; MLFLOW_TRACKING_URI or MLflow's default, mlflow.db, when not given."
    )
    experiment: str | None = Field(None, description="MLflow experiment; the name of the spec when not given.")
    log_artifacts: bool = Field(False, description="Send result.json, the predictions and the model too.")

    @property
    def place(self) -> str | None:
        """The server or database with its password, None when not given."""
        return None if self.tracking_uri is None else self.tracking_uri.get_secret_value()

    def problems(self) -> Iterable[Problem]:
        """Yield a missing package."""
        # The name of the module; the package is mlflow or mlflow-skinny.
        return missing("mlflow", "kexp[mlflow]")

    def build(self, run: RunIdentity) -> Tracker:
        """Start a run, or continue it; raises ``KexpError`` for a server while KEXP_OFFLINE is set."""
        place = self.place or os.environ.get("MLFLOW_TRACKING_URI", "")
        if offline() and place.startswith(("http://", "https://", "databricks")):
            raise KexpError("KEXP_OFFLINE is set, and the tracking URI is that of a server")
        # MLflow logs through Python's logging like other libraries, and sends no telemetry.
        os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # A new database logs some sixty migrations.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        return MLflowRun(self, run)


class MLflowRun:
    """A run on MLflow, through its client: the module's functions allow one run per thread and one server."""

    def __init__(self, options: MLflow, run: RunIdentity) -> None:
        self.options, self.run, self.step = options, run, 0
        self.warnings: list[str] = []
        self.client = _client(options.place)
        self.id = remembered(run, "mlflow") or ""
        if self.id:
            self.client.update_run(self.id, status="RUNNING")
            return
        tags = {"kexp.group": run.group, "kexp.variant": run.variant}
        tags |= {f"kexp.{name}": str(number) for name, number in run.repeat.keys().items()}
        experiment = _experiment(self.client, options.experiment or run.experiment)
        self.id = self.client.create_run(experiment, run_name=title(run), tags=tags).info.run_id
        remember(run, "mlflow", self.id)
        self._log_parameters()

    def log(self, event: Mapping[str, Any]) -> None:
        """Send the metrics of an event; keep warnings for the end."""
        self._log_metrics(measured(event), event["step"])
        self.step = event["step"]
        if event["event"] == "warning":
            self.warnings.append(f"step {self.step}: {event['message']}")

    def finish(self, status: str) -> None:
        """Send the metrics of the kept model, the files if requested, and the status of the run."""
        try:
            found = result(self.run)
            self._log_metrics(final_metrics(found), self.step)
            tags = {"kexp.status": status, "kexp.reason": found["reason"], "kexp.warnings": "\n".join(self.warnings)}
            for name, text in tags.items():
                if text:
                    self.client.set_tag(self.id, name, text[:TAG_LENGTH])
            if self.options.log_artifacts:
                for path in self._files():
                    self.client.log_artifact(self.id, str(path))
        finally:
            self.client.set_terminated(self.id, STATUS[status])

    def _log_metrics(self, numbers: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        metrics = [Metric(_key(name), float(value), now, step) for name, value in numbers.items()]
        if metrics:
            self.client.log_batch(self.id, metrics=metrics)

    def _log_parameters(self) -> None:
        from mlflow.entities import Param

        found = nested.flat(configuration(self.run)).items()
        parameters = [Param(_key(name), str(value)[:VALUE_LENGTH]) for name, value in found]
        for start in range(0, len(parameters), BATCH):
            self.client.log_batch(self.id, params=parameters[start : start + BATCH])

    def _files(self) -> Iterator[Path]:
        for name in ("result.json", "predictions.parquet", "model"):
            path = Path(self.run.folder) / name
            if path.exists():
                yield path


def _client(place: str | None) -> MlflowClient:
    # SQLAlchemy warns of how MLflow maps its tables. The filter stays: restoring it would interfere with other threads.
    warnings.filterwarnings("ignore", message="The ``noload`` loader strategy", category=DeprecationWarning)
    import mlflow

    place = place or mlflow.get_tracking_uri()
    with _alone(place):
        return mlflow.MlflowClient(tracking_uri=place)


@contextmanager
def _alone(place: str) -> Iterator[None]:
    """Let one process at a time open a local database: two that create its tables at once would both fail."""
    if not place.startswith("sqlite:"):
        yield
        return
    folder = cache_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    # A transaction is a lock that every platform has and that ends with the process.
    lock = sqlite3.connect(folder / hashlib.sha256(place.encode()).hexdigest()[:16], timeout=60, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        lock.close()


def _experiment(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, which is created if it does not exist."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            # Another process may have created it since.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _key(name: str) -> str:
    """Return a name with the characters that MLflow allows."""
    return re.sub(r"[^\w./: -]", "_", name)[:KEY_LENGTH]
