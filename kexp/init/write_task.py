"""What a first spec says of labels: the task, how many rows each label has, and what else could be learnt of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kexp.builtin import tasks
from kexp.builtin.tasks.regression import FAR
from kexp.init.examine import Found

SHORT_NAMES = 8
"""Names that a comment lists."""
MOST_STEPS = 11
"""Whole numbers up to which they may be steps of a scale, such as 0 to 10."""


def label_comments(found: Found) -> list[str]:
    """Return what was seen of the labels."""
    return list(_label_comments(found))


def _label_comments(found: Found) -> Iterator[str]:
    label, count = found.roles.label, len(found.counts)
    if label.measured:
        total = sum(float(number) * rows for number, rows in found.counts.items())
        mean = f"mean {total / found.rows:.3g}"
        yield f"{found.labels_in_words.capitalize()}, of different texts: {count:,} different ones, {mean}"
    else:
        counts = [f"{name} {rows:,}" for name, rows in list(found.counts.items())[:SHORT_NAMES]]
        more = f", and {count - SHORT_NAMES} more" if count > SHORT_NAMES else ""
        yield f"{found.labels_in_words}, of different texts: {', '.join(counts)}{more}"
    if label.task.several:
        average = sum(found.counts.values()) / found.rows
        yield f"A row has {average:.2g} labels on average; {found.without:,} of {found.rows:,} have none."
    if found.roles.other_labels:
        yield f"Other columns that could be the label: {', '.join(found.roles.other_labels)}"
    if label.task.classes and _is_scale(found):
        yield 'If the order of these numbers means something, as of stars: [task] use = "ordinal" learns it.'


def _is_scale(found: Found) -> bool:
    """Return whether labels are neighbouring whole numbers."""
    values = sorted(int(name) for name in found.counts if name.removeprefix("-").isdecimal())
    whole = len(values) == len(found.counts)
    return whole and 2 < len(values) <= MOST_STEPS and values[-1] - values[0] < len(values)


def task_tables(found: Found) -> dict[str, Any] | None:
    """Return the name of the task and the comments under it; None for the usual task."""
    label = found.roles.label
    if label.task.classes:
        return None
    name = next(name for name, options in tasks.TASKS.items() if isinstance(label.task, options))
    return {"use": name, "below": list(_below(found))}


def _below(found: Found) -> Iterator[str]:
    if found.roles.label.measured:
        low, high = min(found.counts, key=float), max(found.counts, key=float)
        if max(abs(float(low)), abs(float(high))) > FAR:
            yield "A model begins at 0 and takes many steps to numbers so far from it, unless these are stated."
        yield "Where the scale has ends, predictions stay between them; these are the numbers that were seen:"
        yield f"low = {low}"
        yield f"high = {high}"
        if len(found.counts) <= MOST_STEPS:
            yield 'These are few different numbers: use = "ordinal" would learn them as steps of a scale.'
    else:
        yield "A row has the labels whose probability is 0.5 or more; to choose that of each label on validation:"
        yield 'thresholds = "best-f1"'


def against_imbalance(found: Found) -> dict[str, str]:
    """Return the objective that weights rare labels up, as the keys of its table in TOML."""
    if found.roles.label.task.several:
        return {"use": '"binary-cross-entropy"', "pos_weight": '"balanced"'}
    return {"use": '"cross-entropy"', "class_weights": '"balanced"'}
