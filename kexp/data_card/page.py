"""``data.html``: a data card as one self-contained page, which looks like a report."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.atomic_files import write_text
from kexp.redaction import without_passwords
from kexp.report.data_card_link import CARD, data_card_link, digests_of
from kexp.report.figures import draw_histogram
from kexp.report.html import page_environment, plain, write_report
from kexp.report.stored import read_environment

if TYPE_CHECKING:
    from kexp.data_card.card import DataCard

NAMED = 500
"""Rows of a finding whose numbers are on the page; --json has all of them."""

LABELS = 200
"""Labels with a row in the table."""


def write_page(path: Path, card: DataCard) -> None:
    """Write the page of a card; equal cards give equal bytes. Beside a ``report.html`` it links to it."""
    made = page(card, report=(path.parent / "report.html").is_file())
    # A text may hold half a surrogate pair, which has no UTF-8.
    write_text(path, made.encode("utf-8", "backslashreplace").decode("utf-8"))


def page(card: DataCard, *, report: bool = False) -> str:
    """Return the page of a card as HTML; ``report`` adds a link to ``report.html`` beside it."""
    jinja = page_environment()
    jinja.filters |= {"plain": plain}
    # Jinja has no function that goes through two lists together.
    jinja.globals |= {"pairs": lambda first, second: list(zip(first, second, strict=True))}
    template = jinja.from_string(files("kexp.data_card").joinpath("card.html.j2").read_text("utf-8"))
    return template.render(
        card=card,
        remarks=[without_passwords(remark) for remark in card.remarks],
        rows=sum(split.all_read for split in card.splits),
        handled=sum(finding.handled for finding in card.findings),
        labels=_labels(card),
        figures=_figures(card),
        numbers=_numbers(card),
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
    if "quantiles" in card.labels:
        # Numbers, or ranges of them, are in their own order.
        return list(counts)
    if len(counts) <= LABELS:
        return sorted(counts)
    return [label for label, _ in counts.most_common()]


def _numbers(card: DataCard) -> str | None:
    """Return the histogram of the numbers of train; None where rows have none."""
    bars = card.labels.get("histogram")
    return draw_histogram([(low, count) for low, count in bars], "number") if bars else None


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


def add_to_run_folder(folder: Path, card: DataCard) -> str:
    """Write ``data.html`` into a run folder, and its report again, which then links to it.

    A card of other rows than the runs read is not written, as it would take the place of theirs. Returns a sentence on
    what became of the page.
    """
    environment = folder / "environment.json"
    # Runs write it when they have read their rows.
    inputs = read_environment(environment).get("inputs", {}) if environment.is_file() else {}
    known = digests_of(inputs)
    if known and card.digest not in known.values():
        return (
            f"this card is not written into {folder}, since its runs read other rows: the data have changed since, or "
            "options of the command choose others; --html FILE writes it"
        )
    write_page(folder / CARD, card)
    if not (folder / "summary.json").is_file():
        return f"wrote {folder / CARD}; the report that the runs write when they end links to it"
    report = write_report(folder)
    link = data_card_link(folder, inputs)
    if link is None or link["remark"]:
        return f"wrote {folder / CARD}; {report}: {'' if link is None else link['remark']}"
    return f"wrote {folder / CARD}, to which {report} links"
