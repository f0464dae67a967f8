"""The files of a trained run: the folders of its kept models, and its predictions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from kexp.atomic_files import replacing_folder
from kexp.catalog import Catalog
from kexp.contracts import TaskOptions
from kexp.contracts.task import Chosen
from kexp.data.encoding import token_counts
from kexp.evaluate.predictions import Predictions
from kexp.experiment.assemble import AssembledRun
from kexp.experiment.calibrate import Calibration
from kexp.experiment.texts import clean
from kexp.model.adapter import save_classifier
from kexp.model_files import write_checksums, write_decisions, write_task
from kexp.plan.validate import dump
from kexp.report import predictions as report
from kexp.train.loop import Trainer

logger = logging.getLogger("kexp")


def model_folders(count: int) -> list[str]:
    """Return the names of the folders of the kept models, the best first."""
    return ["model", *(f"model-{number}" for number in range(2, count + 1))][:count]


def save_models(
    folder: Path,
    assembled: AssembledRun,
    trainer: Trainer,
    calibration: Calibration | None,
    chosen: Chosen,
    catalog: Catalog,
) -> None:
    """Save the model as it is, which is the best or the last one, and the next best ones beside it.

    With the calibration of the first one, and what was chosen for its decisions, each of the others gets its own. Of
    several processes the first one writes.
    """
    if assembled.classifier.world.first:
        _save_model(folder / "model", assembled, calibration, chosen, catalog)
    # Without both, a pass over validation would tell nothing.
    chooses = type(assembled.spec.task).choose is not TaskOptions.choose
    if trainer.weights is not None:
        others = trainer.state.kept[1:]
        for name, (*_, step) in zip(model_folders(1 + len(others))[1:], others, strict=True):
            trainer.weights.load(assembled.model, step)
            assembled.begin_epoch(trainer.epoch_of(step))
            validation = assembled.predict("validation") if chooses or calibration is not None else None
            own = None
            if calibration is not None and validation is not None:
                own = Calibration.fitted(validation)
                validation = own.applied(validation)
            own_choice = assembled.choose(validation)
            if own is not None and own.fit.remark:
                logger.warning("%s: evaluation.calibrate: %s", name, own.fit.remark)
            if assembled.classifier.world.first:
                _save_model(folder / name, assembled, own, own_choice, catalog)


def _save_model(
    folder: Path, assembled: AssembledRun, calibration: Calibration | None, chosen: Chosen, catalog: Catalog
) -> None:
    """Save a Hugging Face folder whose tokenizer cuts texts as training did, and which says its task."""
    training, tokenizer, task = assembled.spec.training, assembled.inputs.tokenizer, assembled.spec.task
    if not task.told_by_config:
        assembled.model.config.problem_type = task.problem_type  # type: ignore[assignment]
    tokenizer.model_max_length = training.max_length
    tokenizer.truncation_side = training.truncation
    with replacing_folder(folder) as part:
        save_classifier(assembled.model, part)
        tokenizer.save_pretrained(part)
        # safetensors leaves files that nobody else can read.
        for path in part.glob("*.safetensors"):
            path.chmod((part / "config.json").stat().st_mode)
        if calibration is not None:
            calibration.save(part)
        if not task.told_by_config:
            owner = catalog.owner_of(type(task))
            write_task(part, dump(assembled.spec, catalog)["task"], assembled.inputs.data.labels, str(owner))
        if chosen:
            write_decisions(part, chosen)
        write_checksums(part)


def save_predictions(
    path: Path, assembled: AssembledRun, predictions: Mapping[str, Predictions], chosen: Chosen
) -> None:
    """Write predictions by split with the texts that the model read and their numbers of tokens."""
    data, spec = assembled.inputs.data, assembled.spec
    tables = []
    for split, found in predictions.items():
        rows = data.splits[split]
        texts = clean(spec, rows.texts)
        pairs = None if rows.pairs is None else clean(spec, rows.pairs)
        counts = token_counts(assembled.inputs.encoded[split], assembled.inputs.tokenizer)
        tokens = dict(zip(report.TOKENS, counts, strict=True))
        predicted = spec.task.columns(found.labels, found.probabilities, data.labels, chosen)
        tables.append(report.table(split, rows.numbers, texts, pairs, predicted, tokens))
    report.write(path, tables)
