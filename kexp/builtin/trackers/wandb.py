"""Tracker ``wandb``: one run of Weights & Biases per run, online or in a file that is sent later."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from kexp.builtin.trackers.common import (
    configuration,
    final_metrics,
    measured,
    remember,
    remembered,
    result,
    title,
)
from kexp.builtin.trackers.wandb_settings import Mode, key_configured, user_mode
from kexp.contracts import RunIdentity, Tracker, TrackerOptions
from kexp.errors import Problem
from kexp.packages import missing
from kexp.redaction import without_passwords
from kexp.settings import offline

logger = logging.getLogger("kexp")

EXIT_CODES = {"done": 0, "pruned": 0, "failed": 1, "interrupted": 255}
"""W&B's own code for Ctrl-C is 255; a pruned trial ended as it should."""

REFUSED = "/\\#?%:"
"""Characters that W&B refuses in the name of a project."""
LONGEST_PROJECT = 128

SUMMARY = (
    "monitor", "best_step", "best_epoch", "kept_step", "kept_epoch", "steps", "epochs", "stopped_early",
    "examples_per_second", "tokens_per_second", "train_seconds", "peak_memory_mib", "device", "precision", "parameters",
)  # fmt: skip
"""Keys of ``result.json`` that W&B's summary has besides the metrics."""


class Wandb(TrackerOptions):
    """Log runs to Weights & Biases; offline without a key or a network, with the command that sends them later."""

    project: str | None = Field(None, description="Project; WANDB_PROJECT or the name of the spec when not given.")
    entity: str | None = Field(None, description="Team or user; WANDB_ENTITY or the key's own when not given.")
    group: str | None = Field(None, description="Group of runs; the run folder's or the study's name when not given.")
    job_type: str | None = Field(None, description="Job type; the name of the variant or trial when not given.")
    tags: tuple[str, ...] = Field((), description="Tags of every run.")
    notes: str | None = Field(None, description="Notes of every run.")
    mode: Literal["auto", "online", "offline", "disabled"] = Field(
        "auto", description="auto is online where a key is configured. WANDB_MODE and KEXP_OFFLINE win."
    )
    log_model: bool = Field(False, description="Send the model folder as an artifact.")
    table_rows: int = Field(
        200, ge=0, le=10_000, description="Rows of the table of predictions, texts included; 0 sends no texts."
    )
    init_timeout: float = Field(
        15, gt=0, le=60, description="Seconds for the server to accept a run, before it goes offline."
    )
    finish_timeout: float = Field(
        30, gt=0, description="Seconds at the end for what is not sent yet; large models need more."
    )

    def problems(self) -> Iterable[Problem]:
        """Yield a missing package, and a missing key where the mode is online."""
        yield from missing("wandb", "kexp[wandb]")
        project = self.project or os.environ.get("WANDB_PROJECT", "")
        if refused := sorted(set(project) & set(REFUSED)):
            found = f'"{project}" holds {" ".join(refused)}, which a W&B project must not'
            yield Problem("project", found, "the team goes into entity" if "/" in refused else "use other characters")
        if len(project) > LONGEST_PROJECT:
            yield Problem("project", f"{len(project)} characters, W&B allows {LONGEST_PROJECT}", "use a shorter name")
        if self.chosen_mode()[0] == "online" and not key_configured():
            remedy = 'run `wandb login`, set WANDB_API_KEY, or use mode = "auto" or "offline"'
            yield Problem("mode", "online, and no W&B key is configured", remedy)

    def build(self, run: RunIdentity) -> Tracker:
        """Start a run, or continue it."""
        mode, why = self.chosen_mode()
        if mode == "disabled":
            return NullTracker()
        return WandbRun(self, run, mode, why)

    def chosen_mode(self) -> tuple[Mode, str]:
        """Return the mode, and why it is offline where neither user nor spec chose that."""
        if configured := user_mode():
            return configured, ""
        if self.mode == "disabled":
            return "disabled", ""
        if offline():
            return "offline", ""
        if self.mode != "auto":
            return self.mode, ""
        return ("online", "") if key_configured() else ("offline", "no W&B key is configured")


class NullTracker:
    """Logs nothing."""

    def log(self, event: Mapping[str, Any]) -> None:
        """Do nothing."""

    def finish(self, status: str) -> None:
        """Do nothing."""


class WandbRun:
    """A run of W&B, independent of other runs in the process."""

    def __init__(self, options: Wandb, run: RunIdentity, mode: Mode, why: str) -> None:
        # Set before the import, which reads them: print nothing, and report no errors to W&B.
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self.options, self.identity, self.step = options, run, 0
        self.warnings: list[str] = []
        self.run: Any = None
        known = remembered(run, "wandb")
        if mode == "online":
            try:
                self.run = self._start("online", known)
            # Whatever fails in W&B, its service or the network, the run can be logged to a file instead.
            except Exception as error:  # noqa: BLE001
                why = _first_line(error)
        if self.run is None:
            # The id of a failed start stays in use in this process.
            self.run = self._start("offline", None if mode == "online" else known)
        # By default the summary has the last epoch's metrics, which are not those of the kept model.
        self.run.define_metric("validation/*", summary="none")
        self.id = known or self.run.id
        remember(run, "wandb", self.id)
        if self.run.offline:
            report = run.warn if why else logger.info
            report(f"the run is offline{': ' if why else ''}{why}; send it later with: {self._sync()}")

    def log(self, event: Mapping[str, Any]) -> None:
        """Log the numbers of an event at its step; keep warnings for the summary."""
        if numbers := measured(event):
            self.run.log(numbers, step=event["step"])
        self.step = event["step"]
        if event["event"] == "warning":
            self.warnings.append(f"step {self.step}: {event['message']}")

    def finish(self, status: str) -> None:
        """Log metrics, plots and the model, and close the run."""
        try:
            found = result(self.identity)
            self._summarise(status, found)
            self._log_files(status, found)
        # Online, tables and models need an answer of the server; numbers do not.
        except Exception as error:
            logger.info("W&B failed", exc_info=True)
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
            notes=options.notes and without_passwords(options.notes),
            config=configuration(run),
            dir=None if os.environ.get("WANDB_DIR") else run.folder,
            mode=mode,
            # Other runs may be active in this process.
            reinit="create_new",
            settings=wandb.Settings(
                init_timeout=options.init_timeout,
                finish_timeout=options.finish_timeout,
                finish_timeout_raises=True,
                silent=True,
                console="off",
                # W&B would log the command line with its passwords.
                x_disable_meta=any(without_passwords(argument) != argument for argument in sys.argv),
            ),
        )

    def _sync(self) -> str:
        """Return the command that uploads the run's folder."""
        options = [] if self.run.offline else ["--include-online"]
        options += [] if self.id == self.run.id else ["--id", self.id]
        return shlex.join(("wandb", "sync", *options, str(Path(self.run.dir).parent)))

    def _summarise(self, status: str, found: Mapping[str, Any]) -> None:
        facts = {name: found[name] for name in SUMMARY if name in found}
        self.run.summary.update({"status": status, **final_metrics(found), **facts})
        for name, text in (("reason", found["reason"]), ("warnings", "\n".join(self.warnings))):
            if text:
                self.run.summary[name] = text

    def _log_files(self, status: str, found: Mapping[str, Any]) -> None:
        from kexp.builtin.trackers.wandb_plots import plots

        folder = Path(self.identity.folder)
        if status == "done":
            self.run.log(plots(found, folder / "predictions.parquet", self.options.table_rows), step=self.step)
        if self.options.log_model and (folder / "model").is_dir():
            self._log_model()

    def _log_model(self) -> None:
        import wandb

        artifact = wandb.Artifact(f"model-{self.run.id}", type="model")
        # Uploaded without a copy: a run's model does not change.
        artifact.add_dir(str(Path(self.identity.folder) / "model"), skip_cache=True, policy="immutable")
        self.run.log_artifact(artifact)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
