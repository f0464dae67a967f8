"""Moments, which the browser shows in its own time zone."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from kexp.results.runs import STAMP


def iso_time(text: str) -> str:
    """Return the stamp of a folder, or ISO 8601, as ISO 8601 in UTC; "" for any other text."""
    # Also for a moment before the first year or after the last.
    with suppress(ValueError, OverflowError):
        return _in_utc(datetime.strptime(text, STAMP).replace(tzinfo=UTC))
    with suppress(ValueError, OverflowError):
        return _in_utc(datetime.fromisoformat(text))
    return ""


def _in_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
