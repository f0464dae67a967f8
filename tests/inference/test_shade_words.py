"""The words of mistakes: what a trained model says about them, the time limit, and what is said where it cannot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import kexp, tiny_spec

from kexp.experiment import run as flow
from kexp.inference import shade_words as module
from kexp.inference.shade_words import shade_words
from kexp.trained import load

LABELS = ["나쁨", "보통", "좋음"]


@pytest.fixture(scope="module")
def made(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of two variants, of which one is hardly trained, so that they disagree."""
    folder = tmp_path_factory.mktemp("words")
    tables = "[variants.whole]\n[variants.brief]\ntraining.steps = 1\n"
    (folder / "spec.toml").write_text(tiny_spec("", tables).format(data=reviews), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        # However short training was.
        patch.setattr(flow, "WORDS_SHARE", 1e9)
        result = kexp("run", folder / "spec.toml", "--runs-dir", folder / "runs", "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    return Path(json.loads(result.stdout)["folder"])


@pytest.fixture
def run_folder(made: Path, tmp_path: Path) -> Path:
    """Return a copy without words."""
    shutil.copytree(made, tmp_path / "run")
    for path in (tmp_path / "run").glob("*/seed-1/words.json"):
        path.unlink()
    return tmp_path / "run"


def words(folder: Path, variant: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / variant / "seed-1" / "words.json").read_text("utf-8"))
    return found


def test_an_effect_is_the_probability_that_is_lost_without_the_word(made: Path) -> None:
    found = words(made, "brief")
    assert (found["split"], found["remark"]) == ("test", "")
    model = load(made / "brief" / "seed-1")
    rows = pd.read_parquet(made / "brief" / "seed-1" / "predictions.parquet").query("split == 'test'").set_index("row")
    assert found["rows"]
    for number, of in found["rows"].items():
        text = rows.loc[int(number), "text"].split()
        label = rows.loc[int(number), "predicted"]
        assert of["label"] == label
        assert [word for word, _ in of["texts"][0]] == text
        # One word after the other, each text on its own.
        at = list(model.labels).index(label)
        whole = model.predict([" ".join(text)])[0, at]
        for place, (_, effect) in enumerate(of["texts"][0]):
            without = model.predict([" ".join(text[:place] + text[place + 1 :])])[0, at]
            np.testing.assert_allclose(effect, whole - without, atol=1e-6)


def test_the_report_of_a_run_has_them_and_short_runs_do_without(made: Path, run_folder: Path) -> None:
    html = (made / "report.html").read_text("utf-8")
    assert 'class="word' in html
    assert "are not shaded" not in html
    result = kexp("report", run_folder)
    assert result.exit_code == 0
    assert 'class="word' not in (run_folder / "report.html").read_text("utf-8")
    result = kexp("report", run_folder, "--words", "60")
    assert result.exit_code == 0, result.stderr
    assert words(run_folder, "brief")["rows"].keys() == words(made, "brief")["rows"].keys()
    assert 'class="word' in (run_folder / "report.html").read_text("utf-8")


def test_nothing_is_begun_after_the_time_limit(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(10**6))
    # A second passes between one look at the clock and the next.
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(now)))
    shade_words(run_folder, 5)
    first, second = (words(run_folder, variant) for variant in ("whole", "brief"))
    assert 0 < len(second["rows"]) + len(first["rows"]) < 10
    assert any("texts are shaded: the time limit of 5 s was reached" in one["remark"] for one in (first, second))
    shade_words(run_folder, -1)
    assert words(run_folder, "brief") == {
        "split": "test",
        "rows": {},
        "remark": "its words are not shaded: the time limit of -1 s was reached",
    }


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (shutil.rmtree, "its words are not shaded: its weights are gone"),
        (lambda model: (model / "model.safetensors").unlink(), "its words are not shaded: "),
        (lambda model: (model / "config.json").write_text("{", "utf-8"), "its words are not shaded: "),
    ],
)
def test_a_model_that_is_gone_or_damaged_is_told(run_folder: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(run_folder / "brief" / "seed-1" / "model")
    result = kexp("report", run_folder, "--words", "60")
    assert result.exit_code == 0, result.stderr
    assert words(run_folder, "brief")["remark"].startswith(said)
    assert said in (run_folder / "report.html").read_text("utf-8")


def test_rows_for_which_the_model_says_something_else_are_counted(run_folder: Path) -> None:
    path = run_folder / "brief" / "seed-1" / "predictions.parquet"
    frame = pd.read_parquet(path)
    frame["predicted"] = frame["predicted"].map(dict(zip(LABELS, LABELS[1:] + LABELS[:1], strict=True)))
    frame.to_parquet(path)
    shade_words(run_folder, 60)
    found = words(run_folder, "brief")
    assert found["rows"] == {}
    assert "texts are not shaded: the loaded model predicts another label for them" in found["remark"]
