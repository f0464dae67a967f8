"""The tasks of kexp itself."""

from __future__ import annotations

from collections.abc import Mapping

from kexp.builtin.tasks.multi_label import MultiLabel
from kexp.builtin.tasks.ordinal import Ordinal
from kexp.builtin.tasks.regression import Regression
from kexp.builtin.tasks.single_label import SingleLabel
from kexp.contracts import TaskOptions

TASKS: Mapping[str, type[TaskOptions]] = {
    "single-label": SingleLabel,
    "multi-label": MultiLabel,
    "regression": Regression,
    "ordinal": Ordinal,
}
"""By name."""
