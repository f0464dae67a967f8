"""Hidden states that leave frozen blocks are computed once, before the first step, where a run can use them again."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from kexp.data.encoding import Encoded
from kexp.data.labelled_stream import LabelledStream
from kexp.experiment.assemble import AssembledRun
from kexp.model.blocks import find_blocks
from kexp.model.hidden_states import Prefix, always_frozen, find_prefix
from kexp.model.token_rows import TokenRows
from kexp.train.loop import total_steps

if TYPE_CHECKING:
    import torch

SPLITS = ("train", "validation")
"""Splits that a run sees again and again."""
LIMIT = 2 * 2**30
"""Most bytes that hidden states may take: on every machine the same, so that equal specs give equal bits."""
PROBED_ROWS = 4

logger = logging.getLogger("kexp")


def reuse_frozen(assembled: AssembledRun) -> AssembledRun:
    """Return the run that trains on stored hidden states, where a part of the model is frozen from the input up.

    They are those of its own rows, so augmented and unlabelled rows need the whole model; so do rows whose hidden
    states take too much memory. Then the run is returned as it is, and the log says why.
    """
    spec, blocks = assembled.spec, find_blocks(assembled.model)
    epochs = -(-total_steps(spec.training, assembled.stream) // assembled.stream.steps_per_epoch())
    count = always_frozen(spec.freezing, blocks.names, epochs)
    # Embeddings alone are cheap to look up, and what is seen once cannot be reused.
    if not _applies(assembled) or count < 2 or epochs < 2:
        return assembled
    found = f"frozen up to {blocks.names[count - 1]}: "
    every_step = "; the frozen blocks are run in every step"
    short, long = _probe(assembled, assembled.model.device)
    prefix = find_prefix(blocks, count, short, long, assembled.collator.pad_id)
    if prefix is None:
        logger.info(found + "this model cannot go on from hidden states alone" + every_step)
        return assembled
    needed = _bytes(assembled, prefix, short)
    splits = [split for split in SPLITS if split in assembled.inputs.encoded]
    found += f"hidden states of {sum(len(assembled.inputs.encoded[split]) for split in splits)} rows "
    if needed > LIMIT:
        logger.info(found + f"would take {_mib(needed)}, more than {_mib(LIMIT)}" + every_step)
        return assembled
    stored = {split: _with_hidden_states(assembled, split, prefix) for split in splits}
    which = "first token" if prefix.tokens else "every token"
    logger.info(found + f"were computed once and are kept, {_mib(needed)} ({which})")
    assert isinstance(assembled.stream, LabelledStream)
    return replace(
        assembled,
        inputs=replace(assembled.inputs, encoded={**assembled.inputs.encoded, **stored}),
        stream=replace(assembled.stream, encoded=stored["train"]),
        classifier=replace(assembled.classifier, prefix=prefix),
    )


def _applies(assembled: AssembledRun) -> bool:
    spec = assembled.spec
    return spec.training.reuse_frozen and assembled.inputs.unlabelled is None and spec.augmentation.labelled is None


def _probe(assembled: AssembledRun, device: torch.device) -> tuple[TokenRows, TokenRows]:
    """Return some of the shortest and some of the longest train rows, to try a way to run the model."""
    import numpy as np

    encoded = assembled.inputs.encoded["train"]
    order = np.argsort(encoded.tokens.lengths, kind="stable")
    few = max(1, min(PROBED_ROWS, len(order) // 2))
    short, long = (TokenRows.of(assembled.collator(encoded, rows), device) for rows in (order[:few], order[-few:]))
    return short, long


def _bytes(assembled: AssembledRun, prefix: Prefix, some: TokenRows) -> int:
    """Return the memory that the hidden states take, whose type is that of ``some`` rows."""
    with assembled.classifier.hardware.autocast():
        hidden = prefix.hidden(some, assembled.collator.pad_id)
    lengths = (assembled.inputs.encoded[split].tokens.lengths for split in SPLITS if split in assembled.inputs.encoded)
    tokens = sum(int(prefix.stored_lengths(found).sum()) for found in lengths)
    return tokens * hidden.shape[-1] * hidden.element_size()


def _with_hidden_states(assembled: AssembledRun, split: str, prefix: Prefix) -> Encoded:
    """Run the frozen blocks over a split; return its rows with what these blocks gave."""
    rows = assembled.inputs.encoded[split]
    batches = assembled.batches(assembled.inputs.data.splits[split], rows)
    hardware, pad_id = assembled.classifier.hardware, assembled.collator.pad_id
    return replace(rows, hidden=prefix.run(batches, rows.tokens.lengths, hardware, pad_id).of)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
