"""Models in memory: loaded once, in a thread, told how far they are, given up when there are too many."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from ui_support import write_run

from kexp.errors import KexpError
from kexp.inference.columns import TextColumns
from kexp.ui.app import make_app
from kexp.ui.models import MODELS, Models


class Constant:
    """A model that finds every text as good as its number says."""

    labels = ("좋음", "나쁨")
    columns = TextColumns()

    def __init__(self, share: float = 0.75) -> None:
        self.share, self.asked = share, 0

    def predict(self, texts: Any) -> Any:
        self.asked += len(texts)
        return np.array([[self.share, 1 - self.share]] * len(texts))


def folder(tmp_path: Path, name: str) -> Path:
    (tmp_path / name / "model").mkdir(parents=True)
    return tmp_path / name


def test_a_model_is_loaded_once_and_again_when_it_is_another(tmp_path: Path) -> None:
    run, loaded = folder(tmp_path, "a"), list[Path]()
    models = Models(lambda path: (loaded.append(path), Constant())[1])
    assert models.state(run).name == "absent"
    assert models.get(run) is models.get(run)
    assert models.state(run).name == "ready"
    assert loaded == [run]
    os.utime(run / "model", (1, 1))
    models.get(run)
    assert loaded == [run, run]


def test_the_least_recently_used_is_given_up(tmp_path: Path) -> None:
    runs = [folder(tmp_path, str(number)) for number in range(MODELS + 1)]
    models = Models(lambda path: Constant())
    for run in runs[:MODELS]:
        models.get(run)
    models.get(runs[0])
    models.get(runs[MODELS])
    assert [models.state(run).name for run in runs[:3]] == ["ready", "absent", "ready"]
    assert sum(models.state(run).name == "ready" for run in runs) == MODELS


def test_states_while_models_are_loaded_one_after_the_other(tmp_path: Path) -> None:
    one, two = folder(tmp_path, "a"), folder(tmp_path, "b")
    going = threading.Event()
    began = threading.Event()

    def load(path: Path) -> Constant:
        began.set()
        assert going.wait(60)
        return Constant()

    models = Models(load)
    first = models.start(one)
    assert began.wait(60)
    second = models.start(two)
    assert (models.state(one).name, models.state(two).name) == ("loading", "waiting")
    assert models.start(one) is first
    going.set()
    assert first.result(60) is not second.result(60)
    assert (models.state(one).name, models.state(two).name) == ("ready", "ready")


def test_a_failure_is_told_and_tried_again(tmp_path: Path) -> None:
    run, tries = folder(tmp_path, "a"), [KexpError("no weights"), ValueError("odd"), None]

    def load(path: Path) -> Constant:
        if (error := tries.pop(0)) is not None:
            raise error
        return Constant()

    models = Models(load)
    with pytest.raises(KexpError, match="no weights"):
        models.get(run)
    assert (models.state(run).name, models.state(run).reason) == ("failed", "no weights")
    with pytest.raises(KexpError, match="ValueError: odd"):
        models.get(run)
    assert models.get(run).labels == Constant.labels


def test_the_page_is_told_which_models_are_ready(empty: Path) -> None:
    key = "x/20260101T000000Z-aa/v/seed-1"
    (write_run(empty, key) / "model").mkdir()
    page = TestClient(make_app(empty, lambda path: Constant(), ["testserver"]))
    assert "event: end" in page.get("/events/models", params={"run": key}).text
    assert page.post("/data/models", json={"runs": ["../../etc"]}).status_code == 404
    assert page.post("/data/models", json={"runs": [key]}, headers={"Origin": "http://evil.example"}).status_code == 403
    assert page.post("/data/models", json={"runs": [key]}).status_code == 202
    told = page.get("/events/models", params={"run": key}).text
    states = [json.loads(line.removeprefix("data: ")) for line in told.splitlines() if '"state"' in line]
    assert states[-1]["run"] == key
    assert states[-1]["state"] in ("ready", "loading", "waiting")
    assert told.rstrip().endswith("event: end\ndata: {}")


def test_probabilities_come_without_words_where_these_are_not_asked_for(empty: Path) -> None:
    key = "x/20260101T000000Z-aa/v/seed-1"
    (write_run(empty, key) / "model").mkdir()
    model = Constant()
    page = TestClient(make_app(empty, lambda path: model, ["testserver"]))
    body = {"text": "한 두 세", "runs": [key]}
    (answer,) = page.post("/data/predict", json={**body, "words": False}).json()
    assert answer == {"run": key, "probabilities": {"좋음": 0.75, "나쁨": 0.25}, "words": None}
    assert model.asked == 1
    (answer,) = page.post("/data/predict", json=body).json()
    assert [word for word, _ in answer["words"]] == ["한", "두", "세"]
