"""A confirmation before something is removed."""

from __future__ import annotations

import sys

import typer


def confirm_removal(what: str, *, yes: bool) -> None:
    """Ask whether to remove something unless ``yes``; exits with status 1 where the answer is no.

    Raises ``KexpError`` where nobody can be asked.
    """
    from kexp.errors import KexpError

    if yes:
        return
    if not sys.stdin.isatty():
        raise KexpError(f"nothing was removed: without a terminal, --yes is needed to remove {what}")
    try:
        confirmed = typer.confirm(f"remove {what}?", err=True)
    except typer.Abort:
        raise KeyboardInterrupt from None
    if not confirmed:
        print("nothing was removed", file=sys.stderr)
        raise typer.Exit(1)
