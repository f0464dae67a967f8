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

    They are those of its own rows, so augmented and unlabelled rows need the whole model; so do rows whose hidden
    states take too much memory, and models whose rows are padded. Then the run is returned as it is, and the log says
    why.
    """
    spec, names = assembled.spec, find_blocks(assembled.model).names
    epochs = -(-total_steps(spec.training, assembled.stream) // assembled.stream.steps_per_epoch())
    count = always_frozen(spec.freezing, names, epochs)
    # Embeddings alone are cheap to look up, and what is seen once cannot be reused.
    if not _applies(assembled) or count < 2 or epochs < 2:
        return assembled
    found, every_step = f"frozen up to {names[count - 1]}: ", "; the frozen blocks are run in every step"
    if reason := reason_not_flat(assembled.model):
        logger.info(found + reason.rstrip(".") + every_step)
        return assembled
    splits = {split: assembled.inputs.encoded[split] for split in SPLITS if split in assembled.inputs.encoded}
    layers = count - 1
    # All layers are run for first tokens alone, since no more than a head is left.
    ones = layers == len(names) - 2
    some = _hidden(assembled, splits["train"], np.arange(1), layers)
    room = {split: np.ones_like(rows.tokens.lengths) if ones else rows.tokens.lengths for split, rows in splits.items()}
    needed = sum(int(lengths.sum()) for lengths in room.values()) * some.shape[-1] * some.element_size()
    found += f"hidden states of {sum(map(len, splits.values()))} rows "
    if needed > LIMIT:
        logger.info(found + f"would take {_mib(needed)}, more than {_mib(LIMIT)}" + every_step)
        return assembled
    stored = {}
    for split, rows in splits.items():
        states = StoredHiddenStates.empty(room[split], some)
        for numbers in by_length(rows.tokens.lengths, spec.evaluation.batch_size):
            states.put(numbers, _hidden(assembled, rows, numbers, layers))
        stored[split] = replace(rows, hidden=states.of)
    logger.info(found + f"were computed once and are kept, {_mib(needed)} ({'first' if ones else 'every'} token)")
    return _with_stored(assembled, stored, layers)


def _with_stored(assembled: AssembledRun, stored: Mapping[str, Encoded], layers: int) -> AssembledRun:
    assert isinstance(assembled.stream, LabelledStream)
    return replace(
        assembled,
        inputs=replace(assembled.inputs, encoded={**assembled.inputs.encoded, **stored}),
        stream=replace(assembled.stream, encoded=stored["train"]),
        classifier=replace(assembled.classifier, known_layers=layers),
    )


def always_frozen(freezing: FreezingOptions, names: Sequence[str], epochs: int) -> int:
    """Return how many blocks, from the input upwards, are frozen in every epoch."""
    frozen = [set(freezing.frozen(names, epoch)) for epoch in range(epochs)]
    return next((number for number, name in enumerate(names) if not all(name in few for few in frozen)), len(names))


def _applies(assembled: AssembledRun) -> bool:
    spec = assembled.spec
    return spec.training.reuse_frozen and assembled.inputs.unlabelled is None and spec.augmentation.labelled is None


def _hidden(assembled: AssembledRun, encoded: Encoded, rows: NDArray[np.int64], layers: int) -> torch.Tensor:
    """Run the frozen layers over some rows."""
    classifier = assembled.classifier
    return classifier.hidden(TokenRows.of(assembled.collator(encoded, rows), classifier.hardware.device), layers)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
