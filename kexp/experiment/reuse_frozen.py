"""Hidden states that leave frozen blocks are computed once, before the first step, where a run can use them again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from kexp.model.forward import Classifier
from kexp.train.loop import total_steps

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

logger = logging.getLogger("kexp")


@dataclass(slots=True)
class StatesByEpoch:
    """The hidden states that a run begins at, by the number of layers whose output they are: fewer when some thaw.

    ``layers`` has that number for each epoch. Those of validation are kept: the best model may be of an early epoch.
    """

    classifier: Classifier
    layers: Sequence[int]
    states: dict[int, dict[str, StoredHiddenStates]]
    wanted: Mapping[int, Mapping[str, Wanted]]
    store: HiddenStateStore

    def begin(self, epoch: int) -> None:
        """Begin at the hidden states of an epoch, and free those of layers that are trained from now on."""
        now = self.classifier.known_layers = self.layers[min(epoch, len(self.layers) - 1)]
        for layers, states in self.states.items():
            for name in [name for name in states if layers > now and name != "validation"]:
                del states[name]
        self.store.free_others(self.wanted[layers][name] for layers, states in self.states.items() for name in states)

    def of(self, name: str, rows: NDArray[np.int64]) -> torch.Tensor | None:
        """Return the hidden states of some rows at present; None where every layer is trained."""
        return self.states[self.classifier.known_layers][name].of(rows) if self.classifier.known_layers else None


def reuse_frozen(
    assembled: AssembledRun, store: HiddenStateStore, should_stop: Callable[[], bool] = lambda: False
) -> AssembledRun:
    """Return the run that trains on stored hidden states, where a part of the model is frozen from the input up.

    They are those of rows that are seen again as they are: not of augmented texts that are new in every epoch. Where
    fewer layers are frozen from an epoch on, there are such of each number of layers, if all fit into memory. Models
    whose rows are padded, and hidden states that cannot be kept, need the whole model in every step. Then the run is
    returned with the reason, which the log says too. Raises ``RunInterrupted`` once ``should_stop`` returns True.
    """
    spec, names = assembled.spec, find_blocks(assembled.model).names
    steps = total_steps(spec.training, assembled.stream)
    layers = frozen_layers(spec.freezing, names, -(-steps // assembled.stream.steps_per_epoch()))
    # Embeddings alone are cheap to look up.
    if not spec.training.reuse_frozen or not layers[0] or not (rows := seen_again(assembled, steps)):
        return assembled
    record = {"frozen_up_to": names[layers[0]]}
    world = assembled.classifier.world
    try:
        with world.together():
            if reason := _reason(assembled, rows):
                raise KexpError(reason.rstrip("."))
            parts = {count: FrozenPart(assembled, count, names[: count + 1]) for count in sorted({*layers} - {0})}
            wanted = {count: _wanted(part, rows) for count, part in parts.items()}
            if _size(wanted) > MEMORY and len(wanted) > 1:
                # As many as are frozen in every epoch; none where every layer is trained in the end.
                layers = [layers[-1]]
                wanted = {count: some for count, some in wanted.items() if count in layers}
                if not wanted:
                    raise KexpError(f"hidden states of every number of layers take more than {MEMORY / 2**30:,.1f} GiB")
            record = {"frozen_up_to": names[layers[0]]}
            with world.first_on_machine():
                states, found = _stored(parts, wanted, rows, store, should_stop)
    except RunInterrupted:
        raise
    # Memory may be enough for passes over the fewer tokens of a batch.
    except Exception as error:
        reason = out_of_memory(error, "hidden states are made of many tokens at once")
        if not isinstance(error, KexpError) and reason is None:
            raise
        reason = reason or str(error)
        world.agree()
        logger.info(f"{_up_to(record)}: {reason}; the frozen blocks are run in every step")
        return replace(assembled, hidden_states={**record, "not_stored": reason})
    how = f"{found['tokens']} token, in {'a file' if found['mapped'] else 'memory'}"
    logger.info(
        f"{_up_to(record)}: hidden states of {found['rows']:,} rows were computed once and are kept, "
        f"{found['mib']:,.1f} MiB ({how}); those of {found['rows_known']:,} rows were known before"
    )
    by_epoch = StatesByEpoch(replace(assembled.classifier), layers, states, wanted, store)
    by_epoch.begin(0)
    stored = {name: replace(encoded, hidden=partial(by_epoch.of, name)) for name, encoded in rows.items()}
    assembled = replace(assembled, classifier=by_epoch.classifier, begin_epoch=by_epoch.begin)
    return _with_stored(replace(assembled, hidden_states={**record, **found}), stored)


def _up_to(record: Mapping[str, Any]) -> str:
    return f"frozen up to {record['frozen_up_to']}"


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


def frozen_layers(freezing: FreezingOptions, names: Sequence[str], epochs: int) -> list[int]:
    """Return for each epoch how many layers, from the input upwards, were frozen in it and in all before it."""
    found, count = [], len(names)
    for epoch in range(epochs):
        frozen = set(freezing.frozen(names, epoch))
        count = next((number for number, name in enumerate(names[:count]) if name not in frozen), count)
        found.append(max(count - 1, 0))
    return found


def _stored(
    parts: Mapping[int, FrozenPart],
    wanted: Mapping[int, Mapping[str, Wanted]],
    rows: Mapping[str, Encoded],
    store: HiddenStateStore,
    should_stop: Callable[[], bool],
) -> tuple[dict[int, dict[str, StoredHiddenStates]], dict[str, Any]]:
    """Return hidden states by number of layers and rows, and what is recorded of them."""
    size, begun = _size(wanted), set[str]()
    store.free_others(one for some in wanted.values() for one in some.values())
    states: dict[int, dict[str, StoredHiddenStates]] = {}
    below: tuple[int, Mapping[str, Encoded]] = (0, rows)
    for layers, some in wanted.items():
        part, states[layers] = parts[layers], {}
        for name, one in some.items():
            # They go on from those of fewer layers.
            begin = partial(begun.add, name)
            made = replace(one, parts=partial(_made, part.above(below[0]), below[1][name], begin))
            values = store.get(made, mapped=size > MEMORY, should_stop=should_stop)
            lengths = rows[name].tokens.lengths
            states[layers][name] = StoredHiddenStates.as_made(values, lengths, first=part.first_tokens)
        below = layers, {name: replace(rows[name], hidden=states[layers][name].of) for name in rows}
    return states, {
        "tokens": "first" if all(parts[layers].first_tokens for layers in wanted) else "every",
        "layers": sorted(wanted, reverse=True),
        "rows": sum(map(len, rows.values())),
        "rows_known": sum(len(encoded) for name, encoded in rows.items() if name not in begun),
        "mib": size / 2**20,
        "mapped": size > MEMORY,
    }


def _size(wanted: Mapping[int, Mapping[str, Wanted]]) -> int:
    return sum(one.size for some in wanted.values() for one in some.values())


def _wanted(part: FrozenPart, rows: Mapping[str, Encoded]) -> dict[str, Wanted]:
    digest, like = part.digest(), part.hidden(next(iter(rows.values())), np.arange(1))

    def of(encoded: Encoded) -> Wanted:
        count = len(encoded) if part.first_tokens else int(encoded.tokens.lengths.sum())
        return Wanted(part.key(encoded, digest), like, count, partial(_made, part, encoded))

    return {name: of(encoded) for name, encoded in rows.items()}


def _made(part: FrozenPart, encoded: Encoded, begin: Callable[[], None] = lambda: None) -> Iterator[torch.Tensor]:
    begin()
    for numbers in making_order(encoded.tokens.lengths):
        yield part.hidden(encoded, numbers)


def _with_stored(assembled: AssembledRun, stored: Mapping[str, Encoded]) -> AssembledRun:
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
    return replace(assembled, inputs=inputs, stream=stream)
