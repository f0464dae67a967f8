"""The sampler in kexp's suite for samplers, and how many rows of each class it visits."""

import numpy as np
from kexp.testing import SamplerContract

from my_package.sampler import MySampler


class TestMySampler(SamplerContract):
    examples = (MySampler(),)
    # Not every row in every epoch, but every class.
    visits_all = False


def test_visits_classes_equally_often() -> None:
    labels = np.repeat([0, 1, 2], [50, 7, 20])
    found = MySampler().order(labels, np.random.default_rng(0))
    assert np.bincount(labels[found]).tolist() == [7, 7, 7]
    assert len(set(found.tolist())) == 21
