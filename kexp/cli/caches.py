"""The command about what is kept between experiments: cache."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from kexp.cli.app_options import AsJson, app
from kexp.cli.confirm import confirm_removal
from kexp.cli.errors import report_errors

cache = typer.Typer(help="Show what is kept between experiments, and how much it takes; remove it.")
app.add_typer(cache, name="cache")


@cache.callback(invoke_without_command=True)
def list_kinds(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what is kept between experiments in the cache folder (KEXP_CACHE_DIR), and how much it takes."""
    with report_errors():
        from kexp.cli.tables import print_table
        from kexp.errors import KexpError
        from kexp.report.formatting import size
        from kexp.results.caches import list_caches

        if context.invoked_subcommand is not None:
            if as_json:
                raise KexpError(f"kexp cache {context.invoked_subcommand}: --json does not apply")
            return
        found = list_caches()
        if as_json:
            print(json.dumps([{**asdict(one), "folder": str(one.folder)} for one in found], ensure_ascii=False))
            return
        rows = [
            [one.kind, one.content, str(one.files), size(one.size), "" if one.limit is None else size(one.limit)]
            for one in found
        ]
        print_table("cache", ["kind", "what", "files", "size", "limit"], rows, right=2)
        print(found[0].folder.parent, file=sys.stderr)


@cache.command("clear")
def clear_kinds(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(metavar="KIND", help="Kinds that kexp cache shows; all if none.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without a confirmation.")] = False,
) -> None:
    """Remove what is kept, after a confirmation; it is made again when it is needed."""
    with report_errors():
        from kexp.report.formatting import size
        from kexp.results.caches import chosen, clear

        found = chosen(kinds or [])
        if not found:
            print("nothing to remove", file=sys.stderr)
            return
        what = ", ".join(f"{one.kind} ({size(one.size)})" for one in found)
        confirm_removal(what, yes=yes)
        for one in found:
            clear(one)
        print(f"removed {what}", file=sys.stderr)
