"""What all commands share: the application and the options of several commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import kexp
from kexp.cli import complete
from kexp.cli.errors import CLOSED_PIPE, discard_output, print_traceback, report_errors, settings
from kexp.cli.processes import shown_once
from kexp.names import ADDRESS, is_utf8
from kexp.redaction import without_passwords

IN_SEVERAL_PROCESSES = ("run", "check", "plugins", None)
"""Commands that train in several processes, or write nothing."""

PLUGIN_COMMANDS = "kexp commands of plugins"


class Commands(TyperGroup):
    """kexp's commands and those of plugins; plugins are loaded only when help or a command needs them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return kexp's commands, then those of plugins."""
        return [*super().list_commands(ctx), *self._plugin_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command of kexp, or else one of a plugin."""
        return super().get_command(ctx, cmd_name) or self._plugin_commands(ctx).get(cmd_name)

    def _plugin_commands(self, ctx: Any) -> dict[str, Any]:
        """Return the usable commands of plugins, loaded once per command line; the others are reported."""
        if PLUGIN_COMMANDS not in ctx.meta:
            from kexp.catalog import load_commands
            from kexp.cli.plugin_commands import plugin_commands

            found = list(plugin_commands(load_commands(), self.commands))
            for command in found:
                if command.command is None:
                    print(f"command {command.name} of {command.owner}: {command.state}", file=sys.stderr)
            ctx.meta[PLUGIN_COMMANDS] = {one.name: one.command for one in found if one.command is not None}
        commands: dict[str, Any] = ctx.meta[PLUGIN_COMMANDS]
        return commands


class Application(typer.Typer):
    """kexp's command line; it ends quietly where the reader of its output, such as ``head``, has closed the pipe."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command line and exit with its status."""
        try:
            return super().__call__(*args, **kwargs)
        except SystemExit as error:
            # rich, typer and click exit with 1 where they notice a closed pipe, as for a failure.
            if not isinstance(error.__context__, BrokenPipeError):
                raise
        discard_output()
        raise SystemExit(CLOSED_PIPE)


app = Application(
    cls=Commands,
    help="Run experiments in Korean text classification that a TOML file describes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
Spec = Annotated[Path, typer.Argument(help="Spec file in TOML.", show_default=False)]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Change a key, e.g. training.epochs=1.", autocompletion=complete.keys
    ),
]
Variants = Annotated[
    list[str] | None,
    typer.Option("--variant", metavar="NAME", help="Only this variant; repeatable.", autocompletion=complete.variants),
]
Seeds = Annotated[str, typer.Option("--seeds", metavar="1,2,3", help="Replace the spec's seeds.")]
LocalCode = Annotated[
    bool, typer.Option("--allow-local-code", help="Run the Python files that the spec names in plugins.local.")
]
RemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run the Python code that a model's own folder brings along.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]


def _folder(value: str | Path) -> Path:
    """Return the runs folder that an option names, which libraries must take for a folder as well."""
    if not str(value).strip() or ADDRESS.match(str(value)):
        raise typer.BadParameter(f'expected a folder, found "{without_passwords(str(value))}"')
    if not is_utf8(value):
        raise typer.BadParameter(f"expected a name in UTF-8, found {str(value)!r}")
    return Path(value)


RunsDir = Annotated[
    Path,
    typer.Option(
        "--runs-dir", envvar="KEXP_RUNS_DIR", metavar="DIR", help="Where run folders are made.", parser=_folder
    ),
]


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar="KEXP_DEBUG", help="Show tracebacks of errors.")] = False,
) -> None:
    """Set the options that apply to every command."""
    if version:
        print(f"kexp {kexp.__version__}")
        raise typer.Exit
    settings.debug = debug
    if debug:
        sys.excepthook = print_traceback
    if context.invoked_subcommand not in IN_SEVERAL_PROCESSES:
        with shown_once(), report_errors():
            from kexp.launchers import need_one_process

            need_one_process(f"kexp {context.invoked_subcommand}")
