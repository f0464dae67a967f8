"""The backbone in kexp's suite for backbones, and what its tokens are."""

from kexp.contracts import TokenizerContext
from kexp.testing import BackboneContract

from my_package.backbone import MyBackbone


class TestMyBackbone(BackboneContract):
    examples = (MyBackbone(), MyBackbone(layers=1, hidden=16, positions=40, dropout=0.2))


def test_a_token_is_a_character() -> None:
    tokenizer = MyBackbone().build_tokenizer(TokenizerContext(["안 좋은 영화", "좋은 배우"]))
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("좋은  꽃").input_ids)
    assert tokens == ["[CLS]", "좋", "은", "[UNK]", "[SEP]"]
