"""Whole searches through the command line, on small real models."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from scipy.stats import ttest_rel
from support import kexp, tiny_spec

from kexp.evaluate.differences import crossed
from kexp.report.sentences import sentence
from kexp.search.final_run import describe_gain

BASE = tiny_spec("seeds = [1, 2]", epochs=2)
SEARCH = """
[search]
trials = 6
pruner = {use = "median", startup_trials = 2}
[search.space]
"training.learning_rate" = {low = 1e-4, high = 2e-2, log = true}
"training.epochs" = {low = 1, high = 4}
"objective" = {choices = ["cross-entropy", {use = "focal"}]}
"objective.gamma" = {low = 1, high = 4, when = {"objective.use" = "focal"}}
"""

Write = Callable[[str], Path]


@pytest.fixture
def spec(reviews: Path, write_spec: Callable[..., Path]) -> Write:
    """Return a function that writes the base spec with a search behind it."""
    return lambda search: write_spec(BASE.format(data=reviews) + search, "reviews.toml")


def tune(spec: Path, *arguments: str | Path, status: int = 0) -> dict[str, Any]:
    result = kexp("tune", spec, "--runs-dir", spec.parent / "runs", "--json", "--quiet", *arguments)
    assert result.exit_code == status, result.stderr
    return json.loads(result.stdout)


def study_of(found: dict[str, Any]) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(f"{found['folder']}/journal.log"))
    return optuna.load_study(study_name=found["study"], storage=storage)


@pytest.fixture(scope="module")
def study(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Search once for all tests that read what is found."""
    path = tmp_path_factory.mktemp("study") / "reviews.toml"
    path.write_text(BASE.format(data=reviews) + SEARCH, encoding="utf-8")
    return {**tune(path), "spec": path}


def test_best_is_the_best_of_the_trials(study: dict[str, Any]) -> None:
    assert study["status"] == "done"
    table = pd.read_csv(f"{study['folder']}/trials.csv")
    complete = table[table["outcome"] == "complete"]
    assert study["best_value"] == complete["validation.macro_f1"].max()
    assert study["trials"]["complete"] + study["trials"]["pruned"] + study["trials"]["failed"] == 6 == len(table)
    assert study["best_trial"] == complete["validation.macro_f1"].idxmax()


def test_first_trial_is_the_spec_without_a_search(study: dict[str, Any]) -> None:
    first = study_of(study).trials[0]
    assert first.params == {"training.learning_rate": 5e-3, "training.epochs": 2, "objective": "cross-entropy"}


def test_conditional_parameter_is_there_where_its_condition_holds_and_is_a_fraction(study: dict[str, Any]) -> None:
    trials = study_of(study).trials
    for trial in trials:
        assert ("objective.gamma" in trial.params) == (
            trial.params["objective"] == "focal" or "focal" in trial.params["objective"]
        )
    gammas = [trial.params["objective.gamma"] for trial in trials if "objective.gamma" in trial.params]
    # The range has whole ends, but the key holds any number.
    assert gammas
    assert not all(gamma == int(gamma) for gamma in gammas)


def test_best_spec_runs_and_gives_what_the_study_promised(study: dict[str, Any]) -> None:
    text = Path(study["best_spec"]).read_text("utf-8")
    assert text.startswith(f"# Trial {study['best_trial']} of study {study['study']}: validation.macro_f1 = ")
    assert "search" not in tomllib.loads(text)
    result = kexp("run", study["best_spec"], "--runs-dir", study["spec"].parent / "again", "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    again = json.loads(result.stdout)["variants"]["default"]["metrics"]
    final = json.loads(Path(study["final"], "summary.json").read_text())["variants"]["best"]["metrics"]
    assert again == final
    # The trial trained the first seed.
    assert again["validation"]["macro_f1"]["values"][0] == study["best_value"]
    assert "to the last digit" in study["remarks"][-1]


def test_trials_read_no_test_rows_and_leave_no_weights(study: dict[str, Any]) -> None:
    results = list(Path(study["folder"]).glob("trials/*/seed-1/result.json"))
    assert len(results) == 6 - study["trials"]["repeated"]
    for path in results:
        assert set(json.loads(path.read_text()).get("metrics", {"validation": {}})) == {"validation"}
    assert not list(Path(study["folder"]).rglob("*.safetensors"))
    assert not list(Path(study["folder"]).rglob("predictions.parquet"))


def test_gain_is_that_of_the_means_and_tested_on_test_alone(study: dict[str, Any]) -> None:
    summary = json.loads(Path(study["final"], "summary.json").read_text())
    variants = summary["variants"]
    assert list(variants) == ["default", "best"]
    assert [gain["split"] for gain in study["gains"]] == ["validation", "test"]
    for gain in study["gains"]:
        before, after = (np.array(variants[name]["metrics"][gain["split"]]["macro_f1"]["values"]) for name in variants)
        assert gain["gain"] == pytest.approx(after.mean() - before.mean())
        assert (gain["n"], gain["over"]) == (2, "2 seeds")
    (stated,) = (test for test in summary["tests"] if test["metric"] == "macro_f1")
    assert [gain["test"] for gain in study["gains"]] == [None, {**stated, "stated": True}]
    assert study["remarks"][0].endswith("chosen by it, so this gain is flattered and not tested")
    assert study["remarks"][1].endswith(sentence({**stated, "stated": True}))


GAIN = {"split": "test", "metric": "accuracy", "default": 0.8, "best": 0.82, "gain": 0.02, "n": 2, "over": "2 seeds"}


def test_a_gain_that_every_seed_has_is_no_multiple_of_rounding() -> None:
    scores = np.array([[1.0] * 82 + [0.0] * 18] * 2), np.array([[0.0] * 2 + [1.0] * 80 + [0.0] * 18] * 2)
    found = crossed(*scores)
    # Both seeds gain two rows of a hundred, but for rounding: seeds without spread leave the chance of rows.
    assert found.effect_size is None
    assert found.p_value == pytest.approx(ttest_rel(scores[0][0], scores[1][0]).pvalue)
    text = describe_gain({**GAIN, "split": "validation", "test": None})
    assert text == (
        "validation accuracy over 2 seeds: 0.8200 against 0.8000 by default, a gain of +0.0200; "
        "the best of many trials was chosen by it, so this gain is flattered and not tested"
    )
    assert describe_gain({**GAIN, "test": None}).endswith("a gain of +0.0200; there is no test of accuracy")


def test_page_tells_the_study_without_network(study: dict[str, Any]) -> None:
    page = Path(study["folder"], "study.html").read_text("utf-8")
    for text in ("History", "Best trials", "training.learning_rate", study["study"]):
        assert text in page
    assert "Plotly.newPlot" in page
    assert "<script src" not in page


def test_a_finished_study_goes_on_when_more_trials_are_asked_for(study: dict[str, Any]) -> None:
    again = tune(study["spec"])
    assert again["trials"] == study["trials"]
    assert again["final"] == study["final"]
    more = tune(study["spec"], "--trials", 7)
    assert sum(more["trials"][name] for name in ("complete", "pruned", "failed")) == 7


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_and_continued_study_equals_an_uninterrupted_one(
    study: dict[str, Any], tmp_path: Path, kill: signal.Signals
) -> None:
    command = [
        sys.executable,
        "-m",
        "kexp",
        "tune",
        str(study["spec"]),
        "--runs-dir",
        str(tmp_path),
        "--json",
        "--quiet",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 240
    while not list(tmp_path.glob("reviews/*/trials/0002/seed-1/metrics.jsonl")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(process.pid, kill)
    out, err = process.communicate(timeout=120)
    if kill == signal.SIGINT:
        assert process.returncode == 130, err
        assert "interrupted" in err
        assert "Traceback" not in err
        stopped = json.loads(out)
        assert stopped["status"] == "interrupted"
        assert stopped["final"] is None
        assert not any(trial.state.name == "RUNNING" for trial in study_of(stopped).trials)
    (folder,) = tmp_path.glob("reviews/*")

    result = kexp("tune", study["spec"], "--runs-dir", tmp_path, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["folder"] == str(folder)
    assert sum(found["trials"][name] for name in ("complete", "pruned", "failed")) == 6
    whole, halves = (table_of(one["folder"]) for one in (study, found))
    # Another test has asked for more trials.
    pd.testing.assert_frame_equal(halves, whole.head(6))
    assert found["best_params"] == study["best_params"]
    assert found["gains"] == study["gains"]
    assert (folder / "trials" / "0002-attempt-2" / "seed-1" / "result.json").is_file()


def table_of(folder: str) -> pd.DataFrame:
    """Return the trials of a study without what depends on when and where they ran."""
    return pd.read_csv(f"{folder}/trials.csv").drop(columns=["train_seconds", "folder", "attempts"])


def test_two_jobs_give_every_trial_once(spec: Write) -> None:
    found = tune(spec(SEARCH), "--jobs", 2, "--set", "search.pruner.use=none")
    assert found["trials"]["complete"] == 6
    trials = study_of(found).trials
    assert [trial.number for trial in trials] == list(range(6))


def test_a_search_without_a_test_split_says_that_nothing_was_tested(spec: Write) -> None:
    found = tune(spec(SEARCH), "--trials", 2, "--set", "split.test=0")
    assert found["status"] == "done"
    assert {gain["split"] for gain in found["gains"]} <= {"validation"}
    (remark,) = [remark for remark in found["remarks"] if "no test split" in remark]
    assert remark.endswith("their results are on the validation rows, by which the models were chosen too")


FAILING = """
[search]
trials = 4
sampler = {{use = "{sampler}"}}
{options}
[search.space]
"labelled.n" = {{choices = [{choices}]}}
"""


def test_failing_trial_is_recorded_with_its_reason_and_the_study_goes_on(spec: Write) -> None:
    found = tune(spec(FAILING.format(sampler="grid", options="", choices="2, 60, 90, 120")))
    assert found["trials"]["failed"] == 1
    assert found["trials"]["complete"] == 3
    # The spec as it stands took the place of one.
    assert (
        "1 of the 4 points of the space were not tried; search.trials counts the spec as it stands too"
        in found["remarks"]
    )
    (failed,) = [trial for trial in study_of(found).trials if trial.state.name == "FAIL"]
    assert failed.params == {"labelled.n": 2}
    assert "labelled" in failed.user_attrs["reason"]
    assert failed.user_attrs["reason"] in Path(found["folder"], "study.html").read_text("utf-8").replace("&#34;", '"')


@pytest.mark.parametrize("moment", ["write_text", "write_study_files"])
def test_a_full_disk_says_how_the_study_goes_on(spec: Write, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/file")

    path = spec('[search]\ntrials = 1\n[search.space]\n"training.epochs" = {choices = [1, 2]}\n')
    with monkeypatch.context() as patched:
        patched.setattr(f"kexp.search.tune.{moment}", full)
        result = kexp("tune", path, "--runs-dir", path.parent / "runs", "--quiet")
    (folder,) = (path.parent / "runs" / "reviews").glob("reviews-*")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        1,
        "/somewhere/file: No space left on device; free some space; then the same command continues the study in "
        f"{folder}",
    )
    assert tune(path)["trials"]["complete"] == 1


def test_failures_in_a_row_stop_the_search(spec: Write) -> None:
    path = spec(FAILING.format(sampler="grid", options="max_failures = 2", choices="1, 2"))
    result = kexp("tune", path, "--runs-dir", path.parent / "runs", "--quiet")
    assert result.exit_code == 1
    assert "failed: 2 trials in a row failed, and the search stopped; the last: " in result.stderr


def test_grid_ends_when_every_point_was_visited(spec: Write) -> None:
    path = spec(FAILING.format(sampler="grid", options="", choices="60, 90"))
    found = tune(path, "--trials", 50)
    assert found["exhausted"]
    # The spec as it stands, which has all labelled rows, is no point of the grid.
    assert found["trials"]["complete"] == 3
    assert not any("not tried" in remark for remark in found["remarks"])
    assert tune(path, "--trials", 60)["trials"] == found["trials"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_grid_needs_no_number_of_trials(spec: Write, jobs: int) -> None:
    text = FAILING.format(sampler="grid", options='pruner = "none"', choices="60, 90, 120").replace("trials = 4", "")
    found = tune(spec(text), "--jobs", jobs)
    assert (found["trials"]["complete"], found["trials"]["repeated"], found["exhausted"]) == (4, 0, True)
    assert sorted(trial.params.get("labelled.n", 0) for trial in study_of(found).trials) == [0, 60, 90, 120]


def test_equal_trials_are_not_run_again(spec: Write) -> None:
    found = tune(spec(FAILING.format(sampler="random", options="", choices="60, 90")), "--trials", 8)
    assert found["trials"]["complete"] == 8
    # Two values, and the spec as it stands, which has neither.
    assert found["trials"]["repeated"] == 5
    assert len(list(Path(found["folder"]).glob("trials/*"))) == 3
    trials = study_of(found).trials
    for trial in trials:
        same = [other.value for other in trials if other.params == trial.params]
        assert len(set(same)) == 1


HOPELESS = """
[search]
trials = 3
[search.space]
"training.learning_rate" = {low = 1e-7, high = 1e-6, log = true}
"""


def test_where_nothing_beats_the_spec_as_it_stands_it_is_the_best_and_no_gain_is_said(spec: Write) -> None:
    path = spec(HOPELESS)
    result = kexp("tune", path, "--runs-dir", path.parent / "runs", "--json", "--set", "seeds=[1]")
    assert result.exit_code == 0, result.stderr
    stated = "the first trial is the spec as it stands, which lies outside the space: training.learning_rate is 0.005"
    assert stated in result.stderr
    found = json.loads(result.stdout)
    assert (found["best_trial"], found["no_gain"]) == (0, True)
    assert found["best_params"] == {"training.learning_rate": 0.005}
    assert found["remarks"][0] == "no gain: no trial is better than the spec as it stands"
    # What the search wrote is what it began with.
    best, study = (
        tomllib.loads(Path(found["folder"], name).read_text("utf-8")) for name in ("best.toml", "study.toml")
    )
    assert best == {name: value for name, value in study.items() if name != "search"}
    assert (
        Path(found["best_spec"]).read_text("utf-8").startswith("# No gain: this is the spec as it stands.\n# Trial 0 ")
    )
    page = Path(found["folder"], "study.html").read_text("utf-8")
    assert "<li>no gain: no trial is better than the spec as it stands</li>" in page
    table = pd.read_csv(f"{found['folder']}/trials.csv")
    assert table["training.learning_rate"][0] == 0.005
    assert table["validation_loss"].notna().all()
    # The same command says it on the screen, too; the study is over.
    again = kexp("tune", path, "--runs-dir", path.parent / "runs", "--set", "seeds=[1]", "--quiet")
    assert "no gain: no trial is better than the spec as it stands" in again.stdout


def test_trials_that_tie_are_told_apart_by_their_validation_loss(spec: Write) -> None:
    # Neither changes what is predicted much: the metric of so few rows ties.
    search = """
[search]
trials = 4
metric = "validation.accuracy"
[search.space]
"training.learning_rate" = {low = 1e-7, high = 1e-5, log = true}
"""
    found = tune(spec(search), "--set", "seeds=[1]", "--set", "training.learning_rate=1e-6")
    table = pd.read_csv(f"{found['folder']}/trials.csv")
    ties = table[table["validation.accuracy"] == table["validation.accuracy"].max()]
    assert len(ties) > 1
    assert found["best_trial"] == ties["validation_loss"].idxmin()
    assert found["remarks"][0].startswith(f"{len(ties)} trials have the same validation.accuracy; ")
    # The best of these has learnt nothing, which the page says too.
    stands_out = [
        f"{one['variant']}: {one['text']}"
        for one in json.loads(Path(found["final"], "summary.json").read_text("utf-8"))["findings"]
        if one["variant"] == "best"
    ]
    assert any("no better than the majority baseline" in text for text in stands_out)
    assert [remark for remark in found["remarks"] if remark.startswith("best: ")] == stands_out
    assert "no better than the majority baseline" in Path(found["folder"], "study.html").read_text("utf-8")
    results = [json.loads(path.read_text()) for path in Path(found["folder"]).glob("trials/*/seed-1/result.json")]
    for result in results:
        assert result["validation_loss"] == pytest.approx(result["metrics"]["validation"]["cross_entropy"])


def test_several_metrics_give_a_front(spec: Write) -> None:
    search = """
[search]
trials = 5
metric = ["validation.accuracy", "parameters.trainable"]
sampler = {use = "nsga2", population = 3}
[search.space]
"freezing" = {choices = ["none", "embeddings", "all-but-head"]}
"training.learning_rate" = {low = 1e-3, high = 1e-2, log = true}
"""
    found = tune(spec(search))
    trials = [trial for trial in study_of(found).trials if "same as" not in trial.user_attrs]
    points = {trial.number: (trial.values[0], -trial.values[1]) for trial in trials}
    front = {
        number
        for number, (a, b) in points.items()
        if not any(c >= a and d >= b and (c, d) != (a, b) for c, d in points.values())
    }
    assert {point["trial"] for point in found["front"]} == front
    assert points[found["best_trial"]][0] == max(a for a, _ in points.values())
    for number in front - {found["best_trial"]}:
        assert Path(found["folder"], f"front-{number:04d}.toml").is_file()


def test_seeds_of_a_trial_are_averaged(spec: Write) -> None:
    search = """
[search]
trials = 3
seeds_per_trial = 2
pruner = {use = "wilcoxon", startup_seeds = 0, p_threshold = 0.3}
sampler = {use = "random"}
[search.space]
"training.learning_rate" = {low = 1e-3, high = 1e-2, log = true}
"""
    found = tune(spec(search))
    for trial in study_of(found).trials:
        if trial.state.name == "COMPLETE":
            values = [
                json.loads(Path(trial.user_attrs["folder"], f"seed-{seed}", "result.json").read_text())
                for seed in (1, 2)
            ]
            scores = [value["metrics"]["validation"]["macro_f1"] for value in values]
            assert trial.value == pytest.approx(np.mean(scores))
            assert list(trial.intermediate_values.values()) == scores


def test_folds_of_a_trial_are_averaged_over_their_validation_rows(spec: Write) -> None:
    search = """
[split]
folds = 3
[search]
trials = 2
folds_per_trial = 2
pruner = {use = "wilcoxon", startup_seeds = 0, p_threshold = 0.3}
sampler = {use = "random"}
[search.space]
"training.learning_rate" = {low = 1e-3, high = 1e-2, log = true}
"""
    found = tune(spec(search), "--set", "seeds=[1]")
    complete = [trial for trial in study_of(found).trials if trial.state.name == "COMPLETE"]
    assert complete
    for trial in complete:
        folder = Path(trial.user_attrs["folder"])
        values = [json.loads((folder / f"fold-{fold}/seed-1/result.json").read_text()) for fold in (1, 2)]
        assert [(value["fold"], list(value["metrics"])) for value in values] == [
            (1, ["validation"]),
            (2, ["validation"]),
        ]
        scores = [value["metrics"]["validation"]["macro_f1"] for value in values]
        assert trial.value == pytest.approx(np.mean(scores))
        assert list(trial.intermediate_values.values()) == scores
        assert list(trial.user_attrs["seeds"]) == ["fold-1/seed-1", "fold-2/seed-1"]
        assert not list(folder.glob("fold-3")) + list(folder.rglob("predictions.parquet"))
    assert (
        found["remarks"][-1]
        == "the best spec, trained again, has the validation metrics of its trial to the last digit"
    )
    final = json.loads(Path(found["final"], "summary.json").read_text())["variants"]["best"]
    assert final["status"] == {f"fold-{fold}/seed-1": "done" for fold in (1, 2, 3)}


@pytest.mark.parametrize(
    ("search", "arguments", "message"),
    [
        ("", [], "there is no [search] with a space; kexp tune needs one"),
        (
            "[variants.a]\n[variants.b]\n" + SEARCH,
            [],
            "a search is about one variant; choose with --variant NAME (a, b)",
        ),
        (SEARCH, ["--executor", "cloud"], 'search.executor: unknown executor "cloud"'),
        (SEARCH, ["--timeout", "soon"], 'search.timeout: expected a duration such as 2h, 90m or 1h30m, found "soon"'),
        (SEARCH, ["--storage", "here"], 'search.storage: expected "journal", a database URL or grpc://HOST:PORT'),
        (SEARCH, ["--storage", "oracle9://x"], "search.storage: oracle9://x is no database URL"),
        (SEARCH, ["--storage", "sqlite:////nowhere/at/all.db"], "sqlite:////nowhere/at/all.db cannot be reached: "),
        (SEARCH, ["--storage", "mysql+pymysql://u:secret@h/d"], "the driver of mysql+pymysql://u:***@h/d is missing"),
        (
            SEARCH,
            ["--storage", "postgresql+psycopg://u:secret@127.0.0.1:1/d"],
            "u:***@127.0.0.1:1/d cannot be reached: ",
        ),
        (SEARCH, ["--storage", "postgresql+psycopg://u:secret@h:port/d"], "u:***@h:port/d is no database URL"),
        (SEARCH, ["--storage", "grpc://127.0.0.1:9"], "grpc://127.0.0.1:9 does not answer"),
        (SEARCH, ["--storage", "grpc://127.0.0.1:nine"], 'grpc://HOST:PORT, found "grpc://127.0.0.1:nine"'),
        (SEARCH, ["--study", "a/b"], "--study a/b: it names a folder"),
    ],
)
def test_mistakes_are_told_before_anything_is_created(
    spec: Write, search: str, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kexp.search.storage.PATIENCE", 0.2)
    monkeypatch.setattr("kexp.search.storage.time.sleep", lambda seconds: None)
    path = spec(search)
    result = kexp("tune", path, "--runs-dir", path.parent / "runs", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "secret" not in result.stderr
    assert "Traceback" not in result.stderr
    assert not (path.parent / "runs").exists()


def test_database_that_cannot_be_written_leaves_no_folder(spec: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = spec(SEARCH)
    database = path.parent / "studies.db"
    optuna.storages.RDBStorage(f"sqlite:///{database}").engine.dispose()
    # Read-only by SQLite's own option, since root may write into any file.
    storage = f"sqlite:///file:{database}?mode=ro&uri=true"
    monkeypatch.setattr("kexp.search.patience.WAIT", 0.1)
    result = kexp("tune", path, "--runs-dir", path.parent / "runs", "--storage", storage)
    assert "cannot be" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.exit_code == 2
    assert not (path.parent / "runs").exists()


def test_study_that_is_refused_leaves_no_folder(spec: Write) -> None:
    path = spec(SEARCH)
    storage = f"sqlite:///{path.parent}/studies.db"
    study = optuna.create_study(storage=storage, study_name="theirs")
    study.set_user_attr("kexp", "another")
    result = kexp("tune", path, "--runs-dir", path.parent / "runs", "--storage", storage, "--study", "theirs")
    assert result.exit_code == 2
    assert 'study "theirs" is about another experiment or another space' in result.stderr
    assert not (path.parent / "runs").exists()


def test_study_of_another_space_is_refused(study: dict[str, Any], spec: Write) -> None:
    folder = Path(study["folder"])
    path = spec(SEARCH.replace("high = 2e-2", "high = 3e-2"))
    result = kexp("tune", path, "--runs-dir", folder.parent.parent, "--study", study["study"])
    assert result.exit_code == 2
    assert f'study "{study["study"]}" is about another experiment or another space' in result.stderr


def test_search_is_over_the_chosen_variant(spec: Write) -> None:
    space = '[search]\ntrials = 2\n[search.space]\n"objective.gamma" = {low = 1.0, high = 4.0}\n'
    path = spec(space + '[variants.plain]\n[variants.focal]\nobjective = {use = "focal", gamma = 1.5}\n')
    found = tune(path, "--variant", "focal", "--set", "training.epochs=1", "--set", "objective.gamma=3.5")
    trials = study_of(found).trials
    assert trials[0].params == {"objective.gamma": 3.5}
    assert all(trial.params.keys() == {"objective.gamma"} for trial in trials)
    best = tomllib.loads(Path(found["best_spec"]).read_text("utf-8"))
    assert (best["objective"]["use"], best["training"]["epochs"]) == ("focal", 1)
    assert best["objective"]["gamma"] == found["best_params"]["objective.gamma"]
    assert "cross-entropy" in kexp("check", path).stderr
