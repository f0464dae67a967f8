"""Cells as text, a column at once, beside what Python makes of them one after the other."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kexp.builtin.tasks.single_label import SingleLabel
from kexp.inference.column_texts import shortest_texts, six_digits
from kexp.inference.columns import TextColumns
from kexp.inference.input_tables import Row, Table
from kexp.inference.predict import Chunk, Columns
from kexp.inference.trained_model import Reading
from kexp.inference.writers import sink_to

EDGES = [0.0, 1.0, 0.5, 100.0, 999999.0, 999999.5, 1e6, 123456.5, 1e9, 1e15, 1e16, 1e22, 1e23, 1e300, 5e-324, 1e-300]
EDGES += [float(f"{digit}e-{power}") for digit in (1, 2, 5, 9, 9.5) for power in range(1, 25)]
EDGES += [0.0000999999999, 0.000099999951, 0.00009999995, 0.0000099999995, 0.99999949999, 0.9999995, 0.99999950001]
# Halves of the sixth digit that a float holds exactly, and their neighbours.
EDGES += [0.00390625, 1.000005, 2.5e-5, 0.1234565, 1234.565, 10.00005, 1 / 3, 1 / 60, 2**-17, 3 * 2**-20, 2**-24]


def drawn() -> np.ndarray:
    random = np.random.default_rng(0)
    logits = random.normal(size=(2000, 20)) * 6
    softmax = np.exp(logits - logits.max(1, keepdims=True))
    near = np.array(EDGES)
    return np.concatenate(
        [
            (softmax / softmax.sum(1, keepdims=True)).ravel(),
            (softmax.astype(np.float32) / np.float32(3)).astype(np.float64).ravel(),
            10 ** random.uniform(-20, 12, 50_000),
            random.integers(0, 1_000_000, 50_000) / 10.0 ** random.integers(0, 12, 50_000),
            (random.integers(100_000, 1_000_000, 50_000) + 0.5) / 10.0 ** random.integers(0, 12, 50_000),
            *(np.nextafter(near, to) for to in (0, np.inf)),
            near,
            -near,
            [np.nan, np.inf, -np.inf],
        ]
    )


@pytest.mark.parametrize(("made", "of"), [(shortest_texts, repr), (six_digits, "{:.6g}".format)])
def test_columns_of_numbers_have_the_texts_of_python(
    made: Callable[[pa.Array], pa.Array], of: Callable[[float], str]
) -> None:
    values = drawn()
    found = made(pa.array(values)).to_pylist()
    assert found == [of(value) for value in values.tolist()]


@pytest.mark.parametrize("made", [shortest_texts, six_digits])
def test_null_stays_null_among_rows_of_every_length(made: Callable[[pa.Array], pa.Array]) -> None:
    for length in range(6):
        for given in itertools.product([None, 0.25, 3e-05, float("nan")], repeat=min(length, 3)):
            texts = made(pa.array(given, pa.float64())).to_pylist()
            assert texts == [None if value is None else repr(value) for value in given]


TEXTS = ['정말 "최고", 영화', "여러\n줄\r\n글", "", "a,b\tc", "한글 café 🎬", '"', "\\", "\u2028x", "최고"]
NAMES = ["a,b", 'c"d', "e\tf", "g\nh", "", "한 \u2028", "\\", "나쁨"]


def added_to(row: Row, given: list[float] | None, top_k: int | None, abstain: float) -> Row:
    """Return a row with its predictions, by the definition of the columns; without probabilities they are empty."""
    keys = [f"probability:{name}" for name in NAMES]
    if given is None:
        order = [None] * len(NAMES)
        given = [None] * len(NAMES)
    else:
        order = sorted(range(len(NAMES)), key=lambda number: -given[number])
    unsure = order[0] is None or given[order[0]] < abstain
    found = {}
    for place, number in enumerate(order[: top_k or 1], 1):
        end = "" if place == 1 else f":{place}"
        found[f"predicted{end}"] = None if unsure else NAMES[number]
        found[f"confidence{end}"] = None if number is None else given[number]
    return {**row, **found, **({} if top_k else dict(zip(keys, given, strict=True)))}


@pytest.mark.parametrize("top_k", [None, 1, 3])
@pytest.mark.parametrize(
    "rows", [[{"text": text} for text in TEXTS], [{"n": n, "text": t} for n, t in enumerate(TEXTS)]]
)
def test_files_are_those_of_a_writer_of_one_row_after_the_other(
    tmp_path: Path, rows: list[Row], top_k: int | None
) -> None:
    logits = np.random.default_rng(0).normal(size=(len(TEXTS) - 1, len(NAMES))) * 8
    logits[1], logits[2, 3] = 0, 900
    chances = np.exp(logits - logits.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    with_text = [number for number, text in enumerate(TEXTS) if text]
    by_row = dict(zip(with_text, chances.tolist(), strict=True))
    expected = [added_to(row, by_row.get(number), top_k, 0.7) for number, row in enumerate(rows)]
    labels = [row["predicted"] for row in expected]
    assert labels.count(None) > 1
    assert len(set(labels)) > 3
    columns = Columns(TextColumns(), top_k, 0.7)
    model: Any = SimpleNamespace(labels=NAMES, task=SingleLabel(), chosen={})
    table = Table("x", list(rows[0]), iter(rows))
    chunk = Chunk(rows, with_text, Reading([], 0, 0, 0))
    for kind in ("csv", "tsv", "jsonl", "parquet"):
        with sink_to(tmp_path / f"out.{kind}", table, columns.added(model), force=False) as sink:
            sink.write(*chunk.predicted(lambda: columns.cells(model, chances)))
            sink.write([], columns.cells(model, np.empty((0, len(NAMES)))))
    for kind, separator in (("csv", ","), ("tsv", "\t")):
        stream = io.StringIO()
        writer = csv.writer(stream, delimiter=separator, lineterminator="\n")
        writer.writerow(expected[0])
        for row in expected:
            cells = row.values()
            writer.writerow(
                "" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells
            )
        assert (tmp_path / f"out.{kind}").read_bytes() == stream.getvalue().encode()
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in expected)
    assert (tmp_path / "out.jsonl").read_bytes() == lines.encode()
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == expected
