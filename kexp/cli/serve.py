"""Command ``serve``: the prediction endpoint of a trained model."""

from __future__ import annotations

from typing import Annotated

import typer

from kexp.cli.app_options import LocalCode, RemoteCode, app
from kexp.cli.errors import report_errors
from kexp.cli.model_options import Device, Folders, Precision, Seed, Variant


@app.command()
def serve(
    folders: Folders,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; others can reach it if it is not local.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8643,
    batch_tokens: Annotated[
        int, typer.Option("--max-batch-tokens", min=1, metavar="N", help="Tokens of waiting texts predicted at once.")
    ] = 4096,
    waiting_tokens: Annotated[
        int,
        typer.Option(
            "--max-waiting-tokens", min=1, metavar="N", help="Tokens that may wait; beyond, the answer is 503."
        ),
    ] = 65_536,
    max_texts: Annotated[int, typer.Option("--max-texts", min=1, metavar="N", help="Texts of one request.")] = 1000,
    variant: Variant = None,
    seed: Seed = None,
    device: Device = "auto",
    precision: Precision = "auto",
    allow_local_code: LocalCode = False,
    trust_remote_code: RemoteCode = False,
) -> None:
    """Serve a trained model over HTTP: POST /predict with {"texts": [...]}, GET /health; the page / explains it.

    Requests that wait are predicted together. Ctrl-C and SIGTERM answer what has come in, and end the server.
    """
    with report_errors():
        from kexp.errors import KexpError

        try:
            from kexp.serve.server import serve as serve_model
        except ImportError as error:
            raise KexpError(f"kexp serve needs {error.name}; pip install 'kexp[serve]'") from None
        from kexp.cli.predictions import print_notes
        from kexp.inference.loading import LoadOptions, load_places
        from kexp.inference.model_folders import find_all

        places = [place for folder in folders for place in find_all(folder, variant=variant, seed=seed)]
        options = LoadOptions(device, precision, allow_local_code=allow_local_code, trust_remote_code=trust_remote_code)
        model = load_places(places, options)
        print_notes(model)
        name = ", ".join(place.name for place in places)
        serve_model(
            model, name, host, port, batch_tokens=batch_tokens, waiting_tokens=waiting_tokens, max_texts=max_texts
        )
