"""What a person sees of a search: its trials, and the runs of the best spec after it."""

from __future__ import annotations

from typing import Protocol

from kexp.experiment.train_and_test import Display
from kexp.search.trial import Trial


class SearchDisplay(Display, Protocol):
    """Shows the trials of a search, and experiments like any other display."""

    def trials_planned(self, total: int | None, finished: int, jobs: int) -> None:
        """Learn how many trials the search will have, if that is known, and how many are finished already."""

    def trial_started(self, trial: Trial) -> None:
        """Show that a trial begins."""

    def trial_reported(self, number: int, step: int, value: float) -> None:
        """Show an intermediate value."""

    def trial_ended(self, number: int, status: str, text: str) -> None:
        """Show how a trial ended."""
