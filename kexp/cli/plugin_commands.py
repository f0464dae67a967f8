"""Commands of plugins, each made on its own: one that fails does not affect the others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import typer

from kexp.catalog import Catalog, Command, Owner
from kexp.cli.errors import report_errors


@dataclass(frozen=True, slots=True)
class PluginCommand:
    """A command of a plugin; ``command`` is None where it cannot be used, and ``state`` says why."""

    name: str
    owner: Owner
    state: str
    command: Any = None


def plugin_commands(catalog: Catalog, reserved: Collection[str]) -> Iterator[PluginCommand]:
    """Yield the commands of plugins; ``reserved`` are the names of kexp's commands, which cannot be replaced."""
    for command in catalog.commands:
        rivals = [str(other.owner) for other in catalog.commands if other.name == command.name and other is not command]
        if command.name in reserved:
            yield PluginCommand(command.name, command.owner, "shadowed by kexp's own")
        elif rivals:
            state = f"shadowed (refused: {', '.join(rivals)} claims the name too)"
            yield PluginCommand(command.name, command.owner, state)
        else:
            yield _make(command)


def _make(command: Command) -> PluginCommand:
    single = typer.Typer(add_completion=False)
    single.command(command.name)(_reporting_errors(command.function))
    try:
        return PluginCommand(command.name, command.owner, "ok", typer.main.get_command(single))
    # Typer resolves the annotations of the plugin's function, which can raise anything.
    except Exception as error:  # noqa: BLE001
        return PluginCommand(command.name, command.owner, f"broken: {type(error).__name__}: {error}")


def _reporting_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a command report errors as kexp's own commands do."""

    @functools.wraps(function)
    def command(*arguments: Any, **options: Any) -> Any:
        with report_errors():
            return function(*arguments, **options)

    return command
