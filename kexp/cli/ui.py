"""Command ``ui``: a local web page over the run folders."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kexp.cli.app_options import LocalCode, RemoteCode, RunsDir, app
from kexp.cli.errors import report_errors


@app.command()
def ui(
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

        trusting = partial(load, allow_local_code=allow_local_code, trust_remote_code=trust_remote_code)
        serve(runs_dir, host, port, open_browser, trusting)
