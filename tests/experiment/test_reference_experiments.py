"""Every spec in experiments/ resolves."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import REPOSITORY

from kexp.catalog import Catalog
from kexp.errors import Problem, SpecError
from kexp.plan.resolve import resolve

FOLDER = REPOSITORY / "experiments"
SPECS = sorted(FOLDER.rglob("*.toml"))


def problems(spec: Path, catalog: Catalog) -> list[Problem]:
    try:
        assert resolve(spec, catalog).variants
    except SpecError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_every_spec_resolves_but_for_what_must_be_downloaded(spec: Path, catalog: Catalog) -> None:
    found = problems(spec, catalog)
    assert [problem for problem in found if "does not exist" not in problem.message] == []
    assert {problem.path.rsplit(".", 2)[-2] for problem in found} <= {"dataset", "backbone"}
