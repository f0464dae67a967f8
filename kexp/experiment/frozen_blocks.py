"""What frozen blocks make of the rows is computed once, before the first step, where a run can use it again."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from kexp.batches import HostBatch
from kexp.contracts import Inputs
from kexp.data.stream import LabelledStream
from kexp.experiment.assemble import AssembledRun
from kexp.model.frozen import Prefix, always_frozen, find_prefix
from kexp.train.loop import Trainer

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

SPLITS = ("train", "validation")
"""Splits that a run sees again and again."""
LIMIT = 2 * 2**30
"""Most bytes that hidden states may take: on every machine the same, so that equal specs give equal bits."""
PROBED_ROWS = 4

logger = logging.getLogger("kexp")


def reuse_frozen(experiment: AssembledRun, trainer: Trainer) -> None:
    """Let a run train on hidden states that are computed once, where a part of the model is frozen from the input up.

    They are those of its own rows, so augmented rows and the pool need the whole model; so do rows whose hidden states
    take too much memory. The log tells.
    """
    epochs = -(-trainer.total_steps // trainer.steps_per_epoch)
    count = always_frozen(trainer.freezing, trainer.blocks.names, epochs)
    # Embeddings alone are cheap to look up, and what is seen once cannot be reused.
    if not _applies(experiment) or count < 2 or epochs < 2:
        return
    started, accelerator = time.perf_counter(), trainer.accelerator
    found = f"frozen up to {trainer.blocks.names[count - 1]}: "
    plainly = "; the frozen blocks are run in every step"
    short, long = _probe(experiment, accelerator.device)
    prefix = find_prefix(trainer.blocks, count, short, long)
    if prefix is None:
        logger.info(found + "this model cannot go on from hidden states alone" + plainly)
        return
    needed = _bytes(experiment, prefix, short, accelerator)
    found += f"hidden states of {sum(len(experiment.inputs.encoded[split]) for split in SPLITS)} rows "
    if needed > LIMIT:
        logger.info(found + f"would take {_mib(needed)}, more than {_mib(LIMIT)}" + plainly)
        return
    _keep(experiment, prefix, accelerator)
    trainer.reuse(experiment.stream, prefix, time.perf_counter() - started)
    which = "first token" if prefix.tokens else "every token"
    logger.info(found + f"were computed once and are kept, {_mib(needed)} ({which})")


def _applies(experiment: AssembledRun) -> bool:
    spec = experiment.spec
    return spec.training.reuse_frozen and experiment.inputs.unlabelled is None and spec.augmentation.labelled is None


def _probe(experiment: AssembledRun, device: torch.device) -> tuple[Inputs, Inputs]:
    """Return some of the shortest and some of the longest train rows, to try a way to run the model."""
    import numpy as np

    encoded, labels = experiment.inputs.encoded["train"], experiment.inputs.data.train.labels
    order = np.argsort(encoded.tokens.lengths, kind="stable")
    few = max(1, min(PROBED_ROWS, len(order) // 2))
    short, long = (
        HostBatch(experiment.collator(encoded, rows), labels[rows], 0) for rows in (order[:few], order[-few:])
    )
    return short.inputs_on(device), long.inputs_on(device)


def _bytes(experiment: AssembledRun, prefix: Prefix, some: Inputs, accelerator: Accelerator) -> int:
    """Return the memory that the hidden states take; ``some`` rows tell the precision."""
    with accelerator.autocast():
        hidden = prefix.hidden(some)
    lengths = (experiment.inputs.encoded[split].tokens.lengths for split in SPLITS)
    tokens = sum(int(prefix.kept_lengths(found).sum()) for found in lengths)
    return tokens * hidden.shape[-1] * hidden.element_size()


def _keep(experiment: AssembledRun, prefix: Prefix, accelerator: Accelerator) -> None:
    """Run frozen blocks over train and validation; from now on their batches bring what these blocks gave."""
    data, encoded = experiment.inputs.data, dict(experiment.inputs.encoded)
    for split in SPLITS:
        rows = encoded[split]
        stored_views = prefix.keep(experiment.batches(data.splits[split], rows), rows.tokens.lengths, accelerator)
        encoded[split] = replace(rows, hidden=stored_views.of)
    experiment.inputs = replace(experiment.inputs, encoded=encoded)
    assert isinstance(experiment.stream, LabelledStream)
    experiment.stream = replace(experiment.stream, encoded=encoded["train"])


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
