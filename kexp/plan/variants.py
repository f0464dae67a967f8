"""The variants of a spec file: which are chosen, what each changes, and what is wrong with how they are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kexp.errors import Problem, did_you_mean
from kexp.names import composed, file_name_problem, same_file_names
from kexp.nested import Table
from kexp.spec import toml

OWN_FILES = (".toml", ".json", ".jsonl", ".html", ".npz", ".lock", ".part", ".tmp")
"""Endings of the files that kexp writes into a run folder, beside a folder per variant."""

FIXED_BY_EXPERIMENT = ("name", "seeds", "variants", "extends", "execution", "plugins")


def variant_changes(variants: object, chosen: Sequence[str]) -> dict[str, Table]:
    """Return what each variant changes, of the chosen ones or of all if none is chosen."""
    tables = variants if isinstance(variants, dict) else {}
    return {
        composed(name): toml.expand(changes) if isinstance(changes, dict) else {}
        for name, changes in tables.items()
        if not chosen or composed(name) in chosen
    }


def variant_problems(variants: object, chosen: Sequence[str]) -> Iterator[Problem]:
    """Yield names and tables that are not valid, and chosen variants that do not exist."""
    if not isinstance(variants, dict):
        yield Problem("variants", "expected tables, [variants.NAME]")
        return
    for name, changes in variants.items():
        if not chosen or composed(name) in chosen:
            yield from _problems_of(name, changes)
    checked = [name for name in variants if not chosen or composed(name) in chosen]
    for name, other in same_file_names(checked):
        message = (
            f'differs from variant "{other}" by case or composition only: their folders would be one on many systems'
        )
        yield Problem(f"variants.{name}", message, "choose another name")
    for name in chosen:
        if name not in map(composed, variants):
            yield Problem("variants", f'no variant "{name[:60]}"', did_you_mean(name, variants) or "the spec has none")


def _problems_of(name: str, changes: object) -> Iterator[Problem]:
    message = file_name_problem(composed(name))
    if not message and name.casefold().endswith(OWN_FILES):
        message = "another name: kexp's own files beside the variants' folders end like that"
    if message:
        yield Problem(f"variants.{name}", f"a variant's name becomes a folder; expected {message}")
    if not isinstance(changes, Mapping):
        yield Problem(f"variants.{name}", f"expected a table of changes, found {changes!r}")
        return
    for key in {path.split(".")[0] for path in changes} & set(FIXED_BY_EXPERIMENT):
        yield Problem(f"variants.{name}.{key}", "belongs to the whole experiment, not to a variant")
