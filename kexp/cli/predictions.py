"""Predictions on standard output, and the notes that come with a model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kexp.cli.display import note
from kexp.cli.tables import as_text, print_table
from kexp.inference.writers import Added, Delimited, JsonLines, Sink, Values

if TYPE_CHECKING:
    from kexp.inference.input_tables import Row, Table
    from kexp.inference.trained_model import TrainedModel


def print_notes(model: TrainedModel) -> None:
    """Print what a user should know about models before their predictions are used."""
    for line in model.notes:
        note(f"note: {line}")


def warn_of_threshold(abstain: float | None, model: TrainedModel) -> None:
    """Warn of a threshold that never abstains; raises ``KexpError`` for one that the model cannot use."""
    if warning := model.check_abstain(abstain, "--abstain"):
        note(f"warning: {warning}")


def print_warnings(table: Table) -> None:
    """Print what is probably not meant in a table that was read to its end."""
    for line in table.warnings:
        note(f"warning: {line}")


def standard_output(table: Table, added: Sequence[Added], *, as_json: bool, few: bool) -> Sink:
    """Return the sink that prints rows; ``few`` of them are a table on a terminal."""
    if as_json:
        return JsonLines(sys.stdout, added)
    if few and sys.stdout.isatty():
        return TerminalTable(table.columns, added)
    return Delimited(sys.stdout, table, added, "\t")


class TerminalTable:
    """A table of a few predictions on a terminal."""

    def __init__(self, columns: Sequence[str], added: Sequence[Added]) -> None:
        self.columns, self.added = columns, [name for name, _ in added]

    def write(self, rows: Sequence[Row], values: Values = ()) -> None:
        """Print some rows."""
        columns = [*([row[name] for row in rows] for name in self.columns), *(cells.to_pylist() for cells in values)]
        shown = [list(map(as_text, cells)) for cells in zip(*columns, strict=True)]
        print_table("predictions", [*self.columns, *self.added], shown)
