"""What a person sees of predictions: results on standard output, notes, counts and progress on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kexp.cli.screen import print_table
from kexp.inference.model import TrainedModel
from kexp.inference.sinks import Added, Delimited, JsonLines, Sink
from kexp.inference.tables import Row, Table


def note(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr)


def tell_of(model: TrainedModel, *, paired: bool) -> None:
    """Say what a user should know of models before their predictions are believed."""
    for line in model.notes:
        note(f"note: {line}")
    for member in model.members:
        if member.provenance.paired and not paired:
            note(f"note: {member.place.name} was trained on pairs of texts; name the second with --pair")


def progress() -> Callable[[int], None]:
    """Return what is told of rows that are done; on a terminal it shows them, on one line."""
    if not sys.stderr.isatty():
        return lambda rows: None
    return lambda rows: print(f"{rows:,} rows", end="\r", file=sys.stderr, flush=True)


@contextmanager
def standard_output(table: Table, added: Sequence[Added], *, as_json: bool, few: bool) -> Iterator[Sink]:
    """Yield where rows go that no file takes; ``few`` of them are shown as a table where somebody looks."""
    try:
        yield _printing(table, added, as_json=as_json, few=few)
        sys.stdout.flush()
    except BrokenPipeError:
        # The program behind the pipe, head for instance, has seen enough; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def _printing(table: Table, added: Sequence[Added], *, as_json: bool, few: bool) -> Sink:
    if as_json:
        return JsonLines(sys.stdout)
    if few and sys.stdout.isatty():
        return Shown([*table.columns, *(name for name, _ in added)])
    return Delimited(sys.stdout, table, added, "\t")


class Shown:
    """The table of a few texts on a terminal."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns

    def write(self, rows: Sequence[Row]) -> None:
        """Print some rows."""
        cells = [[row[name] for name in self.columns] for row in rows]
        print_table("predictions", self.columns, [[_shown(cell) for cell in row] for row in cells])


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def print_measured(result: Mapping[str, Any]) -> None:
    """Print metrics, the table of labels and the confusion matrix."""
    print_table(
        "metrics", ["metric", "value"], [[name, _shown(value)] for name, value in result["metrics"].items()], right=1
    )
    print()
    columns = ["label", "precision", "recall", "f1", "support"]
    rows = [[_shown(label[name]) for name in columns] for label in result["per_class"]]
    print_table("labels", columns, rows, right=1)
    print()
    counts = zip(result["labels"], result["confusion_matrix"], strict=True)
    rows = [[label, *map(str, row)] for label, row in counts]
    print_table("confusion", ["true \\ predicted", *result["labels"]], rows, right=1)
