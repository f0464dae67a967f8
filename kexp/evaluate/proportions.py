"""Shares of rows with their uncertainty."""

from __future__ import annotations


def wilson(count: int, rows: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, ``count`` of ``rows`` (Wilson 1927); raises ``ValueError`` without rows."""
    from scipy.stats import binomtest

    interval = binomtest(count, rows).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
