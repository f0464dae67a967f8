"""What the tests of faults share: how many are tried, and the counts of what became of them."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from processes import Commands, commands

LONG = os.environ.get("KEXP_CHAOS") == "long"


@dataclass(slots=True)
class Tally:
    """How many faults were tried, survived and lost a result, by kind."""

    tried: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    lost: dict[str, list[str]] = field(default_factory=dict)

    def __call__(self, kind: str, outcome: str, what: str) -> None:
        """Count a fault: it was ``survived`` with equal results, ``refused`` by name, or else is lost."""
        self.tried[kind] += 1
        if outcome in ("survived", "refused"):
            getattr(self, outcome)[kind] += 1
        else:
            self.lost.setdefault(kind, []).append(f"{what}: {outcome}")


TALLY = pytest.StashKey[Tally]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TALLY] = Tally()


@pytest.fixture(scope="session")
def tally(request: pytest.FixtureRequest) -> Tally:
    return request.config.stash[TALLY]


@pytest.fixture
def nothing_lost(tally: Tally) -> Iterator[None]:
    """Fail a test after which more is lost than before it."""
    before = sum(map(len, tally.lost.values()))
    yield
    lost = [line for lines in tally.lost.values() for line in lines]
    assert len(lost) == before, "\n".join(lost[before:])


@pytest.fixture(scope="session")
def long() -> bool:
    """Whether everything is tried."""
    return LONG


@pytest.fixture
def long_only() -> None:
    """Leave a test to the long run."""
    if not LONG:
        pytest.skip("needs minutes: make chaos")


@pytest.fixture(scope="session")
def kexp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with commands(tmp_path_factory.mktemp("commands")) as started:
        yield started


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    tally = config.stash[TALLY]
    if not tally.tried:
        return
    terminalreporter.section("faults")
    for kind, tried in tally.tried.items():
        counts = f"{tally.survived[kind]} survived, {tally.refused[kind]} refused by name"
        terminalreporter.line(f"{kind}: {tried} tried, {counts}, {len(tally.lost.get(kind, ()))} lost")
    for lines in tally.lost.values():
        for line in lines:
            terminalreporter.line(f"lost: {line}")
