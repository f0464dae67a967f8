"""Named random streams: every draw is a pure function of the seed, the stream's name and its counters.

Nothing here has state, so a resumed run needs no saved generators: it names the same stream and draws the same numbers.
"""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def derive(seed: int, name: str, *counters: int) -> int:
    """Return the 63-bit seed of the stream ``name`` at ``counters`` (epoch, step, row ...) under ``seed``."""
    key = "/".join((str(seed), name, *map(str, counters)))
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, name: str, *counters: int) -> np.random.Generator:
    """Return a NumPy generator for the stream."""
    import numpy as np

    return np.random.default_rng(derive(seed, name, *counters))


def python_random(seed: int, name: str, *counters: int) -> random.Random:
    """Return a ``random.Random`` for the stream: cheap to make, so one per example is affordable."""
    return random.Random(derive(seed, name, *counters))
