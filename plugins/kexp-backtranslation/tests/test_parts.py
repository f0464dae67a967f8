"""The small parts: models, batches, sentences, progress, sampling, devices."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kexp.devices import torch_device
from kexp.errors import KexpError
from kexp.pretrained import fingerprint
from kexp_backtranslation import progress
from kexp_backtranslation.batching import by_budget, in_chunks
from kexp_backtranslation.models import ModelSource
from kexp_backtranslation.progress import Meter, Progress, duration
from kexp_backtranslation.sampling import RowSampling, draws
from kexp_backtranslation.sentences import split_sentences

# --- models --------------------------------------------------------------------------------------------------------


def test_a_model_is_a_folder_or_a_repository(pair: Any, tmp_path: Path) -> None:
    assert list(ModelSource(path=pair.forward).problems()) == []
    assert ModelSource(path=pair.forward).folder() == pair.forward
    (problem,) = ModelSource().problems()
    assert problem.message == "names no model"
    (problem,) = ModelSource(path=pair.forward, hub="a/b").problems()
    assert problem.message == "gives both path and hub"
    (problem,) = ModelSource(path=pair.forward, revision="main").problems()
    assert problem.path == "revision"
    (problem,) = ModelSource(path=tmp_path / "none").problems()
    assert problem.path == "path"
    assert "does not exist" in problem.message
    (warning,) = ModelSource(hub="Helsinki-NLP/opus-mt-ko-en").warnings()
    assert "not pinned" in warning.message
    assert list(ModelSource(hub="a/b", revision="1234567").warnings()) == []


def test_says_what_is_missing_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(KexpError, match=r'translator "Helsinki-NLP/opus-mt-ko-en" is not in the local cache'):
        ModelSource(hub="Helsinki-NLP/opus-mt-ko-en").folder()


def test_the_fingerprint_is_of_the_contents(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}", "utf-8")
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
    first = fingerprint(tmp_path / "one")
    assert fingerprint(tmp_path / "two") == first
    (tmp_path / "two" / "README.md").write_text("read me", "utf-8")
    (tmp_path / "two" / "pytorch_model.bin").write_bytes(b"the same weights again")
    assert fingerprint(tmp_path / "two") == first
    (tmp_path / "two" / "model.safetensors").write_bytes(b"other weights")
    assert fingerprint(tmp_path / "two") != first


def test_devices() -> None:
    assert torch_device("cpu") == "cpu"
    assert torch_device("auto") in ("cpu", "cuda", "mps")


# --- batches and sentences -----------------------------------------------------------------------------------------


def test_batches_by_budget() -> None:
    assert by_budget([3, 10, 3, 4, 50], 12) == [[4], [1], [3, 0, 2]]
    assert by_budget([], 12) == []
    assert by_budget([1, 1, 1], 2) == [[0, 1], [2]]


def test_chunks() -> None:
    assert in_chunks(["가", "가나다", "가나"], 2) == [[1, 2], [0]]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("한 문장", ["한 문장"]),
        ("좋다. 또 볼래!  정말?", ["좋다.", "또 볼래!", "정말?"]),
        ("첫 줄\n둘째 줄\n\n셋째", ["첫 줄", "둘째 줄", "셋째"]),
        ("3.5점 준다. 끝", ["3.5점 준다.", "끝"]),
        ("아 더빙.. 진짜 짜증", ["아 더빙..", "진짜 짜증"]),
        ("“가자.” 그가 말했다.", ["“가자.”", "그가 말했다."]),
        ("좋다. ^^ !! 또", ["좋다. ^^ !!", "또"]),
        ("!!! 좋다", ["!!!", "좋다"]),
        ("  ", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


# --- progress ------------------------------------------------------------------------------------------------------


def test_durations() -> None:
    assert [duration(seconds) for seconds in (4, 89, 200, 7500)] == ["4 s", "89 s", "3 min", "2 h 5 min"]


def test_progress_tells_rate_and_time_left_of_new_work_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    lines: list[str] = []
    shown = Progress("ko to en", 1000, lines.append, started=now[0], shown=now[0])
    shown.skip(500)
    now[0] += 4
    shown.advance(50)
    assert lines == []
    now[0] += 6
    shown.advance(50)
    assert lines == ["ko to en: 600 of 1,000 texts (500 were kept), 10.0 texts/s, 40 s left"]
    now[0] += 5
    shown.wait(7)
    assert lines[1:] == ["ko to en: waiting for 7 texts that another process translates"]


def test_the_meter_names_what_limits() -> None:
    meter = Meter(texts=40, tokens=400)
    meter.add("translating", 3.0)
    meter.add("store", 1.0)
    with meter.measure("judging"):
        pass
    assert meter.summary() == (
        "40 translations in 4 s (10.0 texts/s, 100 tokens/s): translating 75 %, store 25 %; limited by translating"
    )


# --- sampling ------------------------------------------------------------------------------------------------------


def test_draws_depend_on_text_seed_and_copy_alone() -> None:
    made = draws(["가", "나"], 1, 0, 5)
    assert made.shape == (2, 5)
    assert made.tolist() == draws(["나", "가"], 1, 0, 5).flip(0).tolist()
    assert made[:, :3].tolist() == draws(["가", "나"], 1, 0, 3).tolist()
    rows = [draws(["가"], seed, copy, 5).tolist() for seed in (1, 2) for copy in (0, 1)]
    assert len({str(row) for row in rows}) == 4


def test_words_are_drawn_as_often_as_their_probability_says() -> None:
    import torch

    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05, 0.0])
    temperature, rows = 0.7, 20_000
    numbers = torch.rand(rows, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scores = RowSampling(numbers, temperature)(torch.zeros(rows, 1), probabilities.log().expand(rows, 5))
    drawn = scores.argmax(-1)
    assert scores.gather(1, drawn[:, None]).eq(0).all()
    assert scores.isinf().sum() == 4 * rows
    expected = torch.softmax(probabilities.log() / temperature, -1)
    counts = Counter(drawn.tolist())
    assert counts[4] == 0
    for word in range(4):
        assert abs(counts[word] / rows - expected[word].item()) < 0.01


def test_the_ends_of_the_interval_are_words_too() -> None:
    import torch

    scores = torch.tensor([[0.0, float("-inf"), 0.0]] * 2)
    numbers = torch.tensor([[0.0], [1 - 2**-53]], dtype=torch.float64)
    assert RowSampling(numbers, 1.0)(torch.zeros(2, 1), scores).argmax(-1).tolist() == [0, 2]
