"""Groups, such as speakers or authors, whose rows stand in several splits."""

from __future__ import annotations

from collections.abc import Iterator

from kexp.data_card.finding import EXAMPLES, Example, Finding
from kexp.data_card.rows import CardRows, SharedRows, counted, examples


def groups_between(rows: CardRows) -> Iterator[Finding]:
    """Look for rows of validation or test whose group another split has too."""
    between, shown = SharedRows(), list[Example]()
    names, divided = set[str](), False
    for measured, frame, other, others in rows.between():
        if "group" not in frame or "group" not in others:
            continue
        shared = frame[frame["group"].isin(set(others["group"].unique()) - {""})]
        between.add(measured, frame, other, shared)
        names |= set(shared["group"].unique())
        divided |= bool(len(shared)) and not rows.published(measured, other)
        shown += examples(shared.drop_duplicates("group"), (f'group "{name}"' for name in shared["group"].unique()))
    if count := between.count:
        of = counted(len(names), "group")
        title = f"{counted(count)} of {of} that another split has too ({between})"
        remedy = "split.group = true"
        if not divided:
            remedy = "the dataset brings these splits: leave them out, and kexp divides train with every group whole"
        yield Finding("groups-between", title, count, between.total, tuple(shown[:EXAMPLES]), remedy)
