"""A data card on standard output: tables, findings with rows to look at, sample rows with their tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from kexp.cli.errors import printable
from kexp.cli.tables import console_of, print_table
from kexp.redaction import without_passwords

if TYPE_CHECKING:
    from kexp.data_card.card import DataCard
    from kexp.data_card.finding import Finding
    from kexp.data_card.lengths import Lengths
    from kexp.data_card.splits import SplitRows
    from kexp.data_card.tokens import Sample

LABELS = 20
"""Labels of which the rows are shown; JSON has all of them."""
CHARACTERS = 120
"""Characters of a text that are shown."""
TOKENS = 40
"""Tokens of a sample row that are shown."""
BAR = 40
"""Longest bar of a histogram, in characters."""


def print_card(card: DataCard) -> None:
    """Print a data card."""
    out = console_of()
    out.print(f"[bold]{escape(printable(f'{card.name}, {card.variant}'))}[/]")
    for remark in card.remarks:
        out.print(f"[yellow]{escape(printable(without_passwords(remark)))}[/]")
    _print_splits(card.splits, out)
    _print_labels(card.labels, out)
    for unit in ("characters", "tokens"):
        if described := [lengths for lengths in card.lengths if lengths.unit == unit]:
            _print_lengths(described, unit)
            _print_histogram(described[0])
    if card.tokens is not None:
        _print_cuts([lengths for lengths in card.lengths if lengths.unit == "tokens"])
        most = "" if card.tokens.positions is None else f"; the backbone reads at most {card.tokens.positions}"
        fits = f"{card.tokens.suggested} holds {card.tokens.held_percent} of the rows of training"
        out.print(f"training.max_length is {card.tokens.max_length}; {fits}{most}")
        shares = ", ".join(f"{split} {share:.2%}" for split, share in card.tokens.unknown.items())
        out.print(f"unknown tokens: {shares}")
    for sample in card.samples:
        _print_sample(sample, out)
    out.print()
    count = len(card.findings)
    out.print(f"[bold]{count} finding{'' if count == 1 else 's'}[/]")
    for finding in card.findings:
        _print_finding(finding, out)


def _print_splits(splits: Sequence[SplitRows], out: Console) -> None:
    columns = {
        f"{split.split}{name}": counts
        for split in splits
        for name, counts in ((" as read", split.read), ("", split.trained))
        if counts
    }
    totals: dict[str, int] = {}
    for counts in columns.values():
        for label, count in counts.items():
            totals[label] = totals.get(label, 0) + count
    labels = sorted(totals, key=lambda label: -totals[label])
    rows = [[_shown(label) or "no label", *(f"{own.get(label, 0):,}" for own in columns.values())] for label in labels]
    rows = rows[:LABELS]
    if len(labels) > LABELS:
        rest = [f"{sum(own.get(label, 0) for label in labels[LABELS:]):,}" for own in columns.values()]
        rows.append([f"{len(labels) - LABELS} more labels", *rest])
    rows.append(["all", *(f"{count:,}" for count in _all(splits))])
    print_table("rows by label", ["label", *columns], rows, right=1)
    for split in splits:
        if split.dropped:
            gone = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in split.dropped.items())
            out.print(f"[dim]{split.split}: {gone}[/]")


def _all(splits: Sequence[SplitRows]) -> list[int]:
    """Return the rows of every column of the table by label."""
    counted = [pair for one in splits for pair in ((one.read, one.all_read), (one.trained, one.all_used))]
    return [count for by_label, count in counted if by_label]


def _print_labels(labels: Mapping[str, Any], out: Console) -> None:
    """Print what is told of sets of labels, or of numbers."""
    if sizes := labels.get("per_row"):
        counts = ", ".join(f"{count:,} with {size}" for size, count in sizes.items())
        out.print(f"labels per row of train: {counts}")
    if pairs := labels.get("together"):
        rows = [[" and ".join(map(_shown, pair["labels"])), f"{pair['rows']:,}"] for pair in pairs]
        print_table("labels that stand together", ["labels", "rows with both"], rows, right=1)
    if quantiles := labels.get("quantiles"):
        rows = [["mean", f"{labels['mean']:.4g}"], ["standard deviation", f"{labels['spread']:.4g}"]]
        rows += [[name, f"{value:.4g}"] for name, value in quantiles.items()]
        print_table("numbers of train", ["", "number"], rows, right=1)


def _print_lengths(described: Sequence[Lengths], unit: str) -> None:
    # Splits are the columns: a narrow terminal would divide the numbers of ten.
    rows = [
        ["rows", *(f"{one.rows:,}" for one in described)],
        ["mean", *(f"{one.mean:.1f}" for one in described)],
        *([f"{name} %", *(f"{one.percentiles[name]:,}" for one in described)] for name in described[0].percentiles),
    ]
    print_table(f"{unit} by row", [unit, *(one.split for one in described)], rows, right=1)


def _print_histogram(lengths: Lengths) -> None:
    most = max(count for _, count in lengths.histogram)
    rows = [[f"{first:,}", f"{count:,}", "█" * round(BAR * count / most)] for first, count in lengths.histogram]
    print_table(f"{lengths.unit} of {lengths.split}", [f"{lengths.unit} from", "rows", ""], rows)


def _print_cuts(described: Sequence[Lengths]) -> None:
    rows = [
        [f"{cut}", *(f"{one.cut[cut]:,} ({one.cut[cut] / one.rows:.1%})" for one in described)]
        for cut in described[0].cut
    ]
    print_table("rows that a maximum length cuts", ["max_length", *(one.split for one in described)], rows, right=1)


def _print_sample(sample: Sample, out: Console) -> None:
    out.print(f"[bold]train row {sample.row}[/], {escape(_shown(sample.label))}: {escape(_shown(sample.text))}")
    more = " ..." if len(sample.tokens) > TOKENS else ""
    tokens = " ".join(map(printable, sample.tokens[:TOKENS]))
    out.print(f"  tokens  {escape(tokens)}{more}")
    out.print(f"  ids     {' '.join(map(str, sample.ids[:TOKENS]))}{more}")


def _print_finding(finding: Finding, out: Console) -> None:
    out.print()
    colour = "dim" if finding.handled else "yellow"
    out.print(f"[{colour}]{escape(finding.name)}[/]  {escape(printable(finding.title))} ({finding.share:.2%})")
    if finding.remedy:
        out.print(f"  {escape(finding.remedy)}")
    rows = [[f"  {one.split} row {one.row}", *map(_shown, (one.label, one.text, one.note))] for one in finding.examples]
    if rows:
        print_table("", ["", "", "", ""], rows)


def _shown(text: str) -> str:
    """Return a text on one line, cut to what a screen shows."""
    line = " ".join(text.split())
    return printable(line if len(line) <= CHARACTERS else f"{line[:CHARACTERS]}...")
