"""The task in kexp's suite for tasks, and its threshold against a plain loop."""

import numpy as np
import pytest
from kexp.errors import DataError
from kexp.testing import TaskContract
from sklearn.metrics import f1_score  # type: ignore[import-untyped]

from my_package.task import MyTask


class TestMyTask(TaskContract):
    examples = (MyTask(), MyTask(sought="광고"))
    labels = ("글", "광고")
    cells = ((" 광고 ", "광고"), (1.0, "1"))
    nonsense = (["광고"], {"광고": 1})


def test_what_is_sought_is_the_second_class() -> None:
    assert MyTask().names({"글", "광고"}, None) == ("광고", "글")
    assert MyTask(sought="광고").names({"글", "광고"}, None) == ("글", "광고")
    with pytest.raises(DataError, match='expected two, one of them "광고"'):
        MyTask(sought="광고").need_variety({"글", "욕"})


def test_no_threshold_has_a_better_f1() -> None:
    generator = np.random.default_rng(0)
    targets = np.repeat([0, 1], [80, 20])
    sought = (generator.random(100) + targets) / 3
    predictions = np.stack([1 - sought, sought], 1)
    decided = MyTask().decide(predictions, MyTask().choose(targets, predictions, ("글", "광고")))
    others = [f1_score(targets, sought >= threshold) for threshold in sought]
    assert f1_score(targets, decided) == pytest.approx(max(others))
    assert f1_score(targets, MyTask().decide(predictions, {})) < max(others)
