"""The stage ``[pretraining]`` of a run: the weights that it gives the model, before anything else is done with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kexp.data.labelled_stream import Collator
from kexp.errors import plugin_call
from kexp.experiment.assemble import AssembledRun
from kexp.experiment.run_inputs import PretrainingRows
from kexp.options import component_title
from kexp.pretraining.masked_lm import shared_weights
from kexp.pretraining.masking import MaskedStream, make_masking
from kexp.pretraining.pretrain import Stage, pretrain
from kexp.seeds import derive
from kexp.spec.pretraining_section import Pretraining
from kexp.tensor_files import tensor_digest

logger = logging.getLogger("kexp")


def with_pretraining(
    assembled: AssembledRun, folder: Path, tell: Callable[[str], None], should_stop: Callable[[], bool]
) -> AssembledRun:
    """Return the run with pre-trained weights in its model, and their record, where its spec has ``[pretraining]``.

    ``folder`` keeps what was made. Raises ``RunInterrupted`` once ``should_stop`` returns True.
    """
    options, rows = assembled.spec.pretraining, assembled.inputs.pretraining
    if options is None or rows is None:
        return assembled
    import torch

    def told(line: str) -> None:
        logger.info(line)
        tell(line)

    # Nothing that is drawn later may depend on whether the weights were stored.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(options.seed, "weights"))
        stage = _stage(assembled, options, rows, folder)
        if 0 < len(stage.start.fresh) < len(dict(stage.start.model.named_parameters())):
            told(_fresh_head(stage))
        start = stage.start.model
        found = pretrain(stage, lambda: shared_weights(start, assembled.model), told, should_stop)
    assembled.model.load_state_dict(dict(found.weights), strict=False)
    record = {
        **found.record,
        "counts": dict(rows.counts),
        "stored": found.stored,
        "weights": tensor_digest("", found.weights)[:16],
    }
    return replace(assembled, pretraining=record)


def _stage(assembled: AssembledRun, options: Pretraining, rows: PretrainingRows, folder: Path) -> Stage:
    spec, tokenizer = assembled.spec, assembled.inputs.tokenizer
    with plugin_call(f"{component_title(spec.backbone)}, build_masked_language_model()"):
        start = spec.backbone.build_masked_language_model(tokenizer)
    masking = make_masking(rows.encoded, rows.words, tokenizer, options.mask_probability)
    collator = Collator.of(tokenizer, start.model)
    stream = MaskedStream(rows.encoded, masking, collator, options.seed, options.batch_size)
    classifier = assembled.classifier
    return Stage(options, spec.training, start, stream, classifier.hardware, folder, classifier.world)


def _fresh_head(stage: Stage) -> str:
    """Say that the head begins at random, which costs steps."""
    named = ", ".join(stage.start.fresh[:3])
    return (
        f"pre-training begins with random weights of the language modelling head ({named}), which the checkpoint "
        "lacks: more steps are needed than with a checkpoint of a masked language model"
    )
