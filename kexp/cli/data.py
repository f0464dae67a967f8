"""The command that looks at the data of a spec before training."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from kexp.cli.app_options import AsJson, LocalCode, Set, Variants, app
from kexp.cli.errors import report_errors
from kexp.cli.plans import plan_of, print_warnings
from kexp.redaction import hidden


@app.command()
def data(
    spec: Annotated[Path, typer.Argument(help="Spec file in TOML, or a run folder.", show_default=False)],
    assignments: Set = None,
    variants: Variants = None,
    allow_local_code: LocalCode = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the card as a page instead of showing it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what the data of a spec hold, and what is wrong with them, before training.

    Of a run folder, the card is written into it as data.html too, and its report links to it.
    """
    with report_errors():
        from kexp.cli.data_card import print_card
        from kexp.cli.display import TerminalDisplay
        from kexp.plan.request import spec_file
        from kexp.report.run_folder import finite

        if html is not None:
            _need_file_name(html)
        plan, _ = plan_of(spec_file(spec), assignments, variants, allow_local_code=allow_local_code)
        print_warnings(plan)
        progress = TerminalDisplay().phase
        variant = plan.variants[0]
        if others := [other.name for other in plan.variants if other is not variant]:
            progress(f"the card is that of {variant.name}; --variant chooses another: {', '.join(others)}")
        from kexp.data_card.card import make_card
        from kexp.data_card.page import add_to_run_folder, write_page

        card = make_card(variant, progress)
        if as_json:
            found = {**card.to_dict(), "remarks": hidden(card.remarks)}
            print(json.dumps(finite(found), ensure_ascii=False))
        elif html is None:
            print_card(card)
        if html is not None:
            # What a symbolic link names is written, not another file in the place of the link.
            write_page(html.resolve(), card)
            print(html, file=sys.stderr if as_json else sys.stdout)
        elif spec.is_dir():
            progress(add_to_run_folder(spec, card))


def _need_file_name(path: Path) -> None:
    """Raise ``KexpError`` where no file can be written, before the data are looked at."""
    from kexp.errors import KexpError

    if path.is_dir():
        raise KexpError(f"--html {path}: it is a folder; expected a file, such as {path / 'data.html'}")
    if path.exists() and not path.is_file():
        raise KexpError(f"--html {path}: it is no regular file; name another one")
    if not path.parent.is_dir():
        raise KexpError(f"--html {path}: there is no folder {path.parent}; make it, or name another file")
