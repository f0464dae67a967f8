"""The command that writes a first spec: kexp init."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kexp.cli.app_options import AsJson, app
from kexp.cli.errors import report_errors

if TYPE_CHECKING:
    from kexp.catalog import Catalog
    from kexp.init.backbones import Suggestion
    from kexp.init.examine import Found


@app.command()
def init(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|FOLDER",
            help="CSV, TSV, TXT, JSON, JSONL, Parquet or XLSX; or a folder of files named train, test ...",
            show_default=False,
        ),
    ],
    template: Annotated[
        str | None,
        typer.Option(
            "--template",
            metavar="NAME",
            help="plain, compare, search, few-labels, k-fold or dialect.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="COLUMN", help="Column of the texts; repeated, columns that are joined."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="COLUMN", help="Column of the labels; repeated, columns of 0 and 1."),
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", metavar="COLUMN", help="Column whose equal values stay in one split.")
    ] = None,
    sheet: Annotated[str | None, typer.Option("--sheet", metavar="NAME", help="Sheet of an Excel workbook.")] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Backbone: an installed one, a hub id, or a folder with a model."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="The spec; named after the data when not given.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing, and take what is found.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a spec that is there already.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at a file or folder of labelled texts, and write a spec for it with comments.

    Finds format, encoding, separator, header, columns and labels, and suggests lengths and a Korean backbone that fits
    the machine. In a terminal it asks; Enter takes what was found.
    """
    with report_errors():
        from kexp.atomic_files import replacing
        from kexp.catalog import load_catalog
        from kexp.cli.display import note
        from kexp.errors import KexpError, did_you_mean
        from kexp.init.examine import examine
        from kexp.init.length import suggest
        from kexp.init.write import TEMPLATES, render
        from kexp.plan.resolve import resolve
        from kexp.spec import toml
        from kexp.spec.source import SpecSource

        if template is not None and template not in TEMPLATES:
            raise KexpError(f"--template {template}: unknown; {did_you_mean(template, TEMPLATES)}")
        asks = not yes and not as_json and _has_terminal()
        spec = output or Path(f"{_stem(source)}.toml")
        if not asks or output is not None:
            _need_free(spec, force=force)
        found = examine(source, text or (), label or (), group, sheet)
        _print_found(found)
        if asks:
            chosen = _ask_columns(found, text, label)
            found = found if chosen is None else examine(source, *chosen, group, sheet)
            template = template or _ask("Template", TEMPLATES[0], TEMPLATES)
        catalog = load_catalog()
        backbone, why, others = _backbone(model, catalog)
        if asks and model is None:
            backbone, why = _ask_backbone(backbone, why, catalog)
        if asks and output is None:
            spec = _ask_output(spec, force=force)
        note(f"backbone {backbone.sentence}{f': {why}' if why else ''}")
        length = suggest(found.texts, backbone)
        content = render(found, template or TEMPLATES[0], backbone, why, length, spec, others)
        with replacing(spec) as part:
            part.write_text(content, "utf-8")
            # Nothing is left where data or model have a mistake that only a check finds.
            plan = resolve(SpecSource(str(spec), spec.stem, toml.read(part)), catalog)
        if as_json:
            print(json.dumps(_as_json(found, spec, backbone), ensure_ascii=False))
            return
        for warning in plan.warnings:
            note(f"{spec}: warning: {warning}")
        note(f"next: kexp data {spec}")
        print(spec)


def _has_terminal() -> bool:
    return sys.stdin.isatty()


def _stem(source: Path) -> str:
    name = source.resolve().name if source.is_dir() else source.name
    return name.partition(".")[0] or "first"


def _need_free(spec: Path, *, force: bool) -> None:
    from kexp.errors import KexpError

    if spec.is_dir():
        raise KexpError(f"--output {spec} is a folder; expected a file name, such as {spec / 'spec.toml'}")
    if spec.suffix != ".toml":
        raise KexpError(f"--output {spec}: expected a name that ends in .toml")
    if not spec.parent.is_dir():
        raise KexpError(f"--output {spec}: the folder {spec.parent} does not exist; make it, or name another")
    if spec.exists() and not force:
        raise KexpError(f"{spec} exists already; --output names another file, --force replaces it")


def _print_found(found: Found) -> None:
    from kexp.cli.display import note
    from kexp.init.write import summary

    note(summary(found))
    roles = found.roles
    pair = f", second text {roles.text_pair}" if roles.text_pair else ""
    group = f", group {roles.group}" if roles.group else ""
    texts = f" (or {', '.join(roles.other_texts)})" if roles.other_texts else ""
    others = f" (or {', '.join(roles.other_labels)})" if roles.other_labels else ""
    labels = f"label {roles.label.name}{others}, {found.labels_in_words}"
    note(f"text {' + '.join(roles.text)}{texts}{pair}; {labels}{group}")
    for one in found.notes:
        note(f"note: {one}")
    for name, reason in found.leave_out.items():
        note(f'note: rows with the label "{name}" are left out: {reason}')


def _backbone(model: str | None, catalog: Catalog) -> tuple[Suggestion, str, list[str]]:
    from kexp.init import backbones

    if model is not None:
        return backbones.named(model, catalog), "", []
    hardware, most = backbones.machine()
    chosen, why = backbones.choose(catalog, most)
    listed = [one.sentence for one in backbones.suggestions(catalog) if one.table != chosen.table]
    return chosen, why, [f"For {hardware}. Others:", *(f"  {one}" for one in listed)] if listed else []


def _ask(question: str, default: str, choices: Sequence[str] = ()) -> str:
    """Ask on the terminal, until the answer is one of the choices if there are some."""
    from kexp.cli.display import note
    from kexp.errors import did_you_mean

    shown = f"{question} ({', '.join(choices)})" if choices else question
    while True:
        try:
            answer: str = typer.prompt(shown, default=default, err=True)
        except typer.Abort:
            raise KeyboardInterrupt from None
        if not choices or answer in choices:
            return answer
        note(f"{answer}: unknown; {did_you_mean(answer, choices)}")


def _ask_columns(
    found: Found, text: list[str] | None, label: list[str] | None
) -> tuple[Sequence[str], Sequence[str]] | None:
    """Ask for the columns that the command line does not name; None where they are those that were found."""
    roles = found.roles
    names = list(roles.columns)
    texts = text or roles.text
    if not text and roles.text_pair is None:
        texts = (_ask("Column of texts", roles.text[0], names),)
    seen = roles.label.columns
    chosen: Sequence[str] = label or seen
    if not label:
        choices = [name for name in names if name not in texts]
        joined = [roles.label.name] if len(seen) > 1 else []
        answer = _ask("Column of labels", roles.label.name, [*joined, *choices])
        chosen = seen if answer == roles.label.name else (answer,)
    unchanged = tuple(texts) == tuple(roles.text) and tuple(chosen) == tuple(seen)
    return None if unchanged else (texts, chosen)


def _ask_backbone(backbone: Suggestion, why: str, catalog: Catalog) -> tuple[Suggestion, str]:
    from kexp.cli.display import note
    from kexp.init import backbones

    for one in backbones.suggestions(catalog):
        note(f"  {one.sentence}")
    answer = _ask("Backbone", backbone.title)
    return (backbone, why) if answer == backbone.title else (backbones.named(answer, catalog), "")


def _ask_output(spec: Path, *, force: bool) -> Path:
    """Ask for the name of the spec until it is one that may be written."""
    from kexp.cli.display import note
    from kexp.errors import KexpError

    while True:
        answer = Path(_ask("Write to", str(spec)))
        try:
            _need_free(answer, force=force)
        except KexpError as error:
            note(str(error))
        else:
            return answer


def _as_json(found: Found, spec: Path, backbone: Suggestion) -> dict[str, object]:
    roles = found.roles
    return {
        "spec": str(spec),
        "files": {split: str(table.path) for split, table in found.tables.items()},
        "text": list(roles.text),
        "text_pair": roles.text_pair,
        "label": roles.label.name if len(roles.label.columns) == 1 else list(roles.label.columns),
        "group": roles.group,
        "labels": dict(found.counts),
        "leave_out": dict(found.leave_out),
        "backbone": dict(backbone.table),
        "notes": list(found.notes),
    }
