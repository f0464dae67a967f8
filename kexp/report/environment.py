"""``environment.json``: versions, plugins, hardware and the commit of the user's code."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kexp.redaction import without_passwords

PACKAGES = (
    "kexp", "torch", "transformers", "tokenizers", "datasets", "scikit-learn", "scipy", "numpy", "pandas",
    "pyarrow", "pydantic", "pluggy", "safetensors", "optuna", "bitsandbytes",
)  # fmt: skip


def environment(components: Mapping[str, str], processes: int = 1) -> dict[str, Any]:
    """Return the environment as plain data; ``components`` maps "kind name" to the package and version behind it.

    ``processes`` is the number of those that train a run together.
    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        # A database's URL may hold a password.
        "command": list(map(without_passwords, sys.argv)),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "plugins": dict(owner.rsplit(" ", 1) for owner in sorted(set(components.values()))),
        "components": dict(components),
        "hardware": _hardware(),
        "processes": processes,
        "git": _git(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _hardware() -> dict[str, Any]:
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {"cpus": os.cpu_count(), "torch_threads": torch.get_num_threads(), "gpus": gpus, "cuda": torch.version.cuda}


def _git() -> dict[str, Any] | None:
    """Return the commit of the working folder's repository and whether it is clean; None without one."""
    try:
        commit, status = (
            subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True).stdout.strip()
            for arguments in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "clean": not status}
