"""What environment variables set for all of kexp: the cache folder, and to stay offline."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder of what is kept between experiments: ``KEXP_CACHE_DIR``, or the platform's cache folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("KEXP_CACHE_DIR") or user_cache_path("kexp"))


def offline() -> bool:
    """Return whether kexp has to stay off the network."""
    return is_on("KEXP_OFFLINE")


def is_on(name: str) -> bool:
    """Return whether an environment variable says yes."""
    return os.environ.get(name, "").lower() in ("1", "true", "yes", "on")
