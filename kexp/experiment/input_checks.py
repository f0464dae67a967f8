"""Checks of a spec that only the data, or the configuration of a downloaded model, make possible."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kexp.contracts import UNLABELLED
from kexp.data.encoding import Encoded
from kexp.data.prepare import needs_views
from kexp.data.rows import PreparedData, Rows
from kexp.errors import Problem, SpecError
from kexp.options import plugin_results
from kexp.spec.sections import Spec


def check_data(spec: Spec, data: PreparedData) -> None:
    """Check what only the data show: options that do not fit the labels, unlabelled rows missing or too few."""
    found = plugin_results(spec.objective, "label_problems", str, len(data.labels))
    problems = [Problem("objective", message) for message in found]
    problems += _check_unlabelled(spec, data) if spec.objective.uses_unlabelled else ()
    if problems:
        raise SpecError(spec.name, problems)


def _check_unlabelled(spec: Spec, data: PreparedData) -> Iterator[Problem]:
    unlabelled = data.unlabelled
    gone = data.record["splits"].get(UNLABELLED, {}).get("labelled_by_seed_words", 0)
    words, fewer = (f", since seed words label {gone:,}", ", or give fewer seed words") if gone else ("", "")
    if gone and unlabelled is not None and not len(unlabelled):
        message = f"needs unlabelled rows, but none is left{words}"
        yield Problem("objective", message, "give fewer seed words, or use an objective of labelled rows")
        return
    if unlabelled is None or not len(unlabelled):
        message = "needs unlabelled rows, but there are none"
        yield Problem(
            "objective", message, "set labelled.n or labelled.per_class, or use a dataset with an unlabelled split"
        )
        return
    # How many rows have a number of tokens is known once they are encoded.
    taken = (spec.training.batch_size or 0) * spec.training.unlabelled_ratio
    if len(unlabelled) < taken:
        message = f"a step takes {taken} unlabelled rows, but there are {len(unlabelled)}{words}"
        yield Problem("training.unlabelled_ratio", message, f"lower it, or training.batch_size{fewer}")
    if needs_views(spec) and unlabelled.augmented is None:
        named = getattr(spec.dataset, "augmented", None)
        if named is not None:
            yield Problem("dataset.augmented", f'no column "{named}" in the rows that are unlabelled', "check its name")
            return
        message = "the objective needs an augmented view of every unlabelled row"
        yield Problem(
            "augmentation.unlabelled", message, "name an augmenter, or a column of the dataset with dataset.augmented"
        )


def check_batch_tokens(spec: Spec, labelled: Encoded, unlabelled: Rows) -> None:
    """Check that there are as many unlabelled rows as a batch of the shortest labelled rows takes."""
    if spec.training.batch_tokens is None:
        return
    lengths = np.sort(labelled.tokens.lengths)
    most = np.searchsorted(np.cumsum(lengths), spec.training.batch_tokens, side="right")
    taken = int(most) * spec.training.unlabelled_ratio
    if len(unlabelled) < taken:
        message = f"a step takes up to {taken} unlabelled rows, but there are {len(unlabelled)}"
        raise SpecError(
            spec.name, [Problem("training.unlabelled_ratio", message, "lower it, or training.batch_tokens")]
        )


def check_positions(spec: Spec) -> None:
    """Repeat the spec's check, since the configuration of a hub model is known only now."""
    positions = spec.backbone.max_positions()
    lengths = {"training.max_length": spec.training.max_length}
    stage = spec.pretraining
    if stage is not None and stage.epochs and stage.max_length is not None:
        lengths["pretraining.max_length"] = stage.max_length
    problems = [
        Problem(place, f"{length} is more than the {positions} positions of the backbone", f"use {positions} or fewer")
        for place, length in lengths.items()
        if positions is not None and length > positions
    ]
    if problems:
        raise SpecError(spec.name, problems)
