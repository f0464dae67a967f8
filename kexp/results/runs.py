"""The run folders and studies below a folder: lists of them, and the spec and results of one."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from os import DirEntry
from pathlib import Path
from typing import Any

from kexp import nested
from kexp.errors import KexpError, did_you_mean
from kexp.redaction import hidden
from kexp.repeats import Repeat, run_files
from kexp.report import stored
from kexp.report.data_card_link import CARD
from kexp.report.epochs import epochs
from kexp.report.export import NO_VALUE
from kexp.report.summary import LOWER_IS_BETTER, shown_split
from kexp.results.file_index import FileIndex
from kexp.results.walk import folders_in, run_folders, runs_in, stamp_of

Json = dict[str, Any]

UNREADABLE = "unreadable"
STATUSES = ("done", "interrupted", "failed", "unfinished", UNREADABLE)
STAMP = "%Y%m%dT%H%M%SZ"
DEFAULT_METRIC = "accuracy"
LISTED = "runs"
"""Name of the index of what lists show of run folders."""
SHOWN = ("status", "reason", "variant", "seed", "draw", "fold", "train_seconds", "metrics", "monitor")
"""Keys of ``result.json`` that lists show."""
UNIMPORTANT = ("name", "description", "search", "execution", "trackers", "variants")
"""Sections of a spec on which no result depends."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run folder. ``test`` maps variants to mean test metrics; the status is "unfinished" without a summary.

    ``metric`` is the one that chose its models, ``seconds`` is the training time of all its runs.
    """

    folder: Path
    experiment: str
    started: str
    status: str
    test: dict[str, dict[str, float]]
    metric: str = DEFAULT_METRIC
    seconds: float = 0.0
    lower_is_better: Collection[str] = LOWER_IS_BETTER
    untested: bool = False
    """Whether runs are done, and none has a test split."""

    def best(self, metric: str | None = None) -> tuple[str, float] | None:
        """Return the variant with the best test mean of a metric, its own when none is given, and the mean."""
        metric = metric or self.metric
        scores = {name: means[metric] for name, means in self.test.items() if means.get(metric) is not None}
        if not scores:
            return None
        name = (min if metric in self.lower_is_better else max)(scores, key=lambda name: scores[name])
        return name, scores[name]

    def as_dict(self, metric: str | None = None) -> Json:
        """Return the row as plain data."""
        best = self.best(metric)
        return {
            "folder": str(self.folder),
            "experiment": self.experiment,
            "started": self.started,
            "status": self.status,
            "test": self.test,
            "best": best and {"metric": metric or self.metric, "variant": best[0], "value": best[1]},
            "seconds": self.seconds,
        }


def list_runs(runs_dir: Path) -> list[RunRow]:
    """Return every run folder below ``runs_dir``, newest first; files that were read before are not read again."""
    index, found = FileIndex.stored(runs_dir, LISTED), run_folders(runs_dir)
    experiments = {entry.path: _real(entry).name for entry in folders_in(runs_dir)}
    rows = []
    for entry in found:
        if (spec := stamp_of(f"{entry.path}/spec.toml")) is not None:
            folder = Path(entry.path)
            experiment = _real(entry).parent.name if entry.is_symlink() else experiments[str(folder.parent)]
            rows.append(_row(folder, index, experiment, spec))
    index.save([entry.path for entry in found])
    return rows


def read_row(folder: Path) -> RunRow:
    """Return the row of a run folder, from those of its files that can be read."""
    index, spec = FileIndex(folder.parent, LISTED, None), stamp_of(f"{folder}/spec.toml")
    return _row(folder, index, folder.resolve().parent.name, spec)


def _row(folder: Path, index: FileIndex, experiment: str, spec_stamp: str | None) -> RunRow:
    """Return the row of a run folder; what ``index`` knows of its files is not read again."""
    path = str(folder)
    summary, broken = _known(index, f"{path}/summary.json", stamp_of(f"{path}/summary.json"), summary_in_short)
    spec, spec_broken = _known(index, f"{path}/spec.toml", spec_stamp, _monitor)
    runs = [_result_in_short(index, *place) for place in runs_in(path)]
    ended = [run for run in runs if run is not None]
    unreadable = spec_broken == UNREADABLE or any(run["status"] == UNREADABLE for run in ended)
    return RunRow(
        folder,
        experiment,
        folder.name.partition("-")[0],
        UNREADABLE if unreadable else summary.get("status", broken),
        summary.get("test", {}),
        spec.get("monitor", DEFAULT_METRIC),
        sum(run.get("train_seconds") or 0.0 for run in ended),
        summary.get("lower_is_better", LOWER_IS_BETTER),
        summary.get("untested", False),
    )


def _real(entry: DirEntry[str]) -> Path:
    """Return the path of a folder, or of that to which a link leads."""
    return Path(entry.path).resolve() if entry.is_symlink() else Path(entry.path)


def summary_in_short(path: Path) -> Json:
    """Return what lists show of a ``summary.json``."""
    summary = stored.read_summary(path)
    return {
        **{name: summary[name] for name in ("status", "lower_is_better") if name in summary},
        "test": {name: _means(variant) for name, variant in summary["variants"].items()},
        "untested": shown_split(summary) == "validation",
    }


def result_in_short(path: Path) -> Json:
    """Return what lists show of a ``result.json``."""
    result = stored.read_result(path)
    return {name: result[name] for name in SHOWN if name in result}


def _monitor(path: Path) -> Json:
    training = stored.read_spec(path).get("training", {})
    return {"monitor": training["monitor"]} if "monitor" in training else {}


def _result_in_short(index: FileIndex, path: str, variant: str, repeat: Repeat | None) -> Json | None:
    """Return what lists show of a run; None where it has not ended."""
    file = f"{path}/result.json"
    if (stamp := stamp_of(file)) is None:
        return None
    try:
        result: Json = index.get(file, stamp, result_in_short)
    except KexpError:
        return {"status": UNREADABLE}
    return result if (result["variant"], Repeat.of(result)) == (variant, repeat) else {"status": UNREADABLE}


def _known(index: FileIndex, path: str, stamp: str | None, read: Callable[[Path], Json]) -> tuple[Json, str]:
    """Return what is shown of a file and ""; or an empty object and "unfinished" or "unreadable"."""
    if not stamp:
        return {}, "unfinished"
    try:
        return index.get(path, stamp, read), ""
    except KexpError:
        return {}, UNREADABLE


def results(folder: Path) -> Iterator[Json]:
    """Yield the object of every ``result.json``, by variant, draw, fold and seed.

    One that cannot be read, or that belongs to another run, has the status "unreadable" and the reason.
    """
    for path, variant, repeat in run_files(folder, "result.json"):
        try:
            result = stored.read_result(path)
            if (result["variant"], Repeat.of(result)) != (variant, repeat):
                raise KexpError(f"{path}: it is the result of {result['variant']} {Repeat.of(result).name}")
        except KexpError as error:
            keys = {"seed": 0} if repeat is None else repeat.keys()
            result = {"status": UNREADABLE, "reason": str(error), "variant": variant, **keys}
        yield result


def _means(variant: Mapping[str, Any]) -> dict[str, float]:
    return {metric: found["mean"] for metric, found in variant.get("metrics", {}).get("test", {}).items()}


def chosen(
    rows: Sequence[RunRow], *, experiment: str | None = None, status: str | None = None, metric: str | None = None
) -> list[RunRow]:
    """Return the rows of an experiment and with a status, the best by a test metric first; else the newest first.

    Raises ``KexpError`` for a name that none of the rows has.
    """
    if experiment is not None:
        known = {row.experiment for row in rows}
        if experiment not in known:
            raise KexpError(f'no run of "{experiment}"; {did_you_mean(experiment, known)}'.rstrip("; "))
        rows = [row for row in rows if row.experiment == experiment]
    if status is not None:
        if status not in STATUSES:
            raise KexpError(f'unknown status "{status}"; {did_you_mean(status, STATUSES)}')
        rows = [row for row in rows if row.status == status]
    if metric is None or not rows:
        return list(rows)
    scored = [(best[1], row) for row in rows if (best := row.best(metric))]
    if not scored:
        known = {name for row in rows for means in row.test.values() for name in means}
        raise KexpError(f'no run has a test metric "{metric}"; {did_you_mean(metric, known)}'.rstrip("; "))
    lower = any(metric in row.lower_is_better for _, row in scored)
    ordered = [row for _, row in sorted(scored, key=lambda pair: pair[0], reverse=not lower)]
    there = {row.folder for row in ordered}
    return ordered + [row for row in rows if row.folder not in there]


def local_time(stamp: str) -> str:
    """Return the local date and time of a folder's stamp or of ISO 8601; any other text unchanged."""
    try:
        moment = datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        try:
            moment = datetime.fromisoformat(stamp)
        except ValueError:
            return stamp
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


# --- studies -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StudyRow:
    """The folder of one search; the status is "unfinished" until it first ends or is interrupted."""

    folder: Path
    experiment: str
    started: str
    status: str
    trials: dict[str, int]
    goals: dict[str, str]
    best: float | Sequence[float] | None
    best_trial: int | None
    final: str | None

    def as_dict(self) -> Json:
        """Return the row as plain data."""
        return {**asdict(self), "folder": str(self.folder)}


def list_studies(runs_dir: Path) -> list[StudyRow]:
    """Return every study below ``runs_dir``, newest first."""
    folders = [entry.path for entry in run_folders(runs_dir)]
    rows = [read_study_row(Path(path)) for path in folders if stamp_of(f"{path}/study.toml") is not None]
    return sorted(rows, key=lambda row: (row.started, row.folder.name), reverse=True)


def read_study_row(folder: Path) -> StudyRow:
    """Return the row of the folder of a study, from those of its files that can be read."""
    found, status = _readable(folder / "study.json", stored.read_study)
    started = _readable(folder / "environment.json", stored.read_environment)[0].get("started", "")
    return StudyRow(
        folder,
        folder.resolve().parent.name,
        started,
        found.get("status", status),
        {name: count for name, count in found.get("trials", {}).items() if count},
        found.get("goals", {}),
        found.get("best_value"),
        found.get("best_trial"),
        found.get("final"),
    )


def _readable(path: Path, read: Callable[[Path], Json]) -> tuple[Json, str]:
    """Return the object and ""; or an empty object and "unfinished" or "unreadable"."""
    try:
        return (read(path), "") if path.is_file() else ({}, "unfinished")
    except KexpError:
        return {}, UNREADABLE


# --- one run folder ------------------------------------------------------------------------------------------------


def read_spec(folder: Path) -> Json:
    """Return the resolved spec of a run folder; raises ``KexpError`` for any other folder."""
    if not (folder / "spec.toml").is_file():
        if (folder / "study.toml").is_file():
            final = _readable(folder / "study.json", stored.read_study)[0].get("final")
            hint = f"; its best spec was tested in {final}" if final else ""
            raise KexpError(f"{folder} is a study, not a run folder; its page is study.html{hint}")
        what = "is not a run folder: it has no spec.toml" if folder.is_dir() else "does not exist"
        raise KexpError(f"{folder} {what}")
    # An earlier version may have written passwords.
    return dict(hidden(stored.read_spec(folder / "spec.toml")))


def spec_of(table: Mapping[str, Any], variant: str) -> Json:
    """Return the resolved spec of a variant, without the sections on which no result depends."""
    whole = stored.check_spec(f"variant {variant}", nested.merge(table, table.get("variants", {}).get(variant, {})))
    return {name: value for name, value in whole.items() if name not in UNIMPORTANT}


def differences(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the dotted paths at which two specs differ, with both values as text, ``NO_VALUE`` if it is missing."""
    before, after = dict(_flat("", base)), dict(_flat("", other))
    pairs = {path: (before.get(path, NO_VALUE), after.get(path, NO_VALUE)) for path in (*before, *after)}
    return {path: pair for path, pair in pairs.items() if pair[0] != pair[1]}


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(f"{path}.{key}" if path else str(key), item)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            yield from _flat(f"{path}[{number}]", item)
    else:
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def show(folder: Path) -> Json:
    """Return the spec and the results of a run folder, and what its runs found by epoch.

    Raises ``KexpError`` for any other folder.
    """
    table, row = read_spec(folder), read_row(folder)
    known = list(results(folder))
    variants = list(table.get("variants", {})) or sorted({result["variant"] for result in known})
    base = spec_of(table, "")
    environment = _readable(folder / "environment.json", stored.read_environment)[0]
    return {
        **row.as_dict(),
        "started": environment.get("started", row.started),
        "command": environment.get("command", []),
        "description": table.get("description", ""),
        "seeds": table.get("seeds", []),
        "asked": base,
        "variants": {name: differences(base, spec_of(table, name)) for name in variants},
        "runs": [_run(folder, result) for result in known],
        "summary": _readable(folder / "summary.json", stored.read_summary)[0],
        "paths": {name: str(folder / name) for name in PATHS if (folder / name).is_file()},
    }


PATHS = ("spec.toml", "environment.json", "summary.json", "report.html", CARD)


def _run(folder: Path, result: Mapping[str, Any]) -> Json:
    repeat = Repeat.of(result)
    path = folder / result["variant"] / repeat.folder
    keys = (
        "status",
        "reason",
        "metrics",
        "best_epoch",
        "kept_epoch",
        "train_seconds",
        "peak_memory_mib",
        "calibration",
    )
    which = {"variant": result["variant"], **repeat.keys()}
    return {**which, **{name: result.get(name) for name in keys}, "epochs": epochs(path), "folder": str(path)}
