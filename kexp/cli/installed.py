"""Commands about what is installed: plugins, schema."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kexp.cli import complete
from kexp.cli.app_options import AsJson, app
from kexp.cli.errors import report_errors

if TYPE_CHECKING:
    from kexp.catalog import Catalog, Entry

plugins = typer.Typer(help="Installed components by kind, and plugins that do not load.", no_args_is_help=True)
app.add_typer(plugins, name="plugins")


@app.command()
def schema() -> None:
    """Print the JSON Schema of spec files with the options of every installed component."""
    with report_errors():
        from kexp.catalog import load_catalog
        from kexp.plan.schema import json_schema

        print(json.dumps(json_schema(load_catalog()), ensure_ascii=False, indent=2))


@plugins.command("list")
def list_plugins(
    kind: Annotated[
        str | None, typer.Option("--kind", help="Only components of this kind.", autocompletion=complete.kinds)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List every installed component, and the plugins that do not load."""
    with report_errors():
        from kexp.catalog import load_catalog
        from kexp.cli.tables import print_table

        catalog = load_catalog()
        entries = list(catalog.entries(_kind(kind)))
        if as_json:
            print(json.dumps(_listed(catalog, entries), ensure_ascii=False))
            return
        rows = [[e.kind, e.name, str(e.owner), catalog.state(e), e.summary] for e in entries]
        print_table("components", ["kind", "name", "package", "state", "description"], rows)
        for line in _others(catalog):
            print(line, file=sys.stderr)


def _listed(catalog: Catalog, entries: Iterable[Entry]) -> dict[str, Any]:
    """Return what is installed as plain data."""
    from dataclasses import asdict

    from kexp.cli.plugin_commands import plugin_commands

    return {
        "components": [
            {"kind": e.kind, "name": e.name, **asdict(e.owner), "state": catalog.state(e), "summary": e.summary}
            for e in entries
        ],
        "commands": [
            {"name": c.name, **asdict(c.owner), "state": c.state} for c in plugin_commands(catalog, _own_commands())
        ],
        "observers": [{"hook": observer.hook, **asdict(observer.owner)} for observer in catalog.observers],
        "disabled": list(map(asdict, catalog.disabled)),
        "broken": list(map(asdict, catalog.broken)),
    }


def _others(catalog: Catalog) -> Iterator[str]:
    """Yield a line per command, observer, and plugin that is not used."""
    from kexp.cli.plugin_commands import plugin_commands

    for command in plugin_commands(catalog, _own_commands()):
        yield f"command: kexp {command.name} ({command.owner})" + f", {command.state}" * (command.state != "ok")
    for observer in catalog.observers:
        yield f"observer: {observer.hook} ({observer.owner})"
    for owner in catalog.disabled:
        yield f"disabled: {owner}"
    for plugin in catalog.broken:
        yield f"broken: {plugin.name} ({plugin.owner}): {plugin.reason}"


def _own_commands() -> set[str]:
    groups = {group.name for group in app.registered_groups if group.name}
    return groups | {one.name or one.callback.__name__ for one in app.registered_commands if one.callback}


@plugins.command("show")
def show_plugin(
    kind: Annotated[str, typer.Argument(autocompletion=complete.kinds, show_default=False)],
    name: Annotated[str, typer.Argument(autocompletion=complete.components, show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show a component: what it does, its options with types, defaults and bounds, and where it comes from."""
    with report_errors():
        import inspect
        from dataclasses import asdict

        from kexp.catalog import load_catalog
        from kexp.cli.tables import print_table
        from kexp.plan.schema import options_of

        entry = load_catalog().find(_kind(kind) or kind, name)
        options, text = options_of(entry), inspect.getdoc(entry.options) or ""
        # Datasets say who publishes the data, and under which terms.
        of: dict[str, str] = getattr(entry.options, "provenance", dict)()
        if as_json:
            shown = {"kind": kind, "name": name, "owner": asdict(entry.owner), "description": text, **of}
            print(json.dumps({**shown, "options": list(map(asdict, options))}, ensure_ascii=False))
            return
        print(f'{kind} "{name}", from {entry.owner}\n\n{text}\n')
        if of:
            print("\n".join(f"{what}: {value}" for what, value in of.items()) + "\n")
        rows = [[o.name, o.type, "required" if o.default is None else o.default, o.description] for o in options]
        print_table("options", ["option", "type", "default", "description"], rows)


@plugins.command("new")
def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the package, such as kexp-dialects.")],
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="Kind of component; repeatable. An augmenter by default.",
            autocompletion=complete.kinds,
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Where its folder is created.")] = Path(),
) -> None:
    """Write a new package that works at once: components, tests, a spec, README and CI."""
    with report_errors():
        from kexp.catalog import load_catalog
        from kexp.scaffold.kinds import searches
        from kexp.scaffold.package import new_package, short

        kinds, catalog = kinds or ["augmenter"], load_catalog()
        commands = _own_commands() | {command.name for command in catalog.commands}
        folder = new_package(name, kinds, output, catalog, commands)
        print(folder)
        verb = "tune" if searches(kinds) else "run"
        spec = f"experiments/{short(name)}.toml"
        print(f"next: cd {folder} && pip install -e '.[test]' && pytest && kexp {verb} {spec}", file=sys.stderr)


def _kind(kind: str | None) -> str | None:
    from kexp.errors import KexpError, did_you_mean
    from kexp.hookspecs import KINDS

    if kind is not None and kind not in KINDS:
        raise KexpError(f'unknown kind "{kind}"; {did_you_mean(kind, KINDS)}')
    return kind
