"""One run of Weights & Biases from its start to its end, on line or in a file that is sent later."""

from __future__ import annotations

import itertools
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.builtin.trackers.common import (
    configuration,
    final_metrics,
    measured,
    remember,
    remembered,
    result,
    title,
)
from kexp.contracts import RunIdentity
from kexp.redaction import without_passwords

if TYPE_CHECKING:
    import pandas as pd

    from kexp.builtin.trackers.wandb import Mode, Wandb

logger = logging.getLogger("kexp")

EXIT_CODES = {"done": 0, "pruned": 0, "failed": 1, "interrupted": 255}
"""W&B's own for Ctrl-C is 255; a pruned trial ended as it should."""

TOLD = (
    "monitor", "best_step", "best_epoch", "kept_step", "kept_epoch", "steps", "epochs", "stopped_early",
    "examples_per_second", "tokens_per_second", "train_seconds", "peak_memory_mib", "device", "precision", "parameters",
)  # fmt: skip
"""What of ``result.json`` the summary tells besides the metrics."""


class WandbRun:
    """A run of W&B that knows nothing of other runs in the process, nor they of it."""

    def __init__(self, options: Wandb, run: RunIdentity, mode: Mode, why: str) -> None:
        # Before the import, which reads them: nothing on the terminal, no reports to W&B's makers.
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self.options, self.identity, self.step = options, run, 0
        self.warnings: list[str] = []
        self.run: Any = None
        known = remembered(run, "wandb")
        if mode == "online":
            try:
                self.run = self._start("online", known)
            # Of W&B, of its service, or of the network: whatever it is, there is a file to go on with.
            except Exception as error:  # noqa: BLE001
                why = _first_line(error)
        if self.run is None:
            # The id of a start that failed stays taken in this process.
            self.run = self._start("offline", None if mode == "online" else known)
        self.id = known or self.run.id
        remember(run, "wandb", self.id)
        if self.run.offline:
            tell = run.warn if why else logger.info
            tell(f"the run is offline{': ' if why else ''}{why}; send it later with: {self._sync()}")

    def log(self, event: Mapping[str, Any]) -> None:
        """Log the numbers of an event at its step; keep what it warns of."""
        if numbers := measured(event):
            self.run.log(numbers, step=event["step"])
        self.step = event["step"]
        if event["event"] == "warning":
            self.warnings.append(f"step {self.step}: {event['message']}")

    def finish(self, status: str) -> None:
        """Log what the run left, and close."""
        try:
            found = result(self.identity)
            self._summarise(status, found)
            self._log_files(status, found)
        # On line, tables and models need an answer of the server; numbers do not.
        except Exception as error:
            logger.info("what W&B said", exc_info=True)
            self.identity.warn(f"plots, table or model could not be logged: {_first_line(error)}")
        try:
            self.run.finish(exit_code=EXIT_CODES[status])
        except TimeoutError:
            waited = f"not everything was sent within {self.options.finish_timeout:g} s"
            self.identity.warn(f"{waited}; send the rest with: {self._sync()}")

    def _start(self, mode: Mode, known: str | None) -> Any:
        import wandb

        options, run = self.options, self.identity
        return wandb.init(
            project=options.project or os.environ.get("WANDB_PROJECT") or run.experiment,
            entity=options.entity,
            group=options.group or os.environ.get("WANDB_RUN_GROUP") or run.group,
            job_type=options.job_type or os.environ.get("WANDB_JOB_TYPE") or run.variant,
            name=title(run),
            id=known,
            resume="allow" if known else None,
            tags=options.tags or None,
            notes=options.notes,
            config=configuration(run),
            dir=None if os.environ.get("WANDB_DIR") else run.folder,
            mode=mode,
            # Others may be running in this process.
            reinit="create_new",
            settings=wandb.Settings(
                init_timeout=options.init_timeout,
                finish_timeout=options.finish_timeout,
                finish_timeout_raises=True,
                silent=True,
                console="off",
                # It would send the command line along.
                x_disable_meta=any(without_passwords(argument) != argument for argument in sys.argv),
            ),
        )

    def _sync(self) -> str:
        """Return the command that sends the run's folder."""
        options = [] if self.run.offline else ["--include-online"]
        options += [] if self.id == self.run.id else ["--id", self.id]
        return shlex.join(("wandb", "sync", *options, str(Path(self.run.dir).parent)))

    def _summarise(self, status: str, found: Mapping[str, Any]) -> None:
        told = {name: found[name] for name in TOLD if name in found}
        self.run.summary.update({"status": status, **final_metrics(found), **told})
        for name, text in (("reason", found["reason"]), ("warnings", "\n".join(self.warnings))):
            if text:
                self.run.summary[name] = text

    def _log_files(self, status: str, found: Mapping[str, Any]) -> None:
        if status == "done":
            self.run.log(self._pictures(found), step=self.step)
        if self.options.log_model and (Path(self.identity.folder) / "model").is_dir():
            self._log_model()

    def _log_model(self) -> None:
        import wandb

        artifact = wandb.Artifact(f"model-{self.run.id}", type="model")
        # Uploaded from where it is: nobody changes a run's model.
        artifact.add_dir(str(Path(self.identity.folder) / "model"), skip_cache=True, policy="immutable")
        self.run.log_artifact(artifact)

    def _pictures(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Draw the test split; a search's trial has validation alone, and no predictions in a file."""
        import wandb

        split = "test" if "test" in found["metrics"] else "validation"
        counts, names = found["confusion_matrix"][split], found["labels"]
        labels, predicted = zip(*_pairs(counts), strict=True)
        pictures: dict[str, Any] = {
            f"{split}/confusion_matrix": wandb.plot.confusion_matrix(y_true=labels, preds=predicted, class_names=names)
        }
        path = Path(self.identity.folder) / "predictions.parquet"
        if path.is_file():
            import pandas as pd

            frame = pd.read_parquet(path, filters=[("split", "==", split)])
            pictures[f"{split}/pr_curve"] = _pr_curve(frame, names)
            if self.options.table_rows:
                rows = worst_first(frame).head(self.options.table_rows)
                pictures[f"{split}/predictions"] = wandb.Table(dataframe=rows)
        return pictures


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _pairs(counts: Sequence[Sequence[int]]) -> Iterator[tuple[int, int]]:
    """Yield the labels and predictions that a confusion matrix counts, which W&B counts again."""
    for label, row in enumerate(counts):
        for predicted, count in enumerate(row):
            yield from itertools.repeat((label, predicted), count)


def worst_first(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort predictions: the mistakes of which the model was surest, then what it got right and was least sure of."""
    right = frame["label"] == frame["predicted"]
    doubt = frame["confidence"].where(right, -frame["confidence"])
    order = right.to_frame("right").assign(doubt=doubt).sort_values(["right", "doubt"]).index
    return frame.loc[order].drop(columns="split").reset_index(drop=True)


def _pr_curve(frame: pd.DataFrame, names: list[str]) -> Any:
    import wandb

    # W&B takes the columns of the probabilities for the labels that occur.
    present = [name for name in names if (frame["label"] == name).any()]
    numbers = {name: number for number, name in enumerate(present)}
    return wandb.plot.pr_curve(
        y_true=frame["label"].map(numbers).to_numpy("int64"),
        y_probas=frame[[f"probability:{name}" for name in present]].to_numpy(),
        labels=present,
    )
