"""A run after training: what ``result.json`` says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kexp.contracts import Metric
from kexp.contracts.task import Chosen
from kexp.evaluate.predictions import Predictions
from kexp.experiment.assemble import AssembledRun
from kexp.experiment.monitors import UnlabelledUse, Validation, mean_loss
from kexp.experiment.saved_files import model_folders
from kexp.model.compiled import compiled_parts
from kexp.train.loop import Trainer
from kexp.train.optimizers import describe


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A run after training, with the validation predictions of the model that is kept."""

    assembled: AssembledRun
    trainer: Trainer
    validation: Validation
    use: UnlabelledUse

    def result(
        self, predictions: Mapping[str, Predictions], metrics: Mapping[str, Metric], chosen: Chosen
    ) -> dict[str, Any]:
        """Return the keys of ``result.json`` about training, and about predictions by split and what they decide."""
        assembled, trainer = self.assembled, self.trainer
        task = assembled.spec.task
        labels, state, hardware = assembled.inputs.data.labels, trainer.state, trainer.hardware
        record = assembled.inputs.data.record
        seconds, validation = max(state.training_seconds, 1e-9), predictions.get("validation")
        monitor, several = assembled.spec.training.monitor, isinstance(assembled.spec.training.keep, int)
        kept = [
            {"folder": folder, "step": step, "epoch": step / trainer.steps_per_epoch, monitor: value}
            for folder, (value, _, step) in zip(model_folders(len(state.kept)), state.kept, strict=True)
        ]
        return {
            "labels": labels,
            "rows": {split: len(rows) for split, rows in assembled.inputs.data.splits.items()},
            **{name: dict(record[name]) for name in ("dataset", "seed_words") if record.get(name)},
            "metrics": {split: found.measure(metrics) for split, found in predictions.items()},
            "validation_loss": None if validation is None else mean_loss(task, validation),
            **({} if state.best is None else self._chosen()),
            "kept_step": trainer.kept_step,
            "kept_epoch": trainer.kept_step / trainer.steps_per_epoch,
            **({"kept_models": kept} if several and trainer.weights is not None else {}),
            "evaluated_weights": trainer.evaluated.name,
            **({"unlabelled_share": share} if (share := self.use.shares.get(trainer.kept_step)) is not None else {}),
            "steps": state.step,
            "epochs": state.step / trainer.steps_per_epoch,
            "stopped_early": state.stopped_early,
            "examples_per_second": state.examples / seconds,
            "tokens_per_second": state.tokens / seconds,
            "train_seconds": state.training_seconds,
            "time_shares": state.time_shares(),
            **({} if state.joules is None else {"energy_joules": state.joules}),
            "peak_memory_mib": hardware.peak_memory_mib(),
            "device": str(hardware.device),
            **({"processes": state.processes} if state.processes > 1 else {}),
            "precision": hardware.precision,
            "tf32": hardware.tf32,
            "deterministic": hardware.deterministic,
            **({"backbone": origin} if (origin := dict(assembled.spec.backbone.origin())) else {}),
            "forward": assembled.classifier.way,
            "optimizer": describe(trainer.optimizer, trainer.options),
            **({"compiled": len(compiled_parts(assembled.classifier))} if assembled.spec.training.compile else {}),
            **({} if assembled.hidden_states is None else {"hidden_states": dict(assembled.hidden_states)}),
            **({} if assembled.pretraining is None else {"pretraining": dict(assembled.pretraining)}),
            "parameters": {"total": assembled.model.num_parameters(), "trainable": trainer.trainable},
            **self._unusual(),
            **({} if task.calibrates else {"calibrates": False}),
            **({"decisions": dict(chosen)} if chosen else {}),
            **by_key(
                {
                    split: task.details(found.labels, found.probabilities, labels, chosen)
                    for split, found in predictions.items()
                }
            ),
        }

    def _chosen(self) -> dict[str, Any]:
        """Return which evaluation of validation was the best one."""
        trainer, step = self.trainer, self.trainer.state.best_step
        monitor = self.assembled.spec.training.monitor
        return {"monitor": monitor, "best_step": step, "best_epoch": step / trainer.steps_per_epoch}

    def _unusual(self) -> dict[str, Any]:
        """Return what happened to few runs: smaller passes, steps left out, damaged checkpoints."""
        state, training = self.trainer.state, self.assembled.spec.training
        sizes = {"rows_per_pass": training.batch_size, "tokens_per_pass": training.batch_tokens}
        smaller = {name: size and -(-size // state.passes) for name, size in sizes.items() if state.passes > 1}
        found = {**smaller, "skipped_steps": state.skipped}
        return {key: value for key, value in {**found, "remarks": state.remarks}.items() if value}


def by_key(details: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Turn what is said of each split into what each key says of the splits."""
    keys = dict.fromkeys(key for of in details.values() for key in of)
    return {key: {split: of[key] for split, of in details.items() if key in of} for key in keys}
