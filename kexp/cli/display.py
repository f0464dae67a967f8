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
from kexp.cli.run_line import RunLine, StatusArea, fitting, packed
from kexp.cli.tables import console_of, is_screen, print_table, setting
from kexp.redaction import without_passwords
from kexp.repeats import Repeat
from kexp.report.epochs import epoch_table, epochs, spare_columns
from kexp.report.formatting import score

if TYPE_CHECKING:
    from kexp.plan.resolve import Variant
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

    def beside(self, variant: str, repeat: Repeat) -> NullDisplay:
        """Return a display that shows nothing."""
        return NullDisplay()

    def run_started(self, variant: str, repeat: Repeat, total_steps: int, done_steps: int) -> None:
        """Show nothing."""

    def event(self, event: Json) -> None:
        """Show nothing."""

    def run_ended(self, result: Json, folder: Path) -> None:
        """Show nothing."""


class TerminalDisplay:
    """On a terminal lines that change below those that stay; elsewhere lines alone, without control characters."""

    def __init__(self) -> None:
        self.console = console_of(sys.stderr)
        self.screen = is_screen(self.console.file)
        self.planned: Sequence[tuple[Variant, Repeat]] = ()
        self.estimate = Estimate(())
        self.alone = RunDisplay(self)
        self.beside_others: list[RunDisplay] = []
        self.status = StatusArea(self.console, self._lines)
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

    def beside(self, variant: str, repeat: Repeat) -> RunDisplay:
        """Return the display of a run that begins beside others, which has a line of its own."""
        run = RunDisplay(self)
        run.begin(variant, repeat)
        self.beside_others.append(run)
        if run.place is not None:
            self.estimate.begin(run.place)
        if self.screen:
            self.status.start()
        return run

    def run_started(self, variant: str, repeat: Repeat, total_steps: int, done_steps: int) -> None:
        """Begin to show a run that goes on alone."""
        self.alone.run_started(variant, repeat, total_steps, done_steps)

    def event(self, event: Json) -> None:
        """Show an event of the run that goes on alone."""
        self.alone.event(event)

    def run_ended(self, result: Json, folder: Path) -> None:
        """Show how the run ended that went on alone."""
        self.alone.run_ended(result, folder)

    def left(self) -> str:
        """Return in words how long all runs will take that go on or are to come."""
        several = self.estimate.others or len(self.estimate.running) > 1
        return in_words(self.estimate.left, " for all" if several else "")

    def remove(self, run: RunDisplay) -> None:
        """Show a run no more."""
        if run in self.beside_others:
            self.beside_others.remove(run)
        if not self.beside_others:
            self.status.stop()

    def _lines(self, width: int) -> list[str]:
        """Return the lines about the runs that go on."""
        if not self.beside_others:
            return self.alone.line.lines(width)
        going, known = len(self.beside_others), len(self.planned)
        ended = known - len(self.estimate.waiting) - len(self.estimate.running)
        first = fitting([f"{ended} of {known} runs ended, {going} going on", self.left()], width)
        # A terminal shows no more lines than it has; one more says what is being done.
        room = max(self.console.height - 3, 1)
        runs = sorted(self.beside_others, key=lambda run: -1 if run.place is None else run.place)
        hidden = [f"… and {going - room} more"] if going > room else []
        return ["  ".join(first), *(run.line.compact(width) for run in runs[:room]), *hidden]

    def _is_due(self, text: str) -> bool:
        """Return whether a file gets a line about what is being done: numbers alone make no other kind of line."""
        kind, now = re.sub(r"[\d,.]+", "", text), time.monotonic()
        if kind == self.told[0] and now - self.told[1] < SECONDS:
            return False
        self.told = (kind, now)
        return True


class RunDisplay:
    """One run: its line while it goes on, and what stays above it."""

    def __init__(self, among: TerminalDisplay) -> None:
        self.among = among
        self.line = RunLine()
        self.label = ""
        self.place: int | None = None
        """The place of the run among those that are planned; None for one that is not among them."""

    def begin(self, variant: str, repeat: Repeat) -> None:
        """Learn which run it is."""
        planned = enumerate(self.among.planned)
        places = [place for place, (of, one) in planned if (of.name, one) == (variant, repeat)]
        self.label, self.place = f"{variant} {repeat.name}", places[0] if places else None
        self.line.label = self.label

    def phase(self, text: str) -> None:
        """Show in the line what is being done before the run trains, and what is to stay above it."""
        text = without_passwords(text)
        if text and not text.endswith("…"):
            self.among.console.print(f"[dim]{self._prefix}{escape(text)}[/]")
        else:
            self.line.doing = text

    def runs_planned(self, runs: Sequence[tuple[Variant, Repeat]], done: Collection[int] = ()) -> None:
        """Learn nothing: this is one run."""

    def beside(self, variant: str, repeat: Repeat) -> RunDisplay:
        """Return the display of another run."""
        return self.among.beside(variant, repeat)

    def run_started(self, variant: str, repeat: Repeat, total_steps: int, done_steps: int) -> None:
        """Begin to show how far the run is."""
        self.begin(variant, repeat)
        among, number, monitor = self.among, "", "macro_f1"
        if self.place is not None:
            among.estimate.start(self.place, total_steps, done_steps)
            number = f"run {self.place + 1} of {len(among.planned)}" if len(among.planned) > 1 else ""
            monitor = among.planned[self.place][0].spec.training.monitor
        self.line.begin(number, self.label, monitor, total_steps, done_steps, among.left)
        if among.screen:
            among.status.start()
        elif number:
            among.console.print(escape("  ".join(filter(None, (number, self.label, among.left())))))

    def event(self, event: Json) -> None:
        """Move the line; print evaluations and warnings."""
        console = self.among.console
        if event["event"] == "step":
            if self.place is not None:
                self.among.estimate.move(self.place, event["step"])
            self.line.move(event["step"], event["loss"], event["examples_per_second"], event.get("epoch"))
        if event["event"] == "warning":
            console.print(f"{self._prefix}[yellow]warning:[/] {escape(without_passwords(event['message']))}")
        if event["event"] == "evaluation":
            self.line.measured(event["metrics"])
            self._print_evaluation(event)

    def run_ended(self, result: Json, folder: Path) -> None:
        """Print the table of the epochs, or why the run did not finish."""
        console = self.among.console
        if not self.label and "seed" in result:
            # It ended before it trained.
            self.begin(result["variant"], Repeat.of(result))
        if self.place is not None:
            # One that ended before it trained counts for nothing, and neither does its time for the next one.
            self.among.estimate.end(self.place, done=result["status"] == "done" and self.line.steps > 0)
        self.line.end()
        self.among.remove(self)
        if result["status"] == "done":
            found = epochs(folder)
            header, rows = epoch_table(found)
            if not self.among.screen:
                # Lines of several runs may be mixed in one file.
                header, rows = [self.label, *header], [[self.label, *row] for row in rows]
            spare = spare_columns(found, self.line.monitor)
            print_table(f"{self.label} by epoch", header, rows, right=0, spare=spare, console=console)
        else:
            reason = without_passwords(str(result["reason"]))
            console.print(f"[red]{escape(self.label or result['variant'])} {result['status']}:[/] {escape(reason)}")
        self.label, self.place = "", None

    @property
    def _prefix(self) -> str:
        return f"{escape(self.label)}  " if self.label else ""

    def _print_evaluation(self, event: Json) -> None:
        """Print an evaluation: on a terminal the loss and the monitor, and what else there is room for."""
        console = self.among.console
        metrics = {name: f"{name} {score(value)}" for name, value in event["metrics"].items()}
        if event["best"] and self.among.screen and self.line.monitor in metrics:
            # Beside what is best, and not alone in a line.
            metrics[self.line.monitor] += " best"
        pool = [f"unlabelled {name} {score(value)}" for name, value in event["pool"].items()]
        units = [self.label, f"epoch {event['epoch']:g}", f"train loss {score(event['train_loss'])}"]
        units += [*metrics.values(), *pool]
        if self.among.screen:
            spare = [*(text for name, text in metrics.items() if name != self.line.monitor), *pool]
            text = "\n".join(packed(units, spare, console.width))
            console.print(re.sub(r" best(?=$|\n|  )", " [green]best[/]", escape(text)))
        else:
            units += ["best"] if event["best"] else []
            console.print(escape("  ".join(filter(None, units))))


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
