"""The pages that are read: runs, one run, comparisons, studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from kexp.errors import KexpError
from kexp.report.label_sets import labels_alone
from kexp.report.mistakes import mistakes
from kexp.report.predictions import rows_of
from kexp.report.run_page import facts, has_classes, measured_split
from kexp.results.compare import compare_runs
from kexp.results.runs import differences
from kexp.ui.folders import Run
from kexp.ui.groups import FOLDERS, STRANGE, option_table
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
        except STRANGE as error:
            remarks.append(f"{key}: a file is not as kexp writes it ({type(error).__name__}: {error})")
        return otherwise

    result = read(lambda: library.result(key), {})
    split = measured_split(result)
    spec = read(lambda: library.spec(key), {})
    base = read(lambda: library.base_spec(key), {}) if spec else {}
    return {
        "run": run,
        "monitor": spec.get("training", {}).get("monitor", ""),
        "result": result,
        "split": split,
        "facts": read(lambda: facts(result), {}),
        "scores": {name: of for name, of in result.get("metrics", {}).items() if of},
        "per_class": result.get("per_class", {}).get(split, []),
        "confusion": confusion(result, split),
        "labels_alone": read(lambda: labels_alone(result, split, None), None),
        "errors": result.get("scores", {}).get(split, {}),
        "mistakes": read(lambda: mistakes(_rows(library.path(key), split, result)), mistakes(None)),
        "options": {path: value for path, (_, value) in differences({}, spec).items() if path},
        "changed": differences(base, spec) if base else {},
        "has_report": library.has_file(folder, "report.html"),
        "has_card": library.has_file(folder, "data.html"),
        "remarks": list(dict.fromkeys(remarks)),
    }


def confusion(result: Json, split: str) -> list[list[int]]:
    """Return the confusion matrix of a split; an empty one where it has not as many rows and columns as labels."""
    matrix: list[list[int]] = result.get("confusion_matrix", {}).get(split, [])
    count = len(result.get("labels", ()))
    return matrix if {len(matrix), *map(len, matrix)} == {count} else []


def _rows(path: Path, split: str, result: Json) -> Any:
    """Return the predictions of a run for a split; None where there are none, or none that are right or wrong."""
    path /= "predictions.parquet"
    if not path.is_file():
        return None
    numbers = ["confidence"] if has_classes(result) else []
    rows = rows_of(path, split, ["text", "label", "predicted"], numbers, optional=["confidence"])
    return rows if len(rows) and "confidence" in rows else None


def _comparison(library: Library, keys: Sequence[str]) -> Json:
    """Return what the page of a comparison shows; of runs that are gone or damaged ``remarks`` say what is missing."""
    runs, specs, results, remarks = dict[str, Run](), dict[str, Json](), dict[str, Json](), list[str]()
    for key in keys:
        try:
            runs[key] = library.run(key)
        except UnknownRun as error:
            remarks.append(f"left out: {error}")
            continue
        for found, read in ((specs, library.spec), (results, library.result)):
            try:
                found[key] = read(key)
            except (KexpError, OSError) as error:
                found[key] = {}
                remarks.append(str(error))
    if not runs:
        raise UnknownRun("; ".join(remarks))
    remarks = list(dict.fromkeys(remarks))
    compared = _tested(library, results, remarks)
    groups: dict[str, list[str]] = {}
    for key in runs:
        groups.setdefault("/".join(key.split("/")[:3]), []).append(key)
    options, values = option_table({group: specs[of[0]] for group, of in groups.items()})
    return {
        "runs": runs,
        "monitor": next(iter(specs.values())).get("training", {}).get("monitor", ""),
        "results": results,
        "matrices": {key: confusion(of, "test") or confusion(of, "validation") for key, of in results.items()},
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
    except STRANGE as error:
        remarks.append(f"not compared: a file is not as kexp writes it ({type(error).__name__}: {error})")
    return found


def _titles(keys: Sequence[str]) -> dict[str, str]:
    """Return short names of groups, without the leading parts that all share."""
    parts = [key.split("/") for key in keys]
    shared = 0
    while all(len(part) > shared + 1 and part[shared] == parts[0][shared] for part in parts):
        shared += 1
    return {key: " ".join(part[shared:]) for key, part in zip(keys, parts, strict=True)}
