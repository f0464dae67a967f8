"""Corpora as their authors publish them: which files they have, how these lie, and how many rows are in them."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from kexp.contracts import DatasetContext, DatasetOptions
from kexp.errors import DataError, Problem
from kexp.names import composed
from kexp.options import LocalPath
from kexp_korean.shapes import Shape, labelled, listed, read_labels

if TYPE_CHECKING:
    from datasets import Dataset

    from kexp.files import Remedies

Split = Literal["train", "validation", "test", "unlabelled"]
EvaluationSplit = Literal["test", "validation"]
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".alz", ".egg", ".part0")
"""How the names of packed files end; ``.part0`` is the first piece of one of AI-Hub's."""
_WITHOUT_LABEL = "rows without {} left out"
"""Reason of rows that the authors gave no label of a kind, by its column."""

DEV: Any = Field(
    "test",
    description="What the published evaluation file is: the test split (validation is then taken out of train), or "
    "validation (test is then taken out of train, unless split.test = 0).",
)
"""Field of corpora whose authors publish no labels of their test rows."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that are published in one file, or with ``many`` in several, and the split that they become.

    ``files`` has the shape of each name that the file may have, the best first: a pattern for names as in a shell, with
    the folder's where files of several folders have one name; ``/`` at its beginning stands for ``path`` itself.
    ``rows`` is the published number of rows, 0 if it is not known, and with ``counted_by_users`` what users of the
    corpus say, whose files need not be those of today.
    """

    split: Split
    files: Mapping[str, Shape]
    rows: int = 0
    many: bool = False
    counted_by_users: bool = False

    @property
    def name(self) -> str:
        """The name under which the file is published."""
        return next(iter(self.files))

    def find(self, folder: Path, files: Sequence[Path]) -> list[tuple[Path, Shape]]:
        """Return the files among those below a folder: of the first name that any has, and nearest to the folder."""
        for pattern, shape in self.files.items():
            found = [path for path in files if _is_named(path, pattern, folder)]
            depth = min((len(path.parts) for path in found), default=0)
            if found:
                return [(path, shape) for path in found if len(path.parts) == depth]
        return []


class Corpus(DatasetOptions):
    """Base of corpora that are read from the files that their authors publish.

    Files are found by their names in the folder ``path`` and below. A file with another number of rows than the
    published one is read, with a warning. What stands in the files is not changed: empty texts and duplicates are left
    to ``[cleaning]``, which counts them.
    """

    path: LocalPath = Field(description="Folder that holds the published files, in it or in folders below.")

    @abstractmethod
    def parts(self) -> Sequence[Part]:
        """Return what is read, with these options."""

    def problems(self) -> Iterable[Problem]:
        """Yield what is missing on disk, and files of one name."""
        parts = self.parts()
        if self.path.is_file() and len(parts) == 1:
            return
        if not self.path.is_dir():
            finding = "is not a folder" if self.path.exists() else "does not exist"
            names = " and ".join(part.name for part in parts)
            unpack = "unpack it, and " * self.path.name.lower().endswith(ARCHIVES)
            remedy = f"{unpack}give the folder that holds {names}, from {self.homepage}"
            yield Problem("path", f"{self.path} {finding}", remedy)
            return
        below = self._below()
        found = {part.name: part.find(self.path, below) for part in parts}
        if missing := [name for name, files in found.items() if not files]:
            yield Problem("path", f"{self.path} lacks {listed(missing)}", self._remedy(missing, below))
        for part in parts:
            if len(found[part.name]) > 1 and not part.many:
                several = listed([str(path) for path, _ in found[part.name]])
                yield Problem("path", f"{several} have one name", "give the folder of the one that is meant")

    def _remedy(self, missing: Iterable[str], below: Sequence[Path]) -> str:
        """Say how the missing files come there: renamed, unpacked or downloaded."""
        if renamed := [f"{copy} to {name}" for name in missing if (copy := _copy_of(name, below))]:
            return f"rename {listed(renamed)}"
        packed = next((path.name for path in below if path.name.lower().endswith(ARCHIVES)), "")
        return f"unpack {packed}" if packed else f"get it from {self.homepage}"

    def shown_task(self) -> tuple[str, str] | None:
        """Return the task that the labels of the first file are for, and why; None for classes."""
        return next(shape.task() for part in self.parts() for shape in part.files.values())

    def label_count(self) -> int | None:
        """Return the number of labels; None where they are numbers, or names that stand in the file alone."""
        return next(shape.label_count() for part in self.parts() for shape in part.files.values())

    def build(self, context: DatasetContext) -> Mapping[str, Dataset]:
        """Read all files; raises ``DataError`` with file and row."""
        from datasets import concatenate_datasets

        for problem in self.problems():
            raise DataError(f"{problem.message}; {problem.hint}")
        splits: dict[str, list[Dataset]] = {}
        for part in self.parts():
            files = self._files(part)
            left_out = Counter(context.counts)
            read = [self._read(path, shape, part.split, context) for path, shape in files]
            name, rows = files[0][0].name if len(files) == 1 else part.name, sum(map(len, read))
            # Numbers of rows are published of whole files, rows that have no label of this kind included.
            published = rows + (context.counts - left_out)[_WITHOUT_LABEL.format(files[0][1].label)]
            context.counts[f"{name} as {part.split}"] += rows
            if part.rows not in (0, published):
                context.warnings.append(f"{name} has {published:,} rows, {self._expected(part, published)}")
            splits.setdefault(part.split, []).extend(read)
        return {split: concatenate_datasets(read) if len(read) > 1 else read[0] for split, read in splits.items()}

    def _expected(self, part: Part, rows: int) -> str:
        """Say how many rows a file should have, and what it may be instead."""
        if part.counted_by_users:
            return f"users count {part.rows:,}: it may be a part, or another version, of the corpus"
        other = next((other.name for other in self.parts() if other.rows == rows), "")
        may_be = f"has it the content of {other}, which has as many?" if other else ""
        return f"published are {part.rows:,}: {may_be or 'it is a part, or another version, of the corpus'}"

    def _files(self, part: Part) -> list[tuple[Path, Shape]]:
        if self.path.is_file():
            return [(self.path, next(iter(part.files.values())))]
        return part.find(self.path, self._below())

    def _below(self) -> list[Path]:
        return sorted(path for path in self.path.rglob("*") if path.is_file() and not path.name.startswith("."))

    def _read(self, path: Path, shape: Shape, split: Split, context: DatasetContext) -> Dataset:
        from kexp.files import text_of, to_dataset
        from kexp.files.cells import column_of

        with self._told_where_to_get():
            counts = context.read.setdefault(split, Counter())
            if shape.layout is None:
                values, numbers = _line_values(path, shape, self._remedies(), counts)
            else:
                values, numbers = _table_values(path, shape, shape.layout, self._remedies(), context.warnings, counts)
            if shape.drop_incomplete:
                reason = "rows without a text or label left out"
                values, numbers = _complete(values, numbers, [*values], reason, split, context)
            if shape.drop_unlabelled:
                reason = _WITHOUT_LABEL.format(shape.label)
                values, numbers = _complete(values, numbers, shape.label_columns, reason, split, context)
            if not len(numbers):
                raise DataError(f"{path}: every row lacks a text or label")
            named = [*shape.text, *[shape.text_pair] * bool(shape.text_pair)]
            texts = {name: column_of(values[name], text_of, path, name, numbers) for name in named}
            rows = {"text": list(map(_joined, zip(*(texts[name] for name in shape.text), strict=True)))}
            if shape.text_pair:
                rows["text_pair"] = texts[shape.text_pair]
            if not shape.label_columns:
                return to_dataset(rows, path)
            labels = read_labels(shape, values, numbers, path, self.homepage)
        self._need_task(labels if shape.score else labels[:1], path, context)
        if shape.classes is None:
            return labelled(rows, labels, shape)
        return to_dataset({**rows, "label": labels}, path, shape.classes, numbers)

    def _need_task(self, labels: Iterable[Any], path: Path, context: DatasetContext) -> None:
        """Refuse a task of the spec that cannot read labels of the corpus."""
        try:
            for label in labels:
                context.label_of(label)
        except ValueError as error:
            task = (self.shown_task() or ("single-label", ""))[0]
            remedy = f'the labels of the corpus are those of task "{task}", which a spec without [task] has'
            raise DataError(f"{path}: {error}; {remedy}") from None

    def _remedies(self) -> Remedies:
        """Return what helps against files that are not as published: no option of a corpus says how they lie."""
        from kexp.files import Remedies

        return Remedies(*[f"get the file again from {self.homepage}"] * 7)

    @contextmanager
    def _told_where_to_get(self) -> Iterator[None]:
        try:
            yield
        except DataError as error:
            if self.homepage in str(error):
                raise
            raise DataError(f"{error}; correct the file, or get it again from {self.homepage}") from None


def _is_named(path: Path, pattern: str, folder: Path) -> bool:
    """Return whether a path ends as a pattern says, in any case and composition of its letters."""
    wanted = composed(pattern).casefold().split("/")
    if not wanted[0]:
        return path.parent == folder and fnmatchcase(composed(path.name).casefold(), wanted[1])
    ends = [composed(name).casefold() for name in path.parts[-len(wanted) :]]
    return len(ends) == len(wanted) and all(map(fnmatchcase, ends, wanted))


def _copy_of(name: str, files: Iterable[Path]) -> str:
    """Return a file whose name browsers, file managers or hidden suffixes made of this one; empty if there is none."""
    stem, _, suffix = composed(name).casefold().rpartition(".")
    copy = re.compile(rf"{re.escape(stem)}(\.{suffix})*( ?\(\d+\)| - (copy|복사본)( \(\d+\))?)?(\.(txt|{suffix}))+")
    return next((path.name for path in files if copy.fullmatch(composed(path.name).casefold())), "")


def _table_values(
    path: Path,
    shape: Shape,
    layout: Mapping[str, Any],
    remedies: Remedies,
    warnings: list[str],
    counts: Counter[str],
) -> tuple[dict[str, list[Any]], Sequence[int]]:
    """Return the columns of a table, and the number of each row."""
    from kexp.files import Layout, need_columns, open_table

    table = open_table(path, Layout(**layout), remedies)
    need_columns(path, table.columns, shape.columns, remedies=remedies)
    values = table.read(shape.columns)
    counts.update(table.counts)
    warnings.extend(table.warnings)
    return values, range(1, len(values[shape.columns[0]]) + 1)


def _line_values(
    path: Path, shape: Shape, remedies: Remedies, counts: Counter[str]
) -> tuple[dict[str, list[Any]], Sequence[int]]:
    """Return the texts of lines, and their labels where they have some, and the number of each line."""
    from kexp.files import lines_of

    texts, labels, numbers = [], [], []
    for number, line in enumerate(lines_of(path, "utf-8-sig", remedies), start=1):
        text = line.rstrip("\r\n")
        if not text.strip():
            counts["blank_lines"] += 1
            continue
        if shape.label:
            text, mark, label = text.rpartition("|")
            if not mark:
                raise DataError(f"{path}: line {number}: no | with a label behind it, found {label[:40]!r}")
            labels.append(label)
        texts.append(text)
        numbers.append(number)
    if not texts:
        raise DataError(f"{path}: the file is empty")
    return {shape.text[0]: texts, **({shape.label: labels} if shape.label else {})}, numbers


def _complete(
    values: Mapping[str, Sequence[Any]],
    numbers: Sequence[int],
    needed: Iterable[str],
    reason: str,
    split: Split,
    context: DatasetContext,
) -> tuple[dict[str, list[Any]], Sequence[int]]:
    """Return the rows in which none of some cells is empty, and count the others."""
    from kexp.files.cells import is_missing

    whole = [
        all(not is_missing(cell) and str(cell).strip() for cell in row)
        for row in zip(*(values[name] for name in needed), strict=True)
    ]
    kept = {name: [cell for cell, keep in zip(column, whole, strict=True) if keep] for name, column in values.items()}
    if gone := whole.count(False):
        context.counts[reason] += gone
        numbers = context.rows[split] = [number for number, keep in zip(numbers, whole, strict=True) if keep]
    return kept, numbers


def _joined(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else " ".join(text.strip() for text in texts if text.strip())
