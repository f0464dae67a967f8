"""Hidden states that leave frozen blocks are computed once, before the first step, where a run can use them again."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kexp.contracts import FreezingOptions
from kexp.data.batching import by_length
from kexp.data.encoding import Encoded
from kexp.data.labelled_stream import LabelledStream
from kexp.data.semi_supervised_stream import SemiSupervisedStream, stored_views
from kexp.data.stored_hidden_states import StoredHiddenStates
from kexp.experiment.assemble import AssembledRun
from kexp.model.blocks import find_blocks
from kexp.model.flat import reason_not_flat
from kexp.model.token_rows import TokenRows
from kexp.train.loop import total_steps

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

SPLITS = ("train", "validation")
"""Splits that a run sees again and again."""
LIMIT = 2 * 2**30
"""Most bytes that hidden states may take: on every machine the same, so that equal specs give equal bits."""

logger = logging.getLogger("kexp")


def reuse_frozen(assembled: AssembledRun) -> AssembledRun:
    """Return the run that trains on stored hidden states, where a part of the model is frozen from the input up.

    They are those of rows that are seen again and again as they are: rows of train and validation, unlabelled ones and
    their stored views. Where nothing can be stored, the run is returned as it is, and the log says why.
    """
    spec, names = assembled.spec, find_blocks(assembled.model).names
    steps = total_steps(spec.training, assembled.stream)
    count = always_frozen(spec.freezing, names, -(-steps // assembled.stream.steps_per_epoch()))
    seen = _seen_again(assembled, steps)
    # Embeddings alone are cheap to look up.
    if not spec.training.reuse_frozen or count < 2 or not seen:
        return assembled
    found, every_step = f"frozen up to {names[count - 1]}: ", "; the frozen blocks are run in every step"
    if reason := _reason(assembled, seen):
        logger.info(found + reason.rstrip(".") + every_step)
        return assembled
    layers = count - 1
    # All layers are run for first tokens alone, since no more than a head is left.
    ones = layers == len(names) - 2
    some = _hidden(assembled, seen["train"], np.arange(1), layers)
    room = {name: np.ones_like(rows.tokens.lengths) if ones else rows.tokens.lengths for name, rows in seen.items()}
    needed = sum(int(lengths.sum()) for lengths in room.values()) * some.shape[-1] * some.element_size()
    found += f"hidden states of {sum(map(len, seen.values()))} rows "
    if needed > LIMIT:
        logger.info(found + f"would take {_mib(needed)}, more than {_mib(LIMIT)}" + every_step)
        return assembled
    stored = {}
    for name, rows in seen.items():
        states = StoredHiddenStates.empty(room[name], some)
        for numbers in by_length(rows.tokens.lengths, spec.evaluation.batch_size):
            states.put(numbers, _hidden(assembled, rows, numbers, layers))
        stored[name] = replace(rows, hidden=states.of)
    logger.info(found + f"were computed once and are kept, {_mib(needed)} ({'first' if ones else 'every'} token)")
    return _with_stored(assembled, stored, layers)


def _seen_again(assembled: AssembledRun, steps: int) -> dict[str, Encoded]:
    """Return the rows by name that are seen more than once, each time as they are."""
    inputs, stream = assembled.inputs, assembled.stream
    visits = steps / stream.steps_per_epoch()
    unlabelled: dict[str, Encoded] = {}
    if isinstance(stream, SemiSupervisedStream) and inputs.unlabelled is not None:
        batches, views = steps * stream.labelled.accumulation, inputs.unlabelled.views
        visits = batches * stream.labelled.batch_size / len(stream.labelled.order(0))
        of_unlabelled = batches * stream.batch_size / len(stream.unlabelled)
        unlabelled = {"unlabelled": stream.encoded} if of_unlabelled > 1 else {}
        if stream.augment is not None and of_unlabelled > len(views):
            unlabelled |= {f"view {number}": view for number, view in enumerate(views)}
    if assembled.spec.augmentation.labelled is not None or visits <= 1:
        return {}
    return {split: inputs.encoded[split] for split in SPLITS if split in inputs.encoded} | unlabelled


def _reason(assembled: AssembledRun, seen: Mapping[str, Encoded]) -> str | None:
    """Return why a run cannot go on from hidden states."""
    if not all(rows.tokens.lengths.all() for rows in seen.values()):
        return "some rows have no token"
    return reason_not_flat(assembled.model)


def _with_stored(assembled: AssembledRun, stored: Mapping[str, Encoded], layers: int) -> AssembledRun:
    inputs, stream = assembled.inputs, assembled.stream
    encoded = {split: stored.get(split, rows) for split, rows in inputs.encoded.items()}
    unlabelled = inputs.unlabelled
    if isinstance(stream, SemiSupervisedStream) and unlabelled is not None:
        views = [stored.get(f"view {number}", view) for number, view in enumerate(unlabelled.views)]
        unlabelled = replace(unlabelled, encoded=stored.get("unlabelled", unlabelled.encoded), views=views)
        augment = stored_views(views) if views and stream.augment else stream.augment
        labelled = replace(stream.labelled, encoded=stored["train"])
        stream = replace(stream, labelled=labelled, encoded=unlabelled.encoded, augment=augment)
    elif isinstance(stream, LabelledStream):
        stream = replace(stream, encoded=stored["train"])
    return replace(
        assembled,
        inputs=replace(inputs, encoded=encoded, unlabelled=unlabelled),
        stream=stream,
        classifier=replace(assembled.classifier, known_layers=layers),
    )


def always_frozen(freezing: FreezingOptions, names: Sequence[str], epochs: int) -> int:
    """Return how many blocks, from the input upwards, are frozen in every epoch."""
    frozen = [set(freezing.frozen(names, epoch)) for epoch in range(epochs)]
    return next((number for number, name in enumerate(names) if not all(name in few for few in frozen)), len(names))


def _hidden(assembled: AssembledRun, encoded: Encoded, rows: NDArray[np.int64], layers: int) -> torch.Tensor:
    """Run the frozen layers over some rows."""
    classifier = assembled.classifier
    return classifier.hidden(TokenRows.of(assembled.collator(encoded, rows), classifier.hardware.device), layers)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
