"""What a shell completes besides commands and options: kinds, names of components, variants, keys of a spec.

Each function is called while a person waits for the TAB key: it imports no torch, and says nothing where a file cannot
be read.
"""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

HELP = 60
"""Characters of help beside a name."""
Names = Iterable[str] | Iterable[tuple[str, str]]


def _completion(find: Callable[[typer.Context], Names]) -> Callable[[typer.Context, str], list[Any]]:
    """Return the callback of a parameter: the names that begin with what is typed, with their help if they have one."""

    def complete(ctx: typer.Context, incomplete: str) -> list[Any]:
        try:
            found = list(find(ctx))
        # The command itself will say what is wrong: a message would stand in the middle of what is typed.
        except Exception:  # noqa: BLE001
            return []
        return [one for one in found if (one if isinstance(one, str) else one[0]).startswith(incomplete)]

    return complete


def words(*known: str) -> Callable[[typer.Context, str], list[Any]]:
    """Return a completion of words that are always the same."""
    return _completion(lambda ctx: known)


def _typed() -> list[str]:
    """Return the words of the command line before the one that is completed, as the scripts of shells pass them.

    Where an option still lacks its value, click parses none of the arguments.
    """
    line = os.environ.get("_TYPER_COMPLETE_ARGS", os.environ.get("COMP_WORDS", ""))
    return shlex.split(line)[1:]


def _specs() -> Iterator[Path]:
    """Yield the spec files that the command line names, and those of the run folders that it names."""
    for path in map(Path, _typed()):
        file = path / "spec.toml" if path.is_dir() else path
        if file.suffix == ".toml" and file.is_file():
            yield file


@_completion
def variants(ctx: typer.Context) -> Names:
    """Complete the variants of the spec file or run folder that is named before."""
    from kexp.spec import toml

    taken = ctx.params.get("variants") or ()
    found = dict.fromkeys(name for file in _specs() for name in toml.read(file).get("variants", {}))
    return [name for name in found if name not in taken]


@_completion
def kinds(ctx: typer.Context) -> Names:
    """Complete the kinds of components."""
    from kexp.hookspecs import HOOK_OF_KIND

    return HOOK_OF_KIND


@_completion
def components(ctx: typer.Context) -> Names:
    """Complete the components of the kind that is named before."""
    return _components(ctx.params.get("kind") or "")


@_completion
def executors(ctx: typer.Context) -> Names:
    """Complete the executors."""
    return _components("executor")


def _components(kind: str) -> Names:
    from kexp.catalog import load_catalog

    catalog = load_catalog()
    # Where typer breaks a line of help, shells take the rest for a name.
    help_of = {entry.name: textwrap.shorten(entry.summary, HELP, placeholder="…") for entry in catalog.entries(kind)}
    return help_of.items()


@_completion
def keys(ctx: typer.Context) -> Names:
    """Complete the keys of a spec, with those of the components that the spec named before uses."""
    from kexp.catalog import load_catalog
    from kexp.plan.known_keys import KnownKeys
    from kexp.spec import toml

    file = next(_specs(), None)
    sections = KnownKeys.of({} if file is None else toml.read(file), load_catalog()).sections
    found = [f"{section}.{key}" if section else key for section, names in sections.items() for key in names]
    return [f"{path}=" for path in found if path not in sections]


@_completion
def experiments(ctx: typer.Context) -> Names:
    """Complete the experiments that have run folders."""
    folder = Path(ctx.params.get("runs_dir") or "runs")
    return sorted({spec.parent.parent.name for spec in folder.glob("*/[!.]*/spec.toml")})
