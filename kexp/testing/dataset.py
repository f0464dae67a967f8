"""What every dataset has to get right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kexp.contracts import SPLITS, UNLABELLED, DatasetContext, DatasetOptions, TaskOptions
from kexp.errors import DataError
from kexp.options import Options
from kexp.repeats import Repeat
from kexp.testing.fixtures import no_global_randomness, tiny_backbone
from kexp.testing.options import OptionsContract

if TYPE_CHECKING:
    from datasets import Dataset

    from kexp.spec.sections import Spec

COLUMNS = {"text", "text_pair", "label", "group", "augmented"}


class DatasetContract(OptionsContract):
    """Promises of datasets: the same rows every time, with the columns and labels that kexp reads.

    An example holds some dozens of rows, enough to take a tenth out for validation and another for test. It mostly
    comes from the fixture ``options``, which writes the files.
    """

    base: ClassVar[type[Options]] = DatasetOptions

    @pytest.fixture
    def built(self, options: DatasetOptions) -> Mapping[str, Dataset]:
        """Read the data."""
        return options.build(context_of(options))

    def test_has_known_splits(self, built: Mapping[str, Dataset]) -> None:
        """There is a train split, and perhaps validation, test and unlabelled; none is empty."""
        assert "train" in built
        assert set(built) <= {*SPLITS, UNLABELLED}
        assert all(len(rows) for rows in built.values())

    def test_has_known_columns(self, built: Mapping[str, Dataset]) -> None:
        """Texts are strings, groups strings or integers; labelled splits have the same columns."""
        for split, rows in built.items():
            columns = set(rows.column_names)
            assert columns <= COLUMNS, f"{split}: {columns - COLUMNS} mean nothing to kexp"
            assert "text" in columns
            assert split == UNLABELLED or columns == set(built["train"].column_names)
            for column in columns - {"label"}:
                expected = str | int if column == "group" else str
                assert all(isinstance(value, expected) for value in rows[column]), f"{split}: {column}"

    def test_splits_share_labels(self, options: DatasetOptions, built: Mapping[str, Dataset]) -> None:
        """Every row has a label; all splits use the same label ids, and ``label_count`` is right where it is given."""
        from datasets import ClassLabel

        labelled = {split: rows for split, rows in built.items() if split != UNLABELLED}
        feature = labelled["train"].features["label"]
        assert all(rows.features["label"] == feature for rows in labelled.values())
        cells = [label for rows in labelled.values() for label in rows["label"]]
        of = getattr(feature, "feature", feature)
        labels = {name for cell in cells for name in (cell if isinstance(cell, list) else [cell])}
        if isinstance(of, ClassLabel):
            assert len(set(of.names)) == len(of.names)
            assert labels <= set(range(len(of.names)))
        else:
            assert all(isinstance(label, str | int | float) and str(label).strip() for label in labels)
        label_of = task_of(options).label_of
        names = of.names if isinstance(of, ClassLabel) else []
        assert all(label_of([names[n] for n in cell] if names and isinstance(cell, list) else cell) for cell in cells)
        known = options.label_count()
        assert known is None or known == len(names or labels)

    def test_is_the_same_when_read_again(self, options: DatasetOptions) -> None:
        """Rows, their order, label ids and counts are the same when the data are read again."""
        first, second = context_of(options), context_of(options)
        with no_global_randomness():
            one, other = options.build(first), options.build(second)
        assert list(one) == list(other)
        assert first.counts == second.counts
        for split, rows in one.items():
            assert rows.features == other[split].features
            assert rows.to_dict() == other[split].to_dict()

    def test_counts_are_numbers_of_rows(self, options: DatasetOptions) -> None:
        """What was counted while reading has a name and a number of rows."""
        context = context_of(options)
        options.build(context)
        for reason, count in context.counts.items():
            assert isinstance(reason, str)
            assert isinstance(count, int)
            assert count >= 0

    def test_can_be_prepared(self, options: DatasetOptions, built: Mapping[str, Dataset]) -> None:
        """A run prepares the splits; every row that was read is kept or counted by why it is not."""
        from kexp.data.prepare import prepare

        prepared = prepare(spec_of(options), Repeat(1))
        assert prepared.labels == prepare(spec_of(options), Repeat(2)).labels
        for split, rows in prepared.splits.items():
            assert len(rows) == len(rows.texts) == len(rows.labels)
            assert all(task_of(options).decode(rows.labels, prepared.labels)), split
        for split, rows in built.items():
            counts = dict(prepared.record["splits"][split])
            assert counts.pop("read") == len(rows)
            kept = {name: count for name, count in counts.items() if name != "contradictions_kept"}
            assert sum(kept.values()) == len(rows)

    def test_groups_stay_together(self, options: DatasetOptions, built: Mapping[str, Dataset]) -> None:
        """Rows of a group are in one split, whether the dataset brings it or kexp takes it out of train."""
        if "group" not in built["train"].column_names:
            return
        brought = [set(rows["group"]) for split, rows in built.items() if split != UNLABELLED]
        assert sum(map(len, brought)) == len(set.union(*brought)), "a group stands in two splits"
        from kexp.data.prepare import prepare

        groups = built["train"]["group"]
        places: dict[Any, str] = {}
        taken = {
            split: rows for split, rows in prepare(spec_of(options), Repeat(1)).splits.items() if split not in built
        }
        train = prepare(spec_of(options), Repeat(1)).splits["train"]
        for split, rows in {"train": train, **taken}.items():
            for number in rows.numbers:
                assert places.setdefault(groups[int(number)], split) == split

    def test_missing_files_are_named(self, options: DatasetOptions, tmp_path: Path) -> None:
        """A path that does not exist is named before a run, by ``problems``, and by ``build``."""
        nowhere = tmp_path / "nowhere"
        for name in [name for name in type(options).model_fields if isinstance(getattr(options, name), Path)]:
            lost = options.model_copy(update={name: nowhere})
            assert any(str(nowhere) in problem.message for problem in lost.problems()), f"{name}: no problem"
            with pytest.raises(DataError, match="nowhere"):
                lost.build(context_of(lost))


def task_of(options: DatasetOptions) -> TaskOptions:
    """Return the task that a dataset shows, else that of one label per row."""
    from kexp.testing.options import catalog_with

    shown = options.shown_task()
    found: TaskOptions = catalog_with(options).find("task", shown[0] if shown else "single-label").options()
    return found


def context_of(options: DatasetOptions) -> DatasetContext:
    """Return what a dataset is read with where its spec states no task."""
    task = task_of(options)
    return DatasetContext(label_of=task.label_of, names_in=task.names_in, several=task.several)


def spec_of(options: DatasetOptions) -> Spec:
    """Return an experiment on a dataset that drops no rows but empty ones and duplicates."""
    from kexp.spec.sections import Spec
    from kexp.testing.options import catalog_with

    task = task_of(options)
    table = {"name": "contract", **task.defaults(), "task": task, "dataset": options, "backbone": tiny_backbone()}
    return Spec.model_validate(table, context={"catalog": catalog_with(options)})
