"""What every freezing policy has to get right."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import pytest

from kexp.contracts import FreezingOptions
from kexp.contracts.freezing import block_names
from kexp.options import Options
from kexp.testing.fixtures import tiny_classifier
from kexp.testing.options import OptionsContract

LAYERS = (0, 1, 2, 3, 4, 6, 12, 24)


class FreezingContract(OptionsContract):
    """Promises of freezing policies: only blocks that the model has, never all of them, the same ones every time."""

    base: ClassVar[type[Options]] = FreezingOptions

    def test_returns_existing_blocks(self, options: FreezingOptions) -> None:
        """For models of any depth it returns blocks of the model, each once, in every epoch, or refuses the model."""
        fitting = [layers for layers in LAYERS if frozen(options, layers, 0) is not None]
        assert fitting, f"refuses models of {', '.join(map(str, LAYERS))} layers"
        for layers in fitting:
            for epoch in range(layers + 4):
                found = frozen(options, layers, epoch)
                assert found is not None, f"refuses a model of {layers} layers in epoch {epoch} only"
                assert set(found) <= set(block_names(layers))
                assert len(found) == len(set(found))

    def test_leaves_something_to_train(self, options: FreezingOptions) -> None:
        """In no epoch are all blocks frozen."""
        for layers in LAYERS:
            for epoch in range(layers + 4):
                found = frozen(options, layers, epoch)
                assert found is None or set(found) < set(block_names(layers)), f"{layers} layers, epoch {epoch}"

    def test_refuses_models_with_too_few_blocks(self, options: FreezingOptions) -> None:
        """It refuses a model by ``ValueError`` in all epochs or in none."""
        for layers in LAYERS:
            if frozen(options, layers, 0) is None:
                assert all(frozen(options, layers, epoch) is None for epoch in range(layers + 4))

    def test_is_deterministic(self, options: FreezingOptions) -> None:
        """Called again, or with epochs in another order, as a resumed run does, it names the same blocks."""
        for layers in LAYERS:
            first = [frozen(options, layers, epoch) for epoch in range(6)]
            assert [frozen(options, layers, epoch) for epoch in reversed(range(6))][::-1] == first

    def test_freezes_a_model(self, options: FreezingOptions) -> None:
        """A model whose blocks it names has the others left to train."""
        from kexp.model.blocks import find_blocks

        model, _ = tiny_classifier()
        blocks = find_blocks(model)
        found = frozen(options, model.config.num_hidden_layers, 0)
        if found is not None:
            assert blocks.apply_freezing(found) > 0
            assert (blocks.apply_freezing(found) < model.num_parameters()) is bool(found)


def frozen(options: FreezingOptions, layers: int, epoch: int) -> Collection[str] | None:
    """Return the frozen blocks of a model, None where the policy refuses it."""
    try:
        found = options.frozen(block_names(layers), epoch)
    except ValueError as error:
        if not str(error):
            pytest.fail("refuses a model without saying why")
        return None
    assert not isinstance(found, str), "expected a collection of names, found one name"
    return found
