"""Methods about which something is stated, and whether they were tested on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kexp.errors import KexpError
from kexp.evaluate.measures import row_scores_of
from kexp.repeats import Repeat
from kexp.report.predictions import Tested, other_texts, row_differences
from kexp.report.repeated import LEVELS, Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class RowsDiffer(KexpError):
    """Two runs were tested on different rows; ``findings`` say how they differ."""

    def __init__(self, names: tuple[str, str], which: str, findings: Sequence[str]) -> None:
        self.names, self.which, self.findings = names, which, findings
        lines = "".join(f"\n  {finding}" for finding in findings)
        super().__init__(f"{names[0]} and {names[1]} cannot be compared: their {which} differ:{lines}")

    def remark(self) -> str:
        """Return it on one line."""
        a, b = self.names
        return f"{a} and {b} were not compared: their {self.which} differ: {'; '.join(self.findings)}"


@dataclass(frozen=True, slots=True)
class Method:
    """A variant with its finished runs, their predictions, and those sections of its spec that say what it reads."""

    name: str
    spec: Mapping[str, Any]
    runs: dict[Repeat, Result]
    tested: dict[Repeat, Tested]
    scores: dict[tuple[Repeat, str, str], NDArray[np.float64]] = field(default_factory=dict)

    def row_scores(self, key: Repeat, by: str, metric: str, names: Sequence[str]) -> NDArray[np.float64]:
        """Return the scores of a run's rows, ordered by "text" or "number"."""
        if (key, by, metric) not in self.scores:
            tested = self.tested[key]
            scored = row_scores_of(tested.task.measured_as)[metric]
            self.scores[key, by, metric] = scored(tested.ordered(by, names))
        return self.scores[key, by, metric]

    def decides_by_name(self) -> bool:
        """Return whether every row is decided about for each name, so that each can be tested alone."""
        return all(tested.labels.shape == tested.probabilities.shape for tested in self.tested.values())


def runs_in_words(a: Repeat, b: Repeat) -> str:
    """Return which run of both methods is compared, in words."""
    found = [(name, getattr(a, name), getattr(b, name)) for name in LEVELS]
    return ", ".join(_both(*pair) for pair in found if pair[1:] != (None, None))


def _both(name: str, a: int | None, b: int | None) -> str:
    if a == b:
        return f"{name} {a}"
    if a is None or b is None:
        return " and ".join(f"no {name}" if of is None else f"{name} {of}" for of in (a, b))
    return f"{name}s {a} and {b}"


def rows_by(a: Method, b: Method, pairs: Sequence[tuple[Repeat, Repeat]], remarks: list[str]) -> str:
    """Return how the rows of two methods are paired: by "text", or by "number" in the same dataset.

    Cleaning and backbones change texts, but not which row of the dataset they are. Raises ``RowsDiffer``.
    """
    for x, y in pairs:
        if {*a.tested[x].names} != {*b.tested[y].names}:
            labels = (f"{', '.join(method.tested[key].names)} in {method.name}" for method, key in ((a, x), (b, y)))
            raise _refusal(a, b, (x, y), [f"labels: {', '.join(labels)}"])
    others = [(x, y) for x, y in pairs if a.tested[x].texts != b.tested[y].texts]
    if not others:
        return "text"
    same_numbers = all(a.tested[x].numbers == b.tested[y].numbers for x, y in pairs)
    if not (same_numbers and _only_texts_change(a.spec, b.spec)):
        raise _refusal(a, b, others[0], [])
    one, other = a.tested[others[0][0]], b.tested[others[0][1]]
    count = other_texts(one.path, other.path, one.split)
    remarks.append(
        f"{count:,} of {len(one.labels):,} texts differ between {a.name} and {b.name} in the same rows: "
        "cleaning or backbone changed them"
    )
    return "number"


def _only_texts_change(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Return whether two specs read the same rows, and may read them as different texts."""
    same_source = all(a.get(part) == b.get(part) for part in ("dataset", "split"))
    return same_source and any(a.get(part) != b.get(part) for part in ("cleaning", "backbone"))


def _refusal(a: Method, b: Method, keys: tuple[Repeat, Repeat], findings: Sequence[str]) -> RowsDiffer:
    one, other = a.tested[keys[0]], b.tested[keys[1]]
    found = [*findings, *row_differences(one.path, other.path, one.split, (a.name, b.name))]
    which = f"{one.split} rows" if keys[0] == keys[1] else f"{one.split} rows of {runs_in_words(*keys)}"
    return RowsDiffer((a.name, b.name), which, found)
