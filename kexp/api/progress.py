"""Where progress is shown: in a notebook, on the terminal, or nowhere; and warnings of a spec."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kexp.redaction import without_passwords

if TYPE_CHECKING:
    from kexp.plan.resolve import Plan
    from kexp.search.display import SearchDisplay


@contextmanager
def shown(progress: bool) -> Iterator[SearchDisplay]:
    """Yield what shows the progress of runs, trials and preparation, and end it."""
    from kexp.api.notebook import NotebookDisplay, in_notebook
    from kexp.cli.display import NullSearchDisplay, TerminalSearchDisplay

    if not progress:
        yield NullSearchDisplay()
    elif not in_notebook():
        yield TerminalSearchDisplay()
    else:
        display = NotebookDisplay()
        try:
            yield display
        finally:
            display.end()


def warn_of(plan: Plan) -> None:
    """Give the warnings of a plan as those of Python, at the line that called a function of ``kexp``."""
    for problem in plan.warnings:
        warnings.warn(without_passwords(f"{plan.source}: {problem}"), UserWarning, stacklevel=3)
