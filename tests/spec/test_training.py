"""Options of training that exclude each other, and bounds."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kexp.spec.training_section import Training


def test_steps_between_checkpoints_need_checkpoints() -> None:
    problems = [str(problem) for problem in Training(checkpoint=False, checkpoint_every_steps=5).problems()]
    assert problems == ["checkpoint_every_steps: checkpoint = false writes none; remove one of them"]
    assert list(Training(checkpoint_every_steps=5).problems()) == []
    assert list(Training(checkpoint=False).problems()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"checkpoint_every_steps": 0},
        {"checkpoint_every_minutes": -1},
        {"checkpoint_every_minutes": float("inf")},
        {"skip_bad_steps": -1},
    ],
)
def test_numbers_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Training(**options)


@pytest.mark.parametrize(
    ("options", "evaluations"),
    [
        ({"average": 5, "epochs": 3}, 3),
        ({"average": 5, "steps": 40, "evaluate_every": 11}, 4),
        ({"average": 4, "steps": 40, "evaluate_every": 11}, None),
        ({"average": 3, "epochs": 3}, None),
        # How many steps an epoch has depends on the data.
        ({"average": 5, "steps": 40}, None),
        ({"average": 5, "epochs": 3, "evaluate_every": 11}, None),
    ],
)
def test_fewer_evaluations_than_are_averaged_are_warned_of(options: dict[str, Any], evaluations: int | None) -> None:
    expected = (
        f"average: the weights of 5 evaluations cannot be averaged: there are {evaluations}; "
        "lower it, or evaluate more often with evaluate_every"
    )
    assert [str(found) for found in Training(**options).warnings()] == ([] if evaluations is None else [expected])


def test_the_size_of_a_batch_is_stated_once_and_fits_the_longest_row() -> None:
    def problems(**options: Any) -> list[str]:
        return [str(problem) for problem in Training(**options).problems()]

    assert problems(batch_size=8, batch_tokens=2048) == [
        "batch_tokens: batch_size and batch_tokens both say how large a batch is; remove one of them"
    ]
    assert problems(batch_tokens=127) == [
        "batch_tokens: 127 tokens are fewer than those of one row, max_length = 128; "
        "raise it, or lower training.max_length"
    ]
    for options in ({}, {"batch_size": 8}, {"batch_tokens": 128}, {"batch_tokens": 64, "max_length": 64}):
        assert problems(**options) == []
    with pytest.raises(ValidationError):
        Training(batch_tokens=0)
