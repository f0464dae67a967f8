"""How much of the disk stored hidden states may take: ``KEXP_HIDDEN_STATES_GIB``."""

from __future__ import annotations

import math
import os

from kexp.errors import KexpError

VARIABLE = "KEXP_HIDDEN_STATES_GIB"
DEFAULT = "10"


def hidden_states_limit() -> int:
    """Return the bytes that stored hidden states may take in the cache folder; 0 stores none.

    Raises ``KexpError`` where the environment variable is not a number of GiB.
    """
    text = os.environ.get(VARIABLE) or DEFAULT
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:
        raise KexpError(f'{VARIABLE}: expected a number of GiB such as 10, or 0 to store none, found "{text[:60]}"')
    return int(limit * 2**30)
