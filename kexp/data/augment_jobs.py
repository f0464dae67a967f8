"""Texts to be augmented, a step at a time, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from kexp.contracts import Augmenter, Rejected

Changed = Sequence["str | Rejected | None"]
"""What was made of the texts of a job, each in its place; None for those that are left as they are."""

Make = Callable[[Iterable["Job"]], Iterator[tuple["Job", Changed]]]
"""Returns jobs with what was made of them, in their order. Jobs may be taken earlier than they are returned."""


@dataclass(frozen=True, slots=True)
class Job:
    """The texts of the rows of a step in an epoch, with the seed of the random stream of each.

    A text is changed if the first number of its stream is below ``probability``; where that is None, all are changed,
    and the stream begins with the augmenter.
    """

    epoch: int
    rows: Sequence[int]
    texts: Sequence[str]
    seeds: Sequence[int]
    probability: float | None = None

    def chosen(self) -> dict[int, Random]:
        """Return the places of the texts that are changed, with the random stream of each."""
        streams = dict(enumerate(map(Random, self.seeds)))
        if self.probability is None:
            return streams
        return {place: stream for place, stream in streams.items() if stream.random() < self.probability}


def augment(augmenter: Augmenter, job: Job) -> Changed:
    """Augment the texts of a job."""
    return changed(job, lambda texts, _, generators: augmenter(texts, generators))


def changed(
    job: Job, make: Callable[[list[str], list[int], list[Random]], Sequence[str | Rejected]]
) -> list[str | Rejected | None]:
    """Return what ``make`` returns of the chosen texts, their rows and random streams, each in its place."""
    chosen, result = job.chosen(), list[str | Rejected | None]([None] * len(job.texts))
    if chosen:
        texts, rows = [job.texts[place] for place in chosen], [job.rows[place] for place in chosen]
        for place, text in zip(chosen, make(texts, rows, list(chosen.values())), strict=True):
            result[place] = text
    return result


def at_once(augmenter: Augmenter) -> Make:
    """Augment in this process, a job when it is asked for."""
    return lambda jobs: ((job, augment(augmenter, job)) for job in jobs)


def kept_or_changed(job: Job, made: Changed) -> list[str]:
    """Return the texts of a job; what was rejected, or not changed, stands as it was."""
    return [new if isinstance(new, str) else text for text, new in zip(job.texts, made, strict=True)]
