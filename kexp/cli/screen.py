"""What a person sees: progress on standard error, results on standard output."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from kexp.report.summary import SIGNIFICANT, shared

if TYPE_CHECKING:
    from kexp.experiment.augment import Pair

Json = Mapping[str, Any]

UNKNOWN_SHARE = 0.1
"""Share of unknown tokens from which on a tokenizer and the texts hardly belong together."""


class NullDisplay:
    """Shows nothing."""

    def phase(self, text: str) -> None:
        """Show nothing."""

    def run_started(self, variant: str, seed: int, total_steps: int, done_steps: int) -> None:
        """Show nothing."""

    def event(self, event: Json) -> None:
        """Show nothing."""

    def run_ended(self, result: Json) -> None:
        """Show nothing."""


class TerminalDisplay:
    """A progress bar per run on a terminal; elsewhere a line per evaluation."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (
            TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True), TextColumn("{task.fields[news]}"),
        )  # fmt: skip
        self.progress = Progress(*columns, console=self.console)
        self.task: TaskID | None = None
        self.label = ""

    def phase(self, text: str) -> None:
        """Print what is being done."""
        self.console.print(f"[dim]{escape(text)}[/]")

    def run_started(self, variant: str, seed: int, total_steps: int, done_steps: int) -> None:
        """Start the bar."""
        self.label = f"{variant} seed {seed}"
        if self.console.is_terminal:
            self.progress.start()
            self.task = self.progress.add_task(self.label, total=total_steps, completed=done_steps, news="")

    def event(self, event: Json) -> None:
        """Move the bar; print evaluations."""
        if event["event"] == "step" and self.task is not None:
            news = f"loss {event['loss']:.3f}  {event['examples_per_second']:,.0f} examples/s"
            self.progress.update(self.task, completed=event["step"], news=news)
        if event["event"] == "warning":
            self.console.print(f"{self.label}  [yellow]warning:[/] {escape(event['message'])}")
        if event["event"] == "evaluation":
            metrics = "  ".join(f"{name} {value:.4f}" for name, value in event["metrics"].items())
            metrics += "".join(f"  pool {name} {value:.4f}" for name, value in event["pool"].items())
            mark = " [green]best[/]" if event["best"] else ""
            self.console.print(
                f"{self.label}  epoch {event['epoch']:g}  train loss {event['train_loss']:.4f}  {metrics}{mark}"
            )

    def run_ended(self, result: Json) -> None:
        """Stop the bar; say why a run did not finish."""
        if self.task is not None:
            self.progress.stop()
            self.progress.remove_task(self.task)
            self.task = None
        if result["status"] != "done":
            self.console.print(
                f"[red]{self.label or result['variant']} {result['status']}:[/] {escape(str(result['reason']))}"
            )


def print_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str | Text]], *, right: int | None = None
) -> None:
    """Print a table on standard output; tab-separated where nobody looks. Columns from ``right`` on are numbers.

    A header without words is not shown.
    """
    if not sys.stdout.isatty():
        for cells in (header, *rows) if any(header) else rows:
            print("\t".join(map(str, cells)))
        return
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    table.show_header = any(header)
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if right is not None and number >= right else "left", overflow="fold")
    for cells in rows:
        table.add_row(*(escape(cell) if isinstance(cell, str) else cell for cell in cells))
    Console(highlight=False).print(table)


def print_pairs(pairs: Sequence[Pair]) -> None:
    """Print originals beside augmented texts with the changed words marked, and a line per rejected pair."""
    if not sys.stdout.isatty():
        print_table("", ["original", "augmented", "rejected"], [[p.original, p.augmented, p.rejected] for p in pairs])
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), expand=True)
    table.add_column("original", ratio=1, overflow="fold")
    table.add_column("augmented", ratio=1, overflow="fold")
    for pair in pairs:
        before, after = Text(), Text()
        for kind, old, new in pair.changes():
            before.append(f"{old} " if old else "", "" if kind == "equal" else "red strike")
            after.append(f"{new} " if new else "", "" if kind == "equal" else "bold green underline")
        if pair.rejected:
            after.append(f"\n✗ rejected: {pair.rejected}", "yellow")
        table.add_row(before, after)
    Console(highlight=False).print(table)


def print_summary(summary: Json) -> None:
    """Print what the experiment found: data, models beside baselines, paired tests, the folder."""
    out = Console(highlight=False, soft_wrap=True)
    variants = summary["variants"]
    for names, lines in shared({name: _data_lines(variant.get("data", {})) for name, variant in variants.items()}):
        out.print(*(f"[dim]{escape(', '.join(names))}: {escape(line)}[/]" for line in lines), sep="\n")
    metrics = _metric_names(summary)
    rows = [_variant_row(name, variant, metrics) for name, variant in variants.items()]
    for names, baselines in shared({name: variant.get("baselines", {}) for name, variant in variants.items()}):
        of = f" of {', '.join(names)}" if len(names) < len(variants) else ""
        rows += [_baseline_row(f"{name}{of}", splits["test"], metrics) for name, splits in baselines.items()]
    print_table("test", ["model", "runs", *metrics], rows, right=1)
    _print_tests(out, summary.get("tests", []))
    out.print(f"[bold]{escape(summary['folder'])}[/]")


def print_dry_run(found: Json) -> None:
    """Print what would be trained on which rows: what was read and dropped, labels, and lengths in tokens."""
    out = Console(highlight=False, soft_wrap=True)
    for names, data in shared({name: variant["data"] for name, variant in found["variants"].items()}):
        out.print(*(escape(f"{', '.join(names)}: {line}") for line in _data_lines(data)), sep="\n")
        splits = list(data["labels"])
        labels = [
            [label, *(f"{data['labels'][split].get(label, 0):,}" for split in splits)]
            for label in data["labels"]["train"]
        ]
        print_table("rows by label", ["label", *splits], labels, right=1)
        measures = list(data["tokens"]["train"])
        tokens = [[name, *(f"{data['tokens'][split][name]:g}" for split in splits)] for name in measures]
        print_table("tokens by row", ["tokens", *splits], tokens, right=1)
    count = len(found["variants"]) * len(found["seeds"])
    out.print(f"[dim]{count} run{'s' if count > 1 else ''} would be trained; nothing was made[/]")


def _print_tests(out: Console, tests: Sequence[Json]) -> None:
    """Print the differences that can be told, and count the others."""
    told = [test for test in tests if test["p_value"] < SIGNIFICANT]
    for test in told:
        out.print(escape(test["sentence"]))
    if len(tests) > len(told):
        out.print(f"[dim]{len(tests) - len(told)} paired tests found no difference; summary.json has them all[/]")
    if told and len(tests) > 1:
        out.print(f"[dim]p-values are not corrected for the number of tests, {len(tests)}; kexp compare does that[/]")


def _metric_names(summary: Json) -> list[str]:
    found: dict[str, None] = {}
    for variant in summary["variants"].values():
        found |= dict.fromkeys(variant.get("metrics", {}).get("test", {}))
    return list(found)


def _variant_row(name: str, variant: Json, metrics: Sequence[str]) -> list[str]:
    measured = variant.get("metrics", {}).get("test", {})
    states = list(variant["status"].values())
    return [name, f"{states.count('done')}/{len(states)}", *(_mean(measured.get(metric)) for metric in metrics)]


def _baseline_row(name: str, measured: Json, metrics: Sequence[str]) -> list[str]:
    values = [measured.get(metric) for metric in metrics]
    return [f"  {name}", "", *("" if value is None else f"{value:.4f}" for value in values)]


def _mean(found: Json | None) -> str:
    if not found or found.get("mean") is None:
        return ""
    return f"{found['mean']:.4f}" if found.get("sd") is None else f"{found['mean']:.4f} ± {found['sd']:.4f}"


def _data_lines(record: Json) -> list[str]:
    lines = [f"{what} {count:,}" for what, count in record.get("source", {}).get("read", {}).items() if count]
    lines = [f"read {', '.join(lines)}"] if lines else []
    for split, counts in record.get("splits", {}).items():
        gone = [
            f"{count:,} {what.replace('_', ' ')}"
            for what, count in counts.items()
            if count and what not in ("read", "kept")
        ]
        tokens = record.get("tokens", {}).get(split, {})
        if tokens.get("truncated rows"):
            gone.append(f"{tokens['truncated rows']:,} cut at max_length")
        lines.append(f"{split} {counts['kept']:,} rows" + (f" ({', '.join(gone)})" if gone else ""))
        if tokens.get("unknown share", 0) > UNKNOWN_SHARE:
            lines.append(
                f"warning: {tokens['unknown share']:.0%} of the tokens of {split} are unknown to the tokenizer"
            )
    return lines
