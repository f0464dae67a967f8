"""Datasets of any content: tables on disk, and the Hugging Face hub."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from kexp.builtin.column_options import ColumnOptions
from kexp.builtin.first_labels import list_in_folder, list_in_table
from kexp.contracts import SPLITS, UNLABELLED, DatasetContext
from kexp.errors import DataError, Problem
from kexp.names import plain_name
from kexp.options import LocalPath

if TYPE_CHECKING:
    from datasets import Dataset

    from kexp.files import Layout

SAVED = ("dataset_dict.json", "state.json")
"""What ``save_to_disk`` leaves in the folder of several splits, and of a single one."""

Split = Literal["train", "validation", "test", "unlabelled"]

LARGEST_JSON = 2**26
"""Bytes of a JSON file up to which its columns are looked at before it is read: it has to be parsed whole."""


@lru_cache(maxsize=256)
def _names(path: Path, layout: Layout, wanted: tuple[str, ...], written: int) -> list[str]:
    """Return the columns of a file; the ends of a search's space and all variants ask for them."""
    from kexp.files import names_of

    return names_of(path, layout, wanted)


class TableDataset(ColumnOptions):
    """CSV, TSV, JSON, Parquet or Excel files: one file that kexp divides, or one per split."""

    path: LocalPath | None = Field(None, description="A single file; validation and test are taken out of it.")
    train: LocalPath | None = Field(None, description="File of the train split.")
    validation: LocalPath | None = Field(None, description="File of the validation split.")
    test: LocalPath | None = Field(None, description="File of the test split.")
    unlabelled: LocalPath | None = Field(
        None, description="File of rows without labels, for semi-supervised objectives."
    )
    format: Literal["auto", "csv", "tsv", "jsonl", "json", "parquet", "xlsx"] = Field(
        "auto", description="auto goes by the file's name; any text format may be compressed by gzip."
    )
    separator: str | None = Field(
        None, min_length=1, max_length=1, description="Between cells; comma or tab by format."
    )
    encoding: str = Field("utf-8-sig", description="utf-8-sig reads UTF-8 with and without byte order mark; cp949 ...")
    header: bool | dict[Split, bool] = Field(
        True, description="Whether the first line names the columns; a table says it per split."
    )
    columns: tuple[str, ...] | dict[Split, tuple[str, ...]] | None = Field(
        None, description="Names of the columns of files without header; a table gives them per split."
    )
    quoting: bool | None = Field(
        None, description="Whether quotation marks enclose cells; if not given: in CSV, not in TSV."
    )
    escape: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="Character before quotation marks in a cell: \\ for MySQL.",
    )
    sheet: str | None = Field(None, description="Sheet of Excel workbooks; the only one with cells if not given.")

    @property
    def files(self) -> dict[str, Path]:
        """The file of each split; a single file is train."""
        train = self.path or self.train
        named = {"train": train, "validation": self.validation, "test": self.test, UNLABELLED: self.unlabelled}
        return {split: path for split, path in named.items() if path is not None}

    def problems(self) -> Iterable[Problem]:
        """Yield files that are missing and options that clash."""
        yield from super().problems()
        if self.path and self.train:
            yield Problem("train", "path and train both name the train rows", "keep one of them")
        if not self.path and not self.train:
            yield Problem("path", "no file is named", "set path, or train and optionally validation and test")
        unknown = list(self._encoding_problems())
        for split, path in self.files.items():
            key = "path" if split == "train" and self.path else split
            if not path.is_file():
                remote = re.search(r"(^|/)(https?|s3|gs|hf):/", path.as_posix())
                finding = f"{path} {'is not a file' if path.exists() else 'does not exist'}"
                yield Problem(key, finding, "download it: kexp reads files of this machine" if remote else "")
            elif found := list(self._format_problems(key, path, self.layout(split))):
                yield from found
            elif not unknown:
                yield from self._column_problems(split, key, path)
        yield from self._header_problems()
        yield from unknown

    def _encoding_problems(self) -> Iterable[Problem]:
        try:
            "".encode(self.encoding)
        except (LookupError, UnicodeError):
            windows = 'what Korean Windows calls ANSI is "cp949"' if self.encoding.lower() in ("ansi", "mbcs") else ""
            hint = windows or 'for example "utf-8" or "cp949"'
            yield Problem("encoding", f'Python knows no encoding "{self.encoding}"', hint)

    def _format_problems(self, key: str, path: Path, layout: Layout) -> Iterable[Problem]:
        from kexp.files.first_bytes import KEYS, refuse_other_format

        kind = layout.format_of(path)
        try:
            refuse_other_format(path, kind, KEYS)
        except DataError as error:
            yield Problem(key, str(error))
        else:
            if kind is None:
                yield Problem("format", f"the format of {path.name} is unknown", 'set format = "csv", "tsv", ...')

    def _column_problems(self, split: str, key: str, path: Path) -> Iterable[Problem]:
        """Yield the columns that a file lacks, and what keeps its header from being read."""
        from kexp.files import need_columns

        layout = self.layout(split)
        # Names from both places, or from none, are a mistake of its own.
        named = layout.header != bool(layout.columns)
        if not named or (layout.format_of(path) == "json" and path.stat().st_size > LARGEST_JSON):
            return
        options = dict.fromkeys(self.text_columns, "text")
        options |= {name: option for option, name in self._others().items() if name is not None}
        options |= dict.fromkeys(self.label_columns, "label") if split != UNLABELLED else {}
        try:
            found = _names(path, layout, tuple(options), path.stat().st_mtime_ns)
        except DataError as error:
            yield Problem(key, str(error))
            return
        names = self.columns_of(found, labelled=split != UNLABELLED)
        remedy = "" if set(names) & set(found) else self._headless(split)
        for name in names:
            try:
                need_columns(path, found, [name], remedy)
            except DataError as error:
                yield Problem(options[name], str(error))

    def _headless(self, split: str) -> str:
        """Return what to do where a file has no header."""
        key = f".{split}" if len(self.files) > 1 else ""
        return f"if the file has no header, set header{key} = false and columns{key} = [...]"

    def _header_problems(self) -> Iterable[Problem]:
        layouts = {split: self.layout(split) for split in self.files or ("train",)}
        if any(not layout.header and not layout.columns for layout in layouts.values()):
            yield Problem("columns", "a file without header needs the names of its columns")
        if any(layout.header and layout.columns for layout in layouts.values()):
            yield Problem("columns", "the header names the columns already", "remove it, or set header = false")

    def _list_in_first_rows(self, column: str) -> str | None:
        path = self.path or self.train
        if path is None or not path.is_file():
            return None
        return list_in_table(path, self.layout("train"), column, path.stat().st_mtime_ns)

    def layout(self, split: str) -> Layout:
        """Return how the file of a split is read."""
        from kexp.files import Layout

        header = self.header if isinstance(self.header, bool) else self.header.get(split, True)  # type: ignore[call-overload]
        if isinstance(self.columns, dict):
            columns = self.columns.get(split)  # type: ignore[call-overload]
        else:
            # Beside files with a header, the names are of those without.
            columns = self.columns if isinstance(self.header, bool) or not header else None
        return Layout(
            self.format, self.separator, self.encoding, header, columns, self.quoting, self.escape, self.sheet
        )

    def build(self, context: DatasetContext) -> Mapping[str, Dataset]:
        """Read every file."""
        read = {split: self._read(split, path, context) for split, path in self.files.items()}
        self._warn_of_labels_not_found(context)
        return read

    def _read(self, split: str, path: Path, context: DatasetContext) -> Dataset:
        from kexp.files import open_table

        table = open_table(path, self.layout(split))
        names = self.columns_of(table.columns, labelled=split != UNLABELLED)
        chunks = table.read_chunks(names, "" if set(names) & set(table.columns) else self._headless(split))
        read = self.select(chunks, path, context, split)
        context.read[split] = Counter({**table.counts, **context.read.get(split, {})})
        context.warnings.extend(table.warnings)
        return read


class HubDataset(ColumnOptions):
    """A dataset of the Hugging Face hub, or a local copy of one: a folder of files, or what ``save_to_disk`` wrote."""

    id: str | None = Field(None, description="Hub id, owner/name.")
    path: LocalPath | None = Field(None, description="Local folder instead of a hub id.")
    config: str | None = Field(None, description="Configuration of the dataset.")
    revision: str | None = Field(None, description="Commit, tag or branch; a commit makes the experiment repeatable.")
    splits: dict[Split, str] | None = Field(
        None, description="kexp's split = the dataset's split; those of the same name when not given."
    )

    def problems(self) -> Iterable[Problem]:
        """Yield a missing source, and splits without train."""
        yield from super().problems()
        if (self.id is None) == (self.path is None):
            yield Problem("id", "give either id, a hub id, or path, a local folder")
        if self.path is not None and not self.path.is_dir():
            yield Problem("path", f"{self.path} is not a folder", "give a hub id or an existing folder")
        if self.splits is not None and "train" not in self.splits:
            yield Problem("splits", "train is missing", 'for example splits = {train = "train", test = "validation"}')

    def warnings(self) -> Iterable[Problem]:
        """Yield a revision that may change."""
        if self.id is not None and self.revision is None:
            yield Problem("revision", "not pinned: the data may change under the experiment", "give a commit")

    def _list_in_first_rows(self, column: str) -> str | None:
        # A dataset of the hub is not loaded to look at it.
        return None if self.path is None else list_in_folder(self.path, column)

    @property
    def source(self) -> str:
        """The folder if one is given, else the hub id."""
        return str(self.path or self.id)

    def build(self, context: DatasetContext) -> Mapping[str, Dataset]:
        """Load the splits."""
        loaded = self._load()
        names: dict[str, str] = {"train": "train"} | {
            split: split for split in (*SPLITS, UNLABELLED) if split in loaded
        }
        if self.splits is not None:
            names = {str(split): name for split, name in self.splits.items()}
        missing = [name for name in names.values() if name not in loaded]
        if missing:
            has = f"it has {', '.join(loaded)}; set dataset.splits"
            raise DataError(f"{self.source}: no split {', '.join(missing)}; {has}")
        read = {split: self._columns(split, loaded[name], name, context) for split, name in names.items()}
        self._warn_of_labels_not_found(context)
        return read

    def _load(self) -> Mapping[str, Dataset]:
        from kexp.hub import explain_missing, prepare_offline

        prepare_offline(self.id)
        import datasets

        try:
            if self.path is not None and any((self.path / name).is_file() for name in SAVED):
                loaded: Any = datasets.load_from_disk(str(self.path))
            else:
                # pandas, below, would take the texts "NA" and "null" for missing ones.
                builder = datasets.load_dataset_builder(self.source, self.config, revision=self.revision)
                plain = {"keep_default_na": False} if hasattr(builder.config, "keep_default_na") else {}
                loaded = datasets.load_dataset(self.source, self.config, revision=self.revision, **plain)
        # The library raises many kinds of errors for what is missing, damaged or unreachable.
        except Exception as error:
            if self.path is not None:
                raise DataError(f"{self.path}: cannot be loaded as a dataset: {error.__cause__ or error}") from error
            raise DataError(explain_missing("dataset", self.source, error)) from error
        return {"train": loaded} if isinstance(loaded, datasets.Dataset) else dict(loaded)

    def _columns(self, split: str, dataset: Dataset, name: str, context: DatasetContext) -> Dataset:
        from datasets import ClassLabel

        source = f"{self.source}, split {name}"
        names = self.columns_of(dataset.column_names, labelled=split != UNLABELLED)
        values = _values(dataset, names, source)
        label = self.label if isinstance(self.label, str) else ""
        feature = dataset.features.get(label)
        if isinstance(of := getattr(feature, "feature", None), ClassLabel):
            return self.select([values], source, context, split, _by_number(of.names))
        if split == UNLABELLED or not isinstance(feature, ClassLabel):
            return self.select([values], source, context, split)
        unlabelled = sum(of is None or of < 0 for of in values[label])
        if unlabelled and "-1" not in self.leave_out and not context.keep_unlabelled:
            remedy = 'name another split in dataset.splits, or leave them out with cleaning.unlabelled = "drop"'
            raise DataError(f"{source}: {unlabelled} rows have no label (-1); {remedy}")
        named = _by_number(feature.names)
        if "-1" not in self.leave_out:
            # To be dropped later, as in every other dataset.
            values[label] = [None if of is None or of < 0 else of for of in values[label]]
        return self.select([values], source, context, split, named)


def _by_number(names: Sequence[str]) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}


def _values(dataset: Dataset, names: Sequence[str], source: str) -> dict[str, list[Any]]:
    """Return whole columns, which may be dotted paths."""
    from kexp.files.columns import cell, need_columns

    columns = {plain_name(column): column for column in dataset.column_names}
    arrays = [column for column in columns if column not in names and len(dataset) == 1 and len(columns) == 1]
    remedy = f'if the rows are an array under "{arrays[0]}", read the file with use = "table"' if arrays else ""
    need_columns(source, columns, names, remedy)
    heads = {name: name if name in columns else name.split(".", 1)[0] for name in names}
    # Whole: a column that is iterated over is read row by row.
    read = {head: list(dataset[columns[head]][:]) for head in set(heads.values())}
    return {name: [cell({head: value}, name) for value in read[head]] for name, head in heads.items()}
