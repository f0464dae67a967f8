"""What becomes of trials when several processes share a study, or die."""

from __future__ import annotations

import errno
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from small_search import join, search

from kexp.builtin.pruners import Hyperband, Median, SuccessiveHalving
from kexp.builtin.search_samplers import TPE, BruteForce, Grid, Random
from kexp.contracts import Parameter, Task
from kexp.errors import KexpError
from kexp.redaction import without_passwords
from kexp.search import final_run, heartbeats, trial_training
from kexp.search.open_study import open_study
from kexp.search.search_job import digest
from kexp.search.silence_optuna import quiet_optuna
from kexp.search.storage import open_storage
from kexp.search.study import Study
from kexp.search.summary import counts, finished
from kexp.search.trial import MAX_LOSSES, outcome


def result(value: float, seed: int = 1) -> dict[str, Any]:
    return {"seed": seed, "train_seconds": 1.0, "metrics": {"validation": {"f1": value}}}


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    with quiet_optuna():
        yield


@pytest.fixture
def storage() -> BaseStorage:
    return InMemoryStorage()


def test_a_number_of_trials_is_shared_out(storage: BaseStorage) -> None:
    one, two = join(storage, "far/1"), join(storage, "far/2")
    trials = [study.next_trial(3) for study in (one, two, one, two)]
    assert [trial.number if trial else None for trial in trials] == [0, 1, 2, None]
    assert two.others_running()
    for study, trial in zip((one, two, one), trials[:3], strict=True):
        study.complete(trial.number, [result(0.1)], "rows", "f")
    assert one.next_trial(3) is None
    assert not one.others_running()
    assert finished(one) == 3


def test_of_two_that_ask_at_once_the_lower_number_wins(storage: BaseStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = join(storage, "far/1"), join(storage, "far/2")
    honest, calls = Study._counted, []
    assert one.next_trial(1).number == 0

    def counted(self: Study) -> list[int]:
        # The second asks before it can see that the first has taken the only trial.
        calls.append(1)
        return [] if len(calls) == 1 else honest(self)

    monkeypatch.setattr(Study, "_counted", counted)
    assert two.next_trial(1) is None
    assert [outcome(trial) for trial in two.trials()] == ["running", "withdrawn"]


def test_lost_trial_is_tried_once_more_and_then_counts_as_failed(storage: BaseStorage) -> None:
    study = join(storage, "far/1")
    first = study.next_trial(1)
    study.lose(first.number, "its process was killed")
    again = study.next_trial(1)
    assert again.values == first.values
    assert (again.position, again.attempt, again.folder) == (0, 2, "0000-attempt-2")
    assert study.attempts()[again.number].user_attrs["retry of"] == first.number
    study.lose(again.number, "its process was killed")
    assert study.next_trial(1) is None
    assert [outcome(attempt) for attempt in study.attempts()] == ["lost", "failed"]
    assert [outcome(trial) for trial in study.trials()] == ["failed"]
    assert "earlier attempts at the trial were lost too" in study.trials()[0].user_attrs["reason"]


def test_trial_that_is_lost_with_its_search_is_tried_again_until_it_looks_guilty(storage: BaseStorage) -> None:
    for process in range(MAX_LOSSES):
        study = join(storage, f"{heartbeats._place()}/{2**22 + 1 + process}@1.00")
        study.recover_lost()
        assert study.next_trial(1).position == 0
    alive = join(storage, "far/1")
    alive.recover_lost()
    assert alive.next_trial(1) is None
    assert [outcome(attempt) for attempt in alive.attempts()] == ["lost"] * (MAX_LOSSES - 1) + ["failed"]
    assert counts(alive)["failed"] == 1


def test_interrupted_trial_is_given_back_as_often_as_it_takes(storage: BaseStorage) -> None:
    study = join(storage, "far/1")
    values = []
    for _ in range(3):
        trial = study.next_trial(1)
        values.append(trial.values)
        study.interrupt(trial.number, "stopped")
    assert values[0] == values[1] == values[2]
    study.complete(study.next_trial(1).number, [result(0.5)], "rows", "f")
    assert counts(study) == {"complete": 1, "pruned": 0, "failed": 0, "interrupted": 3, "repeated": 0}


def test_process_of_another_machine_is_given_up_when_its_counter_stands_still(
    storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(heartbeats.time, "monotonic", lambda: now)
    one, two = join(storage, "far/1@5"), join(storage, "farther/2@5")
    lost = one.next_trial(2)
    for count in range(5):
        # It counts, on whatever clock, so it lives.
        one.optuna.set_user_attr("worker far/1@5", count)
        two.recover_lost()
        now += heartbeats.GRACE * 0.9
    two.recover_lost()
    assert outcome(two.trials()[0]) == "running"
    now += heartbeats.GRACE * 0.9
    two.recover_lost()
    assert [outcome(attempt) for attempt in two.attempts()] == ["lost"]
    assert two.next_trial(2).values == lost.values
    # Should the first come back to life, its result comes too late and changes nothing.
    assert one.report(lost.number, 1, 0.9)
    one.complete(lost.number, [result(0.9)], "rows", "f")
    assert [outcome(attempt) for attempt in two.attempts()] == ["lost", "running"]


def test_two_that_see_a_loss_repeat_the_trial_once(storage: BaseStorage) -> None:
    one, two = join(storage, "far/1"), join(storage, "far/2")
    dead = join(storage, f"{heartbeats._place()}/{2**22 + 1}@1.00")
    dead.next_trial(None)
    for study in (one, two):
        study.recover_lost()
    assert [outcome(attempt) for attempt in one.attempts()] == ["lost"]
    trials = [one.next_trial(2), two.next_trial(2)]
    assert [(trial.position, trial.attempt) for trial in trials] == [(0, 2), (1, 1)]


def test_living_process_of_this_machine_is_not_given_up(storage: BaseStorage) -> None:
    one, two = open_study(storage, search()), join(storage, "far/2")
    one.next_trial(None)
    two.recover_lost()
    assert outcome(two.trials()[0]) == "running"


def test_validation_rows_must_be_the_same(storage: BaseStorage) -> None:
    study = join(storage, "far/1")
    study.complete(study.next_trial(None).number, [result(0.5)], "rows", "f")
    number = study.next_trial(None).number
    study.complete(number, [result(0.9)], "other rows", "f")
    assert outcome(study.trials()[number]) == "failed"
    assert "its validation rows differ" in study.failures[-1]
    # The space cannot change these rows, so the data have: no further trial could be compared.
    assert study.failing
    assert study.other_rows.startswith(f"trial {number} failed, and the search stopped: its validation rows differ")


def test_value_that_is_no_number_is_a_failure(storage: BaseStorage) -> None:
    study = join(storage, "far/1")
    study.complete(study.next_trial(None).number, [result(float("nan"))], "rows", "f")
    assert study.failures == ["validation.f1 of seed 1 is nan"]
    for values in ((math.inf, -math.inf), (0.5, math.inf)):
        number = study.next_trial(None).number
        study.failures.clear()
        study.complete(number, [result(value, seed) for seed, value in enumerate(values)], "rows", "f")
        assert "validation.f1 of seed 1 is " in study.failures[-1]
        assert outcome(study.attempts()[number]) == "failed"
    study.complete(study.next_trial(None).number, [result(0.4, 1), result(0.8, 2)], "rows", "f")
    assert study.failures == []
    assert study.trials()[-1].value == pytest.approx(0.6)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("pruner", [Median(startup_trials=0), Hyperband(), SuccessiveHalving()])
def test_reported_values_that_are_no_numbers_end_no_search(storage: BaseStorage, value: float, pruner: Any) -> None:
    study = join(storage, "far/1", search(pruner=pruner))
    study.report(study.next_trial(None).number, 1, 0.5)
    study.complete(0, [result(0.5)], "rows", "f")
    number = study.next_trial(None).number
    assert study.report(number, 1, value) in (True, False)
    study.prune(number, "no number", "f")
    assert [outcome(trial) for trial in study.trials()] == ["complete", "pruned"]
    assert study.next_trial(None).position == 2


TRIAL = {
    "name": "t",
    "group": "g",
    "table": {},
    "repeats": ({"seed": 1},),
    "folder": "f",
    "reports": None,
    "by_run": False,
}


def test_trial_whose_result_cannot_be_written_fails_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "f/seed-1/result.json")

    monkeypatch.setattr(trial_training, "worker_inputs", full)
    ended = trial_training.run_trial(Task(0, TRIAL), None)
    assert (ended["status"], ended["results"]) == ("failed", [])
    assert ended["reason"] == "f/seed-1/result.json: No space left on device; free some space"


def test_component_that_ends_the_process_fails_its_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(*arguments: object) -> None:
        raise SystemExit(3)

    monkeypatch.setattr(trial_training, "worker_inputs", leave)
    ended = trial_training.run_trial(Task(0, TRIAL), None)
    assert (ended["status"], ended["results"]) == ("failed", [])
    assert ended["reason"].startswith("SystemExit: 3; a component ended the process")


def test_values_that_make_no_spec_fail_without_being_given_out(storage: BaseStorage) -> None:
    job = search({"lr": Parameter(choices=(9, 1))}, BruteForce())
    study = join(storage, "far/1", job)
    values = []
    while (trial := study.next_trial(5)) is not None:
        values.append(trial.values)
        study.complete(trial.number, [result(0.5)], "rows", "f")
    assert values == [{"lr": -1.0}, {"lr": 1}]
    assert sorted(outcome(trial) for trial in study.trials()) == ["complete", "complete", "failed"]
    assert study.exhausted


def test_point_that_is_tried_at_this_moment_is_not_tried_beside_it(storage: BaseStorage) -> None:
    job = search({"lr": Parameter(choices=(1, 2, 3))}, Random())
    one, two = join(storage, "far/1", job), join(storage, "far/2", job)
    first = one.next_trial(None)
    others = [two.next_trial(None).values for _ in range(1)]
    assert first.values not in others


def test_search_without_a_number_ends_when_nothing_new_comes(storage: BaseStorage) -> None:
    study = join(storage, "far/1", search({"lr": Parameter(choices=(1, 2))}, TPE(), base={"lr": 2}))
    run = 0
    while (trial := study.next_trial(None)) is not None:
        run += 1
        study.complete(trial.number, [result(0.1 * trial.values["lr"])], "rows", "f")
    assert run == 2
    assert study.exhausted


@pytest.mark.parametrize("base", [{"lr": lr, "x": x} for lr in (1, 2, 3) for x in (1, 2)], ids=str)
@pytest.mark.parametrize("sampler", [Grid(), BruteForce()], ids=str)
def test_every_point_is_tried_once_by_several_jobs_without_a_number(
    storage: BaseStorage, sampler: Any, base: Mapping[str, Any]
) -> None:
    job = search({"lr": Parameter(choices=(1, 2, 3)), "x": Parameter(choices=(1, 2))}, sampler, base=base)
    one, two = join(storage, "far/1", job), join(storage, "far/2", job)
    tried = [study.next_trial(None) for study in (one, two, one, two, one, two)]
    assert len({tuple(trial.values.items()) for trial in tried}) == 6
    # The spec as it stands comes first, although the order of a grid is another.
    assert tried[0].values == base
    # All run: nothing is drawn beside them, however often somebody asks.
    assert [study.next_trial(None) for study in (one, two, one)] == [None] * 3
    # What came once more in the sampler's own order takes the place of no other point.
    assert sum(outcome(attempt) == "redrawn" for attempt in one.attempts()) == len(one.attempts()) - 6 <= 1
    assert one.others_running()
    # A lost one is tried again.
    two.lose(tried[1].number, "its process is gone")
    again = one.next_trial(None)
    assert again.values == tried[1].values
    for study, trial in zip((one, one, one, two, one, two), [tried[0], again, *tried[2:]], strict=True):
        study.complete(trial.number, [result(0.1 * trial.values["lr"])], "rows", "f")
    assert one.next_trial(None) is two.next_trial(None) is None
    assert one.exhausted
    assert counts(one)["complete"] == 6


def test_best_spec_is_tested_by_the_living_process_with_the_best_trial(
    storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(final_run.time, "sleep", lambda seconds: pytest.fail("it waits"))
    job = search()
    place = heartbeats._place()
    studies = [join(storage, own, job) for own in ("far/1", "far/2", f"{place}/{2**22 + 1}@1.00")]
    for study, value in zip(studies, (0.4, 0.6, 0.8), strict=True):
        study.complete(study.next_trial(None).number, [result(value)], "rows", "f")
    one, two, _dead = studies
    assert [trial.number for trial in final_run.await_best(two)] == [2]
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        two.optuna.set_user_attr("final", {"trial": 2, "status": "done" if len(waited) == 3 else "failed"})

    monkeypatch.setattr(final_run.time, "sleep", sleep)
    for other in (one, join(storage, "far/3", job)):
        waited.clear()
        two.optuna.set_user_attr("final", {})
        # It gets what the tester has found.
        assert [trial.number for trial in final_run.await_best(other)] == [2]
        assert len(waited) == 3
        assert final_run.final_run(other, other.trials()[2]) == {"status": "done"}


def test_best_spec_is_tested_by_any_process_when_those_with_trials_are_gone(
    storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(heartbeats.time, "monotonic", lambda: now)
    for number in (1, 2):
        gone = join(storage, f"far/{number}")
        gone.complete(gone.next_trial(None).number, [result(0.1 * number)], "rows", "f")
    new = join(storage, "far/3")

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(final_run.time, "sleep", sleep)
    assert [trial.number for trial in final_run.await_best(new)] == [1]
    # Both are watched at the same time.
    assert heartbeats.GRACE < now <= heartbeats.GRACE + 2 * final_run.POLL


def test_one_of_several_that_continue_tests_the_best_spec_and_a_dead_one_is_followed_by_one(
    storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(final_run, "POLL", 0.01)
    job = search()
    gone = join(storage, f"{heartbeats._place()}/{2**22 + 1}@1.00", job)
    gone.complete(gone.next_trial(None).number, [result(0.5)], "rows", "f")
    together, testers, at_once = threading.Barrier(6), [], []

    def work(number: int) -> None:
        study = join(storage, f"far/{number}", job)
        together.wait()
        (best,) = final_run.await_best(study)
        if not final_run.is_tested(study, best):
            testers.append(number)
            at_once.append(1)
            assert len(at_once) == 1
            time.sleep(0.1)
            at_once.pop()
            if len(testers) == 1:
                # It is killed, which the others see by its counter.
                study.optuna.set_user_attr(f"worker far/{number}", heartbeats.LEFT)
            else:
                study.optuna.set_user_attr("final", {"trial": 0, "status": "done"})

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work, number) for number in range(6)]:
            done.result(timeout=60)
    assert len(testers) == 2


def test_a_claim_ends_when_another_process_has_run_a_better_trial(
    storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = search()
    gone = join(storage, f"{heartbeats._place()}/{2**22 + 1}@1.00", job)
    gone.complete(gone.next_trial(None).number, [result(0.5)], "rows", "f")
    first, second, better = (join(storage, f"far/{number}", job) for number in range(3))
    assert [trial.number for trial in final_run.await_best(first)] == [0]

    def sleep(seconds: float) -> None:
        if len(better.trials()) == 1:
            better.complete(better.next_trial(None).number, [result(0.9)], "rows", "f")
            first.optuna.set_user_attr("worker far/0", heartbeats.LEFT)
            return
        # The second one has given up its claim, so this one need not wait for it.
        assert second.optuna.user_attrs["final claim far/1"] is None
        assert [trial.number for trial in final_run.await_best(better)] == [1]
        better.optuna.set_user_attr("final", {"trial": 1, "status": "done"})

    monkeypatch.setattr(final_run.time, "sleep", sleep)
    assert [trial.number for trial in final_run.await_best(second)] == [1]


def test_clock_that_jumps_back_leaves_living_processes_alive(
    storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = open_study(storage, search()), join(storage, "far/2")
    one.next_trial(None)
    honest = time.time
    monkeypatch.setattr(time, "time", lambda: honest() - 3600)
    # The date at which the machine was started, to which psutil adds the ticks of a process, moves with the clock.
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 1.0)
    monkeypatch.setattr("psutil._pslinux.BOOT_TIME", 1.0, raising=False)
    two.recover_lost()
    assert outcome(two.trials()[0]) == "running"
    assert heartbeats._identity(os.getpid()) == one.heartbeats.own


def test_a_better_trial_of_another_process_is_waited_for(storage: BaseStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = join(storage, "far/1"), join(storage, "far/2")
    two.complete(two.next_trial(None).number, [result(0.5)], "rows", "f")
    begun = one.next_trial(None).number

    def sleep(seconds: float) -> None:
        one.complete(begun, [result(0.9)], "rows", "f")

    monkeypatch.setattr(final_run.time, "sleep", sleep)
    assert [trial.number for trial in final_run.await_best(one)] == [begun]


def test_study_of_another_identity_or_another_maker_is_refused(
    storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    join(storage, "far/1")
    with pytest.raises(KexpError, match='study "s" is about another experiment or another space; choose another name'):
        open_study(storage, search(identity="b"))
    monkeypatch.setattr("kexp.search.open_study.time.sleep", lambda seconds: None)
    strange = InMemoryStorage()
    optuna.create_study(storage=strange, study_name="s").enqueue_trial({"lr": 0.5})
    with pytest.raises(KexpError, match='study "s" was not made by kexp'):
        open_study(strange, search())


def test_digest_does_not_depend_on_where_the_files_are() -> None:
    one = {"dataset": {"path": "/here/reviews.csv"}, "training": {"epochs": 1}}
    assert digest(one) == digest({"training": {"epochs": 1}, "dataset": {"path": "/there/data/reviews.csv"}})
    assert digest(one) != digest({**one, "training": {"epochs": 2}})


def test_storages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = join(open_storage("journal", tmp_path, print), "far/1")
    study.next_trial(None)
    assert len(join(open_storage("journal", tmp_path, print), "far/2").trials()) == 1
    assert without_passwords("postgresql://user:secret@host/db") == "postgresql://user:***@host/db"
    assert without_passwords("see http://user:p/a:s@host:80/ for more") == "see http://user:***@host:80/ for more"
    for text in ("postgresql://user@host/db", "journal", "http://host:80/", "a:b@c", "grpc://host:13000"):
        assert without_passwords(text) == text
    monkeypatch.setattr("kexp.search.storage.PATIENCE", 0.2)
    with pytest.raises(KexpError, match=r"grpc://127\.0\.0\.1:9 does not answer"):
        open_storage("grpc://127.0.0.1:9", tmp_path, print)


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
    study = join(open_storage(f"grpc://127.0.0.1:{port}", tmp_path, print), "far/1")
    study.complete(study.next_trial(None).number, [result(0.5)], "rows", "f")
    assert optuna.load_study(study_name="s", storage=behind).best_value == 0.5


def test_best_spec_is_tested_by_another_process_when_that_with_the_best_trial_has_left(
    storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is alive all the time, such as a notebook whose search was interrupted.
    alive = heartbeats._identity(os.getpid())
    left, new = join(storage, alive), join(storage, "far/1")
    monkeypatch.setattr(final_run.time, "sleep", lambda seconds: pytest.fail("it waits"))
    with left.heartbeats.beating():
        left.complete(left.next_trial(None).number, [result(0.5)], "rows", "f")
        assert not new.heartbeats.dead(alive, new.optuna.user_attrs)
    assert [trial.number for trial in final_run.await_best(new)] == [0]
    with left.heartbeats.beating():
        assert not new.heartbeats.dead(alive, new.optuna.user_attrs)
