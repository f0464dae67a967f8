"""A storage that is not reached for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.exceptions import DuplicatedStudyError, StorageInternalError
from optuna.storages import InMemoryStorage
from sqlalchemy.exc import IntegrityError, OperationalError

from kexp.errors import KexpError, RunFailed
from kexp.search import patience
from kexp.search.patience import patient
from kexp.search.silence_optuna import quiet_optuna

GONE = OperationalError("SELECT 1", {}, Exception("server closed the connection\n\tprobably terminated"))


class Unreliable:
    """Passes everything on, and raises what ``errors`` holds before that."""

    def __init__(self) -> None:
        self.storage, self.errors = InMemoryStorage(), list[Exception]()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.storage, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if self.errors:
                raise self.errors.pop()
            return method(*arguments, **options)

        return call


class Clock:
    """Time that passes only while somebody sleeps."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    return clock


def wrapped(error: Exception) -> Exception:
    """Return an error as Optuna raises it for a driver's."""
    found = StorageInternalError("An exception is raised during the commit.")
    found.__cause__ = error
    return found


def opened(tell: Callable[[str], None]) -> tuple[Unreliable, optuna.Study]:
    unreliable = Unreliable()
    with quiet_optuna():
        study = optuna.create_study(storage=patient(unreliable, "db", tell), study_name="s")  # type: ignore[arg-type]
    return unreliable, study


@pytest.mark.parametrize("error", [GONE, wrapped(GONE)])
def test_call_is_done_when_the_storage_is_back(clock: Clock, error: Exception) -> None:
    told: list[str] = []
    unreliable, study = opened(told.append)
    unreliable.errors = [error] * 5
    study.set_user_attr("k", 1)
    assert study.user_attrs == {"k": 1}
    assert told == [
        "db is not reached (server closed the connection); waiting for 15 minutes at most",
        "db is back",
    ]
    assert 5 < clock.now < 60


def test_storage_that_stays_away_ends_the_search_once(clock: Clock) -> None:
    unreliable, study = opened(lambda text: None)
    unreliable.errors = [GONE] * 10_000
    with pytest.raises(
        RunFailed, match=r"db was not reached for 15 minutes \(server closed .* the same command continues"
    ):
        study.set_user_attr("k", 1)
    assert patience.WAIT < clock.now < patience.WAIT + 2 * patience.LONGEST_PAUSE
    ended = clock.now
    # Whoever asks next is not kept waiting again.
    with pytest.raises(RunFailed):
        study.get_trials()
    assert clock.now == ended
    unreliable.errors = []
    study.set_user_attr("k", 2)
    assert study.user_attrs == {"k": 2}


def test_storage_that_was_never_written_is_not_waited_for(clock: Clock) -> None:
    unreliable = Unreliable()
    unreliable.errors = [GONE]
    with pytest.raises(KexpError, match=r"^db cannot be used: server closed the connection$") as told:
        optuna.create_study(storage=patient(unreliable, "db", print))  # type: ignore[arg-type]
    assert told.value.exit_status == 2
    assert clock.now == 0


def test_refusals_are_passed_on(clock: Clock) -> None:
    unreliable, study = opened(pytest.fail)
    for error in (IntegrityError("INSERT", {}, Exception("twice")), DuplicatedStudyError(), ValueError("no")):
        unreliable.errors = [error]
        with pytest.raises(type(error)):
            study.set_user_attr("k", 1)
    assert clock.now == 0
