"""Progress on standard error: of runs, of searches, of predictions."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from kexp.cli.estimate import Estimate, TrialEstimate, in_words
from kexp.cli.run_line import RunLine, StatusArea, packed
from kexp.cli.tables import console_of, is_screen, print_table, setting
from kexp.redaction import without_passwords
from kexp.report.epochs import epoch_table, epochs, spare_columns
from kexp.report.formatting import score

if TYPE_CHECKING:
    from kexp.plan.resolve import Variant
    from kexp.repeats import Repeat
    from kexp.search.trial import Trial

Json = Mapping[str, Any]

COLOURS = {"complete": "green", "pruned": "yellow", "failed": "red", "lost": "red", "interrupted": "yellow"}
"""Colours of a trial's status."""

FINISHED = ("complete", "pruned", "failed")
"""Statuses of trials that count towards their number."""

SECONDS = 30.0
"""Between two lines of the same kind about what is being done, where there is no terminal."""


class NullDisplay:
    """Shows no progress of runs."""

    def phase(self, text: str) -> None:
        """Show nothing."""

    def runs_planned(self, runs: Sequence[tuple[Variant, Repeat]], done: Collection[int] = ()) -> None:
        """Show nothing."""

    def run_started(self, variant: str, repeat: Repeat, total_steps: int, done_steps: int) -> None:
        """Show nothing."""

    def event(self, event: Json) -> None:
        """Show nothing."""

    def run_ended(self, result: Json, folder: Path) -> None:
        """Show nothing."""


class TerminalDisplay:
    """On a terminal two lines that change below those that stay; elsewhere lines alone, without control characters."""

    def __init__(self) -> None:
        self.console = console_of(sys.stderr)
        self.screen = is_screen(self.console.file)
        self.line = RunLine()
        self.status = StatusArea(self.console, self.line)
        self.planned: Sequence[tuple[Variant, Repeat]] = ()
        self.estimate = Estimate(())
        self.label = ""
        self.told = ("", 0.0)

    def phase(self, text: str) -> None:
        """Show what kexp is doing: a text that ends with … until the next one, "" for nothing, others for good."""
        text = without_passwords(text)
        passing = not text or text.endswith("…")
        if self.screen:
            self.status.doing(text if passing else "")
        if not passing or (not self.screen and text and self._is_due(text)):
            self.console.print(f"[dim]{escape(text)}[/]")

    def runs_planned(self, runs: Sequence[tuple[Variant, Repeat]], done: Collection[int] = ()) -> None:
        """Learn which runs there are, for how many of them are left."""
        self.planned, self.estimate = runs, Estimate([variant.name for variant, _ in runs], skipped=done)

    def run_started(self, variant: str, repeat: Repeat, total_steps: int, done_steps: int) -> None:
        """Begin to show a run."""
        self.label = f"{variant} {repeat.name}"
        places = [place for place, (of, one) in enumerate(self.planned) if (of.name, one) == (variant, repeat)]
        number, monitor = "", "macro_f1"
        if places:
            self.estimate.start(places[0], total_steps, done_steps)
            number = f"run {places[0] + 1} of {len(self.planned)}" if len(self.planned) > 1 else ""
            monitor = self.planned[places[0]][0].spec.training.monitor
        self.line.begin(number, self.label, monitor, total_steps, done_steps, self._left)
        if self.screen:
            self.status.start()
        elif number:
            self.console.print(escape("  ".join(filter(None, (number, self.label, self._left())))))

    def event(self, event: Json) -> None:
        """Move the bar; print evaluations and warnings."""
        if event["event"] == "step":
            self.estimate.step = event["step"]
            self.line.move(event["step"], event["loss"], event["examples_per_second"])
        if event["event"] == "warning":
            self.console.print(f"{self._prefix}[yellow]warning:[/] {escape(without_passwords(event['message']))}")
        if event["event"] == "evaluation":
            self.line.measured(event["metrics"])
            self._print_evaluation(event)

    def run_ended(self, result: Json, folder: Path) -> None:
        """Print the table of the epochs, or why the run did not finish."""
        # One that ended before it trained counts for nothing, and neither does its time for the next one.
        self.estimate.end(done=result["status"] == "done" and self.line.steps > 0)
        self.line.end()
        self.status.stop()
        if result["status"] == "done":
            found = epochs(folder)
            header, rows = epoch_table(found)
            if not self.screen:
                # Lines of several runs may be mixed in one file.
                header, rows = [self.label, *header], [[self.label, *row] for row in rows]
            spare = spare_columns(found, self.line.monitor)
            print_table(f"{self.label} by epoch", header, rows, right=0, spare=spare, console=self.console)
        else:
            reason = without_passwords(str(result["reason"]))
            self.console.print(
                f"[red]{escape(self.label or result['variant'])} {result['status']}:[/] {escape(reason)}"
            )

    @property
    def _prefix(self) -> str:
        return f"{escape(self.label)}  " if self.label else ""

    def _print_evaluation(self, event: Json) -> None:
        """Print an evaluation: on a terminal the loss and the monitor, and what else there is room for."""
        metrics = {name: f"{name} {score(value)}" for name, value in event["metrics"].items()}
        if event["best"] and self.screen and self.line.monitor in metrics:
            # Beside what is best, and not alone in a line.
            metrics[self.line.monitor] += " best"
        pool = [f"unlabelled {name} {score(value)}" for name, value in event["pool"].items()]
        units = [self.label, f"epoch {event['epoch']:g}", f"train loss {score(event['train_loss'])}"]
        units += [*metrics.values(), *pool]
        if self.screen:
            spare = [*(text for name, text in metrics.items() if name != self.line.monitor), *pool]
            text = "\n".join(packed(units, spare, self.console.width))
            self.console.print(re.sub(r" best(?=$|\n|  )", " [green]best[/]", escape(text)))
        else:
            units += ["best"] if event["best"] else []
            self.console.print(escape("  ".join(filter(None, units))))

    def _left(self) -> str:
        return in_words(self.estimate.left, " for all" if self.estimate.others else "")

    def _is_due(self, text: str) -> bool:
        """Return whether a file gets a line about what is being done: numbers alone make no other kind of line."""
        kind, now = re.sub(r"[\d,.]+", "", text), time.monotonic()
        if kind == self.told[0] and now - self.told[1] < SECONDS:
            return False
        self.told = (kind, now)
        return True


class NullSearchDisplay(NullDisplay):
    """Shows no progress of a search."""

    def trials_planned(self, total: int | None, finished: int, jobs: int) -> None:
        """Show nothing."""

    def trial_started(self, trial: Trial) -> None:
        """Show nothing."""

    def trial_reported(self, number: int, step: int, value: float) -> None:
        """Show nothing."""

    def trial_ended(self, number: int, status: str, text: str) -> None:
        """Show nothing."""


class TerminalSearchDisplay(TerminalDisplay):
    """A line when a trial begins and one when it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.trials = TrialEstimate()

    def trials_planned(self, total: int | None, finished: int, jobs: int) -> None:
        """Learn how many trials there will be, and how many are finished."""
        self.trials.total, self.trials.finished, self.trials.jobs = total, finished, jobs

    def trial_started(self, trial: Trial) -> None:
        """Print the trial's values."""
        self.trials.start(trial.position)
        values = "  ".join(f"{path} {setting(value)}" for path, value in trial.values.items())
        self.console.print(f"[dim]trial {trial.position}  {escape(values)}[/]")

    def trial_reported(self, number: int, step: int, value: float) -> None:
        """Print nothing: evaluations of several trials at once would hide the rest."""

    def trial_ended(self, number: int, status: str, text: str) -> None:
        """Print how the trial ended, and how long the others will take."""
        self.trials.end(number, counts=status in FINISHED)
        of = "" if self.trials.total is None else f"{self.trials.finished} of {self.trials.total} trials finished"
        left = in_words(self.trials.left) if self.trials.finished < (self.trials.total or 0) else ""
        rest = ", ".join(filter(None, (of, left)))
        ended = f"trial {number}  [{COLOURS[status]}]{status}[/]  {escape(without_passwords(text))}"
        self.console.print(ended + (f"  [dim]{rest}[/]" if rest else ""))


def note(text: str) -> None:
    """Print a line."""
    print(without_passwords(text), file=sys.stderr)


def row_progress() -> Callable[[int], None]:
    """Return a function that shows on a terminal, on one line, how many rows are done."""
    if not is_screen(sys.stderr):
        return lambda rows: None
    return lambda rows: print(f"{rows:,} rows", end="\r", file=sys.stderr, flush=True)
