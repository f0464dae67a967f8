"""The pages that are written out of kexp itself: components, the sections of a spec, and commands.

Nothing here needs MkDocs: ``pages`` returns Markdown by file name, and ``site`` hands it over.
"""

from __future__ import annotations

import html
import inspect
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from kexp.catalog import Catalog, Entry
from kexp.cli import app
from kexp.hookspecs import HOOK_OF_KIND, KINDS
from kexp.options import COMPONENT_KEY
from kexp.plan.schema import Json, json_schema, keys_of
from kexp.spec.sections import Spec

PACKAGES = ("kexp", "kexp-korean", "kexp-backtranslation", "kexp-ray", "kexp-slurm")
"""Whose components are documented, whatever else is installed."""

EXAMPLES = Path(__file__).parent / "examples"
"""Worked examples, ``KIND/NAME.md``: the last section of a component's page. They are executed like written pages."""


def pages(catalog: Catalog, written: Collection[str] = ()) -> dict[str, str]:
    """Return the generated pages by their place below ``docs``; ``written`` are the pages that people wrote."""
    made = {"components/index.md": _components(catalog)}
    for kind in KINDS:
        entries = documented(catalog, kind)
        made[f"components/{kind}/index.md"] = _kind(catalog, kind, entries, f"plugins/{kind}.md" in written)
        made |= {f"components/{kind}/{entry.name}.md": _component(catalog, entry) for entry in entries}
    return made | {"reference/spec.md": _spec(catalog), "reference/commands.md": _commands()}


def documented(catalog: Catalog, kind: str | None = None) -> list[Entry]:
    """Return the components of the four packages, by kind and name."""
    return [entry for entry in catalog.entries(kind) if entry.owner.package in PACKAGES]


def plural(kind: str) -> str:
    """Return the name of several components of a kind, as its hook has it: Freezing policies."""
    return HOOK_OF_KIND[kind].removeprefix("kexp_").replace("_", " ").capitalize()


# --- Markdown ---------------------------------------------------------------------------------------------------------


def prose(text: str) -> str:
    """Turn plain text with code in backticks into Markdown that says just that."""
    pieces = re.split(r"``(.+?)``|`(.+?)`", text)
    return "".join(
        ("" if piece is None else f"<code>{_literal(piece)}</code>") if number % 3 else _literal(piece)
        for number, piece in enumerate(pieces)
    )


def _literal(text: str) -> str:
    """Take every meaning from what Markdown, tables and HTML would read as theirs."""
    return re.sub(r"([\\*_\[\]{}#`])", r"\\\1", html.escape(text, quote=False)).replace("|", "&#124;")


def _code(text: str) -> str:
    return f"<code>{_literal(text)}</code>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(" ".join(cell.split()) for cell in line) + " |\n" for line in lines)


def _fence(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```\n"


def _document(*parts: str) -> str:
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


# --- components -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A key that holds a component: of the spec, or an option of ``owner``."""

    kind: str
    path: str
    is_list: bool
    default: Any
    owner: Entry | None = None

    def naming(self, name: str) -> str:
        """Return the line that names a component here."""
        if not self.is_list:
            return f'{self.path}.use = "{name}"'
        return f"{self.path} = {json.dumps(list(dict.fromkeys([*(self.default or ()), name])))}"


def places(catalog: Catalog, kind: str) -> list[Place]:
    """Return where a component of a kind may stand."""
    found = list(_places(Spec.model_json_schema(), None))
    for entry in documented(catalog):
        found += _places(entry.options.model_json_schema(), entry)
    return [place for place in found if place.kind == kind]


def _takes(owner: Entry, place: Place, entry: Entry, catalog: Catalog) -> bool:
    """Return whether a component that holds another has nothing against this one; one that needs options may be any."""
    try:
        held: Any = entry.options.model_validate({}, context={"catalog": catalog})
    except ValidationError:
        return True
    holder = owner.options.model_construct(**{place.path: (held,) if place.is_list else held})
    return "." in place.path or not any(problem.path.startswith(place.path) for problem in holder.problems())


def _places(schema: Json, owner: Entry | None, path: str = "", definitions: Json | None = None) -> Iterator[Place]:
    definitions = schema.get("$defs", {}) if definitions is None else definitions
    for name, field in schema.get("properties", {}).items():
        branches = (field, *field.get("anyOf", ()))
        lists = [items for branch in branches if isinstance(items := branch.get("items"), dict)]
        # What takes a list may take a single component without brackets, too; that is not shown beside it.
        holders = [holder for holder in lists or branches if COMPONENT_KEY in holder]
        for holder in holders:
            yield Place(holder[COMPONENT_KEY], path + name, bool(lists), field.get("default"), owner)
        for branch in branches:
            if "$ref" in branch:
                below = definitions[branch["$ref"].rpartition("/")[2]]
                yield from _places(below, owner, f"{path}{name}.", definitions)


def _components(catalog: Catalog) -> str:
    rows = [
        [f"[{plural(kind)}]({kind}/index.md)", ", ".join(f"[{e.name}]({kind}/{e.name}.md)" for e in entries)]
        for kind in KINDS
        if (entries := documented(catalog, kind))
    ]
    names = ", ".join(PACKAGES[:-1]) + f" and {PACKAGES[-1]}"
    intro = f"What {names} bring. `kexp plugins list` shows what is installed on your machine, packages of others too."
    return _document("# Components", intro, _table(["kind", "components"], rows))


def _kind(catalog: Catalog, kind: str, entries: Sequence[Entry], has_guide: bool) -> str:
    base = KINDS[kind]
    promise = (inspect.getdoc(inspect.getmodule(base)) or "").partition("\n")[0]
    stated = ", ".join(_code(place.path) for place in places(catalog, kind) if place.owner is None)
    rows = [[f"[{e.name}]({e.name}.md)", e.owner.package, prose(e.summary)] for e in entries]
    guide = f"[Writing one](../../plugins/{kind}.md). " if has_guide else ""
    return _document(
        f"# {plural(kind)}",
        prose(promise),
        f"Where a spec names one: {stated}." if stated else "",
        f"{guide}The class that all are made from: [{base.__name__}][{base.__module__}.{base.__qualname__}].",
        _table(["name", "package", "what it is"], rows),
    )


def _component(catalog: Catalog, entry: Entry) -> str:
    here = places(catalog, entry.kind)
    lines = "\n".join(place.naming(entry.name) for place in here if place.owner is None)
    nested = "".join(
        f"- {_code(place.naming(entry.name))} in the table of {place.owner.kind} "
        f"[{place.owner.name}](../{place.owner.kind}/{place.owner.name}.md)\n"
        for place in here
        if place.owner and _takes(place.owner, place, entry, catalog)
    )
    schema = entry.options.model_json_schema()
    return _document(
        f"# {entry.name}",
        f"[{entry.kind.capitalize()}](index.md) of {entry.owner}.",
        prose(inspect.getdoc(entry.options) or ""),
        "".join(f"- {name}: {prose(value)}\n" for name, value in getattr(entry.options, "provenance", dict)().items()),
        "## In a spec",
        _fence("toml", lines) if lines else "",
        f"{'Inside another component' if lines else 'Only inside another component'}:" if nested else "",
        nested,
        "## Options",
        _options(schema, schema.get("$defs", {}), "..") if schema.get("properties") else "It has none.",
        example.read_text("utf-8") if (example := EXAMPLES / entry.kind / f"{entry.name}.md").is_file() else "",
    )


# --- tables of keys ---------------------------------------------------------------------------------------------------


def _options(schema: Json, definitions: Json, components: str, path: str = "", level: int = 3) -> str:
    """Return the table of a section's keys, and below it those of the sections that it holds."""
    parts = [_table(["key", "type", "default", "what it does"], _rows(schema, definitions, components))]
    return _document(*parts, *_sections(_options, schema, definitions, components, path, level))


def _keys(schema: Json, definitions: Json, components: str, path: str, level: int) -> str:
    """Return the keys of a section under headings: by their titles a search finds them, and a link leads to each."""
    parts = []
    rows = _rows(schema, definitions, components)
    for name, (_, kind, default, what) in zip(schema["properties"], rows, strict=True):
        stated = default if default == "required" else f"default: {default}"
        parts.append(f"{'#' * level} {_code(path + name)} {{#{path}{name}}}\n\n{kind}; {stated}\n\n{what}")
    return _document(*parts, *_sections(_keys, schema, definitions, components, path, level))


def _rows(schema: Json, definitions: Json, components: str) -> list[list[str]]:
    """Return name, type, default and description of every key of a section."""
    return [
        [
            _code(option.name),
            _type(option.type, components),
            _default(
                option.default, is_section=any(not key for _, key in _references(schema["properties"][option.name]))
            ),
            prose(option.description),
        ]
        for option in keys_of({**schema, "$defs": definitions})
    ]


def _sections(
    write: Callable[..., str], schema: Json, definitions: Json, components: str, path: str, level: int
) -> Iterator[str]:
    """Yield the sections that a section holds, each with its keys as ``write`` writes them."""
    for name, field in schema["properties"].items():
        for reference, key in _references(field):
            below = definitions[reference]
            inner = f"{path}{name}.{key}" if key else f"{path}{name}"
            if below.get("properties"):
                yield f"{'#' * level} `[{inner}]`"
                yield prose(below.get("description", ""))
                yield write(below, definitions, components, f"{inner}.", level + 1)


def _references(field: Json) -> Iterator[tuple[str, str]]:
    """Yield the sections that a key holds, with the key below it where it is a table of them."""
    for branch in (field, *field.get("anyOf", ())):
        extra = branch.get("additionalProperties")
        for holder, key in ((branch, ""), (extra if isinstance(extra, dict) else {}, "KEY")):
            if "$ref" in holder:
                yield holder["$ref"].rpartition("/")[2], key


def _type(words: str, components: str) -> str:
    return re.sub(r"component of kind ([\w-]+)", rf"component of kind [\1]({components}/\1/index.md)", _literal(words))


def _default(text: str | None, *, is_section: bool) -> str:
    if text is None:
        return "required"
    empty = {"not given": "not given", "{}": "its defaults" if is_section else "none", "[]": "none"}
    return empty.get(text) or _code(text)


def _spec(catalog: Catalog) -> str:
    """Return the page of all sections; what a spec file has beyond the class comes from the schema of files."""
    schema, of_files = Spec.model_json_schema(), json_schema(catalog)["properties"]
    for name, field in of_files.items():
        schema["properties"].setdefault(name, {"default": None, **field})
    # A file need not state its name.
    schema["required"].remove("name")
    # Sections that most specs do without come last, so that a search for a key that another section has too finds that.
    fields = schema["properties"]
    schema["properties"] = dict(sorted(fields.items(), key=lambda field: "anyOf" in field[1]))
    return _document(
        "---\nsearch: {boost: 2}\n---",
        "# Every key of a spec",
        "A spec is a TOML file. Keys that it does not state have these defaults; keys that are not here are mistakes. "
        "`kexp schema` prints the same for editors.",
        _table(["key", "type", "default", "what it does"], _rows(schema, schema["$defs"], "../components")),
        *_sections(_keys, schema, schema["$defs"], "../components", "", level=2),
    )


# --- commands ---------------------------------------------------------------------------------------------------------


def _commands() -> str:
    return _document(
        "# Commands",
        "Results go to standard output, all else to standard error.",
        *_command(typer.main.get_command(app), "kexp", None),
    )


def _command(command: Any, name: str, above: Any) -> Iterator[str]:
    """Yield the parts of a command's section, and then those of the commands below it."""
    context = typer.Context(command, info_name=name, parent=above)
    yield f"## {f'{above.command_path} ' if above else ''}{name}"
    yield prose(inspect.cleandoc(command.help or ""))
    yield _fence("text", command.get_usage(context).removeprefix("Usage: "))
    rows = [_parameter(parameter) for parameter in command.params if not parameter.hidden]
    yield _table(["argument or option", "default", "what it does"], rows) if rows else ""
    for below, found in sorted(getattr(command, "commands", {}).items()):
        yield from _command(found, below, context)


def _parameter(parameter: Any) -> list[str]:
    if parameter.param_type_name == "argument":
        words = (parameter.metavar or parameter.name.upper()) + (" …" if parameter.nargs == -1 else "")
    else:
        words = " ".join([", ".join(parameter.opts), "" if parameter.is_flag else parameter.metavar or "VALUE"])
    default = "" if parameter.default in (None, "", False) else _code(str(parameter.default))
    if parameter.required:
        default = "required"
    environment = f" Also as {_code(parameter.envvar)} in the environment." if parameter.envvar else ""
    return [_code(words.strip()), default, prose(parameter.help or "") + environment]
