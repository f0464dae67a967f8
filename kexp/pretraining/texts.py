"""The texts of pre-training: those of train and of further files, none of validation or test, in an order of theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kexp.data.cleaning import normal_text
from kexp.data.rows import PreparedData, Rows
from kexp.errors import DataError
from kexp.files import Layout, Remedies, lines_of, open_table, text_of
from kexp.files.cells import column_of
from kexp.spec.pretraining_section import Pretraining

REMEDIES = Remedies(
    encoding='save it in UTF-8 (it is probably "{}")',
    unquoted="write quotation marks in cells twice",
    quoted="write the cells without them",
    escape="write quotation marks in cells twice",
    format="give it a name that ends in .{}",
    separator='save it with the separator that its name says, not "{}"',
    sheet="save the one that is meant alone",
)

Text = tuple[str, ...]
"""A text, or the two of a pair."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Distinct texts in an order of their own, so that the same texts in another order are the same rows.

    ``counts`` are how many there were, and how many were left out, by reason.
    """

    rows: Rows
    counts: Mapping[str, int]


def total_steps(options: Pretraining, texts: int) -> int:
    """Return the number of optimiser steps of pre-training on so many texts."""
    return options.steps or options.epochs * -(-texts // options.batch_size)


def gather(data: PreparedData, options: Pretraining, *, clean: Callable[[str], str], trim: bool) -> Gathered:
    """Return the texts of train, labelled or not, and of the files.

    Whatever stands in validation or test is left out; texts are compared as ``clean`` leaves them for the backbone,
    with those of validation and test also without white space and case.
    Raises ``DataError`` where no text is left, and for files beside data of pairs.
    """
    paired = data.train.pairs is not None
    if options.texts and paired:
        raise DataError("pretraining.texts: rows of the dataset are pairs, files hold single texts; leave them out")

    def key(text: Text) -> Text:
        return tuple(clean(part).strip() for part in text)

    def bare(cleaned: Text) -> Text:
        return tuple("".join(part.split()).casefold() for part in cleaned)

    measured = {bare(key(text)) for split in ("validation", "test") for text in _texts(data.splits.get(split))}
    counts = Counter[str]()
    found: dict[Text, Text] = {}

    def add(source: str, texts: Iterable[Text]) -> None:
        for text in texts:
            counts[source] += 1
            cleaned = key(text)
            if not all(cleaned):
                counts["empty"] += 1
            elif bare(cleaned) in measured:
                counts["in validation or test"] += 1
            elif cleaned in found:
                counts["repeated"] += 1
            else:
                found[cleaned] = text

    add("train", _texts(data.train))
    add("train", _texts(data.unlabelled))
    for path in options.texts:
        add("files", ((normal_text(text, trim=trim),) for text in _from_file(path, options.text_column)))
    if not found:
        raise DataError("pretraining: no text is left that is not in validation or test; give some with texts")
    ordered = [found[cleaned] for cleaned in sorted(found)]
    rows = Rows(
        [text[0] for text in ordered],
        [text[1] for text in ordered] if paired else None,
        np.full(len(ordered), -1, np.int64),
        np.arange(len(ordered)),
    )
    return Gathered(rows, {**counts, "kept": len(ordered)})


def _texts(rows: Rows | None) -> Iterable[Text]:
    if rows is None:
        return ()
    return zip(rows.texts, strict=True) if rows.pairs is None else zip(rows.texts, rows.pairs, strict=True)


def _from_file(path: Path, column: str | None) -> list[str]:
    """Read the texts of a table, or the lines of a .txt file."""
    if column is None and ".txt" in path.suffixes[-2:]:
        lines = [line.rstrip("\r\n") for line in lines_of(path, "utf-8-sig", REMEDIES, newline="\n")]
        if lines and "\t" in lines[0]:
            raise DataError(
                f"{path}: line 1 has tab characters, so it is a table; name the column of its texts with "
                "pretraining.text_column, or give a text per line"
            )
        return lines
    column = column or "text"
    table = open_table(path, Layout(), REMEDIES)
    values = table.read([column], "name the column of the texts with pretraining.text_column")[column]
    return column_of(values, text_of, path, column)
