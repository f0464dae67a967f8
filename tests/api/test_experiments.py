"""``kexp.run``, ``kexp.check``, ``kexp.compare``, ``kexp.data``, ``kexp.predict``: the same work as the commands'."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import kexp as command
from support import tiny_spec

import kexp
from kexp.nested import merge

VARIANTS = "[variants.plain]\n[variants.focal]\nobjective.use = 'focal'\n"


def table_of(text: str) -> dict[str, Any]:
    return tomllib.loads(text)


@pytest.fixture(scope="module")
def small(reviews: Path) -> dict[str, Any]:
    """A spec as a table of Python: two variants, two seeds, one epoch."""
    return {"name": "영화", "seeds": [1, 2], **table_of(tiny_spec(tables=VARIANTS, epochs=2).format(data=reviews))}


@pytest.fixture(scope="module")
def result(small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> kexp.RunResult:
    runs = tmp_path_factory.mktemp("of python")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEXP_CACHE_DIR", str(runs / "cache"))
        return kexp.run(small, runs_dir=runs / "runs", progress=False)


# --- run --------------------------------------------------------------------------------------------------------------


def test_a_run_of_python_is_that_of_the_command(
    small: dict[str, Any], result: kexp.RunResult, write_spec: Callable[..., Path], tmp_path: Path
) -> None:
    spec = write_spec(kexp_toml(small), "영화.toml")
    done = command("run", spec, "--runs-dir", tmp_path / "runs", "--json", "--quiet")
    summary = json.loads(done.stdout)
    (weights,) = Path(summary["folder"]).glob("focal/seed-2/model/model.safetensors")
    own = result.folder / weights.relative_to(summary["folder"])
    assert own.read_bytes() == weights.read_bytes()
    assert result.spec == {**tomllib.loads((Path(summary["folder"]) / "spec.toml").read_text("utf-8"))}


def kexp_toml(table: Mapping[str, Any]) -> str:
    import tomli_w

    return tomli_w.dumps(table)


def test_tables_of_a_result_have_what_the_files_have(result: kexp.RunResult) -> None:
    summary = json.loads((result.folder / "summary.json").read_text("utf-8"))
    assert result.status == "done"
    assert result.name == "영화"
    assert result.folder.parent.name == "영화"
    assert result.report.is_file()
    models = result.summary.set_index("model")
    for variant in ("plain", "focal"):
        found = summary["variants"][variant]["metrics"]["test"]["macro_f1"]
        assert models.loc[variant, "macro_f1"] == found["mean"]
        assert models.loc[variant, "macro_f1_sd"] == found["sd"]
        assert not models.loc[variant, "baseline"]
        own = result.metrics.query("variant == @variant and split == 'test'")
        assert list(own["seed"]) == [1, 2]
        assert list(own["macro_f1"]) == found["values"]
    assert models.loc["majority", "baseline"]
    assert set(result.summary["split"]) == {"test"}
    rows = result.predictions.query("variant == 'focal' and seed == 2 and split == 'test'")
    accuracy = result.metrics.query("variant == 'focal' and seed == 2 and split == 'test'")["accuracy"].item()
    assert (rows["label"] == rows["predicted"]).mean() == pytest.approx(accuracy)
    assert np.allclose(rows.filter(like="probability:").sum(axis=1), 1)
    assert list(result.epochs.query("variant == 'plain' and seed == 1")["epoch"]) == [1, 2]
    (accuracy_test,) = [test for test in summary["tests"] if test["metric"] == "accuracy"]
    (row,) = result.comparison.query("metric == 'accuracy'").to_dict("records")
    assert (row["difference"], row["sentence"]) == (accuracy_test["difference"], accuracy_test["sentence"])
    assert [test["sentence"] for test in summary["tests"] if test["stated"]] == result.findings[:1]


def test_a_result_shows_itself_as_text_and_as_html(result: kexp.RunResult) -> None:
    text, html = repr(result), result._repr_html_()
    assert text.splitlines()[0] == f"영화: done, {result.folder}"
    score = f"{result.summary.set_index('model').loc['focal', 'accuracy']:.4f}"
    assert score in text
    assert f"<td>{score} ± " in html
    assert result.report.resolve().as_uri() in html
    assert result.findings[0] in text


def test_a_folder_is_opened_again(result: kexp.RunResult, tmp_path: Path) -> None:
    again = kexp.RunResult(str(result.folder))
    assert again == result
    pd.testing.assert_frame_equal(again.summary, result.summary)
    with pytest.raises(kexp.KexpError, match="does not exist"):
        kexp.RunResult(tmp_path / "nothing")
    with pytest.raises(AttributeError):
        result.folder = tmp_path  # type: ignore[misc]


def test_overrides_variants_and_seeds_are_those_of_the_command(small: dict[str, Any], tmp_path: Path) -> None:
    options = {"variants": "focal", "seeds": 7, "runs_dir": tmp_path, "progress": False}
    one = kexp.run(small, overrides={"training.epochs": 1, "objective": {"gamma": 1.5}}, **options)
    other = kexp.run(small, overrides=["training.epochs=1", "objective.gamma=1.5"], **options)
    assert one.spec == other.spec
    resolved = merge(one.spec, one.spec["variants"]["focal"])
    assert (resolved["objective"]["use"], resolved["objective"]["gamma"]) == ("focal", 1.5)
    assert list(one.metrics["seed"].unique()) == [7]
    assert list(one.metrics["variant"].unique()) == ["focal"]
    assert list(one.epochs["epoch"]) == [1]


def test_a_spec_object_runs(small: dict[str, Any], tmp_path: Path) -> None:
    checked = kexp.check(small, overrides={"training.epochs": 1})
    result = kexp.run(checked.variants["focal"], seeds=[3], runs_dir=tmp_path, progress=False)
    assert result.spec["objective"]["use"] == "focal"
    assert result.spec["training"]["epochs"] == 1
    assert list(result.metrics["variant"].unique()) == ["default"]


def test_a_table_of_pandas_is_a_dataset(small: dict[str, Any], reviews: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(reviews).sample(frac=1, random_state=0)
    spec = {**small, "variants": {}, "seeds": 1, "dataset": frame, "training": {**small["training"], "epochs": 1}}
    spec["seeds"] = [1]
    result = kexp.run(spec, runs_dir=tmp_path, progress=False)
    stored = Path(result.spec["dataset"]["path"])
    pd.testing.assert_frame_equal(pd.read_parquet(stored), frame.reset_index(drop=True))
    # Equal tables are one file; another one does not change it.
    assert Path(kexp.check(spec).spec.dataset.path) == stored  # type: ignore[attr-defined]
    other = kexp.check({**spec, "dataset": {"use": "table", "train": frame.head(100), "test": frame.tail(50)}}).spec
    assert other.dataset.files["test"] != stored  # type: ignore[attr-defined]
    assert len(pd.read_parquet(other.dataset.files["test"])) == 50  # type: ignore[attr-defined]
    with pytest.raises(kexp.DataError, match=r"dataset\.path: the table cannot be stored as Parquet"):
        kexp.check({**spec, "dataset": pd.DataFrame({"text": ["가", 1], "label": [object(), "b"]})})


def test_paths_of_a_table_start_at_the_working_folder(
    small: dict[str, Any], reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "자료 1.csv").write_bytes(reviews.read_bytes())
    monkeypatch.chdir(tmp_path)
    spec = {**small, "dataset": {"use": "table", "path": "자료 1.csv"}}
    assert kexp.check(spec).spec.dataset.path == tmp_path / "자료 1.csv"  # type: ignore[attr-defined]
    (tmp_path / "base.toml").write_text(kexp_toml(small), "utf-8")
    extended = kexp.check({"extends": "base.toml", "training": {"epochs": 9}})
    assert extended.variants["plain"].training.epochs == 9
    with pytest.raises(kexp.SpecError, match=r"extends: .*none\.toml does not exist"):
        kexp.check({"extends": "none.toml"})


def test_values_of_python_are_those_of_toml(small: dict[str, Any], reviews: Path) -> None:
    spec = merge(small, {"seeds": np.array([4, 5]), "training": {"learning_rate": np.float64(0.001)}})
    spec["dataset"] = {"use": "table", "path": reviews, "text": ("text",)}
    checked = kexp.check(spec)
    assert checked.spec.seeds == (4, 5)
    assert checked.spec.training.learning_rate == 0.001
    assert kexp.check(spec, seeds=np.arange(2)).spec.seeds == (0, 1)
    assert kexp.check(spec, seeds=range(3)).spec.seeds == (0, 1, 2)


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_all_mistakes_are_raised_at_once_with_the_text_of_the_command(
    small: dict[str, Any], write_spec: Callable[..., Path], tmp_path: Path
) -> None:
    wrong = merge(small, {"training": {"epoch": 1, "batch_size": 0}, "objective": {"use": "foal"}})
    spec = write_spec(kexp_toml(wrong), "wrong.toml")
    printed = command("run", spec).stderr
    with pytest.raises(kexp.SpecError) as raised:
        kexp.run(spec, runs_dir=tmp_path / "runs")
    assert f"{raised.value}\n" == printed
    assert {problem.path for problem in raised.value.problems} == {
        "training.epoch", "training.batch_size", "objective",
    }  # fmt: skip
    with pytest.raises(kexp.SpecError) as of_table:
        kexp.run(wrong, runs_dir=tmp_path / "runs")
    assert str(of_table.value) == str(raised.value).replace(str(spec), "the spec")
    assert not (tmp_path / "runs").exists()
    assert raised.value._render_traceback_() == [f"SpecError: {raised.value}"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"epochs": None}}, "training.epochs: expected a value, found None; leave the key out"),
        ({"dataset": {1: "a"}}, "dataset.1: expected a key in quotes, found 1"),
        ({"training": {"epochs": object()}}, "training.epochs: expected a text, a number, True or False"),
        ({"seeds": {1, 2}}, "seeds: expected a text, a number, True or False, a list or a table, found a value of"),
        ({"seeds": [2**70]}, "seeds[0]: a whole number of more than 64 bits"),
    ],
)
def test_values_that_toml_does_not_have_are_named(small: dict[str, Any], changes: Any, message: str) -> None:
    with pytest.raises(kexp.SpecError) as raised:
        kexp.check({**small, **changes})
    assert f"the spec: {message}" in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overrides": 3}, "overrides: expected a dict such as"),
        ({"overrides": ["epochs"]}, "--set epochs: expected path=value"),
        ({"overrides": {"training.epochs": "many"}}, "training.epochs: expected a whole number"),
        ({"overrides": {"training.epochs": None}}, "overrides: training.epochs: expected a value, found None"),
        ({"variants": "foal"}, 'no variant "foal"'),
        ({"variants": [1]}, "variants: expected a name or a list of names, found 1"),
        ({"seeds": "1"}, "seeds: expected whole numbers"),
        ({"seeds": [True]}, "seeds: expected whole numbers"),
        ({"seeds": [1.5]}, "seeds: expected whole numbers"),
        ({"seeds": [-1]}, "seeds"),
    ],
)
def test_arguments_of_another_type_are_refused(small: dict[str, Any], options: Any, message: str) -> None:
    with pytest.raises(kexp.KexpError) as raised:
        kexp.check(small, **options)
    assert message in str(raised.value)


@pytest.mark.parametrize("spec", [3, None, "", "http://a/b.toml", "no\0name", b"spec.toml"], ids=repr)
def test_what_is_no_spec_is_refused(spec: Any) -> None:
    with pytest.raises(kexp.KexpError, match=r"expected|No such file"):
        kexp.check(spec)


def test_neither_or_both_of_spec_and_resume_are_refused(small: dict[str, Any], result: kexp.RunResult) -> None:
    for arguments in ({}, {"spec": small, "resume": result}):
        with pytest.raises(kexp.KexpError, match="expected a spec file, or --resume FOLDER"):
            kexp.run(**arguments)  # type: ignore[arg-type]
    with pytest.raises(kexp.KexpError, match=r"--set changes training\.epochs"):
        kexp.run(resume=result, overrides={"training.epochs": 9})


def test_a_failed_run_raises_and_leaves_the_others(small: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "import kexp\nfrom kexp.contracts import MetricOptions\n"
        "class Broken(MetricOptions):\n"
        "    greater_is_better = True\n"
        "    def build(self, context):\n"
        "        def measure(labels, probabilities):\n"
        "            raise ValueError('숫자 <b>아님</b>')\n"
        "        return measure\n"
        "@kexp.hookimpl\ndef kexp_metrics():\n    return {'broken': Broken}\n",
        "utf-8",
    )
    spec = merge(small, {"seeds": [1], "plugins": {"local": [tmp_path / "broken.py"]}})
    spec["variants"] = {"plain": {"training.epochs": 1}, "bad": {"evaluation": {"metrics": ["macro_f1", "broken"]}}}
    with pytest.raises(kexp.SpecError, match="the spec runs Python code"):
        kexp.run(spec, runs_dir=tmp_path / "runs")
    with pytest.raises(kexp.RunFailed) as raised:
        kexp.run(spec, runs_dir=tmp_path / "runs", allow_local_code=True, progress=False)
    (folder,) = (tmp_path / "runs/영화").iterdir()
    assert f"continue with: kexp run --resume {folder}" in str(raised.value)
    assert "bad seed 1 failed: " in str(raised.value)
    found = kexp.RunResult(folder)
    assert found.status == "failed"
    assert set(found.metrics["status"]) == {"done", "failed"}
    assert "<b>아님</b>" in repr(found)
    assert "&lt;b&gt;아님&lt;/b&gt;" in found._repr_html_()
    assert "<b>아님</b>" not in found._repr_html_()


# --- the others -------------------------------------------------------------------------------------------------------


def test_check_says_what_the_command_says(small: dict[str, Any], write_spec: Callable[..., Path]) -> None:
    spec = write_spec(kexp_toml(small), "영화.toml")
    checked = kexp.check(spec)
    done = command("check", spec)
    assert repr(checked) + "\n" == done.stdout
    assert list(checked.variants) == ["plain", "focal"]
    assert checked.variants["focal"].objective.kind == "objective"
    assert "variants: plain, focal; seeds: 1, 2" in checked._repr_html_()


def test_warnings_are_those_of_python(small: dict[str, Any], tmp_path: Path) -> None:
    spec = merge(small, {"sampler": "sequential", "training": {"length_bucketing": True}})
    expected = [str(problem) for problem in kexp.check(spec).warnings]
    assert expected
    with pytest.warns(UserWarning, match="the spec: ") as warned:
        kexp.dry_run(spec, progress=False)
    assert [str(one.message) for one in warned] == [f"the spec: {message}" for message in expected]
    assert {one.filename for one in warned} == {__file__}


def test_dry_run_is_that_of_the_command(small: dict[str, Any], write_spec: Callable[..., Path]) -> None:
    spec = write_spec(kexp_toml(small), "영화.toml")
    found = kexp.dry_run(spec, progress=False)
    assert found == json.loads(command("run", spec, "--dry-run", "--json", "--quiet").stdout)
    assert found["runs"] == 4


def test_compare_is_that_of_the_command(result: kexp.RunResult) -> None:
    found = kexp.compare(result)
    said = json.loads(command("compare", result.folder, "--json").stdout)
    assert found.to_markdown() == command("compare", result.folder, "--markdown").stdout
    assert found.to_latex() == command("compare", result.folder, "--latex").stdout
    assert [row["model"] for row in found.table.to_dict("records")] == [row["name"] for row in said["rows"]]
    assert set(found.differences["key"]) == set(said["differences"]["focal"])
    (test,) = found.tests.query("metric == 'accuracy'").to_dict("records")
    assert test["sentence"] in repr(found)
    one = kexp.compare([result.folder / "focal", result.folder / "plain"], metric="accuracy", split="validation")
    assert "macro_f1" not in one.table
    with pytest.raises(kexp.KexpError, match=r"expected results of kexp\.run or run folders"):
        kexp.compare()
    with pytest.raises(kexp.KexpError, match="does not exist"):
        kexp.compare("nothing")
    assert "<table" in found._repr_html_()


def test_data_is_that_of_the_command(small: dict[str, Any], reviews: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(reviews)
    frame.loc[0, "text"] = frame.loc[1, "text"] = "<script>alert(1)</script> 같은 글"
    found = kexp.data({**small, "dataset": frame}, variants="plain", progress=False)
    rows = found.rows.set_index(["split", "label"])
    assert rows["read"].sum() == len(frame)
    contradicting = found.findings.set_index("name")
    assert len(contradicting) == len(found.card.findings)
    assert "<script>" in "".join(found.examples["text"])
    assert "<script>" not in found._repr_html_()
    page = found.write(tmp_path / "자료.html")
    assert "같은 글" in page.read_text("utf-8")
    assert "영화, plain: " in repr(found)


def test_data_of_a_run_folder(result: kexp.RunResult) -> None:
    assert kexp.data(result, progress=False).card.name == "영화"


def test_a_row_without_text_has_no_label(result: kexp.RunResult) -> None:
    model = kexp.load(result.folder / "focal/seed-1")
    with pytest.warns(UserWarning, match="3 of 5 rows without text, left without a label"):
        found = kexp.predict(model, ["정말 최고", None, " ", float("nan"), "별로"])
    assert list(found["predicted"].isna()) == [False, True, True, True, False]
    numbers = found.drop(columns=["text", "predicted"])
    assert list(numbers.isna().all(axis=1)) == [False, True, True, True, False]
    assert np.allclose(numbers.iloc[[0, 4]], kexp.predict(model, ["정말 최고", "별로"]).iloc[:, 2:], atol=1e-6)
    with pytest.warns(UserWarning, match="1 of 1 rows"):
        assert kexp.predict(model, [""])["predicted"].isna().all()


def test_predict_and_load(result: kexp.RunResult) -> None:
    folder = result.folder / "focal/seed-1"
    test = result.predictions.query("variant == 'focal' and seed == 1 and split == 'test'").reset_index(drop=True)
    found = kexp.predict(folder, test["text"])
    assert list(found["predicted"]) == list(test["predicted"])
    assert np.allclose(found["confidence"], test["confidence"], atol=1e-6)
    model = kexp.load(folder)
    assert isinstance(model, kexp.TrainedModel)
    again = kexp.predict(model, pd.DataFrame({"text": test["text"], "번호": range(len(test))}), abstain=0.99)
    assert list(again["번호"]) == list(range(len(test)))
    assert list(again["predicted"].isna()) == list(again["confidence"] < 0.99)
    assert len(kexp.predict(model, [])) == 0
    part = pd.DataFrame({"text": test["text"]})[::-3]
    assert list(kexp.predict(model, part).index) == list(part.index)
    aligned = test.assign(again=kexp.predict(model, part["text"])["predicted"]).loc[part.index]
    assert list(aligned["again"]) == list(aligned["predicted"])
    with pytest.raises(kexp.KexpError, match="found one text"):
        kexp.predict(model, "한 문장")
    with pytest.raises(kexp.KexpError, match="loaded already"):
        kexp.predict(model, ["한 문장"], seed=1)


def test_figures_show_what_the_tables_have(result: kexp.RunResult) -> None:
    curves = result.plot_epochs("accuracy")
    assert [line.name for line in curves.data] == [
        "focal, seed 1", "focal, seed 2", "plain, seed 1", "plain, seed 2",
    ]  # fmt: skip
    own = result.epochs.query("variant == 'focal' and seed == 1")
    assert list(curves.data[0].y) == list(own["accuracy"])
    matrix = result.plot_confusion("focal").data[0]
    rows = result.predictions.query("variant == 'focal' and split == 'test'")
    counts = pd.crosstab(rows["label"], rows["predicted"])
    for number, label in enumerate(matrix.y):
        for place, predicted in enumerate(matrix.x):
            expected = counts.loc[label, predicted] if predicted in counts.columns else 0
            assert matrix.z[number][place] == expected
    for call in (lambda: result.plot_epochs("nothing"), lambda: result.plot_confusion("nothing")):
        with pytest.raises(kexp.KexpError, match=r'"nothing"'):
            call()
    with pytest.raises(kexp.KexpError, match='confusion matrix of "train"'):
        result.plot_confusion("focal", "train")


def test_it_runs_inside_a_loop_of_asyncio(small: dict[str, Any], tmp_path: Path) -> None:
    async def cell() -> kexp.RunResult:
        await asyncio.sleep(0)
        return kexp.run(small, variants="plain", seeds=1, runs_dir=tmp_path, progress=False)

    assert asyncio.run(cell()).status == "done"
