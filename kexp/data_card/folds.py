"""Samples and folds for models that look at the rows themselves: what belongs together is in one fold."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kexp.evaluate.baselines import PAIR_SEPARATOR, ngram_features, read_part

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from sklearn.linear_model import LogisticRegression, SGDClassifier

FOLDS = 5

_NO_LETTER = re.compile(r"[\W_]+")


def model_texts(frame: pd.DataFrame) -> list[str]:
    """Return one text per row, as the linear model of the baselines reads it."""
    if "text_pair" not in frame:
        return read_part(frame["text"])
    return read_part(frame["text"] + PAIR_SEPARATOR + frame["text_pair"])


def sample(frame: pd.DataFrame, most: int, characters: int, seed: int) -> pd.DataFrame:
    """Return a sample of at most ``most`` rows, and of about as many characters at most, in the order of the rows.

    Of each text count the ``CHARACTERS`` that a model reads. Rows are numbered anew.
    """
    count = min(most, len(frame))
    length = sum(map(len, model_texts(frame)))
    if length > characters:
        count = min(count, int(len(frame) * characters / length) + 1)
    drawn = frame if count >= len(frame) else frame.sample(count, random_state=seed).sort_index()
    return drawn.reset_index(drop=True)


def tied_rows(frame: pd.DataFrame) -> NDArray[np.int64]:
    """Return a number per row, from 0, equal for rows that belong together.

    These are rows of one group, and rows whose texts differ by spaces, punctuation and case at most; what belongs to
    one row belongs together.
    """
    import numpy as np
    import pandas as pd
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    texts: NDArray[np.int64] = pd.factorize(frame["key"].map(_letters))[0]
    if "group" not in frame:
        return texts
    # Rows without a group are groups of their own.
    alone = (frame["group"] == "").to_numpy()
    groups = np.where(alone, -1, pd.factorize(frame["group"])[0])
    first, known = int(texts.max(initial=-1)) + 1, groups >= 0
    size = first + int(groups.max(initial=-1)) + 1
    edges = coo_array((np.ones(known.sum(), np.int8), (texts[known], first + groups[known])), shape=(size, size))
    found: NDArray[np.int64] = pd.factorize(connected_components(edges, directed=False)[1][texts])[0]
    return found


def _letters(key: str) -> str:
    """Return a text without spaces and punctuation; as it is where nothing would be left."""
    return _NO_LETTER.sub("", key).casefold() or key


def deal(labels: NDArray[np.int64], tied: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """Return the fold of every row, 0 to ``FOLDS - 1``; rows with one number in ``tied`` are in one fold.

    Rows that belong together are dealt out in turn, by the label of their first row, the largest sets first and those
    of one size at random: folds then have about as many rows of every label.
    """
    import numpy as np

    _, first, sizes = np.unique(tied, return_index=True, return_counts=True)
    order = np.lexsort((generator.random(len(first)), -sizes, labels[first]))
    folds = np.empty(len(first), np.int64)
    folds[order] = np.arange(len(first)) % FOLDS
    return folds[tied]


def out_of_fold(
    texts: Sequence[str],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    classifier: Callable[[int], LogisticRegression | SGDClassifier],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the probabilities of each row's labels (rows, labels), and of which rows the model knew the label.

    ``classifier`` returns one to be fitted to the character n-grams of so many texts, those of the other folds.
    """
    import numpy as np

    # The features know no label.
    features = ngram_features().fit_transform(texts)
    probabilities, seen = np.zeros((len(texts), labels.max() + 1)), np.zeros(len(texts), bool)
    for fold in range(FOLDS):
        inside = folds == fold
        known = np.unique(labels[~inside])
        if len(known) > 1 and inside.any():
            model = classifier(int((~inside).sum())).fit(features[~inside], labels[~inside])
            probabilities[np.ix_(inside, known)] = model.predict_proba(features[inside])
            # A label that the model does not know would always be wrong.
            seen[inside] = np.isin(labels[inside], known)
    return probabilities, seen
