"""Options of an evaluation that exclude each other, and bounds."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kexp.catalog import Catalog
from kexp.spec.sections import Evaluation


def evaluation(catalog: Catalog, **options: Any) -> Evaluation:
    return Evaluation.model_validate(options, context={"catalog": catalog})


def test_the_size_of_a_pass_is_stated_once(catalog: Catalog) -> None:
    problems = [str(problem) for problem in evaluation(catalog, batch_size=8, batch_tokens=2048).problems()]
    assert problems == ["batch_tokens: batch_size and batch_tokens both say how large a pass is; remove one of them"]
    for options in ({}, {"batch_size": 8}, {"batch_tokens": 2048}):
        assert list(evaluation(catalog, **options).problems()) == []


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_tokens": 0}, {"batch_tokens": "many"}])
def test_sizes_that_make_no_sense_are_refused(catalog: Catalog, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        evaluation(catalog, **options)
