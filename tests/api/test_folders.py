"""Results of folders that are not whole: killed, of earlier versions, without predictions, with odd names."""

from __future__ import annotations

import json
import shutil
import threading
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import tiny_spec

import kexp


@pytest.fixture(scope="module")
def spec(reviews: Path) -> dict[str, Any]:
    return {"name": "small", **tomllib.loads(tiny_spec(epochs=1).format(data=reviews))}


@pytest.fixture(scope="module")
def whole(spec: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEXP_CACHE_DIR", str(runs / "cache"))
        return kexp.run(spec, runs_dir=runs, seeds=[1, 2], progress=False).folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "자료 [1] <b>" / whole.name))


def test_of_a_killed_experiment_what_is_there_is_shown(folder: Path) -> None:
    (folder / "summary.json").unlink()
    (folder / "report.html").unlink()
    (folder / "default/seed-2/result.json").unlink()
    found = kexp.RunResult(folder)
    assert found.status == "unfinished"
    assert found.summary.empty
    assert found.comparison.empty
    assert list(found.metrics["seed"].unique()) == [1]
    assert list(found.epochs["seed"].unique()) == [1]
    assert set(found.predictions["seed"]) == {1}
    assert repr(found) == f"small: unfinished, {folder}"
    assert "&lt;b&gt;" in found._repr_html_()
    assert "<a " not in found._repr_html_()
    assert sum(map(sum, found.plot_confusion().data[0].z)) == len(found.predictions.query("split == 'test'"))


def test_a_folder_of_an_earlier_version(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    (variant,) = summary["variants"].values()
    del variant["repeats"], summary["findings"]
    for scores in variant["metrics"].values():
        for mean in scores.values():
            for key in ("over", "low", "high"):
                mean.pop(key, None)
    (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    found = kexp.RunResult(folder)
    row = found.summary.set_index("model").loc["default"]
    assert row["runs"] == "2 seeds"
    assert row["accuracy"] == variant["metrics"]["test"]["accuracy"]["mean"]
    assert "(2 seeds)" in repr(found)


def test_a_damaged_result_is_told_and_the_others_are_shown(folder: Path) -> None:
    path = folder / "default/seed-1/result.json"
    path.write_text(path.read_text("utf-8").replace('"done"', '"dome"'), "utf-8")
    found = kexp.RunResult(folder)
    assert list(found.metrics.query("status == 'done'")["seed"].unique()) == [2]
    assert any(str(path) in line for line in found.findings)
    assert set(found.predictions["seed"]) == {2}


def test_missing_predictions_are_an_error_that_names_the_file(folder: Path) -> None:
    path = folder / "default/seed-2/predictions.parquet"
    path.unlink()
    found = kexp.RunResult(folder)
    assert len(found.metrics.query("split == 'test'")) == 2
    with pytest.raises(kexp.KexpError, match=r"predictions\.parquet is missing"):
        found.predictions  # noqa: B018


def test_a_relative_folder_is_found_from_elsewhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    found = kexp.RunResult(folder.name)
    monkeypatch.chdir(tmp_path)
    assert len(found.summary) > 1
    assert found == kexp.RunResult(folder)


def test_a_folder_of_several_seeds_predicts_with_their_mean_aloud(folder: Path) -> None:
    with pytest.warns(UserWarning, match="mean") as warned:
        found = kexp.predict(kexp.RunResult(folder), ["정말 최고"])
    assert {one.filename for one in warned} == {__file__}
    each = [kexp.predict(folder / f"default/seed-{seed}", ["정말 최고"]) for seed in (1, 2)]
    column = "probability:좋음"
    assert found[column].item() == pytest.approx(np.mean([one[column].item() for one in each]))


def test_predictions_replace_no_column(folder: Path) -> None:
    table = pd.DataFrame({"text": ["정말 최고"], "predicted": ["?"]})
    with pytest.raises(kexp.KexpError, match="the table has a column predicted"):
        kexp.predict(folder / "default/seed-1", table)
    with pytest.warns(UserWarning, match=r"abstain 0\.1 never abstains"):
        kexp.predict(folder / "default/seed-1", ["가"], abstain=0.1)


def test_calls_in_threads_have_the_bits_of_calls_one_after_the_other(
    spec: dict[str, Any], whole: Path, tmp_path: Path
) -> None:
    found: dict[int, kexp.RunResult] = {}

    def train(seed: int) -> None:
        found[seed] = kexp.run(spec, seeds=seed, runs_dir=tmp_path / str(seed), progress=False)

    threads = [threading.Thread(target=train, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, result in found.items():
        name = f"default/seed-{seed}/model/model.safetensors"
        assert (result.folder / name).read_bytes() == (whole / name).read_bytes()


# --- tables of pandas -------------------------------------------------------------------------------------------------

TEXTS = [f"{number}번째 영화 {word}" for number in range(40) for word in ("최고", "별로")]
LABELS = ["좋음", "나쁨"] * 40


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"text": TEXTS, "label": pd.Categorical(LABELS)}),
        pd.DataFrame({"text": pd.array(TEXTS, dtype="string"), "label": LABELS}),
        pd.DataFrame({"text": TEXTS, "label": [0, 1] * 40}),
        pd.DataFrame({"text": TEXTS, "label": LABELS, 3: 1.5}, index=[f"줄 {n}" for n in range(80)]),
        pd.DataFrame({"label": LABELS, "other": pd.Timestamp("2026-01-01"), "text": TEXTS}).iloc[::-1],
    ],
    ids=["categories", "strings", "integers", "odd names", "dates and another order"],
)
def test_tables_of_any_columns_are_read(spec: dict[str, Any], frame: pd.DataFrame) -> None:
    found = kexp.data({**spec, "dataset": frame}, progress=False).rows
    counts = frame["label"].astype(str).value_counts()
    assert found.groupby("label")["read"].sum().to_dict() == counts.to_dict()


def test_what_is_wrong_with_a_table_is_said_with_its_file(spec: dict[str, Any]) -> None:
    for frame, message in (
        (pd.DataFrame({"text": TEXTS}), "label"),
        (pd.DataFrame({"text": [], "label": []}), "row"),
        (pd.DataFrame([["가", "나"]], columns=["text", "text"]), "cannot be stored as Parquet"),
    ):
        with pytest.raises(kexp.KexpError, match=message):
            kexp.dry_run({**spec, "dataset": frame}, progress=False)


def test_a_removed_table_is_missed_by_name(spec: dict[str, Any], tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": TEXTS, "label": LABELS})
    result = kexp.run({**spec, "dataset": frame}, runs_dir=tmp_path, progress=False)
    stored = Path(result.spec["dataset"]["path"])
    stored.unlink()
    with pytest.raises(kexp.SpecError, match=f"dataset.path: {stored} does not exist"):
        kexp.run(resume=result)
    # The same table makes the same file again.
    assert kexp.check({**spec, "dataset": frame})
    assert kexp.run(resume=result, progress=False).status == "done"


def test_deep_and_circular_tables_are_refused(spec: dict[str, Any]) -> None:
    circular: dict[str, Any] = {}
    circular["a"] = circular
    listed: list[Any] = []
    listed.append(listed)
    for value in (circular, listed):
        with pytest.raises(kexp.SpecError, match="nested too deeply"):
            kexp.check({**spec, "training": value})
