"""What the commands about specs share: the plan that a command line asks for, and its warnings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kexp.redaction import without_passwords

if TYPE_CHECKING:
    from kexp.catalog import Catalog
    from kexp.plan.resolve import Plan


def plan_of(
    spec: Path,
    assignments: list[str] | None,
    variants: list[str] | None,
    seeds: str = "",
    *,
    allow_local_code: bool,
) -> tuple[Plan, Catalog]:
    """Return what the command line asks for, and the components that it may use."""
    from kexp.errors import KexpError
    from kexp.plan.plugins import catalog_of, need_allowed
    from kexp.plan.resolve import resolve

    try:
        numbers = [int(seed) for seed in seeds.split(",")] if seeds else []
    except ValueError:
        raise KexpError(
            f"--seeds {seeds[:60]}: expected whole numbers with commas between, for example 1,2,3"
        ) from None
    catalog = catalog_of(spec, allow_local_code=allow_local_code, assignments=assignments or ())
    plan = resolve(spec, catalog, assignments=assignments or (), variants=variants or (), seeds=numbers)
    # Whatever the plan came from: what it names is what runs.
    need_allowed(plan.source, plan.base.plugins, allow_local_code=allow_local_code)
    return plan, catalog


def print_warnings(plan: Plan) -> None:
    """Print the warnings of a plan on standard error."""
    for problem in plan.warnings:
        print(without_passwords(f"{plan.source}: warning: {problem}"), file=sys.stderr)
