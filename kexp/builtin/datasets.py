"""Datasets of any content: tables on disk, and the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from kexp.contracts import SPLITS, UNLABELLED, DatasetContext, DatasetOptions
from kexp.errors import DataError, Problem
from kexp.options import LocalPath

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

SAVED = ("dataset_dict.json", "state.json")
"""What ``save_to_disk`` leaves in the folder of several splits, and of a single one."""

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

    def problems(self) -> Iterable[Problem]:
        """Yield two labels of one name."""
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

    def select(self, frame: pd.DataFrame, source: Path | str, *, labelled: bool = True) -> Dataset:
        """Turn a table into the columns that kexp reads; raises ``DataError`` with the source and the row."""
        from kexp.files import need_columns, to_dataset

        optional = {"text_pair": self.text_pair, "group": self.group, "augmented": self.augmented}
        others = {name: column for name, column in optional.items() if column is not None}
        need_columns(source, list(frame.columns), [*self.text_columns, *others.values(), *[self.label] * labelled])
        chosen = {"text": self._joined(frame), **{name: _as_text(frame[column]) for name, column in others.items()}}
        if labelled:
            chosen["label"] = frame[self.label]
        return to_dataset(chosen, source, self.label_names)

    def _joined(self, frame: pd.DataFrame) -> pd.Series[str]:
        first, *others = (_as_text(frame[name]) for name in self.text_columns)
        for other in others:
            first = first.str.cat(other, sep=self.join_with)
        return first


def _as_text(column: pd.Series[Any]) -> pd.Series[str]:
    return column.astype("str").where(column.notna(), "")


class TableDataset(ColumnOptions):
    """CSV, TSV, JSONL or Parquet files: one file that kexp divides, or one per split."""

    path: LocalPath | None = Field(None, description="A single file; validation and test are taken out of it.")
    train: LocalPath | None = Field(None, description="File of the train split.")
    validation: LocalPath | None = Field(None, description="File of the validation split.")
    test: LocalPath | None = Field(None, description="File of the test split.")
    unlabelled: LocalPath | None = Field(
        None, description="File of rows without labels, for semi-supervised objectives."
    )
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet"] = Field(
        "auto", description="auto goes by the file's name."
    )
    separator: str | None = Field(
        None, min_length=1, max_length=1, description="Between cells; comma or tab by format."
    )
    encoding: str = Field("utf-8-sig", description="utf-8-sig reads UTF-8 with and without byte order mark; cp949 ...")
    header: bool = Field(True, description="Whether the first line names the columns.")
    columns: tuple[str, ...] | None = Field(None, description="Names of the columns of files without header.")
    quoting: bool = Field(True, description="Whether quotation marks enclose cells; off for NSMC and CoLA.")

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
                yield Problem(key, f"{path} does not exist" if not path.exists() else f"{path} is not a file")
            elif self._format(path) is None:
                yield Problem("format", f"the format of {path.name} is unknown", 'set format = "csv", "tsv", ...')
        if not self.header and not self.columns:
            yield Problem("columns", "a file without header needs the names of its columns")
        if self.header and self.columns:
            yield Problem("columns", "the header names the columns already", "remove it, or set header = false")
        try:
            "".encode(self.encoding)
        except LookupError:
            yield Problem("encoding", f'Python knows no encoding "{self.encoding}"', 'for example "utf-8" or "cp949"')

    def _format(self, path: Path) -> str | None:
        from kexp.files import FORMATS

        return FORMATS.get(path.suffix.lower()) if self.format == "auto" else self.format

    def _read(self, path: Path) -> pd.DataFrame:
        from kexp import files

        kind = self._format(path)
        if kind == "parquet":
            return files.read_parquet(path)
        if kind == "jsonl":
            return files.read_jsonl(path, self.encoding)
        separator = self.separator or ("\t" if kind == "tsv" else ",")
        return files.read_delimited(
            path,
            separator=separator,
            encoding=self.encoding,
            header=self.header,
            columns=self.columns,
            quoting=self.quoting,
        )

    def build(self, context: DatasetContext) -> Mapping[str, Dataset]:
        """Read every file."""
        return {
            split: self.select(self._read(path), path, labelled=split != UNLABELLED)
            for split, path in self.files.items()
        }


class HubDataset(ColumnOptions):
    """A dataset of the Hugging Face hub, or a local copy of one: a folder of files, or what ``save_to_disk`` wrote."""

    id: str | None = Field(None, description="Hub id, owner/name.")
    path: LocalPath | None = Field(None, description="Local folder instead of a hub id.")
    config: str | None = Field(None, description="Configuration of the dataset.")
    revision: str | None = Field(None, description="Commit, tag or branch; a commit makes the experiment repeatable.")
    splits: dict[Literal["train", "validation", "test", "unlabelled"], str] | None = Field(
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
        return {split: self._columns(split, loaded[name], name) for split, name in names.items()}

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

    def _columns(self, split: str, dataset: Dataset, name: str) -> Dataset:
        from datasets import ClassLabel

        source = f"{self.source}, split {name}"

        if split == UNLABELLED:
            return self.select(dataset.to_pandas(), source, labelled=False)

        feature = dataset.features.get(self.label)
        frame = dataset.to_pandas()
        if not isinstance(feature, ClassLabel) or self.label_names:
            return self.select(frame, source)
        unlabelled = int((frame[self.label] < 0).sum())
        if unlabelled:
            raise DataError(f"{source}: {unlabelled} rows have no label (-1); name another split in dataset.splits")
        named = {str(number): name for number, name in enumerate(feature.names)}
        return self.model_copy(update={"label_names": named}).select(frame, source)
