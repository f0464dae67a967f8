"""What is served as files: reports, data cards and pages of studies, and the page's own scripts and styles."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import FileResponse

from kexp.report.data_card_link import CARD
from kexp.ui.library import Library

SANDBOX = "sandbox allow-scripts allow-popups"
"""Content-Security-Policy of files of a run folder, which may be a stranger's: their scripts reach nothing else."""

PAGES = {"report.html": "spec.toml", CARD: "spec.toml", "study.html": "study.toml"}
"""The files that are served, and which file says that their folder is one of kexp's."""

FRESH = {"Cache-Control": "no-cache"}
"""Another version of kexp has other scripts under the same names."""

KINDS = {".js": "text/javascript", ".css": "text/css"}


def routes(library: Library) -> APIRouter:
    """Return the routes below ``/file/`` and ``/static/``."""
    router = APIRouter()

    @router.get("/file/{key:path}")
    def file(key: str) -> FileResponse:
        """Serve ``report.html``, the data card beside it and ``study.html``, and no other file."""
        folder, _, name = key.rpartition("/")
        if name not in PAGES:
            raise HTTPException(404, "there is no such page")
        path = library.file(library.kexp_folder(folder, PAGES[name]), name)
        return FileResponse(path, headers={"Content-Security-Policy": SANDBOX, "Cache-Control": "no-cache"})

    @router.get("/static/{name}")
    def static(name: str) -> Response:
        if name == "plotly.js":
            return Response(_plotly(), media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})
        found = {one.name: one for one in files("kexp.ui").joinpath("static").iterdir()}
        if name not in found or not name.endswith(tuple(KINDS)):
            raise HTTPException(404, "there is no such page")
        return Response(found[name].read_text("utf-8"), media_type=KINDS[name[name.rindex(".") :]], headers=FRESH)

    return router


@cache
def _plotly() -> bytes:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).encode()
