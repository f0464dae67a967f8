"""Studies, of which the journal tells every trial while the search goes on."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.errors import KexpError
from kexp.redaction import masked_address
from kexp.report.stored import read_spec
from kexp.results.runs import StudyRow, read_study_row

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from kexp.search.journal import JournalReader
    from kexp.ui.library import Library

Json = dict[str, Any]

ALIVE = 60.0
"""Seconds after which a study whose journal stands still is not running: its processes write every ten seconds."""


def study_rows(library: Library) -> dict[str, StudyRow]:
    """Return all studies by key, the newest first; those whose journal grows are running."""
    return {key: replace(row, status=_status(row)) for key, row in library.studies().items()}


def _status(row: StudyRow) -> str:
    return "running" if row.status == "unfinished" and _grows(row.folder / "journal.log") else row.status


def _grows(journal: Path) -> bool:
    try:
        return time.time() - journal.stat().st_mtime < ALIVE
    except OSError:
        return False


@dataclass(slots=True)
class StudyReader:
    """One study as its files tell it. The journal is read from where it was read before."""

    folder: Path
    _journal: JournalReader | None = field(default=None, repr=False)

    @property
    def row(self) -> StudyRow:
        """What ``study.json`` says."""
        return read_study_row(self.folder)

    @property
    def other_storage(self) -> str:
        """Where the trials are kept if not in the journal beside; "" for the journal."""
        try:
            storage = str(self._search()[0].get("storage", "journal"))
        except KexpError:
            return ""
        return "" if storage == "journal" else masked_address(storage)

    def state(self) -> Json:
        """Return status, goals, counts of trials by outcome, the best trial, and every trial.

        Raises ``KexpError`` where the journal is damaged.
        """
        row = self.row
        found, working, directions = self._trials()
        trials = [_trial(trial) for trial in found]
        return {
            "status": "running" if working and _grows(self.folder / "journal.log") else row.status,
            "goals": [*row.goals] or self._goals(),
            "directions": directions,
            "counts": dict(Counter(trial["outcome"] for trial in trials)),
            "best": _best(found, directions),
            "trials": trials,
        }

    def _goals(self) -> list[str]:
        """Return the names of the metrics that are searched, as ``study.toml`` says."""
        search, spec = self._search()
        metric = search.get("metric") or f"validation.{spec.get('training', {}).get('monitor', '')}"
        return [str(name) for name in metric] if isinstance(metric, list) else [str(metric)]

    def _search(self) -> tuple[Json, Json]:
        """Return the section ``search`` of ``study.toml``, and all of it; raises ``KexpError`` if it cannot be read."""
        spec = read_spec(self.folder / "study.toml")
        found = spec.get("search")
        return (found if isinstance(found, dict) else {}), spec

    def _trials(self) -> tuple[list[FrozenTrial], bool, list[str]]:
        """Return the trials, whether a process works on the study, and whether values are to be large or small."""
        from kexp.search.heartbeats import LEFT
        from kexp.search.journal import JournalReader
        from kexp.search.trial import by_position, numbered

        path = self.folder / "journal.log"
        if not path.is_file():
            return [], False, []
        self._journal = self._journal or JournalReader(path)
        study, attempts = self._journal.read()
        if study is None:
            return [], False, []
        workers = [count for name, count in study.user_attrs.items() if name.startswith("worker ")]
        directions = [direction.name.lower() for direction in study.directions]
        return numbered(by_position(attempts)), any(count != LEFT for count in workers), directions


def _trial(trial: FrozenTrial) -> Json:
    from kexp.search.default_trial import AS_IT_STANDS
    from kexp.search.trial import outcome

    steps = [(step, value) for step, value in sorted(trial.intermediate_values.items()) if math.isfinite(value)]
    return {
        "trial": trial.number,
        "outcome": outcome(trial),
        "values": trial.values or [],
        "params": {str(path): value for path, value in trial.params.items()},
        "as_it_stands": AS_IT_STANDS in trial.system_attrs,
        "seconds": trial.user_attrs.get("seconds"),
        "same_as": trial.user_attrs.get("same as"),
        "reason": str(trial.user_attrs.get("reason", "")),
        "steps": [step for step, _ in steps],
        "reported": [value for _, value in steps],
    }


def _best(trials: list[FrozenTrial], directions: list[str]) -> int | None:
    """Return the number of the best trial, as the search ranks them; None with several goals, or without a value."""
    from kexp.search.default_trial import AS_IT_STANDS
    from kexp.search.summary import rank
    from kexp.search.trial import is_repetition, outcome

    complete = [trial for trial in trials if outcome(trial) == "complete" and not is_repetition(trial)]
    if len(directions) != 1 or not complete:
        return None
    best = min(complete, key=lambda trial: rank(trial, directions, default=AS_IT_STANDS in trial.system_attrs))
    return int(best.number)
