"""What the commands about specs share: the plan that a command line asks for, and its warnings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kexp.redaction import without_passwords

if TYPE_CHECKING:
    from kexp.catalog import Catalog
    from kexp.nested import Table
    from kexp.plan.resolve import Plan


def plan_of(
    spec: Path,
    assignments: Sequence[str | Table] | None,
    variants: list[str] | None,
    seeds: str = "",
    *,
    allow_local_code: bool,
) -> tuple[Plan, Catalog]:
    """Return what the command line asks for, and the components that it may use."""
    from kexp.plan.request import make_plan

    return make_plan(
        spec,
        assignments=assignments or (),
        variants=variants or (),
        seeds=seeds_of(seeds),
        allow_local_code=allow_local_code,
    )


def seeds_of(text: str) -> list[int]:
    """Return the seeds that --seeds names, none for an empty text; raises ``KexpError`` for what is no whole number."""
    from kexp.errors import KexpError

    try:
        return [int(seed) for seed in text.split(",")] if text else []
    except ValueError:
        raise KexpError(f"--seeds {text[:60]}: expected whole numbers with commas between, for example 1,2,3") from None


def print_warnings(plan: Plan) -> None:
    """Print the warnings of a plan on standard error."""
    for problem in plan.warnings:
        print(without_passwords(f"{plan.source}: warning: {problem}"), file=sys.stderr)
