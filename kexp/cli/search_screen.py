"""What a person sees of a search: a line per trial, a bar over all of them, and what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from kexp.cli.screen import NullDisplay, TerminalDisplay, print_table
from kexp.contracts import choice_label
from kexp.search.trial import Trial

COLOURS = {"complete": "green", "pruned": "yellow", "failed": "red", "lost": "red", "interrupted": "yellow"}


class NullSearchDisplay(NullDisplay):
    """Shows nothing."""

    def trial_started(self, trial: Trial) -> None:
        """Show nothing."""

    def trial_reported(self, number: int, step: int, value: float) -> None:
        """Show nothing."""

    def trial_ended(self, number: int, status: str, text: str) -> None:
        """Show nothing."""


class TerminalSearchDisplay(TerminalDisplay):
    """A line when a trial begins and one when it ends, on standard error."""

    def trial_started(self, trial: Trial) -> None:
        """Print the trial's values."""
        values = "  ".join(f"{path} {_short(value)}" for path, value in trial.values.items())
        self.console.print(f"[dim]trial {trial.number}  {escape(values)}[/]")

    def trial_reported(self, number: int, step: int, value: float) -> None:
        """Print nothing: evaluations of several trials at once would bury the rest."""

    def trial_ended(self, number: int, status: str, text: str) -> None:
        """Print the outcome of the trial."""
        self.console.print(f"trial {number}  [{COLOURS[status]}]{status}[/]  {escape(text)}")


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(choice_label(value))


def print_found(found: Mapping[str, Any]) -> None:
    """Print the best trial and the result of its test."""
    counts = ", ".join(f"{count} {name}" for name, count in found["trials"].items() if count)
    rows = [["study", found["study"]], ["trials", counts]]
    if found["best_trial"] is not None:
        values = found["front"][0]["values"]
        metrics = zip(found["goals"], values, strict=True)
        rows.append(["best trial", f"{found['best_trial']}: " + ", ".join(f"{name} {v:.4f}" for name, v in metrics)])
        rows += [[path, _short(value)] for path, value in found["best_params"].items()]
        rows.append(["best spec", found["best_spec"]])
    if len(found["front"]) > 1:
        rows.append(["Pareto front", ", ".join(str(point["trial"]) for point in found["front"])])
    if found["final"]:
        rows.append(["tested in", found["final"]])
    rows += [["", remark] for remark in found["remarks"]]
    rows.append(["report", f"{found['folder']}/study.html"])
    print_table("search", ["", ""], rows)
