"""Whether splits hold texts of one kind: labelled against unlabelled rows, and train against published splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from kexp.contracts import SPLITS, UNLABELLED
from kexp.data.cleaning import without_text
from kexp.data_card.finding import EXAMPLES, Example, Finding
from kexp.data_card.folds import FOLDS, deal, model_texts, out_of_fold, sample, tied_rows
from kexp.data_card.rows import CardRows, examples
from kexp.evaluate.baselines import logistic_regression
from kexp.evaluate.statistics import Summary, summarise
from kexp.seeds import derive, generator

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

NAME = "shift"

FEWEST = 50
"""Texts of each split without which no difference could be told from chance."""

SAMPLE = 5_000
"""Texts of each split that are compared."""

TEXT = 1_000_000
"""Characters of each split that are compared."""

CLEAR = 0.65
"""Area under the ROC curve (AUC) from which a difference matters."""

WORDS = 5
Z = 3.0
"""Words that are named: at most as many, with a log-odds ratio of as many standard errors."""

SCRIPTS: Mapping[str, str] = {
    "Hangul": "가-힣",
    "Latin letters": "A-Za-z",
    "digits": "0-9",
    "punctuation": r"!-/:-@\[-`{-~…",
}


def shift(rows: CardRows) -> Iterator[Finding | str]:
    """Yield how the labelled rows differ from the unlabelled ones, and train from splits that come with the dataset.

    A linear model on character n-grams learns to tell a row of one split from a row of the other, and is measured by
    cross-validation; so is the length alone. There is a finding where the AUC of one of them is above ``CLEAR`` and
    its 95 % interval above chance, 0.5. Yields a remark where a split has too few texts.
    """
    if UNLABELLED in rows.used:
        yield from _compare("labelled", rows.used["train"], UNLABELLED, rows.used[UNLABELLED], rows.spec.split.seed)
    for split in SPLITS[1:]:
        if split in rows.read:
            yield from _compare("train", rows.read["train"], split, rows.read[split], rows.spec.split.seed)


def _compare(name: str, one: pd.DataFrame, other: str, two: pd.DataFrame, seed: int) -> Iterator[Finding | str]:
    import numpy as np
    import pandas as pd

    stream = f"shift between {name} and {other}"
    frames = [_distinct(frame, derive(seed, f"{stream}, {of}") % 2**32) for of, frame in ((name, one), (other, two))]
    sizes = [len(frame) for frame in frames]
    if min(sizes) < FEWEST:
        found = f"{sizes[0]:,} {name} and {sizes[1]:,} {other} texts"
        yield f"{name} and {other} rows are not compared: there are {found}, and {FEWEST} of each are needed"
        return
    frame, sides = pd.concat(frames, ignore_index=True), np.repeat([0, 1], sizes)
    folds = deal(sides, tied_rows(frame), generator(seed, stream))
    texts = model_texts(frame)
    by_words, scores = _told_apart(texts, sides, folds, derive(seed, stream) % 2**32)
    length = np.fromiter(map(len, texts), np.float64, len(texts))
    by_length = _area(length, sides, folds)
    if not (_clear(by_words) or _clear(by_length)):
        return
    yield Finding(
        NAME,
        f"{name} and {other} rows are of different kinds: {_measured(by_words, by_length)}; "
        f"{'; '.join(_differences(name, other, texts, sides, length))}",
        len(two),
        len(one) + len(two),
        _typical(frame, sides, scores, (name, other)),
        _remedy(other),
    )


def _distinct(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    return sample(frame[~without_text(frame)].drop_duplicates("id"), SAMPLE, TEXT, seed)


def _told_apart(
    texts: Sequence[str], sides: NDArray[np.int64], folds: NDArray[np.int64], seed: int
) -> tuple[Summary, NDArray[np.float64]]:
    """Return the AUC over the folds, and the probability of the second split of every row."""
    import numpy as np

    probabilities, seen = out_of_fold(texts, sides, folds, lambda rows: logistic_regression(seed))
    scores = np.where(seen, probabilities[:, 1], 0.5)
    return _area(scores, sides, folds), scores


def _area(scores: NDArray[np.float64], sides: NDArray[np.int64], folds: NDArray[np.int64]) -> Summary:
    """Return the mean AUC of the folds that have rows of both splits, with an interval for folds that share rows."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    parts = [folds == fold for fold in range(FOLDS) if len(np.unique(sides[folds == fold])) == 2]
    areas = [float(roc_auc_score(sides[part], scores[part])) for part in parts] or [0.5]
    return summarise(areas, 1 / (FOLDS - 1), (0.0, 1.0))


def _clear(area: Summary) -> bool:
    """Return whether rows are told apart better than by chance, in either direction, and clearly so."""
    if area.low is None or area.high is None:
        return False
    return (area.mean >= CLEAR and area.low > 0.5) or (area.mean <= 1 - CLEAR and area.high < 0.5)


def _measured(by_words: Summary, by_length: Summary) -> str:
    def shown(area: Summary) -> str:
        known = area.low is not None and area.high is not None
        return f"{area.mean:.2f}" + (f" (95 % interval {area.low:.2f} to {area.high:.2f})" if known else "")

    return (
        f"a linear model tells them apart with an AUC of {shown(by_words)}, the length alone with {shown(by_length)}, "
        "where chance is 0.5"
    )


def _differences(
    name: str, other: str, texts: Sequence[str], sides: NDArray[np.int64], length: NDArray[np.float64]
) -> Iterator[str]:
    """Yield in words how the texts of two splits differ: length, scripts, words."""
    import numpy as np

    medians = [np.median(length[sides == side]) for side in (0, 1)]
    yield f"{name} texts have a median of {medians[0]:,.0f} characters, {other} ones {medians[1]:,.0f}"
    for script, (first, second) in _scripts(texts, sides).items():
        if max(first, second) >= 0.01 and max(first, second) >= 1.5 * min(first, second):
            yield f"{script} are {first:.1%} of the characters against {second:.1%}"
    typical = _words(texts, sides)
    for of, words in zip((name, other), typical, strict=True):
        if words:
            yield f"words typical of {of}: {', '.join(words)}"


def _scripts(texts: Sequence[str], sides: NDArray[np.int64]) -> dict[str, tuple[float, float]]:
    """Return the share of each script in the characters of both splits, spaces aside."""
    import re

    joined = ["".join("".join(text.split()) for text, of in zip(texts, sides, strict=True) if of == n) for n in (0, 1)]
    return {
        script: tuple(len(re.findall(f"[{letters}]", text)) / max(len(text), 1) for text in joined)  # type: ignore[misc]
        for script, letters in SCRIPTS.items()
    }


def _words(texts: Sequence[str], sides: NDArray[np.int64]) -> tuple[list[str], list[str]]:
    """Return the eojeol that are most typical of each split.

    They are ordered by the z-score of the log-odds ratio of the numbers of texts that have them, each with a half
    added (Monroe et al. 2008, with a flat prior).
    """
    import numpy as np

    counts = [Counter[str](), Counter[str]()]
    for text, side in zip(texts, sides.tolist(), strict=True):
        counts[side].update(set(text.split()))
    words = sorted(word for word, count in (counts[0] + counts[1]).items() if count >= 5)
    if not words:
        return [], []
    first, second = (np.array([of[word] for word in words]) + 0.5 for of in counts)
    none_first, none_second = (sides == 0).sum() + 1 - first, (sides == 1).sum() + 1 - second
    ratio = np.log(first / none_first) - np.log(second / none_second)
    z = ratio / np.sqrt(1 / first + 1 / none_first + 1 / second + 1 / none_second)
    order = np.argsort(z, kind="stable")
    return (
        [words[place] for place in order[::-1][:WORDS] if z[place] > Z],
        [words[place] for place in order[:WORDS] if z[place] < -Z],
    )


def _typical(
    frame: pd.DataFrame, sides: NDArray[np.int64], scores: NDArray[np.float64], names: tuple[str, str]
) -> tuple[Example, ...]:
    """Return the rows that look most like their own split."""
    import numpy as np

    shown: tuple[Example, ...] = ()
    for side, count in ((1, EXAMPLES - EXAMPLES // 2), (0, EXAMPLES // 2)):
        own = np.flatnonzero(sides == side)
        likely = scores[own] if side else 1 - scores[own]
        best = own[np.argsort(-likely, kind="stable")[:count]]
        notes = [f"{names[side]}: probability {max(scores[row], 1 - scores[row]):.2f}" for row in best]
        shown += examples(frame.iloc[best], notes)
    return shown


def _remedy(other: str) -> str:
    if other == UNLABELLED:
        return (
            "label rows of the kind that is to be predicted, or take unlabelled rows of the labelled kind: "
            'labelled.n draws the labelled rows from the same texts, labelled.pool_from = "file" chooses where '
            "unlabelled rows come from, cleaning.min_characters and max_characters bound lengths by split"
        )
    return (
        f"measures on {other} tell how the model does on texts of another kind than it was trained on: if that is not "
        f"meant, join the files and let split.{other} take the rows out of all of them"
    )
