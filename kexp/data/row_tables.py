"""Tables of rows without their texts: what cleaning and division need of a text is a few numbers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from kexp.data.cleaning import SEPARATOR, TEXTS, normal_text
from kexp.data.texts import CHUNK, Texts, texts_at
from kexp.errors import DataError
from kexp.settings import cache_folder

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

MAPPED = 64 * 2**20
"""Bytes of texts from which they are in a file of the cache folder, whose pages are in memory while they are read."""
COLUMNS = (*TEXTS, "augmented")


def without_texts(frames: Mapping[str, pd.DataFrame], trim: bool) -> tuple[dict[str, pd.DataFrame], dict[str, Texts]]:
    """Take the texts of all splits out of their tables; return tables without them, and the normalised texts by column.

    A table keeps ``label``, ``number`` and ``group``. It gets ``place`` (that of the row's texts), ``id`` (equal for
    equal texts, in all splits), ``characters``, ``blank`` (whether a text is white space alone), and, if it had a
    column of that name, ``text_pair`` (true) and ``augmented`` (whether there is a view). The texts of a column that a
    split lacks are empty.
    """
    names = [name for name in COLUMNS if any(name in frame for frame in frames.values())]
    texts: dict[str, list[Texts]] = {name: [] for name in names}
    tables: dict[str, pd.DataFrame] = {}
    hashes: list[NDArray[np.uint64]] = []
    start = 0
    for split, frame in frames.items():
        kept = [name for name in ("label", "number", "group") if name in frame]
        held = {name: _held(_arrays(frame.pop(name)), trim) for name in names if name in frame}
        columns, hashed = _measured(held)
        numbers = {"place": np.arange(start, start + len(frame)), "number": frame["number"].to_numpy()}
        tables[split] = frame[kept].assign(**columns, **{name: small(values) for name, values in numbers.items()})
        hashes.append(hashed)
        for name, several in texts.items():
            several.append(held[name] if name in held else Texts.of([""] * len(frame)))
        start += len(frame)
    joined = {name: Texts.joined(several) for name, several in texts.items()}
    paired = np.concatenate([np.full(len(table), "text_pair" in table) for table in tables.values()])
    ids = _numbered(np.concatenate(hashes), partial(_named, joined, paired))
    return {split: table.assign(id=small(ids[table["place"]])) for split, table in tables.items()}, joined


def small(numbers: NDArray[np.int64]) -> NDArray[np.signedinteger[Any]]:
    """Return numbers in four bytes each where they have room in these."""
    fit = not len(numbers) or max(-int(numbers.min()), int(numbers.max())) < 2**31
    return numbers.astype(np.int32) if fit else numbers


def _named(texts: Mapping[str, Texts], paired: NDArray[np.bool_], places: NDArray[np.int64]) -> list[str]:
    """Return by what cleaning compares the rows at some places."""
    found = texts_at(texts["text"], places)
    if not paired.any():
        return found
    pairs = texts_at(texts["text_pair"], places)
    rows = zip(found, pairs, paired[places], strict=True)
    return [f"{text}{SEPARATOR}{pair}" if joined else text for text, pair, joined in rows]


def _arrays(column: pd.Series[Any]) -> list[pa.LargeStringArray]:
    import pyarrow as pa

    held = pa.array(column, pa.large_string(), from_pandas=True)
    return held.chunks if isinstance(held, pa.ChunkedArray) else [held]


def _held(arrays: list[pa.LargeStringArray], trim: bool) -> Texts:
    """Return texts in normal form, in memory or, many of them, in a file that is mapped."""
    size = sum(array.nbytes for array in arrays)
    if size < MAPPED:
        return Texts([*_normal(arrays, trim)])
    folder = cache_folder() / "texts"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        room = os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 2 * size
    except OSError:
        room = False
    if not room:
        return Texts([*_normal(arrays, trim)])
    try:
        return Texts.mapped(_normal(arrays, trim), folder)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{folder}: the texts cannot be written there: {reason}; free {size / 2**30:.1f} GiB") from None


def _normal(arrays: list[pa.LargeStringArray], trim: bool) -> Iterator[pa.LargeStringArray]:
    """Yield arrays with normal texts, those without a change as they are; each of ``arrays`` is let go before that."""
    import pyarrow as pa

    arrays.reverse()
    while arrays:
        array = arrays.pop()
        chunks, changed = [], array.null_count > 0
        for start in range(0, len(array), CHUNK):
            given = array.slice(start, CHUNK).to_pylist()
            normal = [normal_text(text, trim=trim) for text in given]
            changed |= normal != given
            chunks.append(pa.array(normal, pa.large_string()))
        if not changed:
            chunks = [array]
        del array
        yield from chunks


def _measured(held: dict[str, Texts]) -> tuple[dict[str, Any], NDArray[np.uint64]]:
    """Return the columns of a split that say what cleaning asks of its texts, and a hash of what names each row."""
    import pandas as pd

    count = len(held["text"])
    columns: dict[str, Any] = {"characters": np.empty(count, np.int32), "blank": np.empty(count, bool)}
    hashes = np.empty(count, np.uint64)
    both = [held[name] for name in TEXTS if name in held]
    for start, *chunks in zip(range(0, count, CHUNK), *(texts.chunks() for texts in both), strict=True):
        rows = slice(start, start + CHUNK)
        named = chunks[0] if len(chunks) == 1 else list(map(SEPARATOR.join, zip(*chunks, strict=True)))
        hashes[rows] = pd.util.hash_array(np.asarray(named, object), categorize=False)
        columns["characters"][rows] = np.sum([list(map(len, chunk)) for chunk in chunks], axis=0)
        columns["blank"][rows] = np.any([[not text.strip() for text in chunk] for chunk in chunks], axis=0)
    if "text_pair" in held:
        columns["text_pair"] = True
    if "augmented" in held:
        columns["augmented"] = [bool(text.strip()) for text in held["augmented"]]
    return columns, hashes


def _numbered(hashes: NDArray[np.uint64], named: Callable[[NDArray[np.int64]], list[str]]) -> NDArray[np.int64]:
    """Return for every row the place of the first row that has the same texts; ``named`` returns those of places."""
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    first = np.arange(len(order))
    first[1:][ranked[1:] == ranked[:-1]] = 0
    np.maximum.accumulate(first, out=first)
    del ranked
    ids = np.empty_like(order)
    ids[order] = order[first]
    del order, first
    repeated = np.flatnonzero(ids != np.arange(len(ids)))
    # Two texts may have one hash, of which only the first row is known.
    others: dict[tuple[int, str], int] = {}
    for start in range(0, len(repeated), CHUNK):
        rows = repeated[start : start + CHUNK]
        for row, text, known in zip(rows.tolist(), named(rows), named(ids[rows]), strict=True):
            if text != known:
                ids[row] = others.setdefault((int(ids[row]), text), row)
    return ids


def with_texts(table: pd.DataFrame, texts: Mapping[str, Texts]) -> pd.DataFrame:
    """Return some rows with their texts."""
    columns = {name: texts_at(texts[name], table["place"].to_numpy()) for name in TEXTS if name in {"text", *table}}
    return table.assign(**columns)


def texts_of(table: pd.DataFrame, texts: Mapping[str, Texts], column: str) -> Texts | None:
    """Return the texts of a column of all rows of a table, in its order; None where it has no such column."""
    return texts[column].take(table["place"].to_numpy()) if column in {"text", *table} else None
