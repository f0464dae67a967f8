"""The section ``[pretraining]`` of a spec."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field, PositiveInt

from kexp.errors import Problem
from kexp.options import LocalPath, Section


class Pretraining(Section):
    """Masked language modelling on the train texts, labelled or not, before the classifier is trained."""

    epochs: int = Field(10, ge=0, description="Passes over the texts, unless steps is given; 0 leaves the stage out.")
    steps: PositiveInt | None = Field(None, description="Optimiser steps in all; replaces epochs that are not 0.")
    batch_size: PositiveInt = Field(32, description="Texts per step.")
    learning_rate: float = Field(1e-4, gt=0, lt=1, description="Peak learning rate, which then falls evenly to 0.")
    warmup_ratio: float = Field(0.06, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay; biases and norms have none.")
    mask_probability: float = Field(0.15, gt=0, lt=1, description="Share of the tokens that are to be predicted.")
    whole_word: bool = Field(
        False, description="Mask all tokens of an eojeol, a word between white space, or none of them."
    )
    max_length: int | None = Field(
        None, ge=3, description="Tokens per text, special tokens included; as many as in training when not given."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of order, masks and dropout, whatever the seed of the run.")
    texts: tuple[LocalPath, ...] = Field(
        (), description="Files with further texts: tables, or .txt files with a text per line."
    )
    text_column: str | None = Field(
        None, description='Column of the texts in these files; "text" for all but .txt files when not given.'
    )

    def problems(self) -> Iterable[Problem]:
        """Yield files that do not exist or are of no known kind, and a column without files."""
        from kexp.files import FORMATS, format_of

        for number, path in enumerate(self.texts):
            if not path.is_file():
                found = "is not a file" if path.exists() else "does not exist"
                yield Problem(f"texts[{number}]", f"{path} {found}", "give a file")
            elif format_of(path) is None:
                expected = f"expected a name that ends in {', '.join(FORMATS)}, perhaps with .gz"
                yield Problem(f"texts[{number}]", f"{path}: {expected}")
        if len(set(self.texts)) < len(self.texts):
            yield Problem("texts", "a file is given twice")
        if self.text_column is not None and not self.texts:
            yield Problem("text_column", "there are no files with further texts", "give texts, or remove it")
