"""The pages and the data that they request, as a FastAPI application."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, Protocol, Self

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from jinja2 import DictLoader
from pydantic import BaseModel, Field, model_validator
from starlette.middleware.trustedhost import TrustedHostMiddleware

from kexp.errors import KexpError
from kexp.evaluate.attributions import WordAttributions, attribute_words
from kexp.inference.columns import TextColumns, columns_of
from kexp.names import plain_name
from kexp.report.data_card_link import CARD
from kexp.report.html import page_environment, plain, score
from kexp.report.run_folder import finite
from kexp.results.compare import stated
from kexp.results.runs import differences
from kexp.ui.guard import Guard
from kexp.ui.library import Library, Run, UnknownRun
from kexp.validation_messages import describe_validation_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODELS = 8
"""Models that are kept in memory, at most."""

SHOWN = ("accuracy", "macro_f1")
"""Metrics that have a column in the table of runs, besides the monitored one."""


class Model(Protocol):
    """The part of a trained model that the page uses."""

    labels: Sequence[str]

    @property
    def columns(self) -> TextColumns:
        """The columns that it was trained on."""

    def predict(self, texts: Sequence[Any]) -> NDArray[np.float64]:
        """Return probabilities of shape (rows, labels)."""


Load = Callable[[Path], Model]


class PredictRequest(BaseModel):
    """A text, or one for each column, and the runs whose models predict it."""

    text: str = Field("", max_length=20_000)
    columns: dict[str, Annotated[str, Field(max_length=20_000)]] = Field({}, max_length=20)
    runs: list[str] = Field(min_length=1, max_length=MODELS)

    @model_validator(mode="after")
    def _need_text(self) -> Self:
        if not self.text and not any(self.columns.values()):
            raise ValueError("a text is needed")
        return self


def make_app(runs_dir: Path, load: Load, hosts: Sequence[str]) -> FastAPI:
    """Return the application; ``hosts`` are the names under which it answers.

    Other names are refused, so that other web pages cannot reach it through their own host name (DNS rebinding).
    """
    app = FastAPI(title="kexp", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    library = Library(runs_dir)
    draw = _pages()
    _add_pages(app, library, draw)
    _add_data(app, library)
    _add_models(app, library, load)

    @app.exception_handler(KexpError)
    def report_error(request: Request, error: KexpError) -> Response:
        status = 404 if isinstance(error, UnknownRun) else 422
        if request.url.path.startswith("/data/"):
            return JSONResponse({"detail": str(error)}, status)
        page = draw("error", message=str(error))
        page.status_code = status
        return page

    @app.exception_handler(RequestValidationError)
    def report_request(request: Request, error: RequestValidationError) -> Response:
        # Without the input, which may be no valid text.
        problems = [
            f"{'.'.join(map(str, one['loc']))}: {describe_validation_error(one).partition(', found ')[0]}"
            for one in error.errors()
        ]
        return JSONResponse({"detail": "; ".join(problems)}, 422)

    return app


def _pages() -> Callable[..., HTMLResponse]:
    folder = files("kexp.ui").joinpath("templates")
    names = ("base", "runs", "compare", "predict", "studies", "error")
    jinja = page_environment()
    jinja.loader = DictLoader({name: folder.joinpath(f"{name}.html.j2").read_text("utf-8") for name in names})
    jinja.filters |= {"score": score, "plain": plain}
    jinja.globals["value_of"] = _value_of

    def draw(name: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(jinja.get_template(name).render(page=name, **values))

    return draw


def _add_pages(app: FastAPI, library: Library, draw: Callable[..., HTMLResponse]) -> None:
    @app.get("/")
    def runs() -> HTMLResponse:
        found = library.runs()
        models = {run.key for run in _trained(library, found)}
        return draw("runs", runs=found, models=models, metrics=_columns(found), folder=library.folder)

    @app.get("/compare")
    def compare(run: Annotated[list[str], Query(min_length=1, max_length=MODELS)]) -> HTMLResponse:
        results = {key: library.result(key) for key in run}
        names = dict.fromkeys(name for key in run for name in results[key].get("metrics", {}).get("test", {}))
        specs = {key: library.spec(key) for key in run}
        changes = {key: differences(specs[run[0]], spec) for key, spec in specs.items()}
        paths = list(dict.fromkeys(path for found in changes.values() for path in found))
        return draw(
            "compare",
            keys=run,
            titles=_titles(run),
            results=results,
            metrics=list(names),
            statements=_stated(library, results),
            changes=changes,
            paths=paths,
        )

    @app.get("/predict")
    def predict(run: Annotated[list[str] | None, Query(max_length=MODELS)] = None) -> HTMLResponse:
        """Show the page with the models of these runs chosen, or else that of the newest run."""
        trained = _trained(library, library.runs())
        columns, unreadable = dict[str, TextColumns](), dict[str, str]()
        for one in trained:
            try:
                columns[one.key] = columns_of(library.spec(one.key).get("dataset", {}))
            except KexpError as error:
                unreadable[one.key] = str(error)
        for key in run or ():
            if key not in {one.key for one in trained}:
                library.path(key)
                raise KexpError(f"the run {key} has no model")
        chosen = run or [*columns][:1]
        return draw(
            "predict",
            # Those chosen stand first, where they can be seen.
            runs=sorted((one for one in trained if one.key in columns), key=lambda one: one.key not in chosen),
            chosen=chosen,
            columns={key: names.names for key, names in columns.items() if not names.single},
            unreadable=unreadable,
        )

    @app.get("/studies")
    def studies() -> HTMLResponse:
        return draw("studies", studies=library.studies())

    @app.get("/file/{key:path}")
    def file(key: str) -> FileResponse:
        """Serve ``report.html``, the data card beside it and ``study.html``, and no other file."""
        folder, _, name = key.rpartition("/")
        if name == "study.html":
            path = library.path(folder) / name
        elif name in ("report.html", CARD):
            path = _run_folder(library, folder) / name
        else:
            raise HTTPException(404)
        if not path.is_file():
            raise HTTPException(404, f"{name} does not exist yet")
        return FileResponse(path)


def _trained(library: Library, runs: Sequence[Run]) -> list[Run]:
    """Return the runs that have a model."""
    return [run for run in runs if (library.folder / run.key / "model").is_dir()]


def _run_folder(library: Library, folder: str) -> Path:
    """Return a run folder that has a known run."""
    for run in library.runs():
        if run.key.split("/")[:2] == folder.split("/"):
            library.path(run.key)
            return library.folder / folder
    raise HTTPException(404)


def _value_of(changes: Mapping[str, Mapping[str, tuple[str, str]]], key: str, path: str) -> str:
    """Return the value of a run's spec at a path at which some specs differ from the first one."""
    if path in changes[key]:
        return changes[key][path][1]
    # Where it does not differ, it has the value of the first.
    return next(found[path][0] for found in changes.values() if path in found)


def _add_data(app: FastAPI, library: Library) -> None:
    @app.get("/data/runs")
    def data_runs() -> JSONResponse:
        return JSONResponse(finite([run.as_dict() for run in library.runs()]))

    @app.get("/data/curves")
    def data_curves(run: Annotated[list[str], Query(min_length=1, max_length=MODELS)]) -> JSONResponse:
        return JSONResponse(finite([library.curves(key) for key in run]))

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name == "plotly.js":
            from plotly.offline import get_plotlyjs

            return Response(get_plotlyjs(), media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})
        if name != "ui.js":
            raise HTTPException(404)
        return Response(files("kexp.ui").joinpath("static", name).read_text("utf-8"), media_type="text/javascript")


def _add_models(app: FastAPI, library: Library, load: Load) -> None:
    models: dict[Path, Model] = {}
    lock = Lock()

    def model(path: Path) -> Model:
        # Requests are answered in threads.
        with lock:
            if path not in models:
                if len(models) == MODELS:
                    models.pop(next(iter(models)))
                models[path] = load(path)
            return models[path]

    @app.post("/data/predict")
    def data_predict(request: PredictRequest) -> JSONResponse:
        answers = []
        for key in request.runs:
            trained = model(library.path(key))
            parts = _attributions(trained, request)
            probabilities = dict(zip(trained.labels, parts[0].probabilities.tolist(), strict=True))
            words = [word for part in parts for word in part.words]
            answers.append({"run": key, "probabilities": probabilities, "words": words})
        return JSONResponse(finite(answers))


def _attributions(model: Model, request: PredictRequest) -> list[WordAttributions]:
    """Weigh the words of a text; of a model of several columns or of pairs, those of each column beside the others."""
    single = {name: request.text for name in model.columns.names if model.columns.single and request.text}
    row = single or {name: request.columns.get(name, "") for name in model.columns.names}
    if not all(map(plain_name, row.values())):
        raise KexpError(f"the model was trained on {model.columns.sentence()}; give a text for each")
    if model.columns.single:
        return [attribute_words(text, model.predict) for text in row.values()]

    def predict_with(name: str) -> Callable[[Sequence[str]], NDArray[np.float64]]:
        return lambda texts: model.predict([{**row, name: text} for text in texts])

    return [attribute_words(text, predict_with(name)) for name, text in row.items()]


def _columns(runs: Sequence[Run]) -> list[str]:
    """Return the test metrics that the table shows: well-known ones, and those that chose the models."""
    known = {name for run in runs for name in run.metrics.get("test", {})}
    shown = dict.fromkeys([*SHOWN, *(run.monitor for run in runs)])
    return [name for name in shown if name in known]


def _stated(library: Library, results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what is stated about those of the runs that were tested, or why nothing can be."""
    tested = [library.path(key) for key, result in results.items() if "test" in result.get("metrics", {})]
    try:
        return stated(tested)
    except KexpError as error:
        return str(error).splitlines()


def _titles(keys: Sequence[str]) -> dict[str, str]:
    """Return short names of runs, without the leading parts that all share."""
    parts = [key.split("/") for key in keys]
    shared = 0
    while all(len(part) > shared + 2 and part[shared] == parts[0][shared] for part in parts):
        shared += 1
    return {key: " ".join(part[shared:]) for key, part in zip(keys, parts, strict=True)}
