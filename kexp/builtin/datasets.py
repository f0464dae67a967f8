"""Datasets of any content: tables on disk, and the Hugging Face hub."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from kexp.contracts import SPLITS, UNLABELLED, DatasetContext, DatasetOptions
from kexp.errors import DataError, Problem
from kexp.names import plain_name
from kexp.options import LocalPath

if TYPE_CHECKING:
    from datasets import Dataset

    from kexp.files import Layout

SAVED = ("dataset_dict.json", "state.json")
"""What ``save_to_disk`` leaves in the folder of several splits, and of a single one."""

Split = Literal["train", "validation", "test", "unlabelled"]

_LEFT_OUT = 'rows with the label "{}" left out'

LABEL_NAMES = Field(
    None, min_length=2, description="Label as it stands in the data = name of the class; the order gives the label ids."
)


class ColumnOptions(DatasetOptions):
    """Which columns hold what; shared by datasets that read tables."""

    text: str | tuple[str, ...] = Field("text", description="Text column, or several that are joined.")
    join_with: str = Field(" ", description="What stands between joined text columns.")
    text_pair: str | None = Field(None, description="Column of the second text of a pair.")
    label: str = Field("label", description="Label column: strings or integers.")
    group: str | None = Field(None, description="Column whose equal values must not be divided between splits.")
    augmented: str | None = Field(None, description="Column of augmented texts, used where rows are unlabelled.")
    label_names: dict[str, str] | None = LABEL_NAMES
    leave_out: tuple[str, ...] = Field(
        (), description='Labels whose rows are left out, and counted; "" is a missing label.'
    )

    @field_validator("text", "text_pair", "label", "group", "augmented")
    @classmethod
    def _plain(cls, names: Any) -> Any:
        """Compose names (NFC): a Mac writes them decomposed."""
        return tuple(map(plain_name, names)) if isinstance(names, tuple) else names and plain_name(names)

    @field_validator("leave_out", "label_names")
    @classmethod
    def _plain_labels(cls, labels: Any) -> Any:
        """Spell labels as they are read."""
        from kexp.files import label_of

        if not isinstance(labels, dict):
            return labels and tuple(map(label_of, labels))
        plain = {label_of(label): plain_name(name) for label, name in labels.items()}
        if len(plain) < len(labels):
            raise ValueError("two labels are the same but for invisible characters, composition (NFC) or 1.0 for 1")
        return plain

    def problems(self) -> Iterable[Problem]:
        """Yield columns that are used twice, and two labels of one name."""
        if not self.text_columns:
            yield Problem("text", "no column is named", 'for example text = ["title", "body"]')
        texts = [*self.text_columns, self.text_pair, self.augmented]
        for name in dict.fromkeys(name for name in texts if name is not None):
            if texts.count(name) > 1 or name == self.label:
                other = "label" if name == self.label else "another text column"
                yield Problem("text", f'the column "{name}" is {other} too', "name another column")
        names = list((self.label_names or {}).values())
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Problem("label_names", f'two labels have the name "{name}"', "give every label a name of its own")

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The text columns as a tuple."""
        return (self.text,) if isinstance(self.text, str) else self.text

    def joint(self) -> str:
        """Return ``join_with`` if several text columns are joined."""
        return self.join_with if len(self.text_columns) > 1 else ""

    def label_count(self) -> int | None:
        """Count the label names that are given."""
        return None if self.label_names is None else len(self.label_names)

    def columns_of(self, found: Sequence[str], *, labelled: bool) -> list[str]:
        """Return the names of the columns that are read, of a source that has the columns ``found``."""
        from kexp.files.columns import has_column

        others = [column for column in self._others().values() if column is not None]
        if labelled and self.augmented is not None and not has_column(found, self.augmented):
            # Views are used where rows are unlabelled: a file of labelled rows need not have them.
            others.remove(self.augmented)
        return list(dict.fromkeys([*self.text_columns, *others, *[self.label] * labelled]))

    def _others(self) -> dict[str, str | None]:
        return {"text_pair": self.text_pair, "group": self.group, "augmented": self.augmented}

    def select(
        self,
        values: Mapping[str, Sequence[Any]],
        source: Path | str,
        context: DatasetContext,
        split: str,
        label_names: Mapping[str, str] | None = None,
    ) -> Dataset:
        """Turn the values of columns into a dataset of the columns that kexp reads.

        ``label_names`` are those of the source. Raises ``DataError`` with the source, the column and the row.
        """
        from kexp.files import label_of, text_of, to_dataset
        from kexp.files.cells import changed_labels, column_of

        names = self.label_names or label_names
        count = len(next(iter(values.values())))
        kept: Sequence[int] = range(count)
        labels = []
        if split != UNLABELLED:
            context.read.setdefault(split, Counter()).update(changed_labels(values[self.label]))
            labels = column_of(values[self.label], label_of, source, self.label)
            kept = self._kept(labels, names or {}, context)
            if len(kept) < count:
                context.rows[split] = [row + 1 for row in kept]
            if not kept:
                raise DataError(f"{source}: every row has a label of leave_out ({', '.join(self.leave_out)})")

        def column(name: str) -> list[str]:
            cells = values[name]
            numbers = [row + 1 for row in kept]
            return column_of([cells[row] for row in kept], text_of, source, name, numbers)

        chosen = {"text": list(map(self.join_with.join, zip(*map(column, self.text_columns), strict=True)))}
        chosen |= {
            name: column(other) for name, other in self._others().items() if other is not None and other in values
        }
        if split != UNLABELLED:
            chosen["label"] = [labels[row] for row in kept]
        numbers = [row + 1 for row in kept]
        return to_dataset(chosen, source, names, numbers, keep_unlabelled=context.keep_unlabelled)

    def _kept(self, labels: Sequence[str], names: Mapping[str, str], context: DatasetContext) -> Sequence[int]:
        """Return the rows whose label is not left out, and count the others."""
        if not self.leave_out:
            return range(len(labels))
        out = {label: label if label in self.leave_out else names.get(label, label) for label in set(labels)}
        gone = [label for label in labels if out[label] in self.leave_out]
        context.counts.update(_LEFT_OUT.format(label) for label in map(out.get, gone))
        return [row for row, label in enumerate(labels) if out[label] not in self.leave_out]

    def _warn_of_labels_not_found(self, context: DatasetContext) -> None:
        """Warn of labels that are to be left out and that no row has."""
        absent = [label for label in self.leave_out if not context.counts[_LEFT_OUT.format(label)]]
        if absent:
            listed = ", ".join(f'"{label}"' for label in absent)
            context.warnings.append(f"dataset.leave_out: no row has the label {listed}")


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
        for split, path in self.files.items():
            key = "path" if split == "train" and self.path else split
            if not path.is_file():
                remote = re.search(r"(^|/)(https?|s3|gs|hf):/", path.as_posix())
                finding = f"{path} {'is not a file' if path.exists() else 'does not exist'}"
                yield Problem(key, finding, "download it: kexp reads files of this machine" if remote else "")
            elif found := list(self._format_problems(key, path, self.layout(split))):
                yield from found
            else:
                yield from self._column_problems(split, key, path)
        yield from self._header_problems()
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
        unnamed = not layout.header and not layout.columns
        if unnamed or (layout.format_of(path) == "json" and path.stat().st_size > LARGEST_JSON):
            return
        options = dict.fromkeys(self.text_columns, "text")
        options |= {name: option for option, name in self._others().items() if name is not None}
        options |= {self.label: "label"} if split != UNLABELLED else {}
        try:
            found = _names(path, layout, tuple(options), path.stat().st_mtime_ns)
        except (DataError, OSError, LookupError, UnicodeError) as error:
            # An unknown encoding is told by its own option.
            if isinstance(error, DataError):
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
        values = table.read(names, "" if set(names) & set(table.columns) else self._headless(split))
        context.read[split] = table.counts
        context.warnings.extend(table.warnings)
        return self.select(values, path, context, split)


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
        feature = dataset.features.get(self.label)
        if split == UNLABELLED or not isinstance(feature, ClassLabel):
            return self.select(values, source, context, split)
        unlabelled = sum(label is None or label < 0 for label in values[self.label])
        if unlabelled and "-1" not in self.leave_out and not context.keep_unlabelled:
            remedy = 'name another split in dataset.splits, or leave them out with cleaning.unlabelled = "drop"'
            raise DataError(f"{source}: {unlabelled} rows have no label (-1); {remedy}")
        named = {str(number): name for number, name in enumerate(feature.names)}
        if "-1" not in self.leave_out:
            # To be dropped later, as in every other dataset.
            values[self.label] = [None if label is None or label < 0 else label for label in values[self.label]]
        return self.select(values, source, context, split, named)


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
