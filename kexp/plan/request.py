"""What the commands about specs and the functions of ``kexp`` share: the plan that is asked for, and what it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kexp.catalog import Catalog
from kexp.errors import KexpError
from kexp.nested import Table
from kexp.plan.plugins import catalog_of, catalog_with, need_allowed
from kexp.plan.resolve import Plan, resolve
from kexp.plan.task_defaults import task_and_reason
from kexp.plan.validate import dump_with_secrets
from kexp.spec.sections import Spec
from kexp.spec.source import GIVEN, SpecSource


def make_plan(
    spec: Path | Mapping[str, Any] | Spec,
    *,
    assignments: Sequence[str | Table] = (),
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
    allow_local_code: bool = False,
) -> tuple[Plan, Catalog]:
    """Return a checked plan of a spec, and the components that it may use.

    The spec is a file, a table of Python whose relative paths start at the working folder, or a ``Spec``. Raises
    ``KexpError`` as ``resolve`` and ``catalog_of`` do.
    """
    source = _source(spec, allow_local_code=allow_local_code)
    catalog = catalog_of(source, allow_local_code=allow_local_code, assignments=assignments)
    plan = resolve(source, catalog, assignments=assignments, variants=variants, seeds=seeds)
    # Whatever the plan came from: what it names is what runs.
    need_allowed(plan.source, plan.base.plugins, allow_local_code=allow_local_code)
    return plan, catalog


def _source(spec: Path | Mapping[str, Any] | Spec, *, allow_local_code: bool) -> SpecSource:
    if isinstance(spec, Path):
        return SpecSource.read(spec)
    if isinstance(spec, Mapping):
        return SpecSource.given(spec)
    need_allowed(GIVEN, spec.plugins, allow_local_code=allow_local_code)
    catalog = catalog_with(spec.plugins, allow_local_code=allow_local_code)
    return SpecSource(GIVEN, spec.name, dump_with_secrets(spec, catalog))


def plan_sentence(plan: Plan, catalog: Catalog) -> str:
    """Return what a plan that was checked holds: its variants, seeds, unusual tasks and stages of pre-training."""
    names = ", ".join(variant.name for variant in plan.variants)
    stages = {variant.name: variant.spec.pretraining for variant in plan.variants}
    first = ", ".join(name for name, stage in stages.items() if stage is not None and stage.epochs)
    with_stage = f"; with pre-training: {first}" if first else ""
    return f"variants: {names}; seeds: {', '.join(map(str, plan.base.seeds))}{_tasks(plan, catalog)}{with_stage}"


def _tasks(plan: Plan, catalog: Catalog) -> str:
    """Return the tasks of variants that are not the usual one, and why the dataset shows them."""
    usual = Spec.model_fields["task"].default
    found: dict[str, list[str]] = {}
    for variant in plan.variants:
        name, why = task_and_reason(variant.spec, catalog)
        if name != usual:
            found.setdefault(f"{name} ({why})" if why else name, []).append(variant.name)
    one = len(found) == 1 and len(next(iter(found.values()))) == len(plan.variants)
    listed = [task if one else f"{task} in {', '.join(names)}" for task, names in found.items()]
    return "".join(f"; task: {task}" for task in listed)


def spec_file(path: Path) -> Path:
    """Return the spec of a run folder, or the file that is given; raises ``KexpError`` for any other folder."""
    if not path.is_dir():
        return path
    if (study := path / "study.toml").is_file():
        raise KexpError(f"{path}: it is the folder of a search, not of runs; give its spec, {study}")
    if not (path / "spec.toml").is_file():
        raise KexpError(f"{path}: no spec.toml in this folder; expected a spec file or a run folder")
    return path / "spec.toml"
