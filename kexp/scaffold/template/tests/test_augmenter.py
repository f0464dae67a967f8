"""The augmenter in kexp's suite for augmenters, and what it does itself."""

from random import Random

from kexp.testing import AugmenterContract

from my_package.augmenter import MyAugmenter


class TestMyAugmenter(AugmenterContract):
    examples = (MyAugmenter(), MyAugmenter(p=0.7))


def test_leaves_out_the_share_of_spaces_that_it_is_told() -> None:
    text = " ".join("가" * 10_001)
    assert MyAugmenter(p=1).join("안 좋은 영화", Random(0)) == "안좋은영화"
    left = MyAugmenter(p=0.3).join(text, Random(0)).count(" ")
    assert 0.68 < left / 10_000 < 0.72
