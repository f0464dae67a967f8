"""The run folder and its files, which are written whole or not at all."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kexp.errors import KexpError
from kexp.redaction import hidden


@dataclass(frozen=True, slots=True)
class RunFolder:
    """``runs/<experiment>/<UTC timestamp>-<hash>/``."""

    path: Path

    @classmethod
    def create(cls, runs_dir: Path, name: str, digest: str) -> RunFolder:
        """Make a new folder; raises ``KexpError`` where that is impossible."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        for number in range(1, 1000):
            path = runs_dir / name / f"{stamp}-{digest}{'' if number == 1 else f'-{number}'}"
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                if path.is_dir():
                    continue
                raise KexpError(
                    f"{runs_dir} is not a folder; choose another with --runs-dir or KEXP_RUNS_DIR"
                ) from None
            except OSError as error:
                raise KexpError(
                    f"{path} cannot be made: {error.strerror}; choose another place with --runs-dir or KEXP_RUNS_DIR"
                ) from None
            return cls(path)
        raise KexpError(f"{runs_dir / name} has a thousand folders of this second")

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return an existing run folder; raises ``KexpError`` for any other folder."""
        if not (path / "spec.toml").is_file():
            raise KexpError(f"{path} is not a run folder: it has no spec.toml")
        return cls(path)

    def run(self, variant: str, seed: int) -> Path:
        """Return the folder of one run."""
        return self.path / variant / f"seed-{seed}"


def write_text(path: Path, text: str) -> None:
    """Write a temporary file and rename it, so that a killed process leaves no partial file."""
    # Several processes of a search may write the same file.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON in UTF-8, with null for numbers that are not finite, and secrets hidden."""
    write_text(path, json.dumps(finite(hidden(value)), ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """Return the value with NumPy numbers as Python numbers, and None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> Any:
    """Read JSON; raises ``KexpError`` naming the file."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise KexpError(f"{path}: cannot be read: {error}") from None


class EventLog:
    """``metrics.jsonl``: one object per event, flushed after each."""

    def __init__(self, path: Path, *, resumed_at: int | None = None) -> None:
        """Open the file; a run that resumes at a step keeps the events up to it."""
        kept = [] if resumed_at is None else [line for line in _lines(path) if _step(line) <= resumed_at]
        write_text(path, "".join(f"{line}\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")

    def log(self, event: Mapping[str, Any]) -> None:
        """Append an event."""
        self._file.write(json.dumps(finite(hidden(event)), ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()

    def finish(self, status: str) -> None:
        """Close the file."""
        self._file.close()


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of ``metrics.jsonl``; the last line of a running or killed process may be half a line."""
    for line in _lines(path):
        try:
            yield json.loads(line)
        except ValueError:
            return


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.is_file() else []


def _step(line: str) -> float:
    try:
        return float(json.loads(line).get("step", 0))
    except ValueError:
        # The last line of a killed process may be half a line.
        return math.inf
