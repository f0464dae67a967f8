"""From a spec file to a plan: every layer merged, every component found, every problem told at once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kexp import nested
from kexp.catalog import Catalog
from kexp.contracts import BackboneOptions, FreezingOptions
from kexp.contracts.freezing import block_names
from kexp.errors import KexpError, Problem, SpecError, did_you_mean
from kexp.nested import find
from kexp.options import Options, Section, plugin_results
from kexp.plan.messages import translate
from kexp.plan.search_metrics import check_search
from kexp.plan.space_ends import check_space_ends
from kexp.spec import toml
from kexp.spec.search import Search
from kexp.spec.sections import Evaluation, Spec, Training
from kexp.spec.space import Space

DEFAULT_VARIANT = "default"
FIXED_BY_EXPERIMENT = ("name", "seeds", "variants", "extends", "plugins")


@dataclass(frozen=True, slots=True)
class Variant:
    """One resolved set of changes to the experiment."""

    name: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment of which every word has been checked. ``table`` is the resolved spec, ready to be written."""

    source: str
    base: Spec
    variants: tuple[Variant, ...]
    table: Mapping[str, Any]
    warnings: tuple[Problem, ...] = ()

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that name the resolved spec."""
        return hashlib.sha256(toml.dumps(self.table).encode()).hexdigest()[:8]

    def runs(self) -> Iterator[tuple[Variant, int]]:
        """Yield every variant with every seed."""
        for variant in self.variants:
            for seed in self.base.seeds:
                yield variant, seed


def resolve(
    path: Path,
    catalog: Catalog,
    *,
    assignments: Sequence[str] = (),
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> Plan:
    """Read and check a spec file.

    ``assignments`` are ``path=value`` texts that win over the file and its variants; ``variants`` chooses among the
    file's variants, ``seeds`` replaces its seeds. Raises ``SpecError`` with every problem of the file, or of the chosen
    variants: what they change need not make a spec without them.
    """
    if path.is_dir():
        raise KexpError(f"{path} is a folder; expected a spec file, such as {path / 'spec.toml'}")
    table = toml.read(path)
    named = table.pop("variants", {})
    over: nested.Table = {}
    for assignment in assignments:
        over = nested.merge(over, toml.parse_assignment(assignment))
    if "variants" in over:
        raise KexpError("--set variants: variants are stated in the file; --set changes all of them alike")
    if seeds:
        over["seeds"] = list(seeds)
    table = nested.merge({"name": path.stem, **table}, over)
    base, wrong = check(table, catalog)
    told: list[Problem] = [] if variants else list(wrong)
    problems = [*_variant_problems(named, variants), *told]
    resolved: list[Variant] = []
    for name, changes in _chosen(named, variants).items():
        spec, found = check(nested.merge(nested.merge(table, changes), over), catalog)
        new = [problem for problem in found if not _was_told(problem, told, wrong, over)]
        problems += [problem if problem in wrong else problem.under(f"variants.{name}") for problem in new]
        told += new
        resolved += [Variant(name, spec)] if spec else []
    if problems:
        raise SpecError(str(path), problems)
    resolved_table = _resolved_table(base, resolved, catalog)
    base = base or resolved[0].spec
    chosen = tuple(resolved) or (Variant(DEFAULT_VARIANT, base),)
    return Plan(str(path), base, chosen, resolved_table, tuple(_warnings(chosen)))


def _chosen(named: object, chosen: Sequence[str]) -> dict[str, nested.Table]:
    """Return what each variant changes, of the chosen ones if any are."""
    stated = named if isinstance(named, dict) else {}
    return {
        name: toml.expand(changes) if isinstance(changes, dict) else {}
        for name, changes in stated.items()
        if not chosen or name in chosen
    }


def _was_told(problem: Problem, told: Sequence[Problem], base: Sequence[Problem], over: nested.Table) -> bool:
    """Tell whether a variant's problem was told: as one of the base, or as one of what all variants are given."""
    if problem in base:
        return problem in told
    given = problem.path.startswith("search.") or find(over, problem.path) is not None
    return given and problem.path in {other.path for other in told}


def _variant_problems(named: object, chosen: Sequence[str]) -> Iterator[Problem]:
    if not isinstance(named, dict):
        yield Problem("variants", "expected tables, [variants.NAME]")
        return
    for name, overrides in named.items():
        if chosen and name not in chosen:
            continue
        if not re.fullmatch(r"[\w가-힣][\w가-힣.-]*", name):
            yield Problem(
                f"variants.{name}", "a variant's name becomes a folder: letters, digits, '-', '_' and '.' only"
            )
        if not isinstance(overrides, dict):
            yield Problem(f"variants.{name}", f"expected a table of changes, found {overrides!r}")
            continue
        for key in {path.split(".")[0] for path in overrides} & set(FIXED_BY_EXPERIMENT):
            yield Problem(f"variants.{name}.{key}", "belongs to the whole experiment, not to a variant")
    for name in chosen:
        if name not in named:
            yield Problem("variants", f'no variant "{name}"', did_you_mean(name, named) or "the spec states none")


def _warnings(variants: Sequence[Variant]) -> Iterator[Problem]:
    told = set()
    for variant in variants:
        for warning in _doubts(variant.spec):
            if warning not in told:
                told.add(warning)
                yield warning


def _doubts(spec: Spec) -> Iterator[Problem]:
    for name in Spec.model_fields:
        for place, part in parts(name, getattr(spec, name)):
            yield from (warning.under(place) for warning in plugin_results(part, "warnings", Problem))
    labels = spec.dataset.label_count()
    if labels is not None:
        yield from (
            Problem("objective", message) for message in plugin_results(spec.objective, "label_warnings", str, labels)
        )
    if spec.training.length_bucketing and spec.sampler.keeps_order:
        message = "has no effect, since the sampler keeps its order"
        yield Problem("training.length_bucketing", message, "set it to false, or use another sampler")


def dump(spec: Spec, catalog: Catalog) -> nested.Table:
    """Return a spec as the table that states it, with every default written out."""
    dumped: nested.Table = spec.model_dump(mode="json", context={"catalog": catalog}, exclude_none=True)
    return dumped


def _resolved_table(base: Spec | None, variants: Sequence[Variant], catalog: Catalog) -> nested.Table:
    """Return the base and what each variant changes; where only variants make specs, on what they share."""
    dumped = {variant.name: dump(variant.spec, catalog) for variant in variants}
    table = reduce(nested.shared, dumped.values()) if base is None else dump(base, catalog)
    changes = {name: nested.difference(table, whole) for name, whole in dumped.items()}
    return {**table, "variants": changes} if changes else table


def check(table: Mapping[str, Any], catalog: Catalog) -> tuple[Spec | None, list[Problem]]:
    """Validate one layered table; return the spec, or None with what is wrong."""
    context: dict[str, Any] = {"catalog": catalog, "valid": {}}
    problems: list[Problem] = []
    spec = None
    table = {name: _named(name, value) for name, value in toml.join_paths(dict(table)).items()}
    try:
        spec = Spec.model_validate(table, context=context)
    except ValidationError as error:
        problems = translate(error.errors(include_url=False), table)
    problems += _cross_check(context["valid"], catalog)
    if spec and spec.search and not problems:
        problems += _check_space(spec, spec.search, catalog)
        if spec.search.seeds_per_trial > len(spec.seeds):
            message = f"a trial takes the first {spec.search.seeds_per_trial} seeds, the spec states {len(spec.seeds)}"
            problems.append(Problem("search.seeds_per_trial", message, "state more seeds"))
    return (None if problems else spec), problems


def resolved(table: Mapping[str, Any], catalog: Catalog) -> tuple[Mapping[str, Any], Sequence[Problem]]:
    """Return a table with every default written out, or as it is with what is wrong with it."""
    spec, problems = check(table, catalog)
    return (dump(spec, catalog) if spec else table), problems


def space_of(spec: Spec, search: Search, catalog: Catalog) -> Space:
    """Return the space of a search over an experiment without its ``[search]``."""
    space = Space.of(dump(spec.model_copy(update={"search": None}), catalog), search.space)
    return space.typed(lambda table: resolved(table, catalog)[0])


def _check_space(spec: Spec, search: Search, catalog: Catalog) -> Iterable[Problem]:
    try:
        space = space_of(spec, search, catalog)
    except ValueError as error:
        return [Problem("search.space", str(error))]
    # What was refused as it is stated has been told; a range of numbers with whole ends shows only now.
    refused = [Problem("search.sampler", message) for message in search.sampler.space_problems(space.parameters)]
    return [*refused, *check_space_ends(space, lambda table: check(table, catalog)[1])]


def _named(section: str, value: Any) -> Any:
    """Let a table without ``use`` hold options of the section's default component."""
    field = Spec.model_fields.get(section)
    if field and isinstance(field.default, str) and field.default and isinstance(value, dict) and "use" not in value:
        return {"use": field.default, **value}
    return value


# --- checks that types cannot make ----------------------------------------------------------------------------------


def _cross_check(valid: Mapping[str, Any], catalog: Catalog) -> Iterator[Problem]:
    """Ask every valid section, component and pair of sections what is wrong with it."""
    for name, section in valid.items():
        for place, part in parts(name, section):
            owner = str(catalog.owner_of(type(part))) if isinstance(part, Options) else ""
            for problem in plugin_results(part, "problems", Problem):
                yield replace(problem.under(place), owner=owner)
    training, evaluation, backbone, freezing = map(valid.get, ("training", "evaluation", "backbone", "freezing"))
    if training and evaluation:
        yield from _check_monitor(training, evaluation, catalog)
    if training and backbone:
        yield from _check_positions(training, backbone, catalog)
    if freezing and backbone:
        yield from _check_freezing(freezing, backbone)
    if training and evaluation and (search := valid.get("search")):
        yield from check_search(search, training, evaluation, catalog)
    dataset, objective = valid.get("dataset"), valid.get("objective")
    if dataset and objective and (labels := dataset.label_count()) is not None:
        yield from (
            Problem("objective", message) for message in plugin_results(objective, "label_problems", str, labels)
        )


def components(sections: Iterable[Section], catalog: Catalog) -> dict[str, str]:
    """Return the components in some sections as "kind name", each with the package and version that it comes from."""
    used = {type(part) for section in sections for _, part in parts("", section) if isinstance(part, Options)}
    return dict(sorted((f"{part.kind} {catalog.name_of(part)}", str(catalog.owner_of(part))) for part in used))


def parts(place: str, value: Any) -> Iterator[tuple[str, Section]]:
    """Yield a section and every section nested in it, with its dotted path."""
    if isinstance(value, Section):
        yield place, value
        for name in type(value).model_fields:
            yield from parts(f"{place}.{name}", getattr(value, name))
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from parts(f"{place}[{index}]", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from parts(f"{place}.{key}", item)


def _check_monitor(training: Training, evaluation: Evaluation, catalog: Catalog) -> Iterator[Problem]:
    names = [catalog.name_of(type(metric)) for metric in evaluation.metrics]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem("evaluation.metrics", f'metric "{name}" is stated twice')
    if training.monitor not in names:
        hint = did_you_mean(training.monitor, names)
        yield Problem("training.monitor", f'"{training.monitor}" is not among evaluation.metrics', hint)


def _check_positions(training: Training, backbone: BackboneOptions, catalog: Catalog) -> Iterator[Problem]:
    positions = backbone.max_positions()
    if positions is not None and training.max_length > positions:
        name = catalog.name_of(type(backbone))
        message = f'{training.max_length} is more than the {positions} positions of backbone "{name}"'
        yield Problem("training.max_length", message, f"use {positions} or fewer")


def _check_freezing(freezing: FreezingOptions, backbone: BackboneOptions) -> Iterator[Problem]:
    layers = backbone.layer_count()
    if layers is not None:
        try:
            freezing.frozen(block_names(layers), epoch=0)
        except ValueError as error:
            yield Problem("freezing", str(error))
