"""Rows whose label is probably wrong, by confident learning (Northcutt et al. 2021) on the linear baseline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kexp.data.cleaning import without_text
from kexp.data_card.finding import Finding
from kexp.data_card.folds import deal, model_texts, out_of_fold, sample, tied_rows
from kexp.data_card.rows import CardRows, examples
from kexp.evaluate.baselines import STRENGTH, logistic_regression
from kexp.seeds import derive, generator

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from sklearn.linear_model import SGDClassifier

FEWEST = 10
"""Sets of rows that belong together that a label needs at least: fewer teach a model nothing about it."""

EXACT = 100_000
"""Rows times labels up to which the model is the baseline; above that it is fitted by stochastic gradient descent."""

MOST = 400_000
"""Rows times labels that are looked at; of more rows, as many are drawn."""

TEXT = 10_000_000
"""Characters that are looked at; of more, as many rows are drawn as have them."""

CHANCE = 0.01
"""Probability below which agreement of model and labels is more than chance."""

CONFIDENT = 0.1
"""Share of the rows that the model gets wrong in which it is confident, from which labels are called wrong.

Labels that overlap make a model err, but seldom with confidence.
"""

NAME = "label-errors"


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Rows with the probability of each label (rows, labels), by a model that did not see the row.

    ``labels`` are ids of ``names``. ``model`` says what the model is.
    """

    rows: pd.DataFrame
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    model: str


def label_errors(rows: CardRows) -> Iterator[Finding | str]:
    """Yield the rows whose label is probably wrong, as one finding, the most certain ones first.

    All labelled rows are looked at as they were read, equal ones once. Yields a remark instead where labels have too
    few rows, or where the model is no better than chance. There is no finding where less than ``CONFIDENT`` of the rows
    that the model gets wrong are named.
    """
    found, remarks = judge(rows)
    yield from remarks
    if found is None:
        return
    right = found.probabilities.argmax(1) == found.labels
    if not _better_than_chance(found):
        yield (
            f"label errors are not looked for: a linear model predicts labels no better than chance "
            f"({right.mean():.1%} right)"
        )
        return
    named, others = confident_learning(found.labels, found.probabilities)
    if not len(named) or len(named) < CONFIDENT * (~right).sum():
        return
    yield _finding(found, named, others, float(right.mean()))


def _finding(found: Judged, named: NDArray[np.int64], others: NDArray[np.int64], right: float) -> Finding:
    """Return the finding about some rows, each with the label that it should have."""
    of = found.rows.iloc[named]
    notes = [
        f'"{found.names[other]}" has probability {found.probabilities[row, other]:.2f}, '
        f"this label {found.probabilities[row, found.labels[row]]:.2f}"
        for row, other in zip(named.tolist(), others.tolist(), strict=True)
    ]
    labels = f"{len(named):,} of {len(found.rows):,} labels may be wrong"
    return Finding(
        NAME,
        f"{labels}: {found.model}, right in {right:.1%} of rows of other folds, is confident of another one",
        len(named),
        len(found.rows),
        examples(of, notes),
        "look at these rows, the first ones first, and correct their labels in the data; "
        'objective = {use = "cross-entropy", label_smoothing = 0.1} makes wrong labels weigh less',
        named=tuple(zip(of["split"], of["row"].tolist(), strict=True)),
    )


def judge(rows: CardRows) -> tuple[Judged | None, list[str]]:
    """Return the labelled rows with the probabilities of a model that was fitted on the other folds, and remarks."""
    import pandas as pd

    seed = rows.spec.split.seed
    read = pd.concat(rows.labelled.values(), ignore_index=True)
    whole = read[(read["label"] != "") & ~without_text(read)].drop_duplicates(["id", "label"])
    most = MOST // max(whole["label"].nunique(), 2)
    frame = sample(whole, most, TEXT, derive(seed, "rows of label errors") % 2**32)
    drawn = len(frame) < len(whole)
    frame, remarks = _known_labels(frame, " among the rows that were drawn" if drawn else "")
    names = tuple(sorted(set(frame["label"])))
    if len(names) < 2:
        return None, [*remarks, "label errors are not looked for: fewer than two labels have enough rows"]
    labels = frame["label"].map({name: number for number, name in enumerate(names)}).to_numpy("int64")
    folds = deal(labels, tied_rows(frame), generator(seed, "folds of label errors"))
    exact = len(frame) * len(names) <= EXACT
    probabilities, seen = _out_of_fold(frame, labels, folds, derive(seed, "label errors") % 2**32, exact=exact)
    if not seen.all():
        what = f"{(~seen).sum():,} rows are not looked at, since all rows of their label belong together"
        remarks.append(f"label errors: {what}")
    if not seen.any():
        return None, remarks
    kind = "a linear model" if exact else "a linear model fitted by stochastic gradient descent"
    model = f"{kind} on {len(frame):,} rows drawn at random from {len(whole):,}" if drawn else kind
    return Judged(frame[seen].reset_index(drop=True), names, labels[seen], probabilities[seen], model), remarks


def _out_of_fold(
    frame: pd.DataFrame, labels: NDArray[np.int64], folds: NDArray[np.int64], seed: int, *, exact: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the probabilities of each row's labels (rows, labels), and of which rows the model knew the label."""
    return out_of_fold(
        model_texts(frame),
        labels,
        folds,
        lambda rows: logistic_regression(seed) if exact else _by_gradient_descent(rows, seed),
    )


def _known_labels(frame: pd.DataFrame, among: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of labels that are frequent enough, and a remark on the others."""
    counts = frame.assign(tied=tied_rows(frame)).groupby("label")["tied"].nunique()
    rare = sorted(counts.index[counts < FEWEST])
    if not rare:
        return frame, []
    few = ", ".join(f'"{label}"' for label in rare[:5]) + (" ..." if len(rare) > 5 else "")
    sets = "different texts or groups" if "group" in frame else "different texts"
    of = f"{len(rare):,} label{'s' if len(rare) > 1 else ''} with fewer than {FEWEST} {sets}{among}"
    remark = f"label errors are not looked for in the rows of {of}: {few}"
    return frame[~frame["label"].isin(rare)].reset_index(drop=True), [remark]


def _by_gradient_descent(rows: int, seed: int) -> SGDClassifier:
    """Return a logistic regression as strong as the baseline's, fitted by stochastic gradient descent."""
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(
        loss="log_loss", alpha=1 / (STRENGTH * rows), max_iter=10, tol=None, average=True, random_state=seed
    )


def _better_than_chance(found: Judged) -> bool:
    """Return whether model and labels agree more often than they would if neither knew of the other."""
    import numpy as np
    from scipy.stats import binomtest

    predicted = found.probabilities.argmax(1)
    shares = [np.bincount(of, minlength=len(found.names)) / len(of) for of in (found.labels, predicted)]
    right = int((predicted == found.labels).sum())
    expected = min(float(shares[0] @ shares[1]), 1.0)
    return bool(binomtest(right, len(predicted), expected, alternative="greater").pvalue < CHANCE)


def confident_learning(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows whose label is probably wrong, the most certain ones first, and the label that each should have.

    ``labels`` has shape (rows,), ``probabilities`` shape (rows, labels), each row by a model that did not see it. The
    threshold of a label is the mean of its probability over the rows that have it. A row is named if another label
    reaches its threshold with a larger probability than any other that does (the cells of the confident joint beside
    its diagonal); rows are ordered by the probability of their own label less that of the most probable other one.
    """
    import numpy as np

    rows, count = np.arange(len(labels)), probabilities.shape[1]
    own = probabilities[rows, labels]
    sizes = np.bincount(labels, minlength=count)
    # Without rows a label has no threshold that another row could reach.
    thresholds = np.where(sizes > 0, np.bincount(labels, own, count) / np.maximum(sizes, 1), np.inf)
    reached = np.where(probabilities >= thresholds, probabilities, -1.0)
    guesses = reached.argmax(1)
    others = probabilities.copy()
    others[rows, labels] = -1.0
    margins = own - others.max(1)
    chosen = np.flatnonzero((reached.max(1) >= 0) & (guesses != labels))
    named = chosen[np.argsort(margins[chosen], kind="stable")]
    return named, guesses[named]
