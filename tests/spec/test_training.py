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
