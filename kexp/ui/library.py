"""The runs folder as the page shows it: runs with results and curves, and studies."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kexp.errors import KexpError
from kexp.names import shown_path
from kexp.report.stored import read_result
from kexp.results.runs import StudyRow, list_studies, spec_of
from kexp.ui.curves import CurveReader
from kexp.ui.folders import Folders, Run
from kexp.ui.groups import Groups, Table

REMEMBERED = 256
"""Tables that browsers were sent and of which they are told the changes; the oldest are forgotten."""


class UnknownRun(KexpError):
    """There is no run or study of this name."""


@dataclass(frozen=True, slots=True)
class Library:
    """Everything below a runs folder. Runs are named by keys below it, never by paths of the client."""

    folder: Path
    folders: Folders = field(init=False)
    groups: Groups = field(init=False)
    tables: dict[str, Table] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folders", Folders(self.folder, stored=True))
        object.__setattr__(self, "groups", Groups(self.folders))

    def runs(self) -> list[Run]:
        """Return all runs, the newest first."""
        found = [run for folder in self.folders.newest_first() for run in self.folders.runs(folder)]
        self.folders.save()
        return sorted(found, key=lambda run: (run.started, run.key), reverse=True)

    def studies(self) -> dict[str, StudyRow]:
        """Return all studies by key, the newest first."""
        return {shown_path(row.folder.relative_to(self.folder).as_posix()): row for row in list_studies(self.folder)}

    def path(self, key: str) -> Path:
        """Return the folder of a run or study; raises ``UnknownRun`` for any other key."""
        path = self.folder / key
        try:
            if _below(key) and ((path / "metrics.jsonl").is_file() or (path / "study.toml").is_file()):
                return path
        # Too long for a file name, or with a null character.
        except (OSError, ValueError):
            pass
        raise UnknownRun(f"no run or study {shown_path(key)}")

    def run_folder(self, key: str) -> Path:
        """Return the run folder of a run."""
        self.path(key)
        return self.folder.joinpath(*key.split("/")[:2])

    def run(self, key: str) -> Run:
        """Return a run; raises ``UnknownRun`` for any other key."""
        for run in self.folders.runs(self.run_folder(key)):
            if run.key == key:
                return run
        raise UnknownRun(f"no run {shown_path(key)}")

    def result(self, key: str) -> dict[str, Any]:
        """Return ``result.json`` of a run; an empty object while it trains."""
        path = self.path(key) / "result.json"
        result: dict[str, Any] = read_result(path) if path.is_file() else {}
        return result

    def curves(self, key: str) -> dict[str, Any]:
        """Return the events of a run as columns: those of steps and those of evaluations."""
        read = CurveReader(self.path(key) / "metrics.jsonl").new()
        return {"key": key, "steps": {}, "evaluations": {}} if read is None else {"key": key, **read}

    def spec(self, key: str) -> dict[str, Any]:
        """Return the resolved spec of a run, with the changes of its variant."""
        parts = key.split("/")
        folder = self.run_folder(key)
        return spec_of(self.folders.spec(folder), parts[2] if len(parts) > 2 else "")

    def base_spec(self, key: str) -> dict[str, Any]:
        """Return the resolved spec of a run's folder, without the changes of its variant."""
        return spec_of(self.folders.spec(self.run_folder(key)), "")

    def kexp_folder(self, key: str, marker: str) -> Path:
        """Return a folder two below the runs folder that has the file ``marker``; raises ``UnknownRun`` for others."""
        path = self.folder / key
        try:
            if _below(key) and key.count("/") == 1 and (path / marker).is_file():
                return path
        except (OSError, ValueError):
            pass
        raise UnknownRun(f"no run or study {shown_path(key)}")

    def file(self, folder: Path, name: str) -> Path:
        """Return a file of a folder; raises ``UnknownRun`` where there is none."""
        if not self.has_file(folder, name):
            raise UnknownRun(f"{name} does not exist yet")
        return folder / name

    def has_file(self, folder: Path, name: str) -> bool:
        """Return whether a folder has a file of its own: not a link that leads out of it, to what nobody may read."""
        path = folder / name
        try:
            return path.is_file() and path.resolve().is_relative_to(folder.resolve())
        except OSError:
            return False

    def remember(self, table: Table) -> str:
        """Keep a table that a browser is sent, and return the name by which it is remembered."""
        token = secrets.token_urlsafe(9)
        self.tables[token] = table
        for old in [*self.tables][:-REMEMBERED]:
            self.tables.pop(old, None)
        return token

    def remembered(self, token: str) -> Table | None:
        """Return a table that was kept; None for any other name."""
        return self.tables.get(token)


def _below(key: str) -> bool:
    """Return whether a key names something below the runs folder, without a way out of it."""
    return not any(part in ("", ".", "..") for part in key.split("/")) and "\\" not in key
