"""Texts that a process of its own augments ahead: the same ones as here, whatever becomes of the process."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import time
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from kexp.builtin.augmenters import Compose, OneOf, RandomDeletion, RandomSwap, SpacingNoise, TfIdfReplacement
from kexp.contracts import Augmenter, AugmenterContext, Rejected
from kexp.contracts.augmenter import CheckedAugmenter
from kexp.data import augment_process
from kexp.data.augment_jobs import Job, at_once, kept_or_changed
from kexp.data.augment_process import AugmentProcess, in_process_of_its_own, stretches
from kexp.errors import PluginError

TEXTS = [f"정말 재미있는 영화 {row} 번째 입니다" for row in range(400)]


@dataclass
class Marking:
    """Adds a number of the generator; rejects, prints, fails or takes long where a text says so."""

    fails_at: str = ""
    seconds: float = 0.0

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        print("printed by an augmenter")
        time.sleep(self.seconds)
        made: list[str | Rejected] = []
        for text, random in zip(texts, generators, strict=True):
            if self.fails_at and self.fails_at in text:
                raise ValueError(f"no good: {text}")
            number = random.random()
            made.append(Rejected(text, "small") if number < 0.1 else f"{text} {number}")
        return made


class Reading:
    """Reads standard input, and so does a program that it starts; both find it at its end."""

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        found = sys.stdin.read() + subprocess.check_output([sys.executable, "-c", "print(open(0).read())"], text=True)
        return [f"{text} {found.strip()}" for text in texts]


def jobs(probability: float | None = None, size: int = 16) -> Iterator[Job]:
    for start in range(0, len(TEXTS), size):
        rows = list(range(start, min(start + size, len(TEXTS))))
        yield Job(1, rows, [TEXTS[row] for row in rows], [1000 + row for row in rows], probability)


def process_of(augmenter: Augmenter) -> AugmentProcess:
    checked = CheckedAugmenter("marking", augmenter)
    return AugmentProcess(checked, pickle.dumps(checked))


def texts_of(made: Iterator[tuple[Job, Sequence[str | Rejected | None]]]) -> list[list[str]]:
    return [kept_or_changed(*one) for one in made]


def expected(probability: float | None = None) -> list[list[str]]:
    return texts_of(at_once(Marking())(jobs(probability)))


@pytest.fixture
def process() -> Iterator[AugmentProcess]:
    made = process_of(Marking())
    yield made
    made.close()


@pytest.mark.parametrize("probability", [None, 0.4])
def test_the_texts_and_the_counts_are_those_of_this_process(process: AugmentProcess, probability: float | None) -> None:
    here = CheckedAugmenter("marking", Marking())
    assert texts_of(process(jobs(probability))) == texts_of(at_once(here)(jobs(probability)))
    assert (process.augmenter.total, process.augmenter.rejected) == (here.total, here.rejected)
    assert here.rejected.total() > 0
    assert not process.lost


def test_an_epoch_that_is_left_before_its_end_does_not_disturb_the_next(process: AugmentProcess) -> None:
    left = process(jobs())
    assert kept_or_changed(*next(left)) == expected()[0]
    left.close()  # type: ignore[attr-defined]
    assert texts_of(process(jobs(0.4))) == expected(0.4)
    # Those that nobody took are not counted.
    assert process.augmenter.total < 2 * len(TEXTS)


def test_an_augmenter_that_reads_standard_input_reads_no_jobs() -> None:
    process = process_of(Reading())
    try:
        made = texts_of(process(job for number, job in enumerate(jobs()) if number < 3))
    finally:
        process.close()
    assert [text for texts in made for text in texts] == [f"{text} " for text in TEXTS[:48]]
    assert not process.lost


def test_only_the_first_step_is_waited_for() -> None:
    sizes = [[len(job.texts) for job in stretch] for stretch in stretches(jobs(size=16))]
    assert sizes[0] == [16]
    assert sum(map(sum, sizes)) == len(TEXTS)
    assert list(stretches(iter(()))) == []


def test_what_an_augmenter_raises_is_raised_in_its_place_with_its_text() -> None:
    failing = process_of(Marking(fails_at="100 번째"))
    made = failing(jobs())
    assert [kept_or_changed(*next(made)) for _ in range(6)] == expected()[:6]
    with pytest.raises(PluginError) as caught:
        next(made)
    with pytest.raises(PluginError) as here:
        texts_of(at_once(CheckedAugmenter("marking", Marking(fails_at="100 번째")))(jobs()))
    assert str(caught.value) == str(here.value)
    assert "no good: 정말 재미있는 영화 100 번째 입니다" in str(here.value)
    assert "in __call__" in str(caught.value.__cause__)
    failing.close()


def test_a_process_that_is_killed_is_told_and_replaced(
    process: AugmentProcess, caplog: pytest.LogCaptureFixture
) -> None:
    made = process(jobs())
    first = kept_or_changed(*next(made))
    assert process.process is not None
    process.process.kill()
    with caplog.at_level(logging.WARNING, "kexp"):
        assert [first, *texts_of(made)] == expected()
        assert texts_of(process(jobs(0.4))) == expected(0.4)
    (line,) = caplog.messages
    assert line.startswith("the process in which marking augments texts is lost: ")
    assert process.augmenter.total > len(TEXTS)


def test_an_augmenter_that_the_process_cannot_import_is_told_and_used_here(caplog: pytest.LogCaptureFixture) -> None:
    module = types.ModuleType("nowhere_to_be_found")
    exec("class Plain:\n    def __call__(self, texts, generators):\n        return list(texts)", module.__dict__)
    sys.modules["nowhere_to_be_found"] = module
    lost = process_of(module.Plain())
    del sys.modules["nowhere_to_be_found"]
    assert texts_of(lost(jobs())) == [list(job.texts) for job in jobs()]
    assert "nowhere_to_be_found" in caplog.text
    lost.close()


def test_closing_ends_the_process_even_where_the_augmenter_takes_long() -> None:
    slow = process_of(Marking(seconds=60))
    slow._send(list(jobs()))
    assert slow.process is not None
    started = time.monotonic()
    slow.close()
    assert slow.process.returncode is not None
    assert time.monotonic() - started < 30


def test_the_process_ends_with_the_one_that_started_it() -> None:
    code = """if True:
        import os, pickle, sys, time
        from kexp.contracts.augmenter import CheckedAugmenter
        from kexp.data.augment_jobs import Job
        from kexp.data.augment_process import AugmentProcess
        from kexp.word_augmenter import per_text
        checked = CheckedAugmenter("upper", per_text(str.replace))
        process = AugmentProcess(checked, pickle.dumps(checked))
        process._start()
        print(process.process.pid, flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    for _ in range(300):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        # Where nobody adopts it, it stays as a zombie.
        if Path(f"/proc/{child}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the process is still there")


def test_few_texts_one_core_and_what_cannot_be_copied_stay_here(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kexp")
    plain, odd = CheckedAugmenter("plain", Marking()), CheckedAugmenter("odd", lambda texts, generators: list(texts))
    monkeypatch.setattr(augment_process, "_cores", lambda: 2)
    assert in_process_of_its_own("augmentation.labelled", plain, 19_999) is None
    assert in_process_of_its_own("augmentation.labelled", plain, 20_000) is not None
    assert caplog.messages == []
    assert in_process_of_its_own("augmentation.labelled", odd, 20_000) is None
    (line,) = caplog.messages
    assert line.startswith("augmentation.labelled: odd is not copied to a process of its own: ")
    monkeypatch.setattr(augment_process, "LARGEST", 10)
    assert in_process_of_its_own("augmentation.labelled", plain, 20_000) is None
    monkeypatch.setattr(augment_process, "_cores", lambda: 1)
    monkeypatch.setattr(augment_process, "LARGEST", 2**26)
    assert in_process_of_its_own("augmentation.labelled", plain, 20_000) is None


CHEAP = [
    RandomDeletion(unit="phrase"),
    RandomSwap(unit="phrase"),
    SpacingNoise(),
    TfIdfReplacement(),
    Compose(steps=(RandomDeletion(), OneOf(choices=(RandomSwap(), SpacingNoise())))),
]


@pytest.mark.parametrize("options", CHEAP, ids=lambda options: type(options).__name__)
def test_a_copy_of_an_augmenter_makes_the_same_texts(options: Compose) -> None:
    built = options.build(AugmenterContext(texts=TEXTS))
    copied = pickle.loads(pickle.dumps(built))
    assert copied(TEXTS, [Random(row) for row in range(400)]) == built(TEXTS, [Random(row) for row in range(400)])
