"""``data.html``: a data card as one self-contained page, which looks like a report."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.atomic_files import write_text
from kexp.report.figures import draw_histogram
from kexp.report.html import page_environment, plain

if TYPE_CHECKING:
    from kexp.data_card.card import DataCard

NAMED = 500
"""Rows of a finding whose numbers are on the page; --json has all of them."""

LABELS = 200
"""Labels with a row in the table."""


def write_page(path: Path, card: DataCard) -> None:
    """Write the page of a card; equal cards give equal bytes. Beside a ``report.html`` it links to it."""
    write_text(path, page(card, report=(path.parent / "report.html").is_file() and path.name == "data.html"))


def page(card: DataCard, *, report: bool = False) -> str:
    """Return the page of a card as HTML; ``report`` adds a link to ``report.html`` beside it."""
    jinja = page_environment()
    jinja.filters |= {"plain": plain}
    # Jinja has no function that goes through two lists together.
    jinja.globals |= {"pairs": lambda first, second: list(zip(first, second, strict=True))}
    template = jinja.from_string(files("kexp.data_card").joinpath("card.html.j2").read_text("utf-8"))
    return template.render(
        card=card,
        rows=sum(sum(split.read.values()) for split in card.splits),
        handled=sum(finding.handled for finding in card.findings),
        labels=_labels(card),
        figures=_figures(card),
        cuts=[one for one in card.lengths if one.cut],
        named=NAMED,
        shown_labels=LABELS,
        report=report,
    )


def _labels(card: DataCard) -> list[str]:
    """Return the labels of all splits, the most frequent ones first; where there are few, by name."""
    counts: Counter[str] = Counter()
    for split in card.splits:
        counts.update(split.read)
    if len(counts) <= LABELS:
        return sorted(counts)
    return [label for label, _ in counts.most_common()]


def _figures(card: DataCard) -> list[dict[str, Any]]:
    limit = None if card.tokens is None else card.tokens.max_length
    return [
        {
            "split": one.split,
            "unit": one.unit,
            "rows": one.rows,
            "mean": one.mean,
            "image": draw_histogram(one.histogram, one.unit, limit if one.unit == "tokens" else None),
        }
        for one in card.lengths
    ]
