"""The data card: what the rows of a spec are, and what is wrong with them, before anything is trained on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from kexp.data.cleaning import lengths as characters_of
from kexp.data_card.characters import characters
from kexp.data_card.duplicates import contradicting_rows, empty_rows, overlapping_rows, repeated_rows
from kexp.data_card.finding import Finding
from kexp.data_card.give_aways import give_aways
from kexp.data_card.groups import groups_between
from kexp.data_card.label_errors import label_errors
from kexp.data_card.labels import labels_of_rows, not_looked_at
from kexp.data_card.lengths import Lengths, lengths_of
from kexp.data_card.near_duplicates import near_duplicates
from kexp.data_card.order import order
from kexp.data_card.reading import read_rows
from kexp.data_card.rows import CardRows
from kexp.data_card.shift import shift
from kexp.data_card.splits import SplitRows, imbalance, split_rows
from kexp.data_card.tokens import Sample, Tokens, lengths, samples, token_findings, tokenise_rows, tokens
from kexp.errors import KexpError
from kexp.experiment.digests import row_digests
from kexp.plan.resolve import repeats_of
from kexp.repeats import in_words
from kexp.report.data_card_link import rows_digest

if TYPE_CHECKING:
    from kexp.plan.resolve import Variant
    from kexp.spec.sections import Spec

Progress = Callable[[str], None]
Analysis = Callable[[CardRows], Iterable[Finding | str]]
"""Yields findings, and remarks on what could not be looked at."""

ANALYSES: Mapping[str, tuple[Analysis, ...]] = {
    "looking for empty, equal and contradicting rows": (
        empty_rows, repeated_rows, contradicting_rows, overlapping_rows, groups_between,
    ),
    "looking for near duplicates": (near_duplicates,),
    "looking at characters, order and classes": (characters, order, imbalance),
    "looking for likely label errors": (label_errors,),
    "looking for labels that a simple trait gives away": (give_aways,),
    "comparing the texts of the splits": (shift,),
}  # fmt: skip
"""The functions that look for faults, in the order of the card, by what is being done."""

OF_CLASSES = frozenset({order, imbalance, label_errors, give_aways})
"""Those that need rows with one label out of few."""


@dataclass(frozen=True, slots=True)
class DataCard:
    """What a dataset holds, and what is wrong with it.

    ``tokens`` is None, ``samples`` is empty, and a remark says why, where there is no tokenizer. ``lengths`` are by
    split and unit, of the rows that are trained and measured on. ``digest`` names these rows; "" where there are none.
    ``labels`` is what ``labels_of_rows`` tells of labels that are no classes.
    """

    name: str
    variant: str
    splits: tuple[SplitRows, ...]
    lengths: tuple[Lengths, ...]
    tokens: Tokens | None
    findings: tuple[Finding, ...]
    samples: tuple[Sample, ...]
    remarks: tuple[str, ...]
    digest: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the card as JSON holds it."""
        found = {**asdict(self), "findings": [finding.to_dict() for finding in self.findings]}
        # Rows with one label out of few have nothing there.
        found["splits"] = [_without(split, "rows", None) for split in found["splits"]]
        return _without(found, "labels", {})


def _without(table: Mapping[str, Any], key: str, value: object) -> dict[str, Any]:
    """Return a table without a key that has no other value than this one."""
    return {name: of for name, of in table.items() if name != key or of != value}


def _other_runs(spec: Spec) -> Iterator[str]:
    """Say that the card is that of one run where the others train or measure on other rows."""
    runs = list(repeats_of(spec))
    names = ["draw", "fold", *(["seed"] if spec.split.resplit else [])]
    counts = {name: len({run.keys().get(name) for run in runs}) for name in names}
    if several := {name: runs[0].keys()[name] for name, count in counts.items() if count > 1}:
        of = ", ".join(f"{counts[name]} {name}s" for name in several)
        yield f"the card is that of {in_words(several)}, one of {of}: the other runs divide the rows in another way"


def make_card(variant: Variant, progress: Progress) -> DataCard:
    """Read the data of a variant's first run and look for faults in them.

    Raises ``DataError`` for data that cannot be read. Data that cannot be trained on, or a tokenizer that cannot be
    had, are a remark.
    """
    spec = variant.spec
    progress(f"reading the data of {spec.name}")
    rows = read_rows(spec, next(repeats_of(spec)))
    found, remarks = list[Finding](), [*_other_runs(spec), *rows.remarks, *not_looked_at(rows)]
    for doing, every in ANALYSES.items():
        analyses = [analysis for analysis in every if spec.task.classes or analysis not in OF_CLASSES]
        if analyses:
            progress(doing)
        for result in (result for analysis in analyses for result in analysis(rows)):
            if isinstance(result, Finding):
                found.append(result)
            else:
                remarks.append(result)
    measured = [
        lengths_of(split, "characters", characters_of(frame).to_numpy("int64"))
        for split, frame in rows.used.items()
        if len(frame)
    ]
    token_counts, shown = None, tuple[Sample, ...]()
    progress("tokenising")
    try:
        tokenised = tokenise_rows(rows, progress)
        token_counts = tokens(spec, tokenised)
        shown = samples(rows, tokenised)
    except KexpError as error:
        remarks.append(f"nothing is said of tokens: {error}")
    else:
        measured += lengths(tokenised, spec.training.max_length)
        found += token_findings(rows, tokenised, token_counts)
    splits = split_rows(rows)
    digest = "" if rows.prepared is None else rows_digest(row_digests(rows.prepared.row_keys(spec.task)))
    return DataCard(
        spec.name,
        variant.name,
        splits,
        tuple(measured),
        token_counts,
        tuple(found),
        shown,
        tuple(remarks),
        digest,
        labels_of_rows(rows),
    )
