"""The table of runs: those of a variant in a run folder are a group, and groups stand below their experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kexp.errors import KexpError
from kexp.report.export import NO_VALUE
from kexp.report.summary import build_summary
from kexp.results.runs import STATUSES, UNREADABLE, differences, spec_of
from kexp.ui.folders import Folders, Run

FOLDERS = 50
"""Run folders that the table shows at first."""

COLUMNS = 12
"""Options of the spec that have a column in the table of an experiment, at most."""

STRANGE = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError)
"""What is raised for values that kexp never writes, but a run folder of somebody else may have."""

RUN_STATUSES = (*STATUSES, "running", "pruned")

SHOWN = ("accuracy", "macro_f1")
"""Metrics that have a column in the table, besides the monitored ones."""


@dataclass(frozen=True, slots=True)
class Group:
    """The runs of one variant in a run folder; ``key`` is the folder of the variant below the runs folder.

    ``test`` has the means over its finished runs by metric, ``spec`` is empty where it cannot be read.
    """

    key: str
    runs: tuple[Run, ...]
    test: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    has_report: bool = False

    @property
    def status(self) -> str:
        """The status that all its runs have, or how many have which."""
        counts = Counter(run.status for run in self.runs)
        return next(iter(counts)) if len(counts) == 1 else ", ".join(f"{n} {status}" for status, n in counts.items())

    @property
    def seconds(self) -> float | None:
        """How long all its runs trained; None where none has ended."""
        known = [run.train_seconds for run in self.runs if run.train_seconds is not None]
        return sum(known) if known else None

    def matches(self, words: Sequence[str]) -> bool:
        """Return whether every word, in lower case, is in its key or the status of one of its runs."""
        texts = [self.key.lower(), *{run.status for run in self.runs}]
        return all(any(word in text for text in texts) for word in words)


@dataclass(frozen=True, slots=True)
class Section:
    """The groups of one experiment: their test metrics, and the options of the spec in which they differ."""

    experiment: str
    groups: Sequence[Group]
    metrics: Sequence[str]
    options: Sequence[str]
    values: Mapping[str, Sequence[str]]
    """By key of the group, the value of each of the options."""
    left_out: int
    """Options in which they differ, too, and which have no column."""


@dataclass(frozen=True, slots=True)
class Table:
    """What is shown of the runs folder: ``shown`` of at least ``folders`` run folders."""

    sections: Sequence[Section]
    shown: int
    more: bool


@dataclass(slots=True)
class Groups:
    """Makes tables of the runs; the means of runs that have not changed are not computed again."""

    folders: Folders
    known: dict[str, Group] = field(default_factory=dict)
    sections: dict[str, Section] = field(default_factory=dict)

    def table(self, words: str = "", limit: int = FOLDERS, experiment: str | None = None) -> Table:
        """Return the newest ``limit`` run folders that have a group with all of these words, by experiment."""
        wanted, found, shown, more = words.lower().split(), dict[str, list[Group]](), 0, False
        for folder in self.folders.newest_first():
            if experiment is not None and folder.parent.name != experiment:
                continue
            groups = [group for group in self._bare(folder, wanted) if group.matches(wanted)]
            if not groups:
                continue
            if shown == limit:
                more = True
                break
            shown += 1
            found.setdefault(groups[0].runs[0].experiment, []).extend(self._full(folder, group) for group in groups)
        self.folders.save()
        return Table([self._section(name, groups) for name, groups in found.items()], shown, more)

    def _section(self, experiment: str, groups: Sequence[Group]) -> Section:
        known = self.sections.get(experiment)
        if known is None or known.groups != groups:
            known = self.sections[experiment] = _section(experiment, groups)
        return known

    def _bare(self, folder: Path, words: Sequence[str]) -> Iterator[Group]:
        """Yield the groups of a run folder without their means; none where a look at names tells that none matches."""
        text = f"{folder.parent.name}/{folder.name}".lower()
        rest = [word for word in words if word not in text and not any(word in status for status in RUN_STATUSES)]
        if rest:
            names = " ".join(self.folders.variants(folder)).lower()
            if not all(word in names or "/" in word for word in rest):
                return
        by_variant: dict[str, list[Run]] = {}
        for run in self.folders.runs(folder):
            by_variant.setdefault(run.variant, []).append(run)
        for variant, runs in by_variant.items():
            yield Group("/".join((*runs[0].key.split("/")[:2], variant)), tuple(runs))

    def _full(self, folder: Path, group: Group) -> Group:
        """Return a group with its means and its spec."""
        try:
            spec: Mapping[str, Any] = spec_of(self.folders.spec(folder), group.runs[0].variant)
        # Of a spec that is damaged the runs are shown all the same.
        except (KexpError, OSError):
            spec = {}
        has_report = (folder / "report.html").is_file()
        known = self.known.get(group.key)
        if known is None or (known.runs, known.spec, known.has_report) != (group.runs, spec, has_report):
            known = Group(group.key, group.runs, _means(group.runs, spec), spec, has_report)
            self.known[group.key] = known
        return known


def _means(runs: Sequence[Run], spec: Mapping[str, Any]) -> Mapping[str, Any]:
    done = [
        {"variant": run.variant, "status": run.status, "metrics": run.metrics, "experiment": "", **run.repeat.keys()}
        for run in runs
        if run.status == "done"
    ]
    if not done:
        return {}
    variant = runs[0].variant
    try:
        found = build_summary(done, baselines={}, data={}, predictions=lambda _: None, specs={variant: spec})
    except STRANGE:
        return {}
    means: Mapping[str, Any] = found["variants"][variant]["metrics"].get("test", {})
    return means


def _section(experiment: str, groups: Sequence[Group]) -> Section:
    known = {name for group in groups for name in group.test}
    monitors = [run.monitor for group in groups for run in group.runs]
    metrics = [name for name in dict.fromkeys([*filter(None, monitors), *SHOWN]) if name in known]
    options, values = option_table({group.key: group.spec for group in groups if group.spec})
    changed = [number for number, name in enumerate(options) if name != "seeds"]
    # Options of a component that only some have come after those that all have, and after which component it is.
    changed.sort(
        key=lambda number: not options[number].endswith(".use") and NO_VALUE in [of[number] for of in values.values()]
    )
    kept = changed[:COLUMNS]
    return Section(
        experiment,
        groups,
        metrics,
        [options[number] for number in kept],
        {key: [short(of[number]) for number in kept] for key, of in values.items()},
        len(changed) - len(kept),
    )


def option_table(specs: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the options in which specs differ, and by the key of each spec their values as text."""
    first = next(iter(specs.values()), {})
    changes = {key: differences(first, spec) for key, spec in specs.items()}
    # Where a spec does not differ, it has the value of the first.
    of_first = {path: before for found in changes.values() for path, (before, _) in found.items()}
    values = {
        key: [found[path][1] if path in found else before for path, before in of_first.items()]
        for key, found in changes.items()
    }
    return list(of_first), values


def short(value: str) -> str:
    """Return a number with many digits with five significant ones; any other text as it is."""
    try:
        return f"{float(value):.5g}" if len(value) > 8 else value
    except ValueError:
        return value


def is_ended(status: str) -> bool:
    """Return whether a run of this status will not change by itself."""
    return status not in ("running", UNREADABLE)
