"""Progress in a notebook: a line per run that is written over, without widgets; and whether this is a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.cli.display import NullSearchDisplay
from kexp.redaction import without_passwords
from kexp.report.epochs import epoch_table, epochs
from kexp.report.formatting import duration

if TYPE_CHECKING:
    from kexp.repeats import Repeat
    from kexp.search.trial import Trial

SECONDS = 0.3
"""Between two changes of a line, so that a long run does not make a long notebook slow."""

LINES = 200
"""Lines of what happened that are kept on the page."""


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and hasattr(shell, "kernel")


class NotebookDisplay(NullSearchDisplay):
    """One output of the cell that is written over: what is being done, a bar for the run, evaluations, warnings."""

    def __init__(self) -> None:
        from IPython.display import display

        self.lines: list[str] = []
        self.label, self.doing, self.done, self.total = "", "", 0, 0
        self.runs: list[RunBeside] = []
        self.written = 0.0
        self.handle: Any = display(self, display_id=True)  # type: ignore[no-untyped-call, unused-ignore]

    def _repr_html_(self) -> str:
        """Return the lines and the bar as HTML."""
        lines = "".join(f"<div>{escape(line)}</div>" for line in self.lines)
        going = "".join(run.going_html() for run in (self, *self.runs))
        return f'<div style="white-space: pre-wrap">{lines}{going}</div>'

    def __repr__(self) -> str:
        """Return the same as text."""
        going = [line for run in (self, *self.runs) for line in (run.doing, run.counts) if line]
        return "\n".join([*self.lines, *going]) or "kexp"

    @property
    def counts(self) -> str:
        """How many of how many steps of the run are done."""
        return f"{self.done:,}/{self.total:,}" if self.total else ""

    def going_html(self) -> str:
        """Return what is being done, and a bar for the run that goes on."""
        doing = f"<div>{escape(self.doing)}</div>" if self.doing else ""
        bar = f'<div><progress value="{self.done}" max="{self.total}"></progress> {self.counts}</div>'
        return doing + (bar if self.total else "")

    def _show(self, line: str = "", *, at_once: bool = True) -> None:
        if line:
            self.lines = [*self.lines, without_passwords(line)][-LINES:]
        now = time.monotonic()
        if at_once or now - self.written >= SECONDS:
            self.written = now
            self.handle.update(self)

    def end(self) -> None:
        """Show nothing as being done any more."""
        self.doing, self.done, self.total = "", 0, 0
        self._show()

    def phase(self, text: str) -> None:
        """Show what kexp is doing, in the place of what it did before."""
        self.doing = without_passwords(text)
        self._show()

    def beside(self, variant: str, repeat: Repeat) -> RunBeside:
        """Return the display of a run that goes on beside others, with a bar of its own."""
        self.runs.append(RunBeside(self, f"{variant} {repeat.name}"))
        self._show()
        return self.runs[-1]

    def run_started(self, variant: str, repeat: Repeat, total_steps: int, done_steps: int) -> None:
        """Start the bar."""
        self.label, self.doing = f"{variant} {repeat.name}", f"{variant} {repeat.name}"
        self.done, self.total = done_steps, total_steps
        self._show()

    def event(self, event: Mapping[str, Any]) -> None:
        """Move the bar; show evaluations and warnings."""
        if event["event"] == "step":
            self.done = event["step"]
            self.doing = f"{self.label}  loss {event['loss']:.3f}" if event["loss"] is not None else self.label
            self._show(at_once=False)
        if event["event"] == "warning":
            self._show(f"{self.label}  warning: {event['message']}")
        if event["event"] == "evaluation":
            metrics = "  ".join(f"{name} {value:.4f}" for name, value in event["metrics"].items() if value is not None)
            self._show(f"{self.label}  epoch {event['epoch']:g}  {metrics}{'  best' if event['best'] else ''}")

    def run_ended(self, result: Mapping[str, Any], folder: Path) -> None:
        """Remove the bar; show how long the run took, or why it did not finish."""
        self.done = self.total = 0
        self.doing = ""
        if result["status"] == "done":
            _, rows = epoch_table(epochs(folder))
            took = f" in {duration(result['train_seconds'])}" if result.get("train_seconds") else ""
            self._show(f"{self.label}  done{took}, {len(rows)} evaluation{'' if len(rows) == 1 else 's'}")
        else:
            self._show(f"{self.label or result['variant']} {result['status']}: {result['reason']}")

    def trial_started(self, trial: Trial) -> None:
        """Show that a trial begins."""
        self.phase(f"trial {trial.position}")

    def trial_ended(self, number: int, status: str, text: str) -> None:
        """Show how the trial ended."""
        self.doing = ""
        self._show(f"trial {number}  {status}  {text}")


class RunBeside(NotebookDisplay):
    """The bar of one of several runs in the output of all; their lines are those of all."""

    def __init__(self, among: NotebookDisplay, label: str) -> None:
        self.among, self.label, self.doing, self.done, self.total = among, label, label, 0, 0

    def phase(self, text: str) -> None:
        """Show what is being done before the run trains."""
        super().phase(f"{self.label}  {text}" if text else self.label)

    def run_ended(self, result: Mapping[str, Any], folder: Path) -> None:
        """Remove the bar, and show how the run ended."""
        if self in self.among.runs:
            self.among.runs.remove(self)
        super().run_ended(result, folder)

    def _show(self, line: str = "", *, at_once: bool = True) -> None:
        self.among._show(line, at_once=at_once)
