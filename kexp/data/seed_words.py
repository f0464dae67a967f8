"""Seed words: unlabelled texts that hold words of one label alone are trained on with that label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kexp.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd


def need_known(words: Mapping[str, Sequence[str]], labels: Sequence[str]) -> None:
    """Raise ``DataError`` for a label that no row of train has, be its words switched off or not."""
    for label in words:
        if label not in labels:
            raise DataError(f'labelled.seed_words: no train row has the label "{label}"; {did_you_mean(label, labels)}')


def label_by_words(rows: pd.DataFrame, words: Mapping[str, Sequence[str]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows that hold words of one label alone, with that label, and all others as they are.

    A word is found wherever its characters stand in a text, since endings and particles follow it without a space:
    "재미있" is in "재미있었다". Raises ``DataError`` where no row is found.
    """
    import pandas as pd

    texts = rows["text"] if "text_pair" not in rows else rows["text"] + "\n" + rows["text_pair"]
    found = pd.DataFrame(
        {label: texts.map(lambda text, own=own: any(word in text for word in own)) for label, own in words.items()},
        dtype=bool,
    )
    count = found.sum(axis=1)
    one = count == 1
    if not one.any():
        both = f"; {(count > 1).sum():,} hold words of several" if count.any() else ""
        raise DataError(
            f"labelled.seed_words: of {len(rows):,} unlabelled rows none holds words of one label alone{both}; "
            "give words that the texts use"
        )
    return rows[one].assign(label=found[one].idxmax(axis=1).astype("str")), rows[~one]
