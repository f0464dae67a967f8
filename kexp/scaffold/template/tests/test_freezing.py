"""The freezing policy in kexp's suite for such policies, and when it lets go."""

from kexp.testing import FreezingContract

from my_package.freezing import MyFreezing


class TestMyFreezing(FreezingContract):
    examples = (MyFreezing(), MyFreezing(epochs=3))


def test_lets_go_after_its_epochs() -> None:
    blocks = ("embeddings", "layer.0", "head")
    assert [MyFreezing(epochs=2).frozen(blocks, epoch) for epoch in range(3)] == [blocks[:2], blocks[:2], ()]
