"""The ``result.json`` of a run: whether it is done, and what is written of one whose process could not write it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kexp.errors import KexpError
from kexp.redaction import without_passwords
from kexp.report.stored import read_result, write_result


def finished(folder: Path) -> dict[str, Any] | None:
    """Return the result of a run that is done, so that resuming does not repeat it."""
    file = folder / "result.json"
    if not file.is_file():
        return None
    try:
        result = read_result(file)
    except KexpError as error:
        raise KexpError(f"{error}; delete it to do this run again") from None
    return result if result["status"] == "done" else None


def write_ended(folder: Path, status: str, reason: str, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Write and return the result of a run that has written none itself; ``identity`` says which run it is."""
    result = ended(status, reason, identity)
    folder.mkdir(parents=True, exist_ok=True)
    write_result(folder / "result.json", result)
    return result


def ended(status: str, reason: str, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a run that has measured nothing."""
    return {"status": status, "reason": without_passwords(reason), **identity}
