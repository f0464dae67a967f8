"""Whether two models of label sets differ in single labels: a test for each label, corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kexp.evaluate.answers import Answers
from kexp.evaluate.statistics import holm, mcnemar


def differences_by_label(names: Sequence[str], a: Answers, b: Answers) -> list[dict[str, Any]]:
    """Return for every label in how many rows only one of two models is right about it, and what that tells.

    ``p_value`` is that of McNemar's exact test of the label alone, ``p_holm`` corrected for the number of labels
    (Holm 1979). Targets and decisions have the shape (rows, names).
    """
    right_a, right_b = (one.decided == one.targets for one in (a, b))
    p_values = [mcnemar(right_a[:, place], right_b[:, place]) for place in range(len(names))]
    only_a, only_b = ((one & ~other).sum(0).tolist() for one, other in ((right_a, right_b), (right_b, right_a)))
    columns = zip(names, only_a, only_b, p_values, holm(p_values), strict=True)
    return [
        {"label": name, "only_a": alone, "only_b": other, "p_value": p_value, "p_holm": p_holm}
        for name, alone, other, p_value, p_holm in columns
    ]
