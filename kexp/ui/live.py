"""What is told while it happens: the table of runs, the curves and the log of runs, the trials of a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, StreamingResponse

from kexp.errors import KexpError
from kexp.report.run_folder import finite
from kexp.ui.curves import CurveReader, LogReader
from kexp.ui.folders import Run
from kexp.ui.groups import FOLDERS, Group, Section, Table, is_ended
from kexp.ui.library import Library, UnknownRun
from kexp.ui.pages import COMPARED, MANY, run_values
from kexp.ui.streams import Event, Streams
from kexp.ui.studies import StudyReader

Render = Callable[..., str]
Json = dict[str, Any]
Keys = Annotated[list[str], Query(min_length=1, max_length=COMPARED)]


def routes(library: Library, render: Render, streams: Streams) -> APIRouter:
    """Return the routes below ``/events/``, and the runs as data."""
    router = APIRouter()

    @router.get("/data/runs")
    def data_runs() -> JSONResponse:
        return JSONResponse(finite([run.as_dict() for run in library.runs()]))

    @router.get("/data/curves")
    def data_curves(run: Keys) -> JSONResponse:
        return JSONResponse(finite([library.curves(key) for key in run]))

    @router.get("/events/runs")
    def events_runs(
        since: str = "",
        filter: Annotated[str, Query(max_length=200)] = "",
        experiment: Annotated[str | None, Query(max_length=255)] = None,
        folders: Annotated[int, Query(ge=1, le=MANY)] = FOLDERS,
    ) -> StreamingResponse:
        def look() -> Table:
            return library.groups.table(filter, folders, experiment)

        return streams.response(TableChanges(look, render, library.remembered(since), library.remember))

    @router.get("/events/curves")
    def events_curves(run: Keys) -> StreamingResponse:
        return streams.response(CurveChanges(library, run))

    @router.get("/events/run")
    def events_run(run: str) -> StreamingResponse:
        return streams.response(RunChanges(library, render, run, library.run(run)))

    @router.get("/events/study")
    def events_study(study: str) -> StreamingResponse:
        return streams.response(StudyChanges(StudyReader(library.kexp_folder(study, "study.toml"))))

    return router


@dataclass(slots=True)
class TableChanges:
    """The table of runs: sections with other columns as a whole, else the groups that are new, changed or gone."""

    look: Callable[[], Table]
    render: Render
    known: Table | None
    """What the browser has; None if that is not known, so that it is sent everything."""
    remember: Callable[[Table], str] = lambda table: ""
    """Returns the name by which a browser that comes back says what it has."""

    def changes(self) -> Sequence[Event]:
        """Return one event with what has changed as HTML, by experiment and by key of the group.

        ``placed`` has each new group with its experiment and the group that it stands before, the last ones first.
        """
        table, before = self.look(), self.known
        if table == before:
            return []
        self.known = table
        old = {section.experiment: section for section in before.sections} if before else {}
        sections, groups, placed, removed = dict[str, str](), dict[str, str](), list[Json](), list[str]()
        for section in table.sections:
            same = old.get(section.experiment)
            if same is None or not _fits(same, section):
                sections[section.experiment] = self.render("_section", section=section)
                continue
            known = {group.key: group for group in same.groups}
            for group, after in zip(section.groups[::-1], [None, *section.groups[:0:-1]], strict=True):
                if _shown(section, group) != _shown(same, known.get(group.key)):
                    groups[group.key] = self.render("_group", section=section, group=group)
                if group.key not in known:
                    next_key = None if after is None else after.key
                    placed.append({"group": group.key, "experiment": section.experiment, "before": next_key})
            removed += known.keys() - {group.key for group in section.groups}
        return [
            (
                "table",
                {
                    "order": [section.experiment for section in table.sections],
                    "sections": sections,
                    "groups": groups,
                    "placed": placed,
                    "removed": sorted(removed),
                    "token": self.remember(table),
                },
            )
        ]


def _fits(old: Section, new: Section) -> bool:
    """Return whether a section has the columns that it had, and the groups that it still has in the same order."""
    columns = [(section.metrics, section.options, section.left_out) for section in (old, new)]
    before, after = ([group.key for group in section.groups] for section in (old, new))
    kept = {*before} & {*after}
    return columns[0] == columns[1] and [key for key in before if key in kept] == [key for key in after if key in kept]


def _shown(section: Section, group: Group | None) -> object:
    """Return all on which the HTML of a group depends besides the columns of its section."""
    return group, None if group is None else section.values.get(group.key)


@dataclass(slots=True)
class Troubles:
    """What could not be read, each told once: a damaged file hides no other one."""

    told: dict[str, str] = field(default_factory=dict)

    def read(self, what: str, read: Callable[[], Json | None], events: list[Event]) -> Json | None:
        """Return what ``read`` returns; None, with an event, where it cannot be read. Raises ``UnknownRun``."""
        try:
            found = read()
        except UnknownRun:
            raise
        except (KexpError, OSError) as error:
            if self.told.get(what) != str(error):
                self.told[what] = str(error)
                events.append(("trouble", {"detail": str(error)}))
            return None
        self.told.pop(what, None)
        return found


@dataclass(slots=True)
class CurveChanges:
    """The curves of some runs, until all of them have ended."""

    library: Library
    keys: Sequence[str]
    readers: dict[str, CurveReader] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    troubles: Troubles = field(default_factory=Troubles)

    def changes(self) -> Sequence[Event] | None:
        """Return the new events of every run."""
        if self.ended >= {*self.keys}:
            return None
        events: list[Event] = []
        for key in [key for key in self.keys if key not in self.ended]:
            try:
                # Before its events are read, so that none is written afterwards.
                ended = is_ended(self.library.run(key).status)
                reader = self.readers.setdefault(key, CurveReader(self.library.path(key) / "metrics.jsonl"))
                new = self.troubles.read(key, reader.new, events)
            except UnknownRun as error:
                events.append(("trouble", {"detail": str(error)}))
                ended, new = True, None
            if new is not None:
                events.append(("curves", {"run": key, **new}))
            if ended:
                self.ended.add(key)
        return events


@dataclass(slots=True)
class RunChanges:
    """The curves, the log and the outcome of a run, until it has ended."""

    library: Library
    render: Render
    key: str
    known: Run
    curves: CurveReader | None = None
    log: LogReader | None = None
    ended: bool = False
    troubles: Troubles = field(default_factory=Troubles)

    def changes(self) -> Sequence[Event] | None:
        """Return the new events and log lines, the progress, and the outcome as HTML where it has changed."""
        if self.ended:
            return None
        run, events = self.library.run(self.key), list[Event]()
        folder = self.library.path(self.key)
        self.curves = self.curves or CurveReader(folder / "metrics.jsonl")
        self.log = self.log or LogReader(folder / "log.txt")
        if (new := self.troubles.read("curves", self.curves.new, events)) is not None:
            events.append(("curves", {"run": self.key, **new}))
        if self.library.has_file(folder, "log.txt") and (lines := self.troubles.read("log", self.log.new, events)):
            events.append(("log", lines))
        if run != self.known:
            if run.status != self.known.status:
                events.append(("outcome", {"html": self.render("_outcome", **run_values(self.library, self.key))}))
            events.append(("progress", {"status": run.status, "step": run.step, "total": run.total_steps}))
            self.known = run
        self.ended = is_ended(run.status)
        return events


@dataclass(slots=True)
class StudyChanges:
    """The trials of a study, until no process works on it."""

    reader: StudyReader
    known: dict[int, Json] = field(default_factory=dict)
    told: Json = field(default_factory=dict)
    ended: bool = False

    def changes(self) -> Sequence[Event] | None:
        """Return the trials that are new or have changed, and status and counts where these have."""
        if self.ended:
            return None
        state = self.reader.state()
        changed = [trial for trial in state.pop("trials") if self.known.get(trial["trial"]) != trial]
        self.known |= {trial["trial"]: trial for trial in changed}
        # A study that has just begun has no trial and no process yet.
        self.ended = state["status"] not in ("running", "unfinished")
        if not changed and state == self.told:
            return []
        self.told = state
        return [("study", {**state, "trials": changed})]
