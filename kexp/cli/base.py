"""What all commands share: the application, its options, and how mistakes are told."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import kexp

PLUGIN_COMMANDS = "kexp commands of plugins"


class Commands(TyperGroup):
    """kexp's commands, and those of plugins, which are loaded only where kexp's do not do."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return kexp's commands, then those of plugins."""
        return [*super().list_commands(ctx), *self._foreign(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command of kexp, or else one of a plugin."""
        return super().get_command(ctx, cmd_name) or self._foreign(ctx).get(cmd_name)

    def _foreign(self, ctx: Any) -> dict[str, Any]:
        """Return the commands of plugins, which are loaded once for a command line."""
        if PLUGIN_COMMANDS not in ctx.meta:
            from kexp.catalog import load_catalog
            from kexp.cli.plugin_commands import foreign

            found = list(foreign(load_catalog(), self.commands))
            for command in found:
                if command.made is None:
                    print(f"command {command.name} of {command.owner}: {command.state}", file=sys.stderr)
            ctx.meta[PLUGIN_COMMANDS] = {command.name: command.made for command in found if command.made is not None}
        commands: dict[str, Any] = ctx.meta[PLUGIN_COMMANDS]
        return commands


app = typer.Typer(
    cls=Commands,
    help="Run experiments in Korean text classification that are stated in a TOML file.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
Spec = Annotated[Path, typer.Argument(help="Spec file in TOML.", show_default=False)]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change a key, e.g. training.epochs=1.")
]
Variants = Annotated[list[str] | None, typer.Option("--variant", metavar="NAME", help="Only this variant; repeatable.")]
LocalCode = Annotated[
    bool, typer.Option("--allow-local-code", help="Run the Python files that the spec names in plugins.local.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
RunsDir = Annotated[
    Path, typer.Option("--runs-dir", envvar="KEXP_RUNS_DIR", metavar="DIR", help="Where run folders are made.")
]


@dataclass(slots=True)
class Settings:
    """What holds for every command of this process."""

    debug: bool = False


settings = Settings()


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar="KEXP_DEBUG", help="Show tracebacks of errors.")] = False,
) -> None:
    """Set what holds for every command."""
    if version:
        print(f"kexp {kexp.__version__}")
        raise typer.Exit
    settings.debug = debug


@contextmanager
def report_errors() -> Iterator[None]:
    """Print a user's mistakes as messages, with their exit status."""
    from kexp.errors import KexpError

    try:
        yield
    except KexpError as error:
        if settings.debug:
            raise
        print(error, file=sys.stderr)
        raise typer.Exit(error.exit_status) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # Whoever read the results has had enough, as `| head` does; what Python still holds for them goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(141) from None
    # What is left is a full disk or a mistake of kexp's own; neither is told by a traceback unless it is asked for.
    except Exception as error:
        if isinstance(error, typer.Exit) or settings.debug:
            raise
        print(f"kexp: {type(error).__name__}: {error}; --debug shows where", file=sys.stderr)
        raise typer.Exit(1) from None
