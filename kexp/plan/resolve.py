"""From a spec file to a plan: layers merged, every variant validated, every problem reported together."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from kexp import nested
from kexp.catalog import Catalog
from kexp.errors import KexpError, Problem, SpecError
from kexp.names import composed
from kexp.nested import Table
from kexp.plan.cross_checks import warnings_of
from kexp.plan.validate import dump, validate
from kexp.plan.variants import FIXED_BY_EXPERIMENT, variant_changes, variant_problems
from kexp.repeats import Repeat, all_repeats
from kexp.spec import toml
from kexp.spec.sections import Spec
from kexp.spec.source import SpecSource

DEFAULT_VARIANT = "default"


@dataclass(frozen=True, slots=True)
class Variant:
    """One resolved set of changes to the experiment."""

    name: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment that has been checked completely. ``table`` is the resolved spec, ready to be written."""

    source: str
    base: Spec
    variants: tuple[Variant, ...]
    table: Mapping[str, Any]
    warnings: tuple[Problem, ...] = ()

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that name the resolved spec, however many of its runs train at once."""
        table = {key: value for key, value in self.table.items() if key != "execution"}
        return hashlib.sha256(toml.dumps(table).encode()).hexdigest()[:8]

    def runs(self) -> Iterator[tuple[Variant, Repeat]]:
        """Yield every variant with its repeats."""
        for variant in self.variants:
            for repeat in repeats_of(variant.spec):
                yield variant, repeat


def repeats_of(spec: Spec) -> Iterator[Repeat]:
    """Yield the runs of one variant: every draw of the labelled rows with every fold and every seed."""
    return all_repeats(spec.seeds, spec.labelled.draws, spec.split.folds)


def resolve(
    spec: Path | SpecSource,
    catalog: Catalog,
    *,
    assignments: Sequence[str | Table] = (),
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> Plan:
    """Check a spec, that of a file or one that was read.

    ``assignments`` are ``path=value`` texts, or tables, that override the file and its variants; ``variants`` chooses
    among the file's variants, ``seeds`` replaces its seeds. Raises ``SpecError`` with every problem of the file, or of
    the chosen variants: the file without the changes of a variant need not be valid then.
    """
    source = spec if isinstance(spec, SpecSource) else SpecSource.read(spec)
    table = dict(source.table)
    in_file = table.pop("variants", {})
    variants = [composed(name) for name in variants]
    overrides = overrides_of(assignments, seeds)
    ineffective = list(toml.without_effect(table, overrides))
    table = nested.merge({"name": source.name, **table}, overrides)
    base, base_problems = validate(table, catalog)
    reported = [] if variants else base_problems
    changes = variant_changes(in_file, variants)
    resolved, found = _validate_variants(table, changes, overrides, base_problems, reported, catalog)
    if problems := [*variant_problems(in_file, variants), *ineffective, *reported, *found]:
        raise SpecError(source.title, problems)
    resolved_table = _resolved_table(base, resolved, catalog)
    base = base or resolved[0].spec
    resolved = resolved or [Variant(DEFAULT_VARIANT, base)]
    return Plan(source.title, base, tuple(resolved), resolved_table, tuple(_warnings(resolved)))


def _warnings(variants: Sequence[Variant]) -> Iterator[Problem]:
    """Yield what is warned of: once where all variants share it, else under each variant that it is about."""
    found = {variant.name: list(warnings_of(variant.spec)) for variant in variants}
    for warning in dict.fromkeys(warning for warnings in found.values() for warning in warnings):
        names = [name for name, warnings in found.items() if warning in warnings]
        if len(names) == len(variants):
            yield warning
        else:
            yield from (warning.under(f"variants.{name}") for name in names)


def overrides_of(assignments: Sequence[str | Table], seeds: Sequence[int] = ()) -> Table:
    """Return the table of everything that the command line, or a call of Python, sets."""
    table: Table = {}
    for assignment in assignments:
        over = toml.parse_assignment(assignment) if isinstance(assignment, str) else toml.expand(assignment)
        table = nested.merge(table, over)
    if "variants" in table:
        raise KexpError("--set variants: variants can be changed in the file only; --set changes all of them alike")
    return {**table, "seeds": list(seeds)} if seeds else table


def _validate_variants(
    table: Table,
    changes: Mapping[str, Table],
    overrides: Table,
    base_problems: Sequence[Problem],
    reported: Sequence[Problem],
    catalog: Catalog,
) -> tuple[list[Variant], list[Problem]]:
    """Return the valid variants, and the problems of the others without those that are reported already."""
    valid: list[Variant] = []
    problems: list[Problem] = []
    seen = list(reported)
    for name, changed in changes.items():
        spec, found = validate(nested.merge(nested.merge(table, changed), overrides), catalog)
        found = [*toml.without_effect(table, changed), *toml.without_effect(changed, overrides), *found]
        new = [problem for problem in found if not _is_reported(problem, seen, base_problems, overrides)]
        problems += [problem if problem in base_problems else _of_variant(problem, name) for problem in new]
        seen += new
        valid += [Variant(name, spec)] if spec else []
    return valid, problems


def _of_variant(problem: Problem, name: str) -> Problem:
    """Return a variant's problem with its place in the file; what is advised instead of a key belongs there too."""
    message = problem.message
    table = f"[variants.{name if re.fullmatch(r'[A-Za-z0-9_-]+', name) else json.dumps(name)}]"
    if message.startswith("unknown ") and not re.search(rf"; use ({'|'.join(FIXED_BY_EXPERIMENT)})\b", message):
        message = re.sub(r"; use (?=[a-z])", f"; in {table} use ", message, count=1)
    return replace(problem, message=message).under(f"variants.{name}")


def _is_reported(
    problem: Problem, reported: Sequence[Problem], base_problems: Sequence[Problem], overrides: Table
) -> bool:
    """Return whether a variant's problem was reported: as one of the base, or as one of what all variants share."""
    if problem in base_problems:
        return problem in reported
    shared = problem.path.startswith("search.") or nested.find(overrides, problem.path) is not None
    return shared and problem.path in {other.path for other in reported}


def _resolved_table(base: Spec | None, variants: Sequence[Variant], catalog: Catalog) -> Table:
    """Return the base and what each variant changes; if the base is not valid, what the variants share is the base."""
    dumped = {variant.name: dump(variant.spec, catalog) for variant in variants}
    table = reduce(nested.shared, dumped.values()) if base is None else dump(base, catalog)
    changes = {name: nested.difference(table, whole) for name, whole in dumped.items()}
    return {**table, "variants": changes} if changes else table
