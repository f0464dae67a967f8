"""The executor in kexp's suite for executors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest
import ray

from kexp.testing import ExecutorContract
from kexp_ray.options import Ray


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    """A cluster with two processors."""
    # Short, for Ray's sockets.
    with TemporaryDirectory(prefix="kexp-", ignore_cleanup_errors=True) as folder:
        ray.init(
            "local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
            object_store_memory=100_000_000, _temp_dir=folder,
        )  # fmt: skip
        yield
        ray.shutdown()


class TestRay(ExecutorContract):
    examples = (Ray(),)
    patience = 240.0
    settle = 1.0
    # A worker that a closed executor leaves behind may be idle, and do the next task of the cluster.
    works_here = False
