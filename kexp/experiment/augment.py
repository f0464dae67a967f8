"""`kexp augment`: costly views made ahead of training, and examples of what an augmenter does."""

from __future__ import annotations

import csv
import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kexp.atomic_files import replacing
from kexp.catalog import Catalog
from kexp.contracts import AugmenterOptions, DatasetOptions, Rejected
from kexp.data.rows import PreparedData, Rows
from kexp.data.semi_supervised_stream import streams
from kexp.data.stored_views import StoredViews
from kexp.errors import KexpError, reason_and_remedy
from kexp.experiment.divisions import divisions
from kexp.experiment.inputs import PreparedInputs
from kexp.plan.resolve import Plan
from kexp.seeds import generator
from kexp.settings import cache_folder
from kexp.spec.sections import Spec

Progress = Callable[[str], None]

STREAMS = ("unlabelled", "labelled")
"""The rows that have an augmenter of their own."""

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
"""What pairs are written as, by the end of the file's name."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A text, what an augmenter made of it, and why that was rejected ("" where it was not)."""

    original: str
    augmented: str
    rejected: str

    def changes(self) -> Iterator[tuple[str, str, str]]:
        """Yield runs of words: equal, replace, delete or insert; the original words; the augmented words."""
        before, after = self.original.split(), self.augmented.split()
        matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
        for kind, start, end, new_start, new_end in matcher.get_opcodes():
            yield kind, " ".join(before[start:end]), " ".join(after[new_start:new_end])


class Subject(NamedTuple):
    """An augmenter of a spec and its rows in the first division of the data; ``stream`` says which rows they are."""

    spec: Spec
    stream: str
    data: PreparedData
    rows: Rows
    augmenter: AugmenterOptions
    prepared: PreparedInputs


def sample(plan: Plan, catalog: Catalog, of: str | None, count: int, progress: Progress) -> list[Pair]:
    """Augment some rows of train, drawn with the split's seed, as the first epoch would."""
    spec, _, data, rows, augmenter, prepared = subject(plan, catalog, of, progress)
    chosen = generator(spec.split.seed, "shown rows").permutation(len(rows))[:count]
    built = prepared.augmenter(spec, data, augmenter)
    try:
        made = built([rows.texts[row] for row in chosen], streams(rows, chosen, spec.split.seed, 0))
    finally:
        built.close()
    return [
        Pair(rows.texts[row], new.text, new.reason) if isinstance(new, Rejected) else Pair(rows.texts[row], new, "")
        for row, new in zip(chosen, made, strict=True)
    ]


def ahead(
    plan: Plan, catalog: Catalog, of: str | None, limit: int | None, output: Path | None, progress: Progress
) -> dict[str, Any]:
    """Make all views of these rows that training takes; what is stored already is not made again.

    Returns the counts over all divisions of the rows: draws, folds, and seeds with ``split.resplit``. ``output`` gets
    the accepted pairs as a table whose columns are named as the dataset's.
    """
    spec, which, _, _, augmenter, prepared = subject(plan, catalog, of, progress)
    if not augmenter.costly and output is None:
        raise KexpError(
            f"{plan.source}: the augmenter is not costly: it makes new texts every epoch, and nothing is made ahead"
        )
    if output is not None:
        _check_output(output, spec.dataset)
    everything: list[tuple[Rows, StoredViews]] = []
    for repeat in divisions(spec).values():
        rows = _rows(prepared.data(spec, repeat), which)
        if limit is not None:
            rows = rows.take(generator(spec.split.seed, "limited rows").permutation(len(rows))[:limit])
        everything.append((rows, prepared.augment_rows(spec, repeat, rows, augmenter)))
    if output is not None:
        _write(output, _columns(spec.dataset), everything)
    rejected = sum((Counter(made.rejected()) for _, made in everything), Counter[str]())
    return {
        "rows": sum(len(rows) for rows, _ in everything),
        "accepted": sum(len(made.accepted()) for _, made in everything),
        "forms": len(everything[0][1].views),
        "rejected": dict(rejected),
    }


def _rows(data: PreparedData, which: str) -> Rows:
    """Return the rows that an augmenter changes; train where the data have no unlabelled rows."""
    rows = data.unlabelled if which == "unlabelled" and data.unlabelled is not None else data.train
    if not len(rows):
        raise KexpError(f"no {which} rows are left; give fewer seed words")
    return rows


def subject(plan: Plan, catalog: Catalog, of: str | None, progress: Progress) -> Subject:
    """Find the augmenter, in the first variant that has one, and its rows in the first division of the data.

    ``of`` is unlabelled or labelled; without it, unlabelled rows come first.
    """
    prepared = PreparedInputs(catalog, cache_folder(), progress)
    for variant in plan.variants:
        augmenters = augmenters_of(variant.spec)
        rows = next(iter(augmenters), "") if of is None else of
        if rows in augmenters:
            progress(_choice(variant.name, rows, augmenters, catalog))
            first = next(iter(divisions(variant.spec).values()))
            data = prepared.data(variant.spec, first)
            return Subject(variant.spec, rows, data, _rows(data, rows), augmenters[rows], prepared)
    places = " or ".join(f"augmentation.{rows}" for rows in (STREAMS if of is None else (of,)))
    raise KexpError(f"{plan.source}: the spec has no augmenter; name one in {places}")


def augmenters_of(spec: Spec) -> dict[str, AugmenterOptions]:
    """Return the augmenters of a spec by the rows that they augment."""
    augmenters = {rows: getattr(spec.augmentation, rows) for rows in STREAMS}
    return {rows: augmenter for rows, augmenter in augmenters.items() if augmenter is not None}


def _choice(variant: str, rows: str, augmenters: Mapping[str, AugmenterOptions], catalog: Catalog) -> str:
    """Say which augmenter it is, and how to choose the other one."""
    named = f"{variant}: augmentation.{rows}, {catalog.name_of(type(augmenters[rows]))}"
    others = [other for other in augmenters if other != rows]
    return named + "".join(f"; augmentation.{other} with --of {other}" for other in others)


def _columns(dataset: DatasetOptions) -> tuple[str, str]:
    """Return the columns of texts and of augmented texts, named as the dataset names them."""
    named = getattr(dataset, "text", "text")
    text = named if isinstance(named, str) else "text"
    return text, getattr(dataset, "augmented", None) or ("view" if text == "augmented" else "augmented")


def _check_output(path: Path, dataset: DatasetOptions) -> None:
    """Refuse, before hours of translation, a table that cannot be written, or that is a file of the dataset."""
    if path.suffix not in FORMATS:
        raise KexpError(f"--output {path}: expected a name that ends in {', '.join(FORMATS)}")
    if path.is_dir() or not path.parent.is_dir():
        finding = "is a folder" if path.is_dir() else f"the folder {path.parent} does not exist"
        raise KexpError(f"--output {path}: {finding}; give a file in a folder that is there")
    read = [file for file in vars(dataset).values() if isinstance(file, Path)]
    if any(file.resolve() == path.resolve() for file in read):
        raise KexpError(f"--output {path}: the dataset reads this file; give another name")


def _write(path: Path, columns: tuple[str, str], everything: Sequence[tuple[Rows, StoredViews]]) -> None:
    import pandas as pd

    text, augmented = columns
    views = [
        pd.DataFrame({text: [rows.texts[row] for row in made.accepted()], augmented: view})
        for rows, made in everything
        for view in made.accepted_texts()
    ]
    frame = pd.concat(views, ignore_index=True)
    writers: dict[str, Callable[[Path], None]] = {
        ".csv": lambda part: frame.to_csv(part, index=False),
        # As TSV is read: quotation marks are characters.
        ".tsv": lambda part: frame.to_csv(part, index=False, sep="\t", quoting=csv.QUOTE_NONE, quotechar=None),
        ".jsonl": lambda part: frame.to_json(part, orient="records", lines=True, force_ascii=False),
        ".parquet": lambda part: frame.to_parquet(part, index=False),
    }
    if path.suffix == ".tsv" and frame.apply(lambda cells: cells.str.contains(r"[\t\r\n]")).any(axis=None):
        raise KexpError(f"--output {path}: a text has a tab or a line break; write .csv, .jsonl or .parquet")
    try:
        with replacing(path) as part:
            writers[path.suffix](part)
    except OSError as error:
        raise KexpError(f"--output {path}: cannot be written: {reason_and_remedy(error)}") from None
