"""Commands of plugins: made one by one, so that a wrong one costs nobody else theirs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import typer

from kexp.catalog import Catalog, Command, Owner
from kexp.cli.base import report_errors


@dataclass(frozen=True, slots=True)
class PluginCommand:
    """A command of a plugin; ``made`` is None where it cannot be used, and ``state`` says why."""

    name: str
    owner: Owner
    state: str
    made: Any = None


def foreign(catalog: Catalog, own: Collection[str]) -> Iterator[PluginCommand]:
    """Yield the commands of plugins; ``own`` are the names of kexp's, which nobody can replace."""
    for command in catalog.commands:
        rivals = [str(other.owner) for other in catalog.commands if other.name == command.name and other is not command]
        if command.name in own:
            yield PluginCommand(command.name, command.owner, "shadowed by kexp's own")
        elif rivals:
            yield PluginCommand(
                command.name, command.owner, f"shadowed (refused: {', '.join(rivals)} claims the name too)"
            )
        else:
            yield _made(command)


def _made(command: Command) -> PluginCommand:
    single = typer.Typer(add_completion=False)
    single.command(command.name)(_told(command.function))
    try:
        return PluginCommand(command.name, command.owner, "ok", typer.main.get_command(single))
    # Typer resolves the annotations of a stranger's function, which may be anything.
    except Exception as error:  # noqa: BLE001
        return PluginCommand(command.name, command.owner, f"broken: {type(error).__name__}: {error}")


def _told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Tell what a command raises as kexp's own commands do."""

    @functools.wraps(function)
    def command(*arguments: Any, **options: Any) -> Any:
        with report_errors():
            return function(*arguments, **options)

    return command
