"""What every sampler has to get right."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from kexp.contracts import SamplerOptions
from kexp.options import Options
from kexp.seeds import generator
from kexp.testing.fixtures import no_global_randomness
from kexp.testing.options import OptionsContract

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Balanced, unbalanced, with a class missing between two others, of one class, and of one row.
COUNTS = ((20, 20, 20), (97, 2, 1), (5, 0, 7), (9,), (1,))


class SamplerContract(OptionsContract):
    """Promises of samplers: row numbers that exist, decided by the labels and the epoch's generator alone.

    ``visits_all`` is whether an epoch visits every row once, ``is_random`` whether epochs differ.
    """

    base: ClassVar[type[Options]] = SamplerOptions
    visits_all: ClassVar[bool] = True
    is_random: ClassVar[bool] = True

    @pytest.fixture(params=COUNTS, ids=str)
    def labels(self, request: pytest.FixtureRequest) -> NDArray[np.int64]:
        """Return the labels of some rows, shuffled."""
        import numpy as np

        counts: tuple[int, ...] = request.param
        return generator(0, "contract").permutation(np.repeat(np.arange(len(counts)), counts))

    def test_returns_existing_rows(self, options: SamplerOptions, labels: NDArray[np.int64]) -> None:
        """An epoch is a row of numbers, at least one, each of which is a row's."""
        for epoch in range(3):
            found = options.order(labels, generator(1, "order", epoch))
            assert found.ndim == 1
            assert found.dtype.kind == "i"
            assert len(found) > 0
            assert found.min() >= 0
            assert found.max() < len(labels)

    def test_visits_all_rows_if_declared(self, options: SamplerOptions, labels: NDArray[np.int64]) -> None:
        """Every row once, or else every class that has rows."""
        found = options.order(labels, generator(1, "order", 0))
        if self.visits_all:
            assert sorted(found.tolist()) == list(range(len(labels)))
        else:
            assert set(labels[found].tolist()) == set(labels.tolist())

    def test_order_depends_on_the_generator(self, options: SamplerOptions, labels: NDArray[np.int64]) -> None:
        """Equal generators give equal orders, and those of other epochs other ones, where there is more than one."""
        import numpy as np

        epochs = [options.order(labels, generator(1, "order", epoch)) for epoch in range(4)]
        again = [options.order(labels, generator(1, "order", epoch)) for epoch in range(4)]
        assert all(map(np.array_equal, epochs, again))
        if len(labels) > 8:
            assert any(not np.array_equal(epochs[0], other) for other in epochs[1:]) is self.is_random

    def test_looks_at_classes_only_if_declared(self, options: SamplerOptions, labels: NDArray[np.int64]) -> None:
        """Without ``needs_classes`` only the number of rows matters: a row of some tasks has no class."""
        if not options.needs_classes:
            found, alike = (options.order(given, generator(1, "order", 0)) for given in (labels, labels * 0))
            assert found.tolist() == alike.tolist(), "the order depends on the labels: set needs_classes"

    def test_changes_no_input_or_global_state(self, options: SamplerOptions, labels: NDArray[np.int64]) -> None:
        """It changes neither the labels nor the state of generators that everybody shares."""
        before = labels.copy()
        with no_global_randomness():
            options.order(labels, generator(1, "order", 0))
        assert (labels == before).all()
