"""What every task has to get right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexp.contracts import TaskOptions
from kexp.contracts.task import CLASS, NOTHING
from kexp.errors import DataError
from kexp.options import Options
from kexp.sample_reviews import korean_reviews
from kexp.testing.fixtures import ODD_TEXTS, STEADY, any_text, no_global_randomness
from kexp.testing.invented import odd_values
from kexp.testing.options import OptionsContract, catalog_with, field_of
from kexp.testing.task_rows import ROWS, TriedTask, column, plain

SECTIONS = {"task", "objective", "sampler", "evaluation", "training"}
"""What of a spec depends on its task."""
OTHER_COLUMNS = {"split", "row", "text", "text_pair", "tokens", "unknown_tokens"}
OTHER_KEYS = {"experiment", "variant", "seed", "status", "reason", "rows", "metrics", "labels", "decisions", "checksum"}


class TaskContract(OptionsContract):
    """Promises of tasks: labels of one spelling, targets that mean just these, and predictions that decide for them.

    ``labels`` are two labels or more, all different; ``cells`` pairs of a cell of a label column and the label that it
    is; ``nonsense`` are cells that are no label.
    """

    base: ClassVar[type[Options]] = TaskOptions
    labels: ClassVar[Sequence[str]] = ("부정", "긍정", "중립")
    cells: ClassVar[Sequence[tuple[Any, str]]] = ()
    nonsense: ClassVar[Sequence[Any]] = ({"label": "긍정"}, b"\xff", object())

    @pytest.fixture
    def tried(self, options: TaskOptions) -> TriedTask:
        """Return rows with the labels, and predictions."""
        return TriedTask(options, self.labels)

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
        unknown = list(options.unknown(set(self.labels), options.names(set(self.labels[:2]), None)))
        assert unknown == sorted(unknown)
        assert set(unknown) <= set(self.labels[2:]), "labels of train are unknown"

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

    # --- predictions

    def test_predictions_are_of_the_names(self, options: TaskOptions, tried: TriedTask) -> None:
        """A finite number per row and name, of any logits, and each row's of its own logits alone."""
        import numpy as np

        outputs = options.outputs(tried.names)
        assert isinstance(outputs, tuple)
        assert len(set(outputs)) == len(outputs) > 0
        for scale in (0.0, 1.0, 30.0, 1e4):
            logits = tried.logits(scale)
            said = options.predictions(logits)
            assert (said.shape, said.dtype) == ((ROWS, len(tried.names)), np.dtype("float64"))
            assert np.isfinite(said).all(), f"predictions of logits up to {abs(logits).max():.0f} are not finite"
            alone = np.concatenate([options.predictions(logits[row : row + 1]) for row in range(ROWS)])
            np.testing.assert_allclose(alone, said, rtol=1e-9, err_msg="a row's predictions depend on other rows")

    def test_decides_for_targets(self, options: TaskOptions, tried: TriedTask) -> None:
        """What is decided are known targets with labels of one spelling, as ``encode`` returns them."""
        import numpy as np

        names, like, decided = tried.names, tried.targets, options.decide(tried.predictions(), NOTHING)
        assert (decided.shape, decided.dtype) == (like.shape, like.dtype), "other targets than those of labels"
        assert options.known(decided).all(), "unknown targets are decided for"
        labels = options.decode(decided, names)
        assert [options.label_of(label) for label in labels] == labels
        assert list(options.unknown(set(labels), names)) == []
        assert np.array_equal(options.encode(labels, names), decided)

    def test_chooses_plain_values(self, options: TaskOptions, tried: TriedTask) -> None:
        """What is chosen is the same again, plain JSON, and decides the same when read from its file."""
        import numpy as np

        for targets, said in tried.judged():
            chosen = options.choose(targets, said, tried.names)
            assert plain(chosen) == chosen == options.choose(targets, said, tried.names)
            decided = options.decide(said, chosen)
            assert options.known(decided).all()
            assert np.array_equal(decided, options.decide(said, plain(chosen)))

    def test_losses_are_least_where_all_is_right(self, options: TaskOptions, tried: TriedTask) -> None:
        """A finite loss per row, however wrong; the mean is less for what is predicted than for anything else."""
        import numpy as np

        for targets, said in tried.judged():
            losses = options.losses(targets, said)
            assert (losses.shape, losses.dtype) == ((len(said),), np.dtype("float64"))
            assert np.isfinite(losses).all(), "not finite where predictions are wrong"
            parts = [options.losses(targets[row : row + 1], said[row : row + 1]) for row in range(len(said))]
            np.testing.assert_allclose(np.concatenate(parts), losses, rtol=1e-9, err_msg="losses depend on other rows")
        said = tried.predictions(10.0)
        least = options.losses(right := options.decide(said, NOTHING), said).mean()
        for shift in range(1, ROWS):
            other = np.roll(right, shift, axis=0)
            if not np.array_equal(other, right):
                assert least < options.losses(other, said).mean(), "wrong predictions have less loss than right ones"

    # --- results

    def test_details_are_plain(self, options: TaskOptions, tried: TriedTask) -> None:
        """What a result says of a split is plain JSON under keys that nothing else of a result has."""
        for targets, said in tried.judged():
            details = options.details(targets, said, tried.names, options.choose(targets, said, tried.names))
            assert plain(details) == dict(details)
            assert not details.keys() & OTHER_KEYS

    def test_columns_are_read_as_they_were(self, options: TaskOptions, tried: TriedTask) -> None:
        """From the columns, written to a file and read from it, come the same targets and predictions."""
        import numpy as np
        import pandas as pd

        names = tried.names
        for targets, said in tried.judged():
            chosen = options.choose(targets, said, names)
            columns = options.columns(targets, said, names, chosen)
            for name, meant in (("label", targets), ("predicted", options.decide(said, chosen))):
                assert [*map(options.label_of, columns[name])] == options.decode(meant, names), f"column {name}"
            assert not columns.keys() & OTHER_COLUMNS
            frame, file = pd.DataFrame(dict(columns)), BytesIO()
            assert all(frame[name].dtype.kind in "iuf" for name in frame if name not in ("label", "predicted"))
            frame.to_parquet(file)
            found = options.read_columns(dict(pd.read_parquet(file).items()), names)
            assert np.array_equal(found[0], targets)
            np.testing.assert_allclose(found[1], said, rtol=1e-12)

    def test_refuses_columns_of_others(self, options: TaskOptions, tried: TriedTask) -> None:
        """A label that there cannot be is a ``ValueError``, a column that is missing a ``KeyError``."""
        names, (targets, said) = tried.names, tried.judged()[0]
        columns = dict(options.columns(targets, said, names, NOTHING))
        with pytest.raises(ValueError, match=r"\S"):
            options.read_columns({**columns, "label": ["no such label", *columns["label"][1:]]}, names)
        for kept in (columns.keys() - {"label"}, {"label"}):
            with pytest.raises(KeyError):
                options.read_columns({name: columns[name] for name in kept}, names)

    def test_baselines_predict(self, options: TaskOptions, tried: TriedTask) -> None:
        """Every baseline that is named fits, and predicts the same for equal seeds, odd texts too."""
        import numpy as np

        texts, names, targets = korean_reviews(ROWS)[0], tried.names, tried.targets
        for name in options.baselines:
            with no_global_randomness():
                models = [options.fit_baseline(name, texts, targets, names, seed=3) for _ in range(2)]
                said, again = (model([*ODD_TEXTS, *texts]) for model in models)
            assert said.shape == (len(ODD_TEXTS) + ROWS, len(names)), f"baseline {name}"
            assert np.isfinite(said).all(), f"baseline {name}"
            assert np.array_equal(said, again), f"baseline {name} is another one when it is fitted again"
            assert options.known(options.decide(said, NOTHING)).all()

    def test_changes_no_input_or_global_state(self, options: TaskOptions, tried: TriedTask) -> None:
        """Nothing that it is given is changed, and nothing drawn from generators that everybody shares."""
        import numpy as np

        names, (targets, said), logits = tried.names, tried.judged()[0], tried.logits()
        before = [array.copy() for array in (targets, said, logits)]
        with no_global_randomness():
            options.predictions(logits)
            chosen = options.choose(targets, said, names)
            options.decide(said, chosen)
            options.losses(targets, said)
            options.details(targets, said, names, chosen)
            options.columns(targets, said, names, chosen)
            options.counts(targets, names)
        assert all(map(np.array_equal, (targets, said, logits), before)), "targets, predictions or logits are changed"
