"""Baselines: simple models on the same rows, which a result should beat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

Predict: TypeAlias = Callable[[Sequence[str]], "NDArray[np.float64]"]
"""Texts in, probabilities of shape (rows, labels) or numbers of shape (rows, 1) out."""

PAIR_SEPARATOR = " ␞ "
"""Stands between the texts of a pair: a symbol that texts do not use, so that n-grams show where a text ends."""

CHARACTERS = 1000
"""Characters of a text that a baseline reads: about as many as fit into 512 tokens, as in a language model."""

STRENGTH = 4.0
"""Inverse of the regularisation of the linear baseline, C in scikit-learn."""


MOST_ROWS = {"tfidf-logreg": 50_000, "tfidf-ridge": 50_000}
"""Train rows that a baseline is fitted to at most; where there are more, to a sample of so many."""


def join_pairs(texts: Sequence[str], pairs: Sequence[str]) -> list[str]:
    """Return one text per pair of texts, for models that take one."""
    return [f"{text}{PAIR_SEPARATOR}{pair}" for text, pair in zip(texts, pairs, strict=True)]


def fit_baseline(name: str, texts: Sequence[str], labels: NDArray[Any], n_labels: int, seed: int) -> Predict:
    """Fit the baseline ``name`` to texts and their targets, at least one.

    Those of a key of ``BASELINES`` are label ids: returns a function from texts to probabilities of shape (rows,
    ``n_labels``), in the order of the label ids; a label that train lacks has probability 0. Those of a key of
    ``NUMBER_BASELINES`` are numbers: returns a function from texts to numbers of shape (rows, 1).
    """
    return {**BASELINES, **NUMBER_BASELINES}[name](texts, labels, n_labels, seed)


def _majority(texts: Sequence[str], labels: NDArray[np.int64], n_labels: int, seed: int) -> Predict:
    """Give every text the class frequencies of train."""
    import numpy as np

    shares = np.bincount(labels, minlength=n_labels) / len(labels)
    return lambda texts: np.tile(shares, (len(texts), 1))


def ngram_features() -> TfidfVectorizer:
    """Return the tf-idf of character n-grams that linear models read; texts are cut by ``read_part`` before."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Korean glues particles and endings to its stems and is often written without spaces, so whole words are sparse
    # features: on 10,000 film reviews (NSMC) they reach 75 % accuracy, n-grams of 1 to 3 syllables 83 %. Longer n-grams
    # gain nothing but time; those that stay within a word are fewer and as good.
    return TfidfVectorizer(
        analyzer="char_wb", ngram_range=(1, 3), sublinear_tf=True, max_features=200_000, dtype=np.float32
    )


def logistic_regression(seed: int) -> LogisticRegression:
    """Return the classifier of the linear baseline."""
    from sklearn.linear_model import LogisticRegression

    # C = 4 is the best of 1, 2, 4 by the cross entropy on 10,000 film reviews (NSMC), within 0.002 of 8; no setting is
    # tuned on the data at hand. Newton's method takes a few steps where L-BFGS takes over a hundred (or stops early in
    # float32): 0.5 s instead of 6 s with five classes.
    return LogisticRegression(C=STRENGTH, solver="newton-cg", max_iter=1000, random_state=seed)


def read_part(texts: Iterable[str]) -> list[str]:
    """Return the beginning of each text, which is all that a baseline reads."""
    return [text[:CHARACTERS] for text in texts]


def _tfidf_logreg(texts: Sequence[str], labels: NDArray[np.int64], n_labels: int, seed: int) -> Predict:
    """Fit a logistic regression on tf-idf of character n-grams."""
    import numpy as np
    from sklearn.pipeline import make_pipeline

    known = np.unique(labels)
    if len(known) == 1:  # scikit-learn refuses a single class
        return _majority(texts, labels, n_labels, seed)
    model = make_pipeline(ngram_features(), logistic_regression(seed))
    model.fit(read_part(texts), labels)

    def predict(texts: Sequence[str]) -> NDArray[np.float64]:
        probabilities = np.zeros((len(texts), n_labels))
        probabilities[:, known] = model.predict_proba(read_part(texts))
        # float32 sums to 1 within 1e-7 only; metrics expect more.
        normalised: NDArray[np.float64] = probabilities / probabilities.sum(1, keepdims=True)
        return normalised

    return predict


def _mean(texts: Sequence[str], numbers: NDArray[np.float64], n_labels: int, seed: int) -> Predict:
    """Give every text the mean of train."""
    import numpy as np

    mean = float(numbers.mean())
    return lambda texts: np.full((len(texts), 1), mean)


def _tfidf_ridge(texts: Sequence[str], numbers: NDArray[np.float64], n_labels: int, seed: int) -> Predict:
    """Fit a ridge regression on tf-idf of character n-grams."""
    import numpy as np
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    # LSQR is the solver for sparse features with an intercept whose steps are the same with every seed.
    model = make_pipeline(ngram_features(), Ridge(alpha=1.0, solver="lsqr", tol=1e-6, random_state=seed))
    model.fit(read_part(texts), numbers)
    return lambda texts: np.asarray(model.predict(read_part(texts)), np.float64).reshape(-1, 1)


Fit: TypeAlias = Callable[[Sequence[str], "NDArray[Any]", int, int], Predict]

BASELINES: Mapping[str, Fit] = {"majority": _majority, "tfidf-logreg": _tfidf_logreg}
NUMBER_BASELINES: Mapping[str, Fit] = {"mean": _mean, "tfidf-ridge": _tfidf_ridge}
