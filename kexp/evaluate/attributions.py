"""Which words matter to a model: each is left out in turn, and the loss of probability is its attribution.

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
"""Most words of a text that get an attribution; each costs one prediction."""

Predict = Callable[[Sequence[str]], "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True)
class WordAttributions:
    """Probabilities of a text, of shape (labels,), and what each word adds to that of the predicted label."""

    probabilities: NDArray[np.float64]
    words: list[tuple[str, float]]


def attribute_words(text: str, predict: Predict) -> WordAttributions:
    """Predict a text whole and without each of its words, in one batch."""
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
