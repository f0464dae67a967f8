"""Hidden states that leave frozen blocks are computed once, before the first step, where a run can use them again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from kexp.contracts import FreezingOptions
from kexp.data.encoding import Encoded
from kexp.data.labelled_stream import LabelledStream
from kexp.data.semi_supervised_stream import SemiSupervisedStream, stored_views
from kexp.data.stored_hidden_states import StoredHiddenStates, making_order
from kexp.devices import out_of_memory
from kexp.errors import KexpError, RunInterrupted
from kexp.experiment.assemble import AssembledRun
from kexp.experiment.frozen_part import FrozenPart
from kexp.experiment.hidden_state_store import MEMORY, HiddenStateStore, Wanted
from kexp.model.blocks import find_blocks
from kexp.model.flat import reason_not_flat
from kexp.train.loop import total_steps

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("kexp")


def reuse_frozen(
    assembled: AssembledRun, store: HiddenStateStore, should_stop: Callable[[], bool] = lambda: False
) -> AssembledRun:
    """Return the run that trains on stored hidden states, where a part of the model is frozen from the input up.

    They are those of rows that are seen again as they are: not of augmented texts that are new in every epoch. Models
    whose rows are padded, and hidden states that cannot be kept, need the whole model in every step. Then the run is
    returned with the reason, which the log says too. Raises ``RunInterrupted`` once ``should_stop`` returns True.
    """
    spec, names = assembled.spec, find_blocks(assembled.model).names
    steps = total_steps(spec.training, assembled.stream)
    count = always_frozen(spec.freezing, names, -(-steps // assembled.stream.steps_per_epoch()))
    # Embeddings alone are cheap to look up.
    if not spec.training.reuse_frozen or count < 2 or not (rows := seen_again(assembled, steps)):
        return assembled
    part = FrozenPart(assembled, count - 1, names[:count])
    record = {"frozen_up_to": names[count - 1]}
    try:
        if reason := _reason(assembled, rows):
            raise KexpError(reason.rstrip("."))
        stored, found = _stored(part, rows, store, should_stop)
    except RunInterrupted:
        raise
    # Memory may be enough for passes over the fewer tokens of a batch.
    except Exception as error:
        reason = out_of_memory(error, "hidden states are made of many tokens at once")
        if not isinstance(error, KexpError) and reason is None:
            raise
        reason = reason or str(error)
        logger.info(f"frozen up to {names[count - 1]}: {reason}; the frozen blocks are run in every step")
        return replace(assembled, hidden_states={**record, "not_stored": reason})
    how = f"{'first' if part.first_tokens else 'every'} token, in {'a file' if found['mapped'] else 'memory'}"
    logger.info(
        f"frozen up to {names[count - 1]}: hidden states of {found['rows']:,} rows were computed once and are kept, "
        f"{found['mib']:,.1f} MiB ({how}); those of {found['rows_known']:,} rows were known before"
    )
    return _with_stored(replace(assembled, hidden_states={**record, **found}), stored, count - 1)


def seen_again(assembled: AssembledRun, steps: int) -> dict[str, Encoded]:
    """Return the rows that a run sees more than once, by what they are; none if training does not."""
    stream, unlabelled = assembled.stream, assembled.inputs.unlabelled
    labelled = stream.labelled if isinstance(stream, SemiSupervisedStream) else stream
    assert isinstance(labelled, LabelledStream)
    found = {}
    if labelled.augmentation is None and steps > labelled.steps_per_epoch():
        found["train"] = labelled.encoded
    if isinstance(stream, SemiSupervisedStream) and unlabelled is not None:
        passes = stream.ratio * stream.rows_before(steps * labelled.accumulation) / len(unlabelled.rows)
        if passes > 1:
            found["unlabelled"] = unlabelled.encoded
        if assembled.spec.objective.uses_augmented and passes > len(unlabelled.views):
            found |= {f"view {number}": view for number, view in enumerate(unlabelled.views)}
    validation = assembled.inputs.encoded.get("validation")
    return {**found, "validation": validation} if found and validation is not None else found


def _reason(assembled: AssembledRun, rows: Mapping[str, Encoded]) -> str | None:
    """Return why a run cannot go on from hidden states."""
    if not all(encoded.tokens.lengths.all() for encoded in rows.values()):
        return "some rows have no token"
    return reason_not_flat(assembled.model)


def always_frozen(freezing: FreezingOptions, names: Sequence[str], epochs: int) -> int:
    """Return how many blocks, from the input upwards, are frozen in every epoch."""
    frozen = [set(freezing.frozen(names, epoch)) for epoch in range(epochs)]
    return next((number for number, name in enumerate(names) if not all(name in few for few in frozen)), len(names))


def _stored(
    part: FrozenPart, rows: Mapping[str, Encoded], store: HiddenStateStore, should_stop: Callable[[], bool]
) -> tuple[dict[str, Encoded], dict[str, Any]]:
    """Return the rows with their hidden states, and what is recorded of them."""
    digest, like = part.digest(), part.hidden(next(iter(rows.values())), np.arange(1))
    made = set[str]()
    wanted = {name: _wanted(part, encoded, digest, like, partial(made.add, name)) for name, encoded in rows.items()}
    size = sum(one.size for one in wanted.values())
    store.free_others(wanted.values())
    stored = {}
    for name, encoded in rows.items():
        values = store.get(wanted[name], mapped=size > MEMORY, should_stop=should_stop)
        states = StoredHiddenStates.as_made(values, encoded.tokens.lengths, first=part.first_tokens)
        stored[name] = replace(encoded, hidden=states.of)
    return stored, {
        "tokens": "first" if part.first_tokens else "every",
        "rows": sum(map(len, rows.values())),
        "rows_known": sum(len(encoded) for name, encoded in rows.items() if name not in made),
        "mib": size / 2**20,
        "mapped": size > MEMORY,
    }


def _wanted(part: FrozenPart, encoded: Encoded, digest: str, like: torch.Tensor, begin: Callable[[], None]) -> Wanted:
    count = len(encoded) if part.first_tokens else int(encoded.tokens.lengths.sum())
    return Wanted(part.key(encoded, digest), like, count, partial(_made, part, encoded, begin))


def _made(part: FrozenPart, encoded: Encoded, begin: Callable[[], None]) -> Iterator[torch.Tensor]:
    begin()
    for numbers in making_order(encoded.tokens.lengths):
        yield part.hidden(encoded, numbers)


def _with_stored(assembled: AssembledRun, stored: Mapping[str, Encoded], layers: int) -> AssembledRun:
    inputs, stream = assembled.inputs, assembled.stream
    splits = {split: stored.get(split, encoded) for split, encoded in inputs.encoded.items()}
    inputs = replace(inputs, encoded=splits)
    if isinstance(stream, LabelledStream):
        stream = replace(stream, encoded=stored.get("train", stream.encoded))
    if isinstance(stream, SemiSupervisedStream) and inputs.unlabelled is not None:
        views = [stored.get(f"view {number}", view) for number, view in enumerate(inputs.unlabelled.views)]
        own = stored.get("unlabelled", inputs.unlabelled.encoded)
        inputs = replace(inputs, unlabelled=replace(inputs.unlabelled, encoded=own, views=views))
        labelled = replace(stream.labelled, encoded=stored.get("train", stream.labelled.encoded))
        stream = replace(
            stream,
            labelled=labelled,
            encoded=own,
            augment=stored_views(views) if "view 0" in stored else stream.augment,
        )
    classifier = replace(assembled.classifier, known_layers=layers)
    return replace(assembled, inputs=inputs, stream=stream, classifier=classifier)
