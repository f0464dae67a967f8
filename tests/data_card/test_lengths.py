from __future__ import annotations

import random

import numpy as np
import pytest

from kexp.data_card.lengths import BINS, PERCENTILES, lengths_of


@pytest.mark.parametrize("seed", range(5))
def test_lengths_are_described_as_by_hand(seed: int) -> None:
    draw = random.Random(seed)
    values = [int(draw.lognormvariate(3, 1)) for _ in range(draw.choice([1, 2, 99, 100, 101, 5000]))]
    found = lengths_of("train", "tokens", np.asarray(values), [32, 8, 8])
    assert (found.split, found.unit, found.rows) == ("train", "tokens", len(values))
    assert found.mean == pytest.approx(sum(values) / len(values))
    for percent in PERCENTILES:
        shortest = min(
            value for value in values if sum(other <= value for other in values) * 100 >= percent * len(values)
        )
        assert found.percentiles[percent] == shortest
    starts = [start for start, _ in found.histogram]
    width = starts[1] - starts[0] if len(starts) > 1 else max(values) - min(values) + 1
    assert len(starts) <= BINS
    assert list(starts) == list(range(min(values), max(values) + 1, width))
    for start, count in found.histogram:
        assert count == sum(start <= value < start + width for value in values)
    assert found.cut == {length: sum(value > length for value in values) for length in (8, 32)}
    assert list(found.cut) == [8, 32]
