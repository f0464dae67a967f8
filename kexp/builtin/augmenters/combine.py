"""Augmenters made of augmenters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from random import Random
from typing import Annotated

from pydantic import Field

from kexp.contracts import AnyAugmenter, Augmenter, AugmenterContext, AugmenterOptions, Rejected
from kexp.contracts.augmenter import CheckedAugmenter, build_augmenters
from kexp.errors import Problem


class Compose(AugmenterOptions):
    """Apply augmenters one after the other; a text that one of them rejects stays rejected.

    Costly as soon as one step is: then all steps are run once, the cheap ones too.
    """

    steps: tuple[AnyAugmenter, ...] = Field(min_length=1, description="Augmenters, in the order in which they apply.")

    @property
    def costly(self) -> bool:
        """Return whether any step is costly."""
        return any(step.costly for step in self.steps)

    def views(self) -> int:
        """Return the most views that a step makes."""
        return max(step.views() for step in self.steps)

    def identity(self, context: AugmenterContext) -> str:
        """Name what its augmenters learn from."""
        return json.dumps([step.identity(context) for step in self.steps])

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""
        return Sequential(build_augmenters(self.steps, context))


class Parts:
    """Base of augmenters that are made of others."""

    def __init__(self, parts: Sequence[CheckedAugmenter]) -> None:
        self.parts = parts

    def close(self) -> None:
        """Close all parts, also where closing one of them fails."""
        with ExitStack() as parts:
            for part in self.parts:
                parts.callback(part.close)


class Sequential(Parts):
    """Applies its parts one after the other."""

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        """Return what the last part makes of each text, or the rejection by an earlier one."""
        results: list[str | Rejected] = [text for text, _ in zip(texts, generators, strict=True)]
        for part in self.parts:
            accepted = {row: text for row, text in enumerate(results) if isinstance(text, str)}
            changed = part(list(accepted.values()), [generators[row] for row in accepted])
            for row, text in zip(accepted, changed, strict=True):
                results[row] = text
        return results


class OneOf(AugmenterOptions):
    """Apply one of several augmenters, drawn for each text; costly as soon as one of them is."""

    choices: tuple[AnyAugmenter, ...] = Field(min_length=1, description="Augmenters to draw from.")
    weights: tuple[Annotated[float, Field(ge=0)], ...] | None = Field(
        None, description="Weight of each choice, in any unit; all are as likely when not given."
    )

    @property
    def costly(self) -> bool:
        """Return whether any choice is costly."""
        return any(choice.costly for choice in self.choices)

    def views(self) -> int:
        """Return the most views that a choice makes."""
        return max(choice.views() for choice in self.choices)

    def identity(self, context: AugmenterContext) -> str:
        """Name what its augmenters learn from."""
        return json.dumps([choice.identity(context) for choice in self.choices])

    def problems(self) -> Iterable[Problem]:
        """Yield weights that do not belong to the choices."""
        if self.weights is not None and len(self.weights) != len(self.choices):
            yield Problem("weights", f"{len(self.weights)} weights are given for {len(self.choices)} choices")
        if self.weights is not None and sum(self.weights) == 0:
            yield Problem("weights", "all weights are 0, so nothing can be drawn")

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""
        return Drawn(build_augmenters(self.choices, context), self.weights)


class Drawn(Parts):
    """Applies one of its parts to each text, drawn by the generator of the text."""

    def __init__(self, parts: Sequence[CheckedAugmenter], weights: Sequence[float] | None) -> None:
        super().__init__(parts)
        self.weights = weights

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        """Return what the drawn part makes of each text."""
        results: list[str | Rejected] = [text for text, _ in zip(texts, generators, strict=True)]
        drawn = [random.choices(range(len(self.parts)), self.weights)[0] for random in generators]
        for number, part in enumerate(self.parts):
            rows = [row for row, chosen in enumerate(drawn) if chosen == number]
            changed = part([texts[row] for row in rows], [generators[row] for row in rows])
            for row, text in zip(rows, changed, strict=True):
                results[row] = text
        return results
