"""Which ends of words the augmenter takes for particles, and that it leaves everything else alone."""

from random import Random

import pytest

from kexp_example.particles import DropParticles, has_particle


@pytest.mark.parametrize("word", ["배우는", "영화가", "음악을", "마지막은", "결말이", "연기를"])
def test_particles_are_found(word: str) -> None:
    assert has_particle(word)


@pytest.mark.parametrize("word", ["나는", "물이", "영화은", "음악를", "재미있는데", "OST는", "는", "", "영화는?"])
def test_what_may_be_something_else_stays(word: str) -> None:
    assert not has_particle(word)


def test_everything_else_stays() -> None:
    assert DropParticles(p=1).shorten("이 영화는  배우가 정말 연기를 했다", Random(0)) == "이 영화  배우 정말 연기 했다"
    kept = DropParticles(p=0.25).shorten(" ".join(["영화는"] * 10_000), Random(0)).count("는")
    assert 0.73 < kept / 10_000 < 0.77
