"""Predicting tables: the rows unchanged, in their order, with the predictions as additional columns."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from kexp.background import one_ahead
from kexp.data.cleaning import normal_text
from kexp.errors import KexpError
from kexp.files.cells import column_of
from kexp.files.columns import cell
from kexp.inference.columns import TextColumns
from kexp.inference.input_tables import Row, StreamTable, Table
from kexp.inference.trained_model import Answers, Reading, TrainedModel
from kexp.inference.writers import Added, Sink, writing

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that are read from a table and those that are added, named as in ``predictions.parquet``."""

    texts: TextColumns
    top_k: int | None
    abstain: float | None = None
    """The probability of a decision below which a row gets no label."""

    def check(self, table: Table, model: TrainedModel) -> None:
        """Raise ``KexpError`` for a column that would be added twice, and for labels that cannot be ranked."""
        labels = model.labels
        if self.top_k is not None and not model.task.probabilities:
            finding = f"the model decides for {model.task.decision}, and has no probabilities of labels"
            raise KexpError(f"--top-k {self.top_k}: {finding}; leave it out")
        if self.top_k is not None and self.top_k > len(labels):
            raise KexpError(f"--top-k {self.top_k}: the model has {len(labels)} labels; use {len(labels)} or fewer")
        taken = [name for name, _ in self.added(model) if name in table.columns]
        if taken:
            raise KexpError(f"{table.source}: the column {taken[0]!r} would be added by predictions; rename it")

    def added(self, model: TrainedModel) -> list[Added]:
        """Return the added columns: what is decided, and either all numbers of the task or the best labels."""
        columns = self._columns(model, np.empty((0, len(model.labels))))
        return [(name, not _is_text(values)) for name, values in columns.items()]

    def cells(self, model: TrainedModel, predictions: NDArray[np.float64]) -> list[pa.Array]:
        """Return the added columns of some rows; where the model abstains, the cells of labels are empty."""
        import pyarrow as pa
        import pyarrow.compute as pc

        sure = None if self.abstain is None else model.task.confidence(predictions, model.chosen)
        keep = None if sure is None else pa.array(~abstained(sure, self.abstain))
        made = []
        for values in self._columns(model, predictions).values():
            if not _is_text(values):
                made.append(pa.array(np.asarray(values, np.float64)))
                continue
            texts = pa.array(values, pa.string())
            made.append(texts if keep is None else pc.if_else(keep, texts, None))
        return made

    def _columns(self, model: TrainedModel, predictions: NDArray[np.float64]) -> Mapping[str, Any]:
        """Return the added columns by name: texts, or an array of numbers."""
        import pyarrow as pa

        task, labels, chosen = model.task, model.labels, model.chosen
        answers = task.answers(predictions, labels, chosen)
        if self.top_k is None:
            return answers
        columns, sure = {"predicted": answers["predicted"]}, task.confidence(predictions, chosen)
        named, scores = ("label:{}", "probability:{}"), predictions
        if sure is not None:
            columns["confidence"] = sure
            if self.top_k == 1:
                return columns
            named, scores = ("predicted:{}", "confidence:{}"), predictions.copy()
            # The first of them is what is decided for.
            np.put_along_axis(scores, task.decide(predictions, chosen)[:, None], np.inf, 1)
        names = pa.array(labels, pa.string())
        ranked = np.argsort(-scores, axis=1, kind="stable")[:, : self.top_k]
        for place in range(0 if sure is None else 1, self.top_k):
            numbers = ranked[:, place]
            columns[named[0].format(place + 1)] = names.take(pa.array(numbers))
            columns[named[1].format(place + 1)] = np.take_along_axis(predictions, numbers[:, None], 1)[:, 0]
        return columns


def _is_text(values: Any) -> bool:
    return not isinstance(values, np.ndarray)


@dataclass(slots=True)
class Selection:
    """What a model answered that abstains below a threshold: rows with text, answered ones, and those right.

    ``labelled`` counts answered rows whose true label is known.
    """

    threshold: float | None = None
    rows: int = 0
    answered: int = 0
    labelled: int = 0
    right: int = 0

    @property
    def coverage(self) -> float | None:
        """The share of rows that were answered; None without rows."""
        return self.answered / self.rows if self.rows else None

    @property
    def accuracy(self) -> float | None:
        """The share of right answers where the true label is known; None without such rows."""
        return self.right / self.labelled if self.labelled else None

    def add(self, model: TrainedModel, predictions: NDArray[np.float64], truth: Sequence[str] | None) -> None:
        """Count some rows where there is a threshold; a label in ``truth`` that the model does not know is none."""
        task, chosen = model.task, model.chosen
        sure = None if self.threshold is None else task.confidence(predictions, chosen)
        if sure is None:
            return
        answered = ~abstained(sure, self.threshold)
        self.rows += len(predictions)
        self.answered += int(answered.sum())
        if truth is not None:
            unknown = set(task.unknown(set(truth), model.labels))
            targets = task.encode(["" if label in unknown else label for label in truth], model.labels)
            known = answered & task.known(targets)
            equal = (task.decide(predictions, chosen) == targets).reshape(len(targets), -1).all(1)
            self.labelled += int(known.sum())
            self.right += int((known & equal).sum())

    def parts(self) -> Iterator[str]:
        """Yield coverage and accuracy as text, where there is a threshold."""
        if self.threshold is None:
            return
        share = "" if self.coverage is None else f", coverage {self.coverage:.1%}"
        yield f"{self.answered:,} of {self.rows:,} answered (probability of at least {self.threshold:g}){share}"
        if self.accuracy is not None:
            of = f"{self.right:,} of {self.labelled:,} answered rows with a known label are right"
            yield f"{of}, accuracy {self.accuracy:.1%}"


def abstained(confidence: NDArray[np.float64], threshold: float | None) -> NDArray[np.bool_]:
    """Return for each row whether the probability of its decision is below the threshold; never without one."""
    if threshold is None:
        return np.zeros(len(confidence), np.bool_)
    return confidence < threshold


@dataclass(slots=True)
class Counts:
    """Numbers of predicted, empty, truncated and blank rows, of rows of unknown tokens alone, and of those left out.

    ``selection`` counts what was answered by a model that may abstain.
    """

    rows: int = 0
    empty: int = 0
    truncated: int = 0
    blank: int = 0
    left_out: int = 0
    unknown: int = 0
    selection: Selection = field(default_factory=Selection)

    def add(self, answers: Answers) -> None:
        """Count what is known of some predicted rows."""
        self.truncated += answers.truncated
        self.blank += answers.blank
        self.unknown += answers.unknown

    def sentence(self) -> str:
        """Return the numbers as one line."""
        parts = [f"{self.rows:,} row{'' if self.rows == 1 else 's'}"]
        if self.empty:
            parts.append(f"{self.empty:,} without text, left without a label")
        if self.left_out:
            parts.append(f"{self.left_out:,} left out by dataset.leave_out")
        if self.truncated:
            parts.append(f"{self.truncated:,} cut at the model's length")
        if self.unknown:
            parts.append(f"{self.unknown:,} of unknown tokens alone")
        if self.blank:
            parts.append(f"{self.blank:,} without any token after cleaning")
        return "; ".join([*parts, *self.selection.parts()])


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of a table, the places of those with text, and these texts as the model reads them."""

    rows: Sequence[Row]
    numbers: Sequence[int]
    reading: Reading

    def predicted(self, cells: Callable[[], list[pa.Array]]) -> tuple[Sequence[Row], Sequence[pa.Array]]:
        """Return the rows as they were read, and the added columns with empty cells for rows without text."""
        import pyarrow as pa

        added = cells()
        if len(self.numbers) == len(self.rows):
            return self.rows, added
        places, empty = np.zeros(len(self.rows), np.int64), np.ones(len(self.rows), np.bool_)
        places[self.numbers], empty[self.numbers] = np.arange(len(self.numbers)), False
        return self.rows, [column.take(pa.array(places, mask=empty)) for column in added]


def _chunks(model: TrainedModel, table: Table, columns: TextColumns) -> Generator[Chunk, None, None]:
    first = 1
    for rows in table.chunks():
        numbers, texts, pairs = readable(rows, columns, table.source, range(first, first + len(rows)))
        yield Chunk(rows, numbers, model.read(texts, pairs))
        first += len(rows)


def predict_table(
    model: TrainedModel,
    table: Table,
    columns: Columns,
    sink: Sink,
    progress: Callable[[int], None] = lambda rows: None,
    truth: Callable[[Sequence[Row]], Sequence[str]] | None = None,
) -> Counts:
    """Predict every row of a table, chunk by chunk; a row without text gets empty cells.

    While the model answers one chunk, threads read the next one from a file and write the one before to a file.
    ``progress`` is called with the number of rows done; ``truth`` returns the labels of rows that have some.
    """
    counts = Counts(selection=Selection(columns.abstain))
    chunks = _chunks(model, table, columns.texts)
    # A thread that waits for standard input could not be ended.
    ahead = chunks if isinstance(table, StreamTable) else one_ahead(chunks, "kexp reading")
    with closing(ahead), writing(sink) as write:
        for chunk in ahead:
            answers = model.answer_read(chunk.reading)
            known = None if truth is None else truth([chunk.rows[number] for number in chunk.numbers])
            counts.selection.add(model, answers.probabilities, known)
            write(partial(chunk.predicted, partial(columns.cells, model, answers.probabilities)))
            counts.rows += len(chunk.rows)
            counts.empty += len(chunk.rows) - len(chunk.numbers)
            counts.add(answers)
            progress(counts.rows)
    # A table without rows still has columns.
    sink.write([], columns.cells(model, np.empty((0, len(model.labels)))))
    return counts


def readable(
    chunk: Sequence[Row], columns: TextColumns, source: str, rows: Sequence[int]
) -> tuple[list[int], list[str], list[str] | None]:
    """Return the places of the rows that have text after normalisation, and their texts.

    ``rows`` are the numbers of the rows in the source; raises ``DataError`` for a cell that is no text.
    """

    def column(name: str) -> list[str]:
        return column_of([cell(row, name) for row in chunk], partial(normal_text, trim=False), source, name, rows)

    texts = [columns.joined(cells) for cells in zip(*map(column, columns.text), strict=True)]
    pairs = None if columns.pair is None else column(columns.pair)
    numbers = [number for number, one in enumerate(texts) if one.strip() and (pairs is None or pairs[number].strip())]
    return numbers, _take(texts, numbers), None if pairs is None else _take(pairs, numbers)


def _take(texts: Sequence[str], numbers: Iterable[int]) -> list[str]:
    return [texts[number] for number in numbers]
