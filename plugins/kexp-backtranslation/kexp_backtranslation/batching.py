"""Which texts are translated together."""

from __future__ import annotations

from collections.abc import Sequence

CHUNK = 64
"""Texts at a time for translators that have no batches of their own: work worth a commit, little to lose."""


def by_budget(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return batches of rows of similar length, longest first, of at most ``budget`` tokens with padding.

    A row that is longer than the budget is a batch of its own. The longest come first, so that what does not fit into
    memory fails at once, and the time left is not underestimated.
    """
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def in_chunks(texts: Sequence[str], size: int = CHUNK) -> list[list[int]]:
    """Return chunks of rows of similar length in characters, longest first."""
    order = sorted(range(len(texts)), key=lambda row: (-len(texts[row]), row))
    return [order[start : start + size] for start in range(0, len(order), size)]
