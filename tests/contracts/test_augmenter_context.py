"""What an augmenter may learn from has a digest, under which the texts of costly augmenters are stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import pytest

from kexp.contracts import AugmenterContext
from kexp.contracts import augmenter as module

CONTENTS = [
    ([], [], []),
    (["한 글"], [], []),
    (["가", "나 \ud800", '"다"', "라\n"], ["가"], [1]),
    ([str(number) for number in range(9)], ["0", "1", "2"], [0, 1, 0]),
]


@pytest.mark.parametrize(("texts", "labelled", "labels"), CONTENTS)
def test_the_digest_is_that_of_all_as_json(
    texts: Sequence[str], labelled: Sequence[str], labels: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.dumps([texts, labelled, labels], ensure_ascii=False).encode("utf-8", "surrogatepass")
    monkeypatch.setattr(module, "CHUNK", 3)
    found = AugmenterContext(texts, labelled, labels).digest()
    assert found == hashlib.blake2b(content, digest_size=16).hexdigest()
