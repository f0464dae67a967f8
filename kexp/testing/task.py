"""What every task has to get right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from kexp.contracts import TaskOptions
from kexp.contracts.task import CLASS
from kexp.errors import DataError
from kexp.options import Options
from kexp.testing.fixtures import STEADY, any_text
from kexp.testing.invented import odd_values
from kexp.testing.options import catalog_with, field_of
from kexp.testing.task_predictions import PredictionContract
from kexp.testing.task_rows import ROWS, TriedTask, column, plain

SECTIONS = {"task", "objective", "sampler", "evaluation", "training"}
"""What of a spec depends on its task."""


class TaskContract(PredictionContract):
    """Promises of tasks: labels of one spelling, targets that mean just these, and predictions that decide for them.

    ``labels`` are two labels or more, all different; ``cells`` pairs of a cell of a label column and the label that it
    is; ``nonsense`` are cells that are no label.
    """

    base: ClassVar[type[Options]] = TaskOptions
    labels: ClassVar[Sequence[str]] = ("부정", "긍정", "중립")
    cells: ClassVar[Sequence[tuple[Any, str]]] = ()
    nonsense: ClassVar[Sequence[Any]] = ({"label": "긍정"}, b"\xff", object())

    # --- labels

    def test_a_label_is_itself(self, options: TaskOptions) -> None:
        """A label, read as a cell, is itself, and so is what a cell is; cells that hold nothing are ""."""
        for cell, label in (*((label, label) for label in self.labels), *self.cells):
            assert options.label_of(cell) == label, f"the cell {cell!r}"
            assert options.label_of(label) == label, "a label is read as another one"
        for cell in (None, math.nan, "", " \t"):
            assert options.label_of(cell) == "", f"{cell!r} is a missing label"

    def test_refuses_what_is_no_label(self, options: TaskOptions) -> None:
        """A cell that is no label is refused with a ``ValueError`` that says something."""
        for cell in self.nonsense:
            with pytest.raises(ValueError, match=r"\S") as caught:
                pytest.fail(f"{cell!r} is read as the label {options.label_of(cell)!r}")
            assert type(caught.value) is ValueError, f"{cell!r} raises a {type(caught.value).__name__}"

    def test_reads_or_refuses_any_cell(self, options: TaskOptions) -> None:
        """Whatever a cell holds, it is a label of one spelling or refused with a ``ValueError``."""

        @STEADY
        @given(st.one_of(odd_values(), any_text()))
        def check(cell: Any) -> None:
            try:
                label = options.label_of(cell)
            except ValueError:
                return
            assert isinstance(label, str)
            assert options.label_of(label) == label, f"the label of {cell!r} is read as another one"

        check()

    def test_names_are_independent_of_order(self, options: TaskOptions, tried: TriedTask) -> None:
        """Names are different texts, the same ones in whatever order labels come, and those of a dataset with them."""
        names = tried.names
        assert isinstance(names, tuple)
        assert all(isinstance(name, str) and name for name in names)
        assert len(set(names)) == len(names) > 0
        for labels in (self.labels[::-1], sorted(self.labels), sorted(self.labels, reverse=True)):
            assert options.names(labels, None) == names, "names depend on the order of labels"
        assert options.names(set(self.labels), names) == names

    def test_needs_something_to_learn(self, options: TaskOptions) -> None:
        """Labels that differ can be learnt; where all rows have the same, ``need_variety`` raises ``DataError``."""
        options.need_variety(set(self.labels))
        with pytest.raises(DataError):
            options.need_variety({self.labels[0]})

    def test_spells_labels_once(self, options: TaskOptions) -> None:
        """Labels are replaced by labels, which are not replaced again; warnings are sentences."""
        spelled = options.spelled_once(set(self.labels))
        assert spelled.keys() <= set(self.labels)
        after = {spelled.get(label, label) for label in self.labels}
        assert dict(options.spelled_once(after)) == {}
        assert {options.label_of(label) for label in after} == after
        assert all(isinstance(warning, str) for warning in options.warnings_of_labels(after))

    # --- targets

    def test_decodes_what_it_encodes(self, options: TaskOptions, tried: TriedTask) -> None:
        """Targets of labels mean these labels, and those of "" are unknown, from a list or the column of a table."""
        import numpy as np

        labels, names = [*tried.labels, ""], tried.names
        targets = options.encode(labels, names)
        assert isinstance(targets, np.ndarray)
        assert targets.dtype.kind in "if"
        assert targets.shape[:1] == (len(labels),)
        assert options.decode(targets, names) == labels, "encode and decode do not fit"
        known = options.known(targets)
        assert (known.shape, known.dtype) == ((len(labels),), np.dtype(bool))
        assert known.tolist() == [label != "" for label in labels]
        assert np.array_equal(options.encode(column(labels), names), targets, equal_nan=True)

    def test_tells_labels_that_are_unknown(self, options: TaskOptions, tried: TriedTask) -> None:
        """All labels of train are known; of others those are told, sorted, that cannot be predicted."""
        assert list(options.unknown(set(self.labels), tried.names)) == []
        try:
            names = options.names(set(self.labels[:2]), None)
        except DataError:  # it was told which labels there are
            return
        unknown = list(options.unknown(set(self.labels), names))
        assert unknown == sorted(unknown)
        assert set(unknown) <= set(self.labels[2:]), "labels of train are unknown"

    def test_values_are_read_as_their_labels(self, options: TaskOptions) -> None:
        """A label as JSON has it is of the type that is stated, and read as this label; names in it are texts."""
        for label in self.labels:
            value = options.value_of(label)
            TypeAdapter(type(options).value_type).validate_python(value, strict=True)
            assert plain({"label": value}) == {"label": value}
            assert options.label_of(value) == label, f"{value!r} is not read as the label that it is of"
            assert all(isinstance(name, str) and name for name in options.names_in(label))
        assert list(options.names_in("")) == []

    def test_tallies_rows(self, options: TaskOptions) -> None:
        """How many rows of each split have each name, for the record, is a whole number."""
        rows = {"train": dict.fromkeys(self.labels, 3), "test": {self.labels[0]: 1}}
        found = options.tally(rows)
        assert found.keys() == rows.keys()
        assert plain(found) == found
        assert all(type(count) is int and count >= 0 for of_name in found.values() for count in of_name.values())

    def test_groups_are_those_of_the_labels(self, options: TaskOptions, tried: TriedTask) -> None:
        """An id per row, equal where labels are."""
        groups = options.groups(tried.targets)
        assert (groups.shape, groups.dtype.kind) == ((ROWS,), "i")
        by_label = dict(zip(tried.labels, groups.tolist(), strict=True))
        assert [by_label[label] for label in tried.labels] == groups.tolist(), "equal labels are in different groups"

    @pytest.mark.parametrize("parts", [1, 2, 10])
    def test_strata_are_those_of_the_labels(self, options: TaskOptions, tried: TriedTask, parts: int) -> None:
        """A number from 0 per row, or 0 and 1 for each of its labels; equal ones for equal labels, in any order."""
        import numpy as np

        labels, strata = tried.labels, options.strata(tried.labels, parts)
        assert strata.dtype.kind in "iu"
        assert (len(strata), strata.ndim in (1, 2), strata.min() >= 0) == (ROWS, True, True)
        assert strata.ndim == 1 or strata.max() <= 1
        assert np.array_equal(options.strata(labels[::-1], parts)[::-1], strata), "strata depend on the order of rows"
        assert np.array_equal(options.strata(column(labels), parts), strata)
        by_label = {label: row.tolist() for label, row in zip(labels, strata, strict=True)}
        assert [by_label[label] for label in labels] == strata.tolist(), "equal labels are in different strata"
        assert len(options.strata(labels[:1], parts)) == 1

    def test_counts_rows_of_names(self, options: TaskOptions, tried: TriedTask) -> None:
        """Whole numbers, one per name, or none where rows have no names; with classes they add up to the rows."""
        names, counts = tried.names, options.counts(tried.targets, tried.names)
        assert all(type(count) is int and 0 <= count <= ROWS for count in counts)
        assert len(counts) in ({len(names)} if options.classes else {0, len(names)})
        assert not options.classes or sum(counts) == ROWS

    def test_says_what_it_is(self, options: TaskOptions, tried: TriedTask) -> None:
        """Kinds of targets are names; classes are ids, of which predictions are probabilities."""
        import numpy as np

        assert isinstance(options.trained_as, str)
        assert not isinstance(options.measured_as, str), "measured_as is a tuple of names"
        names, targets, said = tried.names, tried.targets, tried.predictions()
        if options.classes or CLASS in options.measured_as:
            assert (targets.ndim, targets.dtype) == (1, np.dtype("int64")), "ids of classes are int64, one per row"
            assert 0 <= targets.min() <= targets.max() < len(names)
            assert said.min() >= 0
            np.testing.assert_allclose(said.sum(1), 1, atol=1e-9, err_msg="probabilities do not add up to 1")
        if options.calibrates:
            shares = np.exp(tried.logits())
            expected = shares / shares.sum(1, keepdims=True)
            np.testing.assert_allclose(said, expected, atol=1e-9, err_msg="no softmax, which calibrates is about")

    def test_defaults_fit_a_spec(self, options: TaskOptions) -> None:
        """A spec that names the task and no objective, sampler or metric is one without problems."""
        from kexp.plan.validate import validate

        catalog = catalog_with(options)
        task = field_of("task").dump_python(options, mode="json", context={"catalog": catalog, "secrets": True})
        spec = {"name": "contract", "dataset": {"use": "table", "path": "reviews.csv"}, "task": task}
        _, problems = validate(spec, catalog)
        assert [str(problem) for problem in problems if problem.path.partition(".")[0] in SECTIONS] == []
