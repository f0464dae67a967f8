"""Where a model errs: error rates of rows by length, negation, spacing and unknown tokens, with examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kexp.evaluate.proportions import wilson
from kexp.korean.negation import negations
from kexp.report.predictions import TOKENS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

EXAMPLES = 3
"""Most confident errors of a group that are shown."""

UNCOUNTED = "predictions.parquet has no counts of tokens, since an earlier version wrote it: lengths are in characters"

Json = dict[str, Any]


def error_analysis(rows: pd.DataFrame) -> Json:
    """Return the error rate of all rows, and of groups of them by kind of text.

    ``rows`` are those of a split in ``predictions.parquet``, at least one; both texts of a pair count as one. Nothing
    is tokenised: numbers of tokens are those that the run recorded, and ``remark`` says where it did not.
    """
    texts = whole_texts(rows)
    wrong = rows["label"] != rows["predicted"]
    counted = all(name in rows for name in TOKENS)
    lengths = rows[TOKENS[0]] if counted else texts.str.len()
    kinds = {
        f"length in {'tokens' if counted else 'characters'}": quartiles(lengths.to_numpy("float64"), "{:.0f}"),
        "negation": _named([negations(text) > 0 for text in texts], ("without negation", "with negation")),
        "spacing in characters per eojeol": _spacing(texts),
    }
    if counted:
        kinds["unknown tokens"] = _named(rows[TOKENS[1]].clip(0, 2).astype(int), ("none", "1", "2 or more"))
    return {
        "all": _group("all rows", rows, wrong),
        "kinds": [
            {"title": title, "groups": [_group(name, rows[members], wrong[members]) for name, members in groups]}
            for title, groups in kinds.items()
        ],
        "remark": "" if counted else UNCOUNTED,
    }


def whole_texts(rows: pd.DataFrame) -> pd.Series:
    """Return the text of every row, with the second one of a pair behind it."""
    if "text_pair" not in rows:
        return rows["text"]
    joined: pd.Series = (rows["text"] + " " + rows["text_pair"].fillna("")).str.strip()
    return joined


Groups = list[tuple[str, "NDArray[np.bool_]"]]
"""Names of groups and which rows are in them; none is empty."""


def quartiles(values: NDArray[np.float64], form: str) -> Groups:
    """Return up to four groups of rows with about as many rows, named by their smallest and largest value."""
    import numpy as np

    edges = np.unique(np.quantile(values, [0.25, 0.5, 0.75], method="inverted_cdf"))
    numbers = np.searchsorted(edges, values, side="left")
    found: Groups = []
    for number in np.unique(numbers):
        members = numbers == number
        low, high = form.format(values[members].min()), form.format(values[members].max())
        found.append((low if low == high else f"{low} to {high}", members))
    return found


def _named(numbers: Sequence[int] | pd.Series, names: Sequence[str]) -> Groups:
    import numpy as np

    of = np.asarray(numbers, int)
    return [(name, of == number) for number, name in enumerate(names) if (of == number).any()]


def _spacing(texts: pd.Series) -> Groups:
    """Return the texts without a space, and the others by their mean number of characters per eojeol."""
    import numpy as np

    words = [text.split() for text in texts]
    spaced = np.array([len(of) > 1 for of in words])
    # As they are shown, so that no two groups have one name.
    means = np.array([sum(map(len, of)) / max(len(of), 1) for of in words]).round(1)
    found: Groups = [("no space at all", ~spaced)] if not spaced.all() else []
    for name, members in quartiles(means[spaced], "{:.1f}") if spaced.any() else ():
        whole = np.zeros(len(words), bool)
        whole[np.flatnonzero(spaced)[members]] = True
        found.append((name, whole))
    return found


def _group(name: str, rows: pd.DataFrame, wrong: pd.Series) -> Json:
    errors = rows[wrong]
    low, high = wilson(len(errors), len(rows))
    worst = errors.sort_values(["confidence", "row"], ascending=[False, True]).head(EXAMPLES)
    return {
        "name": name,
        "rows": len(rows),
        "errors": len(errors),
        "rate": len(errors) / len(rows),
        "low": low,
        "high": high,
        "examples": worst.to_dict("records"),
    }
