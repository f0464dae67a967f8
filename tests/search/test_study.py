"""What becomes of trials when several processes share a study, or die."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage

from kexp.builtin.search_samplers import TPE, BruteForce, Random
from kexp.contracts import Parameter
from kexp.errors import KexpError, Problem
from kexp.plan.search_metrics import Goal
from kexp.redaction import without_passwords
from kexp.search import findings, workers
from kexp.search.question import Question, digest
from kexp.search.storage import open_storage
from kexp.search.study import Study, open_study, outcome
from kexp.spec.search import Search
from kexp.spec.space import Space

RANGE = {"lr": Parameter(low=0.0, high=1.0)}


def question(
    parameters: Mapping[str, Parameter] = RANGE, sampler: Any = None, identity: str = "a", **options: Any
) -> Question:
    search = Search.model_construct(sampler=sampler or Random(), pruner=None, max_failures=3, **options)

    def resolve(table: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Problem]]:
        return table, [Problem("lr", "too high")] if table["lr"] == 9 else []

    space = Space.of({"lr": -1.0}, parameters)
    return Question(space, [Goal("validation.f1", "maximize")], search, 1, identity, resolve)


def join(storage: BaseStorage, own: str, asked: Question | None = None) -> Study:
    """Take part in the study as the process ``own``."""
    study = open_study("s", storage, asked or question())
    study.workers.own = own
    return study


def result(value: float, seed: int = 1) -> dict[str, Any]:
    return {"seed": seed, "train_seconds": 1.0, "metrics": {"validation": {"f1": value}}}


@pytest.fixture
def storage() -> BaseStorage:
    return InMemoryStorage()


def test_a_number_of_trials_is_shared_out(storage: BaseStorage) -> None:
    one, two = join(storage, "far/1"), join(storage, "far/2")
    claims = [study.claim(3) for study in (one, two, one, two)]
    assert [claim.number if claim else None for claim in claims] == [0, 1, 2, None]
    assert two.others()
    for study, claim in zip((one, two, one), claims[:3], strict=True):
        study.complete(claim.number, [result(0.1)], "rows", "f")
    assert one.claim(3) is None
    assert not one.others()
    assert findings.finished(one) == 3


def test_of_two_that_ask_at_once_the_lower_number_wins(storage: BaseStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = join(storage, "far/1"), join(storage, "far/2")
    honest, calls = Study._taken, []
    assert one.claim(1).number == 0

    def taken(self: Study) -> list[int]:
        # The second asks before it can see that the first has taken the only trial.
        calls.append(1)
        return [] if len(calls) == 1 else honest(self)

    monkeypatch.setattr(Study, "_taken", taken)
    assert two.claim(1) is None
    assert [outcome(trial) for trial in two.trials()] == ["running", "withdrawn"]


def test_lost_trial_is_tried_once_more_and_then_counts_as_failed(storage: BaseStorage) -> None:
    study = join(storage, "far/1")
    first = study.claim(1)
    study.lose(first.number, "its process was killed")
    again = study.claim(1)
    assert again.values == first.values
    assert study.trials()[again.number].user_attrs["retry of"] == first.number
    study.lose(again.number, "its process was killed")
    assert study.claim(1) is None
    assert [outcome(trial) for trial in study.trials()] == ["lost", "failed"]
    assert "which it repeats, was lost too" in study.trials()[1].user_attrs["reason"]


def test_interrupted_trial_is_given_back_as_often_as_it_takes(storage: BaseStorage) -> None:
    study = join(storage, "far/1")
    values = []
    for _ in range(3):
        claim = study.claim(1)
        values.append(claim.values)
        study.interrupt(claim.number, "stopped")
    assert values[0] == values[1] == values[2]
    study.complete(study.claim(1).number, [result(0.5)], "rows", "f")
    assert findings.counts(study) == {"complete": 1, "pruned": 0, "failed": 0, "interrupted": 3, "repeated": 0}


def test_process_of_another_machine_is_given_up_when_its_counter_stands_still(
    storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(workers.time, "monotonic", lambda: now)
    one, two = join(storage, "far/1@5"), join(storage, "farther/2@5")
    lost = one.claim(2)
    for count in range(5):
        # It counts, on whatever clock, so it lives.
        one.optuna.set_user_attr("worker far/1@5", count)
        two.recover()
        now += workers.GRACE * 0.9
    two.recover()
    assert outcome(two.trials()[0]) == "running"
    now += workers.GRACE * 0.9
    two.recover()
    assert [outcome(trial) for trial in two.trials()] == ["lost", "waiting"]
    assert two.claim(2).values == lost.values
    # Should the first come back to life, its result comes too late and changes nothing.
    assert one.report(lost.number, 1, 0.9)
    one.complete(lost.number, [result(0.9)], "rows", "f")
    assert [outcome(trial) for trial in two.trials()] == ["lost", "running"]


def test_two_that_see_a_loss_repeat_the_trial_once(storage: BaseStorage) -> None:
    one, two = join(storage, "far/1"), join(storage, "far/2")
    dead = join(storage, f"{workers._place()}/{2**22 + 1}@1.00")
    dead.claim(None)
    for study in (one, two):
        study.recover()
    assert [outcome(trial) for trial in one.trials()] == ["lost", "waiting"]


def test_living_process_of_this_machine_is_not_given_up(storage: BaseStorage) -> None:
    one, two = open_study("s", storage, question()), join(storage, "far/2")
    one.claim(None)
    two.recover()
    assert outcome(two.trials()[0]) == "running"


def test_validation_rows_must_be_the_same(storage: BaseStorage) -> None:
    study = join(storage, "far/1")
    study.complete(study.claim(None).number, [result(0.5)], "rows", "f")
    number = study.claim(None).number
    study.complete(number, [result(0.9)], "other rows", "f")
    assert outcome(study.trials()[number]) == "failed"
    assert "its validation rows differ" in study.failures[-1]


def test_value_that_is_no_number_is_a_failure(storage: BaseStorage) -> None:
    study = join(storage, "far/1")
    study.complete(study.claim(None).number, [result(float("nan"))], "rows", "f")
    assert study.failures == ["validation.f1 is nan"]
    study.complete(study.claim(None).number, [result(0.4, 1), result(0.8, 2)], "rows", "f")
    assert study.failures == []
    assert study.trials()[1].value == pytest.approx(0.6)


def test_values_that_make_no_spec_fail_without_being_given_out(storage: BaseStorage) -> None:
    asked = question({"lr": Parameter(choices=(9, 1))}, BruteForce())
    study = join(storage, "far/1", asked)
    claims = []
    while (claim := study.claim(5)) is not None:
        claims.append(claim.values)
        study.complete(claim.number, [result(0.5)], "rows", "f")
    assert claims == [{"lr": 1}]
    assert sorted(outcome(trial) for trial in study.trials()) == ["complete", "failed"]
    assert study.exhausted


def test_point_that_is_tried_at_this_moment_is_not_tried_beside_it(storage: BaseStorage) -> None:
    asked = question({"lr": Parameter(choices=(1, 2, 3))}, Random())
    one, two = join(storage, "far/1", asked), join(storage, "far/2", asked)
    first = one.claim(None)
    others = [two.claim(None).values for _ in range(1)]
    assert first.values not in others


def test_search_without_a_number_ends_when_nothing_new_comes(storage: BaseStorage) -> None:
    study = join(storage, "far/1", question({"lr": Parameter(choices=(1, 2))}, TPE()))
    run = 0
    while (claim := study.claim(None)) is not None:
        run += 1
        study.complete(claim.number, [result(0.1 * claim.values["lr"])], "rows", "f")
    assert run == 2
    assert study.exhausted


def test_final_test_is_done_by_one_and_taken_over_from_the_dead(storage: BaseStorage) -> None:
    one, two = join(storage, "far/1"), join(storage, "far/2")
    dead = join(storage, f"{workers._place()}/{2**22 + 1}@1.00")
    assert dead.take_final()
    assert one.take_final()
    assert not two.take_final()
    one.keep_final(4, {"status": "done"})
    assert two.final_of(4)["status"] == "done"
    assert two.final_of(5) == {}
    assert two.take_final()


def test_study_of_another_identity_or_another_maker_is_refused(
    storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    join(storage, "far/1")
    with pytest.raises(KexpError, match='study "s" is about another experiment or another space; name another'):
        open_study("s", storage, question(identity="b"))
    monkeypatch.setattr("kexp.search.question.time.sleep", lambda seconds: None)
    strange = InMemoryStorage()
    optuna.create_study(storage=strange, study_name="s")
    with pytest.raises(KexpError, match='study "s" was not made by kexp'):
        open_study("s", strange, question())


def test_digest_does_not_depend_on_where_the_files_are() -> None:
    one = {"dataset": {"path": "/here/reviews.csv"}, "training": {"epochs": 1}}
    assert digest(one) == digest({"training": {"epochs": 1}, "dataset": {"path": "/there/data/reviews.csv"}})
    assert digest(one) != digest({**one, "training": {"epochs": 2}})


def test_storages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = join(open_storage("journal", tmp_path), "far/1")
    study.claim(None)
    assert len(join(open_storage("journal", tmp_path), "far/2").trials()) == 1
    assert without_passwords("postgresql://user:secret@host/db") == "postgresql://user:***@host/db"
    assert without_passwords("see http://user:p/a:s@host:80/ for more") == "see http://user:***@host:80/ for more"
    for text in ("postgresql://user@host/db", "journal", "http://host:80/", "a:b@c", "grpc://host:13000"):
        assert without_passwords(text) == text
    monkeypatch.setattr("kexp.search.storage.PATIENCE", 0.2)
    with pytest.raises(KexpError, match=r"grpc://127\.0\.0\.1:9 does not answer"):
        open_storage("grpc://127.0.0.1:9", tmp_path)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_grpc_proxy(tmp_path: Path) -> None:
    import socket
    import threading

    from optuna.storages import run_grpc_proxy_server

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    behind = InMemoryStorage()
    server = threading.Thread(
        target=run_grpc_proxy_server, args=(behind,), kwargs={"host": "127.0.0.1", "port": port}, daemon=True
    )
    server.start()
    study = join(open_storage(f"grpc://127.0.0.1:{port}", tmp_path), "far/1")
    study.complete(study.claim(None).number, [result(0.5)], "rows", "f")
    assert optuna.load_study(study_name="s", storage=behind).best_value == 0.5
