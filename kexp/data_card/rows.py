"""The rows that a data card looks at: as they are published, and as kexp divides them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kexp.data_card.finding import EXAMPLES, Example

if TYPE_CHECKING:
    import pandas as pd

    from kexp.data.rows import PreparedData
    from kexp.spec.sections import Spec


@dataclass(frozen=True, slots=True)
class CardRows:
    """What the analyses of a card look at.

    ``read`` has the splits as the dataset gives them, before cleaning: train, and maybe validation, test and
    unlabelled. Columns are ``text`` and maybe ``text_pair`` (str, as published), ``key`` (str: both texts as cleaning
    compares them, composed and trimmed), ``label`` (str, "" where there is none), ``split`` (the split that the row is
    read from), ``row`` (its number in its file, from 1), and maybe ``group`` and ``augmented``. ``divided`` has the same
    columns and the rows that kexp trains and measures on, after cleaning and division; it is empty, and ``prepared`` is
    None, where the data cannot be trained on.
    """

    spec: Spec
    read: Mapping[str, pd.DataFrame]
    divided: Mapping[str, pd.DataFrame]
    prepared: PreparedData | None

    @property
    def labelled(self) -> Mapping[str, pd.DataFrame]:
        """The splits as read, without the unlabelled one."""
        return {split: frame for split, frame in self.read.items() if split != "unlabelled"}


def examples(rows: pd.DataFrame, notes: Iterable[str] = ()) -> tuple[Example, ...]:
    """Return the first rows of a table as examples, with a note for each if there are notes."""
    first = rows.head(EXAMPLES)
    texts = first["text"] + " / " + first["text_pair"] if "text_pair" in first else first["text"]
    columns = (first["split"], first["row"], texts, first["label"])
    said = [*notes][:EXAMPLES] or [""] * len(first)
    return tuple(
        Example(str(split), int(row), str(text), str(label), note)
        for split, row, text, label, note in zip(*columns, said, strict=True)
    )
