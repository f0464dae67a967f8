"""What the predictions of every task have to get right, and what a result says of them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import ClassVar

import pytest

from kexp.contracts import TaskOptions
from kexp.contracts.task import NOTHING
from kexp.sample_reviews import korean_reviews
from kexp.testing.fixtures import ODD_TEXTS, no_global_randomness
from kexp.testing.options import OptionsContract
from kexp.testing.task_rows import ROWS, TriedTask, plain

OTHER_COLUMNS = {"split", "row", "text", "text_pair", "tokens", "unknown_tokens"}
OTHER_KEYS = {"experiment", "variant", "seed", "status", "reason", "rows", "metrics", "labels", "decisions", "checksum"}


class PredictionContract(OptionsContract):
    """Promises of tasks about predictions; ``TaskContract`` has them too."""

    labels: ClassVar[Sequence[str]] = ("부정", "긍정", "중립")

    @pytest.fixture
    def tried(self, options: TaskOptions) -> TriedTask:
        """Return rows with the labels, and predictions."""
        return TriedTask(options, self.labels)

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

    def test_graph_predicts_the_same(self, options: TaskOptions, tried: TriedTask) -> None:
        """What an exported graph computes, or the softmax where it has none, are the predictions."""
        import numpy as np
        import torch

        for scale in (1.0, 30.0):
            logits = torch.from_numpy(tried.logits(scale))
            found = options.graph_predictions(logits)
            expected = logits.softmax(-1) if found is None else found
            np.testing.assert_allclose(expected.numpy(), tried.predictions(scale), atol=1e-9)

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
            assert plain(options.decision_record(tried.names, chosen)) == options.decision_record(tried.names, chosen)
            decided = options.decide(said, chosen)
            assert options.known(decided).all()
            again = options.chosen_again(plain(chosen), tried.names)
            assert np.array_equal(decided, options.decide(said, again)), "decides otherwise with what a file holds"

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

    def test_confidence_is_a_probability(self, options: TaskOptions, tried: TriedTask) -> None:
        """How sure decisions are is None, or a number from 0 to 1 per row."""
        for targets, said in tried.judged():
            sure = options.confidence(said, options.choose(targets, said, tried.names))
            assert sure is None or sure.shape == (len(said),)
            assert sure is None or 0 <= sure.min() <= sure.max() <= 1 + 1e-9

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

    def test_answers_are_columns(self, options: TaskOptions, tried: TriedTask) -> None:
        """What ``kexp predict`` adds is what the columns of a run say of predictions, without targets."""
        import pandas as pd

        for targets, said in tried.judged():
            chosen = options.choose(targets, said, tried.names)
            columns = options.columns(targets, said, tried.names, chosen)
            answers = options.answers(said, tried.names, chosen)
            assert {"predicted"} <= answers.keys() <= columns.keys() - {"label"}
            for name, found in answers.items():
                pd.testing.assert_series_equal(pd.Series(found), pd.Series(columns[name]), check_names=False)

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
            said = options.fit_baseline(name, texts, targets, names, seed=3)([*ODD_TEXTS, *texts])
            # The second time, since libraries may draw when they are imported.
            with no_global_randomness():
                again = options.fit_baseline(name, texts, targets, names, seed=3)([*ODD_TEXTS, *texts])
            assert said.shape == (len(ODD_TEXTS) + ROWS, len(names)), f"baseline {name}"
            assert np.isfinite(said).all(), f"baseline {name}"
            assert np.array_equal(said, again), f"baseline {name} is another one when it is fitted again"
            assert options.known(options.decide(said, NOTHING)).all()

    def test_changes_no_input_or_global_state(self, options: TaskOptions, tried: TriedTask) -> None:
        """Nothing that it is given is changed, and nothing drawn from generators that everybody shares."""
        import numpy as np

        names, (targets, said), logits = tried.names, tried.judged()[0], tried.logits()
        before = [array.copy() for array in (targets, said, logits)]

        def use() -> None:
            options.predictions(logits)
            chosen = options.choose(targets, said, names)
            options.decide(said, chosen)
            options.losses(targets, said)
            options.details(targets, said, names, chosen)
            options.columns(targets, said, names, chosen)
            options.counts(targets, names)

        use()
        with no_global_randomness():
            use()
        assert all(map(np.array_equal, (targets, said, logits), before)), "targets, predictions or logits are changed"
