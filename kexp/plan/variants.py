"""The variants of a spec file: which are chosen, what each changes, and what is wrong with how they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from kexp.errors import Problem, did_you_mean
from kexp.nested import Table
from kexp.spec import toml

FIXED_BY_EXPERIMENT = ("name", "seeds", "variants", "extends", "plugins")


def variant_changes(variants: object, chosen: Sequence[str]) -> dict[str, Table]:
    """Return what each variant changes, of the chosen ones or of all if none is chosen."""
    tables = variants if isinstance(variants, dict) else {}
    return {
        name: toml.expand(changes) if isinstance(changes, dict) else {}
        for name, changes in tables.items()
        if not chosen or name in chosen
    }


def variant_problems(variants: object, chosen: Sequence[str]) -> Iterator[Problem]:
    """Yield names and tables that are not valid, and chosen variants that do not exist."""
    if not isinstance(variants, dict):
        yield Problem("variants", "expected tables, [variants.NAME]")
        return
    for name, changes in variants.items():
        if not chosen or name in chosen:
            yield from _problems_of(name, changes)
    for name in chosen:
        if name not in variants:
            yield Problem("variants", f'no variant "{name}"', did_you_mean(name, variants) or "the spec has none")


def _problems_of(name: str, changes: object) -> Iterator[Problem]:
    if not re.fullmatch(r"[\w가-힣][\w가-힣.-]*", name):
        message = "a variant's name becomes a folder: letters, digits, '-', '_' and '.' only"
        yield Problem(f"variants.{name}", message)
    if not isinstance(changes, Mapping):
        yield Problem(f"variants.{name}", f"expected a table of changes, found {changes!r}")
        return
    for key in {path.split(".")[0] for path in changes} & set(FIXED_BY_EXPERIMENT):
        yield Problem(f"variants.{name}.{key}", "belongs to the whole experiment, not to a variant")
