"""Command ``publish``: a trained model with a card, in a folder or on the Hugging Face hub."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from kexp.cli.app_options import AsJson, LocalCode, RemoteCode, app
from kexp.cli.errors import report_errors
from kexp.cli.model_options import Seed, Variant


@app.command()
def publish(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="Run folder, an experiment's folder with one run folder, or <variant>/seed-<n> in one.",
            show_default=False,
        ),
    ],
    to: Annotated[str, typer.Option("--to", metavar="FOLDER|hub:OWNER/NAME", help="New folder, or a repository.")],
    licence: Annotated[
        str | None,
        typer.Option("--licence", "--license", metavar="ID", help="Licence of the model, such as apache-2.0."),
    ] = None,
    despite_licence: Annotated[
        bool,
        typer.Option("--despite-licence", help="Publish although a licence of data or weights speaks against it."),
    ] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="With the model in ONNX, in the folder onnx.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository that you alone can see.")] = False,
    variant: Variant = None,
    seed: Seed = None,
    allow_local_code: LocalCode = False,
    trust_remote_code: RemoteCode = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that was published before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish a trained model: weights, tokenizer, and a model card that is written from the run.

    Of several seeds the best on validation is taken. transformers loads the folder without kexp; that both answer alike
    is checked. Refused where the licence of data or weights forbids it, or is not known and none is stated.
    """
    with report_errors():
        from kexp.cli.display import note
        from kexp.errors import KexpError
        from kexp.publish.choose import choose
        from kexp.publish.folder import Options, write_folder
        from kexp.publish.hub import PREFIX, find_repository, push
        from kexp.publish.licences import check_id

        options = Options(
            None if licence is None else check_id(licence), despite_licence, onnx, allow_local_code, trust_remote_code
        )
        chosen = choose(folder, variant=variant, seed=seed)
        if chosen.reason:
            note(chosen.reason)
        repository = find_repository(to, private=private) if to.startswith(PREFIX) else None
        if repository is None:
            if private:
                raise KexpError("--private is for a repository; leave it out, or publish with --to hub:OWNER/NAME")
            where = {"folder": to}
            told = write_folder(chosen, Path(to), Path(to).resolve().name, options, force=force, progress=note)
        else:
            if told_first := repository.sentence():
                note(told_first)
            with TemporaryDirectory(prefix="kexp-publish-") as made:
                folder = Path(made) / "model"
                told = write_folder(chosen, folder, repository.id, options, force=False, progress=note)
                where = {"repository": repository.id, "commit": push(repository, folder, chosen.message, note)}
        if as_json:
            print(json.dumps({**where, **told}, ensure_ascii=False))
        else:
            print(f"{where.get('commit', to)}: {told['run']}, licence {told['licence']}")
