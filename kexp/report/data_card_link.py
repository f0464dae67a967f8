"""The link from a report to the data card in its folder, if that card is of the rows that the runs read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CARD = "data.html"
"""The data card of a run folder."""

_ROWS = re.compile(rb'<meta name="kexp-rows" content="([0-9a-f]+)">')
_HEAD = 4096
"""Bytes at the beginning of a card among which it says which rows it is of."""


def rows_digest(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a digest of the numbers and digests of the rows of all splits, as ``environment.json`` has them."""
    return hashlib.blake2b(json.dumps(rows, sort_keys=True).encode(), digest_size=8).hexdigest()


def data_card_link(folder: Path, inputs: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the file of the data card in a run folder and the runs that it is of; None where there is no card.

    ``inputs`` are those of ``environment.json``, by runs. ``file`` is "", and ``remark`` says why, where the card is
    not known to be of rows of these runs. ``of`` is "" where it is of the rows of all of them.
    """
    path = folder / CARD
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            found = _ROWS.search(file.read(_HEAD))
    except OSError as error:
        return _not_linked(f"it cannot be read: {error.strerror}")
    if found is None:
        return _not_linked("it does not say of which rows it is; kexp data RUN_FOLDER writes it again")
    known = {name: run["rows"] for name, run in inputs.items() if isinstance(run, Mapping) and "rows" in run}
    if not known:
        return _not_linked("environment.json does not say which rows the runs read")
    runs = [name for name, rows in known.items() if rows_digest(rows) == found[1].decode()]
    if not runs:
        return _not_linked("it is of other rows than the runs read; kexp data RUN_FOLDER writes it again")
    return {"file": CARD, "of": "" if len(runs) == len(known) else ", ".join(runs), "remark": ""}


def _not_linked(reason: str) -> dict[str, str]:
    return {"file": "", "of": "", "remark": f"{CARD}, the data card in this folder, is not linked: {reason}"}
