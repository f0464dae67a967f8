"""Every component of this package in kexp's suite of its kind."""

from kexp.testing import AugmenterContract, ObjectiveContract, untested
from kexp_example import plugin
from kexp_example.particles import DropParticles
from kexp_example.robust import GeneralizedCrossEntropy


def test_every_component_has_a_suite() -> None:
    assert untested(plugin, globals()) == []


class TestGeneralizedCrossEntropy(ObjectiveContract):
    examples = (GeneralizedCrossEntropy(), GeneralizedCrossEntropy(q=0.1), GeneralizedCrossEntropy(q=1))


class TestDropParticles(AugmenterContract):
    examples = (DropParticles(), DropParticles(p=0.9))
