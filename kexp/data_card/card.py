"""The data card: what the rows of a spec are, and what is wrong with them, before anything is trained on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kexp.data_card.finding import Finding
from kexp.data_card.rows import CardRows

if TYPE_CHECKING:
    from kexp.catalog import Catalog
    from kexp.plan.resolve import Plan

Analysis = Callable[[CardRows], Iterable[Finding]]

ANALYSES: Mapping[str, Analysis] = {}
"""The functions that look for faults, in the order of the card, by what is being done."""


@dataclass(frozen=True, slots=True)
class SplitRows:
    """The rows of one split: by label as they are read and as they are trained or measured on.

    ``trained`` is empty where the data cannot be trained on. ``dropped`` counts what each step of kexp leaves out.
    """

    split: str
    read: Mapping[str, int]
    trained: Mapping[str, int]
    dropped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of the rows of one split, in characters or tokens.

    ``percentiles`` are by number (0, 5, 25, 50, 75, 95, 99, 100). ``histogram`` has the shortest length of each bin
    with the number of its rows. ``cut`` has the number of rows that each maximum length would cut, in tokens.
    """

    split: str
    unit: str
    rows: int
    mean: float
    percentiles: Mapping[int, int]
    histogram: Sequence[tuple[int, int]]
    cut: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the backbone's tokenizer makes of the rows, before they are cut.

    ``max_length`` is that of the spec, ``suggested`` the length that holds 99 % of the train rows, ``positions`` the
    most that the backbone reads (None where it has no limit). ``unknown`` is the share of unknown tokens in train.
    """

    max_length: int
    suggested: int
    positions: int | None
    unknown: float


@dataclass(frozen=True, slots=True)
class Sample:
    """A train row with its tokens and their ids, special ones included, as the model is given them."""

    row: int
    text: str
    label: str
    tokens: Sequence[str]
    ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class DataCard:
    """What a dataset holds, and what is wrong with it.

    ``tokens`` is None, and a remark says why, where there is no tokenizer. ``lengths`` are by split and unit.
    """

    name: str
    variant: str
    splits: tuple[SplitRows, ...]
    lengths: tuple[Lengths, ...]
    tokens: Tokens | None
    findings: tuple[Finding, ...]
    samples: tuple[Sample, ...]
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the card as JSON holds it."""
        return {**asdict(self), "findings": [finding.to_dict() for finding in self.findings]}


def make_card(plan: Plan, catalog: Catalog, progress: Callable[[str], None]) -> DataCard:
    """Read the data of the plan's first variant and look for faults in them.

    Raises ``DataError`` for data that cannot be read.
    """
    raise NotImplementedError
