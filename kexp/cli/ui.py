"""Command ``ui``: a local web page over the run folders."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kexp.cli.app_options import LocalCode, RemoteCode, RunsDir, app
from kexp.cli.errors import report_errors
from kexp.cli.model_options import MODEL, Seed, Variant


@app.command()
def ui(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]", help=f"Model whose page of predictions is opened. {MODEL}.", show_default=False
        ),
    ] = None,
    variant: Variant = None,
    seed: Seed = None,
    runs_dir: RunsDir = Path("runs"),
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; others can reach it if it is not local.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8642,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    allow_local_code: LocalCode = False,
    trust_remote_code: RemoteCode = False,
) -> None:
    """Show runs, curves, comparisons and predictions in a local web page."""
    with report_errors():
        from kexp.errors import KexpError

        try:
            from kexp.ui.serve import serve
        except ImportError as error:
            raise KexpError(f"kexp ui needs {error.name}; pip install 'kexp[ui]'") from None
        from kexp.inference.loading import load

        if folder is None and not (variant is None and seed is None):
            raise KexpError("--variant and --seed choose in a run folder; name one")
        page = "/" if folder is None else _page_of(folder, runs_dir, variant, seed)
        trusting = partial(load, allow_local_code=allow_local_code, trust_remote_code=trust_remote_code)
        serve(runs_dir, host, port, open_browser, trusting, page)


def _page_of(folder: Path, runs_dir: Path, variant: str | None, seed: int | None) -> str:
    """Return the path of the page of predictions of one model, or of all models of a variant."""
    from urllib.parse import urlencode

    from kexp.errors import KexpError
    from kexp.inference.model_folders import find_all
    from kexp.ui.models import MODELS

    places = find_all(folder, variant=variant, seed=seed)
    if len(places) > MODELS:
        raise KexpError(f"{folder} holds {len(places)} models, and the page shows {MODELS}; name one of them")
    keys = []
    for place in places:
        if place.run is None:
            raise KexpError(f"{place.name} is not the model of a run, which kexp ui needs")
        if not place.run.is_relative_to(runs_dir.resolve()):
            known = place.experiment
            remedy = f"; use --runs-dir {known[0].parent.parent}" if known else ""
            raise KexpError(f"{place.name} is not in the runs folder {runs_dir}{remedy}")
        keys.append(place.run.relative_to(runs_dir.resolve()).as_posix())
    return f"/predict?{urlencode({'run': keys}, doseq=True)}"
