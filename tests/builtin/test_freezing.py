"""Freezing policies by name, block for block and epoch for epoch."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kexp.builtin.freezing import (
    FreezeAllButHead,
    FreezeBottomLayers,
    FreezeEmbeddings,
    FreezeLayers,
    GradualUnfreezing,
    NoFreezing,
)
from kexp.catalog import load_catalog
from kexp.contracts import FreezingOptions
from kexp.contracts.freezing import block_names
from kexp.plan.validate import validate

BLOCKS = block_names(12)
LAYERS = [f"layer.{number}" for number in range(12)]


def frozen(options: FreezingOptions, epoch: int = 0) -> list[str]:
    return list(options.frozen(BLOCKS, epoch))


def test_a_model_of_twelve_layers_has_fourteen_blocks() -> None:
    assert list(BLOCKS) == ["embeddings", *LAYERS, "head"]


@pytest.mark.parametrize("epoch", [0, 1, 5, 100])
def test_policies_without_schedule_freeze_the_same_in_every_epoch(epoch: int) -> None:
    assert frozen(NoFreezing(), epoch) == []
    assert frozen(FreezeEmbeddings(), epoch) == ["embeddings"]
    assert frozen(FreezeBottomLayers(layers=4), epoch) == ["embeddings", *LAYERS[:4]]
    assert frozen(FreezeAllButHead(), epoch) == ["embeddings", *LAYERS]


def test_gradual_unfreezing_frees_one_block_per_epoch_from_the_top() -> None:
    policy = GradualUnfreezing()
    assert frozen(policy, 0) == ["embeddings", *LAYERS]
    assert frozen(policy, 1) == ["embeddings", *LAYERS[:11]]
    assert frozen(policy, 2) == ["embeddings", *LAYERS[:10]]
    assert frozen(policy, 12) == ["embeddings"]
    for epoch in (13, 14, 100):
        assert frozen(policy, epoch) == []


def test_what_is_frozen_is_always_the_lower_part_and_never_grows() -> None:
    for policy in (
        NoFreezing(),
        FreezeEmbeddings(),
        FreezeBottomLayers(layers=12),
        FreezeAllButHead(),
        GradualUnfreezing(),
    ):
        sizes = []
        for epoch in range(20):
            names = frozen(policy, epoch)
            assert tuple(names) == BLOCKS[: len(names)]
            assert "head" not in names
            sizes.append(len(names))
        assert sizes == sorted(sizes, reverse=True)


def test_all_layers_may_be_frozen_and_no_more() -> None:
    assert frozen(FreezeBottomLayers(layers=12)) == ["embeddings", *LAYERS]
    with pytest.raises(ValueError, match="13 layers cannot be frozen, the model has 12"):
        frozen(FreezeBottomLayers(layers=13))


def test_too_many_layers_are_a_problem_of_the_spec_before_anything_is_built() -> None:
    table = {
        "name": "test",
        "dataset": {"use": "hub", "id": "owner/name"},
        "backbone": {"use": "tiny", "layers": 2},
        "freezing": {"use": "bottom-layers", "layers": 3},
    }
    _, problems = validate(table, load_catalog())
    assert [str(problem) for problem in problems] == ["freezing: 3 layers cannot be frozen, the model has 2"]


@pytest.mark.parametrize("layers", [0, -1, "2", 1.5])
def test_layers_are_a_positive_number(layers: object) -> None:
    with pytest.raises(ValidationError, match="layers"):
        FreezeBottomLayers(layers=layers)


def test_the_number_of_layers_has_to_be_stated() -> None:
    with pytest.raises(ValidationError, match="layers"):
        FreezeBottomLayers()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"layers": (0, 3)}, ["layer.0", "layer.3"]),
        ({"layers": (-1, 3)}, ["layer.3", "layer.11"]),
        ({"blocks": ("embeddings", "layer.[0-2]")}, ["embeddings", "layer.0", "layer.1", "layer.2"]),
        ({"layers": (5,), "blocks": ("head",)}, ["layer.5", "head"]),
        ({"blocks": ("layer.*",)}, LAYERS),
    ],
)
def test_layers_are_frozen_by_number_and_by_pattern(options: dict[str, Any], expected: list[str]) -> None:
    for epoch in (0, 7):
        assert frozen(FreezeLayers(**options), epoch) == expected


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"layers": [0, 4]}, "freezing: there is no layer 4, the model has 0 to 3"),
        ({"layers": [-5]}, "freezing: there is no layer -5, the model has 0 to 3"),
        ({"blocks": ["encoder.*"]}, 'freezing: no block matches "encoder.*"; the model has embeddings, layer.0, layer.1, layer.2, layer.3, head'),
        ({"blocks": ["*"]}, "freezing: every block is frozen, so nothing would train"),
        ({"use": "layers"}, 'freezing.layers: names no layer to freeze; for example layers = [0, 3] or blocks = ["layer.[0-5]"]'),
        ({"layers": 2}, "freezing.layers: expected a list, found 2"),
    ],
)  # fmt: skip
def test_layers_that_the_model_lacks_are_refused(table: dict[str, Any], expected: str) -> None:
    backbone = {"use": "tiny", "layers": 4}
    spec = {"name": "x", "dataset": "dialect-sample", "backbone": backbone, "freezing": table}
    assert [str(problem) for problem in validate(spec, load_catalog())[1]] == [expected]


def test_a_table_of_layers_needs_no_name_of_a_policy() -> None:
    spec = {"name": "x", "dataset": "dialect-sample", "backbone": "tiny", "freezing": {"layers": [0, 1]}}
    found, problems = validate(spec, load_catalog())
    assert not problems
    assert found is not None
    assert found.freezing == FreezeLayers(layers=(0, 1))
    assert validate({**spec, "freezing": {}}, load_catalog())[0].freezing == NoFreezing()  # type: ignore[union-attr]
