"""The pages that are read: runs, one run, comparisons, studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from kexp.errors import KexpError
from kexp.report.predictions import rows_of
from kexp.report.run_page import facts, mistakes
from kexp.results.compare import compare_runs
from kexp.results.runs import differences
from kexp.ui.folders import Run
from kexp.ui.groups import FOLDERS, option_table
from kexp.ui.library import Library, UnknownRun
from kexp.ui.studies import StudyReader, study_rows

COMPARED = 40
"""Runs that are compared on one page, at most."""

MANY = 500
"""Run folders in the table of runs, at most."""

Keys = Annotated[list[str], Query(min_length=1, max_length=COMPARED)]
Json = dict[str, Any]


def routes(library: Library, draw: Callable[..., HTMLResponse]) -> APIRouter:
    """Return the routes of these pages."""
    router = APIRouter()

    @router.get("/")
    def runs(
        filter: Annotated[str, Query(max_length=200)] = "",
        experiment: Annotated[str | None, Query(max_length=255)] = None,
        folders: Annotated[int, Query(ge=1, le=MANY)] = FOLDERS,
    ) -> HTMLResponse:
        table = library.groups.table(filter, folders, experiment)
        asked = {"filter": filter, "experiment": experiment, "folders": folders}
        return draw(
            "runs",
            table=table,
            asked={name: value for name, value in asked.items() if value},
            more=min(4 * folders, MANY),
            token=library.remember(table),
            folder=library.folder,
            compared=COMPARED,
        )

    @router.get("/run")
    def run(run: str) -> HTMLResponse:
        return draw("run", **run_values(library, run))

    @router.get("/compare")
    def compare(run: Keys) -> HTMLResponse:
        return draw("compare", **_comparison(library, list(dict.fromkeys(run))))

    @router.get("/studies")
    def studies() -> HTMLResponse:
        return draw("studies", studies=study_rows(library))

    @router.get("/study")
    def study(study: str) -> HTMLResponse:
        reader = StudyReader(library.kexp_folder(study, "study.toml"))
        has_page = library.has_file(reader.folder, "study.html")
        return draw("study", key=study, reader=reader, has_page=has_page)

    return router


def run_values(library: Library, key: str) -> Json:
    """Return what the page of a run shows; what of it cannot be read is said in ``remarks``."""
    run, remarks = library.run(key), list[str]()
    folder = library.run_folder(key)

    def read(what: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return what()
        except (KexpError, OSError) as error:
            remarks.append(str(error))
            return otherwise

    result = read(lambda: library.result(key), {})
    split = "test" if "test" in result.get("confusion_matrix", {}) else "validation"
    spec = read(lambda: library.spec(key), {})
    base = read(lambda: library.base_spec(key), {}) if spec else {}
    return {
        "run": run,
        "result": result,
        "split": split,
        "facts": facts(result),
        "scores": {name: of for name, of in result.get("metrics", {}).items() if of},
        "per_class": result.get("per_class", {}).get(split, []),
        "confusion": result.get("confusion_matrix", {}).get(split, []),
        "mistakes": mistakes(read(lambda: _rows(library.path(key), split), None)),
        "options": {path: value for path, (_, value) in differences({}, spec).items() if path},
        "changed": differences(base, spec) if base else {},
        "has_report": library.has_file(folder, "report.html"),
        "has_card": library.has_file(folder, "data.html"),
        "remarks": list(dict.fromkeys(remarks)),
    }


def _rows(path: Path, split: str) -> Any:
    """Return the predictions of a run for a split; None where there are none."""
    path /= "predictions.parquet"
    if not path.is_file():
        return None
    rows = rows_of(path, split, ["text", "label", "predicted"], ["confidence"])
    return rows if len(rows) else None


def _comparison(library: Library, keys: Sequence[str]) -> Json:
    """Return what the page of a comparison shows; runs that are gone or damaged are left out with a remark."""
    runs, specs, results, remarks = dict[str, Run](), dict[str, Json](), dict[str, Json](), list[str]()
    for key in keys:
        try:
            found = library.run(key), library.spec(key), library.result(key)
        except (KexpError, OSError) as error:
            if len(keys) == 1:
                raise
            remarks.append(f"left out: {error}")
            continue
        runs[key], specs[key], results[key] = found
    if not runs:
        raise UnknownRun("; ".join(remarks))
    compared = _tested(library, results, remarks)
    groups: dict[str, list[str]] = {}
    for key in runs:
        groups.setdefault("/".join(key.split("/")[:3]), []).append(key)
    options, values = option_table({group: specs[of[0]] for group, of in groups.items()})
    return {
        "runs": runs,
        "results": results,
        "groups": groups,
        "titles": _titles(list(groups)),
        "compared": compared,
        "options": options,
        "values": values,
        "remarks": remarks,
    }


def _tested(library: Library, results: Mapping[str, Json], remarks: list[str]) -> Json:
    """Return the means and tests of those of the runs that were tested."""
    tested = [library.path(key) for key, result in results.items() if "test" in result.get("metrics", {})]
    found: Json = {"models": [], "table": None, "tests": []}
    try:
        if tested:
            found = compare_runs(tested)
            remarks += found["remarks"]
    except KexpError as error:
        remarks += str(error).splitlines()
    return found


def _titles(keys: Sequence[str]) -> dict[str, str]:
    """Return short names of groups, without the leading parts that all share."""
    parts = [key.split("/") for key in keys]
    shared = 0
    while all(len(part) > shared + 1 and part[shared] == parts[0][shared] for part in parts):
        shared += 1
    return {key: " ".join(part[shared:]) for key, part in zip(keys, parts, strict=True)}
