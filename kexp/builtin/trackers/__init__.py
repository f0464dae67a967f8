"""Trackers: services and files that runs are logged to."""

from __future__ import annotations

from collections.abc import Mapping

from kexp.builtin.trackers.mlflow import MLflow
from kexp.builtin.trackers.tensorboard import TensorBoard
from kexp.builtin.trackers.trackio import Trackio
from kexp.builtin.trackers.wandb import Wandb
from kexp.contracts import TrackerOptions

__all__ = ["TRACKERS", "MLflow", "TensorBoard", "Trackio", "Wandb"]

TRACKERS: Mapping[str, type[TrackerOptions]] = {
    "wandb": Wandb,
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "trackio": Trackio,
}
