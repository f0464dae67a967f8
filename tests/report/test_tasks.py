"""What is told of runs of every task: reports, comparisons, data cards, pages, from files alone and nothing false."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support import kexp as command
from support import tiny_spec

import kexp
from kexp.evaluate.statistics import holm, mcnemar
from kexp.report.html import write_report

WORDS = {"연기": ["배우", "연기"], "각본": ["각본", "대사"], "음악": ["음악", "노래"]}
SEVERAL = "[variants.plain]\n[variants.slow]\ntraining.learning_rate = 1e-3\n"
TASKS = {
    "multi-label": 'task = {{use = "multi-label", thresholds = "best-f1"}}',
    "regression": 'task = {{use = "regression", low = 0, high = 5}}',
    "ordinal": 'task = "ordinal"',
}


def rows(task: str) -> pd.DataFrame:
    """Return 200 rows that a small model learns in part."""
    generator = np.random.default_rng(0)
    table: list[dict[str, Any]] = []
    for number in range(200):
        if task == "multi-label":
            own = [name for name in WORDS if generator.random() < 0.4]
            words = " ".join(generator.choice(WORDS[name]) for name in own)
            table.append({"text": f"{number}번째 영화 {words} 정말", "label": json.dumps(own, ensure_ascii=False)})
        else:
            stars = int(generator.integers(6))
            words = " ".join(["최고"] * stars + ["별로"] * (5 - stars))
            label = stars + (round(float(generator.random()), 2) / 2 - 0.25 if 0 < stars < 5 else 0)
            table.append({"text": f"{number}번째 영화 {words}", "label": label if task == "regression" else stars})
    return pd.DataFrame(table)


@pytest.fixture(scope="module", params=[*TASKS])
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, Path]]:
    """Return a task, a spec with two variants, and the folder of its run."""
    task, folder = request.param, tmp_path_factory.mktemp(request.param)
    rows(task).to_csv(folder / "rows.csv", index=False)
    spec = folder / "spec.toml"
    stated = tiny_spec(TASKS[task], SEVERAL, epochs=2).format(data=folder / "rows.csv")
    spec.write_text(f'name = "{task}"\n{stated}', "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEXP_CACHE_DIR", str(folder / "cache"))
        run = command("run", spec, "--runs-dir", folder / "runs", "--json", "--quiet")
        assert run.exit_code == 0, run.output
        yield task, spec, Path(json.loads(run.stdout)["folder"])


def result(folder: Path, variant: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / variant / "seed-1" / "result.json").read_text("utf-8"))
    return found


def table(folder: Path, variant: str) -> pd.DataFrame:
    found = pd.read_parquet(folder / variant / "seed-1" / "predictions.parquet")
    return found[found["split"] == "test"].reset_index(drop=True)


def test_the_report_shows_what_the_result_has(done: tuple[str, Path, Path]) -> None:
    task, _, folder = done
    page = (folder / "report.html").read_text("utf-8")
    shown = {
        "multi-label": (
            ["Per label", "Labels that stand together", "F1 by threshold"],
            ["Confusion matrix", "Per class"],
        ),
        "regression": (
            ["Predicted by true", "Largest errors"],
            ["Confusion matrix", "Per label", "Accuracy by length"],
        ),
        "ordinal": (["Confusion matrix", "Per class", "Reliability"], ["Per label", "Largest errors"]),
    }
    here, not_here = shown[task]
    assert [title for title in here if title not in page] == []
    # What asks whether a row is right as a whole is not asked of sets and numbers.
    absent = [*not_here, *(["Most confident mistakes", "Errors by kind"] if task != "ordinal" else [])]
    assert [title for title in absent if title in page] == []
    # No temperature calibrates any of them.
    assert "evaluation.calibrate if" not in page
    before = (folder / "report.html").read_bytes()
    write_report(folder)
    assert (folder / "report.html").read_bytes() == before


def test_two_models_are_compared_in_what_their_task_measures(done: tuple[str, Path, Path]) -> None:
    task, _, folder = done
    found = json.loads(command("compare", folder, "--json").stdout)
    tested = {test["metric"]: test for test in found["tests"]}
    measured = {
        "multi-label": {"micro_f1", "macro_f1", "samples_f1", "subset_accuracy", "hamming_loss", "lrap"},
        "regression": {"pearson", "spearman", "mae", "rmse"},
        "ordinal": {"quadratic_kappa", "rank_mae", "accuracy", "macro_f1"},
    }
    assert set(tested) == measured[task]
    for metric, test in tested.items():
        a, b = (result(folder, name)["metrics"]["test"][metric] for name in ("plain", "slow"))
        assert test["difference"] == pytest.approx(a - b, abs=1e-12)
        assert test["low"] is None or test["low"] <= a - b <= test["high"]
        lower = metric in ("hamming_loss", "mae", "rmse", "rank_mae")
        assert test["better"] == (None if a == b else "plain" if (a < b) == lower else "slow")
        assert ("McNemar" if metric == "accuracy" else "paired bootstrap") in test["sentence"]
    assert json.loads(command("compare", folder, "--json", "--metric", "train_seconds").stdout)["rows"]
    if task == "multi-label":
        said = json.loads(command("compare", folder, "--json", "--metric", "macro_auc").stdout)["remarks"]
        assert any("there is no test of macro_auc, only of macro_f1" in remark for remark in said)


def test_labels_are_tested_alone(done: tuple[str, Path, Path]) -> None:
    task, _, folder = done
    found = json.loads(command("compare", folder, "--json").stdout)
    (stated,) = [test for test in found["tests"] if test["stated"]]
    if task != "multi-label":
        assert "labels" not in stated
        return
    names = result(folder, "plain")["labels"]
    tables = [table(folder, name).sort_values("row") for name in ("plain", "slow")]

    def right(name: str, rows: pd.DataFrame) -> Any:
        return np.array([
            (name in true.split("|")) == (name in said.split("|"))
            for true, said in zip(rows["label"], rows["predicted"], strict=True)
        ])  # fmt: skip

    pairs = {name: [right(name, rows) for rows in tables] for name in names}
    p_values = [mcnemar(*pairs[name]) for name in names]
    assert [one["p_value"] for one in stated["labels"]] == pytest.approx(p_values)
    assert [one["p_holm"] for one in stated["labels"]] == pytest.approx(holm(p_values))
    assert f"by label (McNemar, Holm over {len(names)} labels)" in stated["sentence"]


def test_predictions_of_a_result_are_those_of_the_file(done: tuple[str, Path, Path]) -> None:
    task, _, folder = done
    opened = kexp.RunResult(folder)
    of_file = table(folder, "plain")
    read = opened.predictions.query("variant == 'plain' and split == 'test'")
    assert list(read["predicted"]) == list(of_file["predicted"])
    if task == "regression":
        assert opened.metrics.query("variant == 'plain' and split == 'test'")["spearman"].item() == pytest.approx(
            stats.spearmanr(of_file["label"], of_file["predicted"]).statistic
        )
    if task != "ordinal":
        with pytest.raises(kexp.KexpError, match="there is no confusion matrix"):
            opened.plot_confusion()


def test_the_data_card_says_what_labels_are(done: tuple[str, Path, Path]) -> None:
    task, spec, _ = done
    found = command("data", spec, "--json")
    assert found.exit_code == 0, found.output
    card = json.loads(found.stdout)
    train = next(split for split in card["splits"] if split["split"] == "train")
    names = {finding["name"] for finding in card["findings"]}
    text = command("data", spec)
    assert text.exit_code == 0
    if task == "ordinal":
        assert set(train["read"]) == set("012345")
        return
    assert names.isdisjoint({"imbalance", "give-away", "label-errors", "order"})
    assert sum("not looked" in remark for remark in card["remarks"]) == 1
    if task == "multi-label":
        true = [json.loads(label) for label in rows(task)["label"]]
        # Rows of the empty set stand beside the names.
        assert train["read"].pop("(none)") == sum(not own for own in true)
        assert train["read"] == {name: sum(name in own for own in true) for name in sorted(WORDS)}
        whole = card["labels"]
        assert whole["per_row"] == {str(size): sum(len(own) == size for own in true) for size in range(4)}
        both = sum({"연기", "음악"} <= set(own) for own in true)
        assert {tuple(pair["labels"]): pair["rows"] for pair in whole["together"]}["연기", "음악"] == both
    if task == "regression":
        assert sum(train["read"].values()) == 200
        values = rows(task)["label"]
        assert card["labels"]["quantiles"]["50 %"] == pytest.approx(values.median(), abs=0.01)


def test_pages_of_the_browser_show_such_runs(done: tuple[str, Path, Path]) -> None:
    from fastapi.testclient import TestClient

    from kexp.ui.app import make_app

    task, _, folder = done

    def load(path: Path) -> Any:
        raise AssertionError(f"{path}: no page of results loads a model")

    client = TestClient(make_app(folder.parent.parent, load, ["testserver"]))
    keys = [f"{task}/{folder.name}/{variant}/seed-1" for variant in ("plain", "slow")]
    page = client.get("/run", params={"run": keys[0]})
    assert page.status_code == 200, page.text
    assert ("Per label" in page.text) == (task == "multi-label")
    assert ("mean error" in page.text) == (task == "regression")
    assert ("Confusion matrix" in page.text) == (task == "ordinal")
    assert "is not as kexp writes it" not in page.text
    both = client.get("/compare", params={"run": keys})
    assert both.status_code == 200, both.text
    assert "differ" in both.text
    assert "not as kexp writes it" not in both.text
    assert client.get("/").status_code == 200
