"""The web page as a FastAPI application: its routes, what every answer carries, and how errors are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import DictLoader
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from kexp.errors import KexpError
from kexp.report.formatting import duration
from kexp.report.html import page_environment, plain, score
from kexp.ui import files as file_routes
from kexp.ui import live, pages, predictions
from kexp.ui.guard import Guard
from kexp.ui.library import Library, UnknownRun
from kexp.ui.models import Load, Models
from kexp.ui.streams import Streams
from kexp.ui.times import iso_time
from kexp.validation_messages import describe_validation_error

__all__ = ["Draw", "Load", "make_app"]

Draw = Callable[..., HTMLResponse]

HEADERS = {
    # Plotly writes styles; scripts, and what they ask for, come from here alone.
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
"""Headers of every page."""


def make_app(runs_dir: Path, load: Load, hosts: Sequence[str], streams: Streams | None = None) -> FastAPI:
    """Return the application; ``hosts`` are the names under which it answers.

    Other names are refused, so that other web pages cannot reach it through their own host name (DNS rebinding).
    ``streams`` are stopped by whoever stops the server.
    """
    app = FastAPI(title="kexp", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    library, models = Library(runs_dir), Models(load)
    streams = streams or Streams()
    render = _templates()

    def draw(name: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(render(name, page=name, **values), headers=HEADERS)

    app.state.models = models
    app.include_router(pages.routes(library, draw))
    app.include_router(file_routes.routes(library))
    app.include_router(live.routes(library, render, streams))
    app.include_router(predictions.routes(library, models, draw, streams))
    _add_errors(app, draw)
    return app


def _add_errors(app: FastAPI, draw: Draw) -> None:
    @app.exception_handler(KexpError)
    def report_error(request: Request, error: KexpError) -> Response:
        return _told(request, draw, str(error), 404 if isinstance(error, UnknownRun) else 422)

    @app.exception_handler(OSError)
    def report_gone(request: Request, error: OSError) -> Response:
        # A folder may be renamed or removed while it is read.
        return _told(request, draw, f"{error.filename or 'a file'}: {error.strerror}; try again", 404)

    @app.exception_handler(StarletteHTTPException)
    def report_status(request: Request, error: StarletteHTTPException) -> Response:
        return _told(request, draw, str(error.detail), error.status_code)

    @app.exception_handler(RequestValidationError)
    def report_request(request: Request, error: RequestValidationError) -> Response:
        # Without the input, which may be no valid text.
        problems = [
            f"{'.'.join(map(str, one['loc']))}: {describe_validation_error(one).partition(', found ')[0]}"
            for one in error.errors()
        ]
        return JSONResponse({"detail": "; ".join(problems)}, 422)


def _told(request: Request, draw: Draw, message: str, status: int) -> Response:
    """Return an error as a page to who asked for one, else as JSON."""
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": message}, status)
    page = draw("error", message=message)
    page.status_code = status
    return page


def _templates() -> Callable[..., str]:
    """Return the function that fills a template by its name."""
    folder = files("kexp.ui").joinpath("templates")
    ending = ".html.j2"
    found = {file.name.removesuffix(ending): file for file in folder.iterdir() if file.name.endswith(ending)}
    jinja = page_environment()
    jinja.loader = DictLoader({name: file.read_text("utf-8") for name, file in found.items()})
    # In the order in which they are shown.
    jinja.policies["json.dumps_kwargs"] = {"sort_keys": False, "ensure_ascii": False}
    jinja.filters |= {"score": score, "plain": plain, "duration": duration, "iso": iso_time}

    def render(name: str, **values: Any) -> str:
        return jinja.get_template(name).render(**values)

    return render
