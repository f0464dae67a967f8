"""Progress on standard error: of runs, of searches, of predictions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from kexp.cli.tables import print_table, setting
from kexp.redaction import without_passwords
from kexp.report.epochs import epoch_table, epochs

if TYPE_CHECKING:
    from kexp.repeats import Repeat
    from kexp.search.trial import Trial

Json = Mapping[str, Any]

COLOURS = {"complete": "green", "pruned": "yellow", "failed": "red", "lost": "red", "interrupted": "yellow"}
"""Colours of a trial's status."""


class NullDisplay:
    """Shows no progress of runs."""

    def phase(self, text: str) -> None:
        """Show nothing."""

    def run_started(self, variant: str, repeat: Repeat, total_steps: int, done_steps: int) -> None:
        """Show nothing."""

    def event(self, event: Json) -> None:
        """Show nothing."""

    def run_ended(self, result: Json, folder: Path) -> None:
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
        """Print what kexp is doing."""
        self.console.print(f"[dim]{escape(without_passwords(text))}[/]")

    def run_started(self, variant: str, repeat: Repeat, total_steps: int, done_steps: int) -> None:
        """Start the bar."""
        self.label = f"{variant} {repeat.name}"
        if self.console.is_terminal:
            self.progress.start()
            self.task = self.progress.add_task(self.label, total=total_steps, completed=done_steps, news="")

    def event(self, event: Json) -> None:
        """Move the bar; print evaluations."""
        if event["event"] == "step" and self.task is not None:
            news = f"loss {event['loss']:.3f}  {event['examples_per_second']:,.0f} examples/s"
            self.progress.update(self.task, completed=event["step"], news=news)
        if event["event"] == "warning":
            self.console.print(f"{self.label}  [yellow]warning:[/] {escape(without_passwords(event['message']))}")
        if event["event"] == "evaluation":
            metrics = "  ".join(f"{name} {value:.4f}" for name, value in event["metrics"].items())
            metrics += "".join(f"  unlabelled {name} {value:.4f}" for name, value in event["pool"].items())
            mark = " [green]best[/]" if event["best"] else ""
            self.console.print(
                f"{self.label}  epoch {event['epoch']:g}  train loss {event['train_loss']:.4f}  {metrics}{mark}"
            )

    def run_ended(self, result: Json, folder: Path) -> None:
        """Stop the bar; print the table of the epochs, or why the run did not finish."""
        if self.task is not None:
            self.progress.stop()
            self.progress.remove_task(self.task)
            self.task = None
        if result["status"] == "done":
            header, rows = epoch_table(epochs(folder))
            if not self.console.is_terminal:
                # Lines of several runs may be mixed in one file.
                header, rows = [self.label, *header], [[self.label, *row] for row in rows]
            print_table(f"{self.label} by epoch", header, rows, right=0, console=self.console)
        else:
            reason = without_passwords(str(result["reason"]))
            self.console.print(f"[red]{self.label or result['variant']} {result['status']}:[/] {escape(reason)}")


class NullSearchDisplay(NullDisplay):
    """Shows no progress of a search."""

    def trial_started(self, trial: Trial) -> None:
        """Show nothing."""

    def trial_reported(self, number: int, step: int, value: float) -> None:
        """Show nothing."""

    def trial_ended(self, number: int, status: str, text: str) -> None:
        """Show nothing."""


class TerminalSearchDisplay(TerminalDisplay):
    """A line when a trial begins and one when it ends."""

    def trial_started(self, trial: Trial) -> None:
        """Print the trial's values."""
        values = "  ".join(f"{path} {setting(value)}" for path, value in trial.values.items())
        self.console.print(f"[dim]trial {trial.position}  {escape(values)}[/]")

    def trial_reported(self, number: int, step: int, value: float) -> None:
        """Print nothing: evaluations of several trials at once would hide the rest."""

    def trial_ended(self, number: int, status: str, text: str) -> None:
        """Print how the trial ended."""
        self.console.print(f"trial {number}  [{COLOURS[status]}]{status}[/]  {escape(without_passwords(text))}")


def note(text: str) -> None:
    """Print a line."""
    print(without_passwords(text), file=sys.stderr)


def row_progress() -> Callable[[int], None]:
    """Return a function that shows on a terminal, on one line, how many rows are done."""
    if not sys.stderr.isatty():
        return lambda rows: None
    return lambda rows: print(f"{rows:,} rows", end="\r", file=sys.stderr, flush=True)
