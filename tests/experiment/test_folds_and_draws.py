"""Experiments with folds and with draws of the labelled rows: what is written, how it goes on, what is made of it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from support import kexp, tiny_spec

from kexp.errors import KexpError
from kexp.experiment import train_and_test
from kexp.experiment.assemble import training_seed
from kexp.inference.model_folders import find, find_all
from kexp.repeats import Repeat
from kexp.results.runs import results, show
from kexp.sample_reviews import korean_reviews
from kexp.trained import load
from kexp.ui.library import Library

FOLDS = "[split]\nfolds = 3"
DRAWS = """
[labelled]
n = 40
draws = 2
[variants.plain]
[variants.many]
labelled.n = 80
"""
FEW = ["정말 재미있다", "너무 지루하고 별로였다", "그냥 그래요"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("repeats")
    texts, labels = korean_reviews(150)
    with (place / "reviews.csv").open("w", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *zip(texts, (["bad", "good"][n] for n in labels), strict=True)])
    for name, seeds, tables in (("folds", "[1, 2]", FOLDS), ("draws", "[1]", DRAWS)):
        spec = tiny_spec(f"seeds = {seeds}", tables, epochs=1, batch_size=32).format(data="reviews.csv")
        (place / f"{name}.toml").write_text(spec, encoding="utf-8")
    return place


def run(folder: Path, name: str, place: str = "runs") -> Path:
    result = kexp("run", folder / f"{name}.toml", "--runs-dir", folder / place, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    return Path(json.loads(result.stdout)["folder"])


@pytest.fixture(scope="module")
def folds(folder: Path) -> Path:
    return run(folder, "folds")


@pytest.fixture(scope="module")
def draws(folder: Path) -> Path:
    return run(folder, "draws")


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


FOLD_RUNS = [Repeat(seed, fold=fold) for fold in (1, 2, 3) for seed in (1, 2)]


def fold_rows(folds: Path, repeat: Repeat) -> pd.DataFrame:
    rows = pd.read_parquet(folds / "default" / repeat.folder / "predictions.parquet")
    return rows[rows["split"] == "test"]


def test_every_run_says_which_fold_it_is(folds: Path) -> None:
    assert [Repeat.of(result) for result in results(folds)] == FOLD_RUNS
    for result in results(folds):
        assert result["rows"] == {"train": 85, "validation": 15, "test": 50}
    summary = read(folds / "summary.json")["variants"]["default"]
    assert (summary["seeds"], summary["repeats"]) == ([1, 2], [repeat.keys() for repeat in FOLD_RUNS])
    assert summary["status"] == {repeat.folder: "done" for repeat in FOLD_RUNS}
    accuracy = summary["metrics"]["test"]["accuracy"]
    assert (accuracy["n"], accuracy["over"], len(accuracy["values"])) == (3, "3 folds x 2 seeds", 6)
    assert [run["fold"] for run in show(folds)["runs"]] == [1, 1, 2, 2, 3, 3]


def test_out_of_fold_predictions_hold_every_row_once_per_seed(folds: Path) -> None:
    table = pd.read_parquet(folds / "default" / "out-of-fold.parquet")
    summary = read(folds / "summary.json")["variants"]["default"]["out_of_fold"]
    assert summary["file"] == "default/out-of-fold.parquet"
    accuracies = []
    for seed in (1, 2):
        own = table[table["seed"] == seed]
        assert own["row"].tolist() == list(range(150))
        for fold in (1, 2, 3):
            there = own[own["fold"] == fold].drop(columns=["fold", "seed"]).reset_index(drop=True)
            expected = fold_rows(folds, Repeat(seed, fold=fold)).drop(columns="split").reset_index(drop=True)
            pd.testing.assert_frame_equal(there, expected)
        accuracies.append(float((own["predicted"] == own["label"]).mean()))
        bad = (own["label"] == "bad").to_numpy()
        chosen = np.where(bad, own["probability:bad"], own["probability:good"])
        metrics = summary["runs"][seed - 1]["metrics"]
        assert metrics["accuracy"] == pytest.approx(accuracies[-1])
        assert metrics["cross_entropy"] == pytest.approx(-np.log(chosen).mean())
    assert summary["metrics"]["accuracy"]["values"] == pytest.approx(accuracies)
    assert summary["metrics"]["accuracy"]["mean"] == pytest.approx(np.mean(accuracies))


def test_baselines_and_counts_are_means_over_the_folds(folds: Path) -> None:
    summary = read(folds / "summary.json")["variants"]["default"]
    hits = []
    for fold in (1, 2, 3):
        rows = pd.read_csv(folds.parents[2] / "reviews.csv")
        own = fold_rows(folds, Repeat(1, fold=fold))
        validation = pd.read_parquet(folds / "default" / f"fold-{fold}" / "seed-1" / "predictions.parquet")
        train = rows.drop(validation["row"])
        hits.append(float((own["label"] == train["label"].mode()[0]).mean()))
    assert summary["baselines"]["majority"]["test"]["accuracy"] == pytest.approx(np.mean(hits))
    data = summary["data"]
    assert data["divisions"] == 3
    assert [data["splits"][split]["kept"] for split in ("train", "validation", "test")] == [85, 15, 50]
    by_label = pd.read_csv(folds.parents[2] / "reviews.csv")["label"].value_counts()
    assert data["labels"]["test"] == {name: pytest.approx(by_label[name] / 3, abs=0.05) for name in ("bad", "good")}


def test_the_folder_of_a_variant_is_the_mean_of_its_models(folds: Path) -> None:
    runs = [folds / "default" / repeat.folder for repeat in FOLD_RUNS]
    single = np.stack([load(run, device="cpu").predict(FEW) for run in runs])
    assert np.ptp(single, axis=0).max() > 0
    whole = load(folds / "default", device="cpu")
    assert [member.place.run for member in whole.members] == [run.resolve() for run in runs]
    np.testing.assert_allclose(whole.predict(FEW), single.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(load(folds / "default", seed=2, device="cpu").predict(FEW), single[1::2].mean(axis=0))
    np.testing.assert_allclose(load(folds / "default/fold-2", device="cpu").predict(FEW), single[2:4].mean(axis=0))
    printed = kexp("predict", folds / "default", "--json", *FEW)
    shown = [json.loads(line) for line in printed.stdout.splitlines()]
    assert [row["probability:good"] for row in shown] == pytest.approx(single.mean(axis=0)[:, 1].tolist())


def test_one_model_is_needed_where_several_cannot_be_joined(folds: Path) -> None:
    with pytest.raises(KexpError, match=r"holds 6 models, and one is needed; name one of .*fold-1/seed-1, "):
        find(folds / "default")
    assert find(folds / "default/fold-3/seed-2").run == folds / "default/fold-3/seed-2"
    assert [place.run for place in find_all(folds)] == [place.run for place in find_all(folds / "default")]
    with pytest.raises(KexpError, match="holds no trained model of seed 5; expected a run folder"):
        find_all(folds / "default", seed=5)
    with pytest.raises(KexpError, match="is the folder of a variant; --variant chooses in a run folder"):
        find_all(folds / "default", variant="default")
    with pytest.raises(KexpError, match="is one model"):
        find_all(folds / "default/fold-3/seed-2", seed=2)


def test_a_mean_over_runs_that_are_not_all_done_is_refused(folds: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(folds, tmp_path / "copied"))
    shutil.rmtree(copied / "default/fold-2/seed-1/model")
    with pytest.raises(
        KexpError, match=r"5 of 6 runs have a model, none: fold 2, seed 1; finish them with kexp run --res"
    ):
        find_all(copied / "default")
    assert len(find_all(copied / "default/fold-1")) == 2


def test_runs_are_found_by_all_commands(folds: Path, folder: Path) -> None:
    page = (folds / "report.html").read_text("utf-8")
    assert all(f"default, {repeat.name}" in page for repeat in FOLD_RUNS)
    assert "default, all folds as one" in page
    assert "fold 2, seed 1" in kexp("runs", "show", folds, "--epochs").stdout
    known = {run.key: run for run in Library(folder / "runs").runs()}
    key = f"folds/{folds.name}/default/fold-2/seed-1"
    assert (known[key].variant, known[key].seed, known[key].fold, known[key].draw) == ("default", 1, 2, None)
    assert Library(folder / "runs").spec(key)["split"]["folds"] == 3
    assert kexp("report", folds).exit_code == 0
    assert (folds / "report.html").read_text("utf-8") == page


def test_parts_of_a_variant_can_be_compared(folds: Path) -> None:
    found = json.loads(kexp("compare", folds / "default/fold-1", folds / "default/fold-1/seed-1", "--json").stdout)
    assert [(model["name"], model["runs"]) for model in found["models"]] == [
        ("default", [{"fold": 1, "seed": 1}, {"fold": 1, "seed": 2}])
    ]
    whole = json.loads(kexp("compare", folds, "--json").stdout)
    assert whole["models"][0]["seeds"] == [1, 2]
    assert len(whole["models"][0]["runs"]) == 6


def test_an_experiment_that_was_interrupted_in_the_third_fold_goes_on_to_the_same_bytes(
    folds: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = train_and_test.save_predictions

    def stop(path: Path, *arguments: Any) -> None:
        if path.parent.parent.name == "fold-3":
            raise KeyboardInterrupt
        begun(path, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(train_and_test, "save_predictions", stop)
        result = kexp("run", folder / "folds.toml", "--runs-dir", folder / "broken", "--quiet")
    assert result.exit_code == 130
    (broken,) = (folder / "broken" / "folds").iterdir()
    assert read(broken / "summary.json")["variants"]["default"]["status"]["fold-3/seed-1"] == "interrupted"
    assert not (broken / "default/out-of-fold.parquet").exists()
    again = kexp("run", "--resume", broken, "--quiet")
    assert again.exit_code == 0, again.stderr
    names = [
        f"{repeat.folder}/{file}" for repeat in FOLD_RUNS for file in ("model/model.safetensors", "predictions.parquet")
    ]
    for name in (*names, "out-of-fold.parquet"):
        assert (broken / "default" / name).read_bytes() == (folds / "default" / name).read_bytes(), name


def test_a_damaged_fold_is_not_averaged_away(folds: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(folds, tmp_path / "copied"))
    (copied / "default/fold-2/seed-2/predictions.parquet").write_bytes(b"PAR1")
    (copied / "summary.json").unlink()
    result = kexp("run", "--resume", copied, "--quiet")
    assert result.exit_code == 1
    assert f"delete {copied}/default/fold-2/seed-2/result.json to do this run again" in result.stderr


def test_draws_are_runs_of_their_own_on_the_same_test_rows(draws: Path) -> None:
    found = list(results(draws))
    assert [(result["variant"], Repeat.of(result)) for result in found] == [
        (variant, Repeat(1, draw=draw)) for variant in ("many", "plain") for draw in (1, 2)
    ]
    assert [result["rows"]["train"] for result in found] == [80, 80, 40, 40]
    rows = [
        pd.read_parquet(draws / variant / f"draw-{draw}/seed-1/predictions.parquet")[["split", "row", "text", "label"]]
        for variant in ("many", "plain")
        for draw in (1, 2)
    ]
    for other in rows[1:]:
        pd.testing.assert_frame_equal(other, rows[0])
    inputs = read(draws / "environment.json")["inputs"]
    assert {*inputs} == {f"{variant} draw {draw}" for variant in ("many", "plain") for draw in (1, 2)}
    first, second = (inputs[f"plain draw {draw}"]["rows"] for draw in (1, 2))
    assert first["train"] != second["train"]
    assert (first["validation"], first["test"]) == (second["validation"], second["test"])


def test_the_first_draw_is_the_run_of_a_spec_without_draws(draws: Path, folder: Path) -> None:
    once = kexp("run", folder / "draws.toml", "--set", "labelled.draws=1", "--variant", "plain", "--runs-dir", folder / "once",
                "--json", "--quiet")  # fmt: skip
    alone = Path(json.loads(once.stdout)["folder"]) / "plain/seed-1"
    same = draws / "plain/draw-1/seed-1"
    for name in ("model/model.safetensors", "predictions.parquet"):
        assert (alone / name).read_bytes() == (same / name).read_bytes()
    assert "draw" not in read(alone / "result.json")


def test_draws_and_folds_have_training_seeds_of_their_own() -> None:
    firsts = [Repeat(7), Repeat(7, draw=1), Repeat(7, fold=1), Repeat(7, 1, 1)]
    assert [training_seed(one) for one in firsts] == [7] * 4
    others = [Repeat(7, draw=2), Repeat(7, fold=2), Repeat(7, 2, 2), Repeat(8, draw=2), Repeat(7, draw=3)]
    assert len({7, *(training_seed(one) for one in others)}) == 6
    assert training_seed(Repeat(7, draw=2, fold=1)) == training_seed(Repeat(7, draw=2))


def test_draws_do_not_share_their_first_weights(folder: Path) -> None:
    made = kexp("run", folder / "draws.toml", "--set", "training.learning_rate=1e-12", "--variant", "plain", "--runs-dir",
                folder / "still", "--json", "--quiet")  # fmt: skip
    path = Path(json.loads(made.stdout)["folder"]) / "plain"
    weights = [load_file(path / f"draw-{draw}/seed-1/model/model.safetensors") for draw in (1, 2)]
    assert {*weights[0]} == {*weights[1]}
    assert any(not torch.allclose(weights[0][name], weights[1][name], atol=1e-3) for name in weights[0])


def test_a_dry_run_counts_every_run(folder: Path) -> None:
    found = json.loads(kexp("run", folder / "folds.toml", "--dry-run", "--json", "--quiet").stdout)
    assert (found["runs"], found["variants"]["default"]["data"]["divisions"]) == (6, 3)
    shown = kexp("run", folder / "draws.toml", "--dry-run", "--quiet", "--seeds", "1,2,3").stdout
    assert "12 runs would be trained; nothing was made" in shown
