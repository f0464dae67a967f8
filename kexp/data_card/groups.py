"""Groups, such as speakers or authors, whose rows stand in several splits."""

from __future__ import annotations

from collections.abc import Iterator

from kexp.data_card.finding import EXAMPLES, Example, Finding
from kexp.data_card.rows import CardRows, by_split, counted, examples


def groups_between(rows: CardRows) -> Iterator[Finding]:
    """Look for rows of validation or test whose group another split has too."""
    counts, hits, total, shown = dict[str, int](), dict[str, set[int]](), dict[str, int](), list[Example]()
    names, divided = set[str](), False
    for measured, frame, other, others in rows.between():
        if "group" not in frame or "group" not in others:
            continue
        shared = frame[frame["group"].isin(set(others["group"].unique()) - {""})]
        counts[f"{measured} and {other}"], total[measured] = len(shared), len(frame)
        hits.setdefault(measured, set()).update(shared["row"])
        names |= set(shared["group"].unique())
        divided |= bool(len(shared)) and not rows.published(measured, other)
        shown += examples(shared.drop_duplicates("group"), (f'group "{name}"' for name in shared["group"].unique()))
    if count := sum(map(len, hits.values())):
        of = counted(len(names), "group")
        title = f"{counted(count)} of {of} that another split has too ({by_split(counts)})"
        remedy = "split.group = true"
        if not divided:
            remedy = "the dataset brings these splits: leave them out, and kexp divides train with every group whole"
        yield Finding("groups-between", title, count, sum(total.values()), tuple(shown[:EXAMPLES]), remedy)
