"""Which words matter to a model: each is taken out in turn, and the loss of probability is what it was worth.

Occlusion (Zeiler & Fergus 2014, section 4.1), with eojeol for patches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_WORDS = 128
"""Words that are taken out, at most; a longer text costs as many predictions as it has words."""

Predict = Callable[[Sequence[str]], "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True)
class WordAttributions:
    """Probabilities of shape (labels,) of a text, and what each of its words adds to that of the predicted label."""

    probabilities: NDArray[np.float64]
    words: list[tuple[str, float]]


def attribute_words(text: str, predict: Predict) -> WordAttributions:
    """Predict a text as it is and without each of its words, in one go."""
    words = text.split()
    without = [" ".join(words[:number] + words[number + 1 :]) for number in range(min(len(words), MOST_WORDS))]
    # Without its only word nothing is left to predict.
    if len(words) < 2:
        probabilities = predict([text])[0]
        return WordAttributions(probabilities, [(word, float(probabilities.max())) for word in words])
    whole, *others = predict([text, *without])
    label = int(whole.argmax())
    return WordAttributions(
        whole, [(word, float(whole[label] - other[label])) for word, other in zip(words, others, strict=False)]
    )
