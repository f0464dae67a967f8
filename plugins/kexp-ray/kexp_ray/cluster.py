"""Connecting with a cluster, and checking that it has what a trial or run needs."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from tempfile import gettempdir

import ray
from ray.exceptions import RayError

from kexp.errors import KexpError

ANSWER = 10.0
"""Seconds in which a cluster has to answer; Ray itself goes on trying for minutes."""

logger = logging.getLogger("kexp")


def connect(address: str | None, connection: ExitStack) -> None:
    """Connect this process until ``connection`` is closed; an existing connection is used and stays.

    Raises ``KexpError`` when there is no such cluster.
    """
    if ray.is_initialized():
        return
    place = (os.environ.get("RAY_ADDRESS") or _started_here() or address) if address in (None, "auto") else address
    if place not in (None, "auto", "local"):
        _check_listening(place)
    # Ray prints news of its machines to standard output, which is for results.
    connection.enter_context(redirect_stdout(sys.stderr))
    connection.callback(ray.shutdown)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        remedy = "make this machine a node of it (ray start --address=HOST:PORT), with the same Python and Ray"
        raise KexpError(f'executor "ray": cannot use the cluster {place or "local"}: {error}; {remedy}') from None


def _started_here() -> str | None:
    """Return the address that ``ray start`` left on this machine; it stays when the cluster dies."""
    path = Path(os.environ.get("RAY_TMPDIR") or gettempdir(), "ray", "ray_current_cluster")
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def _check_listening(address: str) -> None:
    """Raise ``KexpError`` when nothing listens at an address."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
    except ValueError:
        raise KexpError(f'executor "ray": expected the address HOST:PORT, auto or local, found "{address}"') from None
    except OSError as error:
        remedy = "start it with ray start --head, or set another with address of the executor or RAY_ADDRESS"
        raise KexpError(f'executor "ray": no cluster answers at {address} ({error}); {remedy}') from None


def alive() -> dict[str, Mapping[str, float]]:
    """Return the resources of every node that is alive, by its identity."""
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return {node["NodeID"]: node["Resources"] for node in nodes if node["Alive"]}


def require(cpus: float, gpus: float, device: str) -> None:
    """Raise ``KexpError`` when no node of the cluster will ever have room for a trial or run."""
    nodes = {(resources.get("CPU", 0.0), resources.get("GPU", 0.0)) for resources in alive().values()}
    if not any(cpus <= processors and gpus <= devices for processors, devices in nodes):
        found = "; ".join(f"{processors:g} processors and {devices:g} GPUs" for processors, devices in sorted(nodes))
        raise KexpError(
            f'executor "ray": no node of the cluster has {cpus:g} processors and {gpus:g} GPUs for a trial or run, only'
            f" {found}; lower cpus or gpus of the executor, or start such a node first"
        )
    if gpus == 0 and device.startswith("cuda"):
        remedy = "set gpus = 1 in the executor's table"
        raise KexpError(f'executor "ray": training.device is "{device}" and trials and runs have no GPU; {remedy}')
    if gpus == 0 and device == "auto" and any(devices for _, devices in nodes):
        logger.warning(
            "the cluster has GPUs, and trials and runs have none; set gpus = 1 in the executor's table to use them"
        )
