"""K-UDA and KcBERT on NSMC: the specs say what is known of the published systems, and run on made-up reviews."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reference_data import PAIRED, lay_out, reviews
from support import REPOSITORY, kexp

from kexp.catalog import Catalog
from kexp.data.prepare import prepare
from kexp.data.rows import PreparedData
from kexp.plan.resolve import resolve
from kexp.repeats import Repeat
from kexp.spec.sections import Spec

SPECS = [f"k-uda/{path.name}" for path in sorted((REPOSITORY / "experiments" / "k-uda").glob("*.toml"))]
SPECS += ["nsmc.toml", "kcbert-nsmc.toml", "kcbert-nsmc-rehearsal.toml"]
SMALL = 'backbone={use = "tiny", layers = 1, hidden = 16, heads = 2, vocabulary = 300}'


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("references"))


@pytest.mark.parametrize("spec", SPECS)
def test_specs_resolve_beside_what_they_read(spec: str, experiments: Path, catalog: Catalog) -> None:
    assert resolve(experiments / spec, catalog).variants


# --- K-UDA ------------------------------------------------------------------------------------------------------------


def variants(spec: Path, catalog: Catalog, *assignments: str) -> dict[str, Spec]:
    return {variant.name: variant.spec for variant in resolve(spec, catalog, assignments=assignments).variants}


def data_of(spec: Spec) -> PreparedData:
    return prepare(spec, Repeat(42))


TABLES = {"labels-20": 20, "labels-100": 100, "labels-1000": 1000, "uda-tsa": 1000, "uda-all": 1000}


@pytest.mark.parametrize("table", ["notebook", "paper"])
def test_variants_of_k_uda_have_equal_rows(table: str, experiments: Path, catalog: Catalog) -> None:
    specs = variants(experiments / "k-uda" / f"{table}.toml", catalog, "split.validation=200")
    pairs = (experiments.parent / "data" / "nsmc" / "pairs.csv").read_text("utf-8").splitlines()[1:]
    found = {name: data_of(specs[name]) for name in TABLES}
    assert {name: len(data.train) for name, data in found.items()} == TABLES
    for data in found.values():
        assert data.unlabelled is not None
        # The file, whole; labelled rows, validation and test are others.
        assert data.unlabelled.texts == [pair.split(",")[0] for pair in pairs]
        assert data.unlabelled.augmented == [pair.split(",")[1] for pair in pairs]
        for rows in data.splits.values():
            assert not {*rows.texts} & {*data.unlabelled.texts}
        assert data.splits["test"].texts == [text for text, _ in reviews(480, 4000) if 16 <= len(text) <= 27]
        assert all(15 <= len(text) <= 28 for text in data.train.texts)
        assert all(16 <= len(text) <= 27 for text in data.splits["validation"].texts)
        assert data.splits["validation"].texts == found["labels-20"].splits["validation"].texts
    few, more, most = ({*found[f"labels-{n}"].train.texts} for n in (20, 100, 1000))
    assert few < more < most == {*found["uda-tsa"].train.texts} == {*found["uda-all"].train.texts}
    assert found["labels-20"].record["splits"]["train"]["in_the_unlabelled_file"] == PAIRED


@pytest.mark.parametrize("table", ["notebook", "paper"])
def test_all_labels_of_k_uda_are_of_16_to_27_characters(table: str, experiments: Path, catalog: Catalog) -> None:
    specs = variants(experiments / "k-uda" / f"{table}.toml", catalog, "split.validation=200")
    train = data_of(specs["supervised"]).train.texts
    validation = data_of(specs["supervised"]).splits["validation"].texts
    fitting = [text for text, _ in reviews(4000, 0) if 16 <= len(text) <= 27]
    assert {*train} | {*validation} == {*fitting}
    assert {*map(len, train)} == {*range(16, 28)}


def test_k_uda_trains_as_published(experiments: Path, catalog: Catalog) -> None:
    for name in ("notebook", "paper"):
        specs = variants(experiments / "k-uda" / f"{name}.toml", catalog)
        assert {len(spec.seeds) for spec in specs.values()} == {5}
        for variant, spec in specs.items():
            training = spec.training
            expected = (5, 256) if variant == "supervised" else (10, 4)
            assert (training.epochs, training.batch_size) == expected
            assert (training.unlabelled_ratio * 4, training.max_length, training.learning_rate) == (256, 32, 1e-5)
            assert (training.epsilon, training.monitor) == (1e-6, "accuracy")
            if name == "notebook":
                assert (training.weight_decay, training.schedule, training.gradient_clip) == (0, "constant", 0)


def objectives(specs: dict[str, Spec], *options: str) -> dict[str, tuple[Any, ...]]:
    return {
        name: tuple(getattr(spec.objective, option) for option in options)
        for name, spec in specs.items()
        if name != "supervised"
    }


def test_losses_of_k_uda_are_those_of_notebook_and_paper(experiments: Path, catalog: Catalog) -> None:
    options = ("target_mode", "coefficient", "tsa", "tsa_divisor", "confidence", "temperature")
    assert objectives(variants(experiments / "k-uda" / "notebook.toml", catalog), *options) == {
        **{f"labels-{n}": ("eval", 0.5, "none", "kept", 0, 1) for n in (20, 100, 1000)},
        "uda": ("eval", 1, "none", "kept", 0, 1),
        "uda-tsa": ("eval", 1, "linear", "batch", 0, 1),
        "uda-confidence": ("eval", 1, "none", "kept", 0.5, 1),
        "uda-sharpened": ("eval", 1, "none", "kept", 0, 0.85),
        "uda-all": ("eval", 1, "linear", "batch", 0.5, 0.85),
    }
    assert objectives(variants(experiments / "k-uda" / "paper.toml", catalog), *options) == {
        **{f"labels-{n}": ("train", 1, "none", "kept", 0, 1) for n in (20, 100, 1000)},
        "uda-tsa": ("train", 1, "linear", "kept", 0, 1),
        "uda-confidence": ("train", 1, "none", "kept", 0.6, 1),
        "uda-sharpened": ("train", 1, "none", "kept", 0, 0.85),
        "uda-all": ("train", 1, "linear", "kept", 0.6, 0.85),
    }


def test_pairs_are_written_and_read_without_a_script(experiments: Path, tmp_path: Path, catalog: Catalog) -> None:
    """With another augmenter in the place of a translation model, which would have to be downloaded."""
    pairs = tmp_path / "pairs.csv"
    swapped = 'augmentation.unlabelled={use = "random-deletion", unit = "character", p = 0.3}'
    small = ("--set", "labelled.n=900", "--set", "labelled.pool=500", "--set", swapped, "--set", SMALL)
    written = kexp("augment", experiments / "k-uda" / "pairs.toml", *small, "--output", pairs, "--json")
    assert json.loads(written.stdout)["accepted"] == 500
    specs = variants(
        experiments / "k-uda" / "notebook.toml", catalog, f"dataset.unlabelled={pairs}", "split.validation=200"
    )
    data = data_of(specs["labels-100"])
    assert data.unlabelled is not None
    assert data.unlabelled.augmented is not None
    assert (len(data.unlabelled), len(data.train)) == (500, 100)
    assert all({*view} <= {*text} for text, view in zip(data.unlabelled.texts, data.unlabelled.augmented, strict=True))


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text("utf-8").splitlines())
    return [line for line in lines if line["event"] == kind]


def finished(spec: Path, runs: Path, *arguments: str) -> tuple[Path, dict[str, Any]]:
    """Run a spec; return its folder and its summary."""
    result = kexp("run", spec, "--runs-dir", runs, "--quiet", "--json", *arguments)
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    return Path(summary["folder"]), summary


def test_the_specs_of_k_uda_run(experiments: Path, tmp_path: Path) -> None:
    few = ("--seeds", "42", "--set", SMALL, "--set", "split.validation=100", "--set", "training.steps=4")
    chosen = ("--variant", "labels-20", "--variant", "uda-all", "--set", "training.unlabelled_ratio=4")
    folder, summary = finished(experiments / "k-uda" / "notebook.toml", tmp_path, *few, *chosen)
    assert summary["status"] == "done"
    for name in ("labels-20", "uda-all"):
        assert "accuracy" in events(folder / name / "seed-42", "evaluation")[-1]["train_metrics"]


@pytest.mark.slow
def test_the_rehearsal_of_k_uda_runs(experiments: Path, tmp_path: Path) -> None:
    folder, summary = finished(experiments / "k-uda" / "rehearsal.toml", tmp_path, "--seeds", "42")
    splits = [variant["data"]["splits"] for variant in summary["variants"].values()]
    assert len(splits) == 5
    assert all(split == splits[0] for split in splits)
    assert (splits[0]["train"]["kept"], splits[0]["unlabelled"]["kept"]) == (100, 2000)
    for name in ("notebook-all", "paper-all"):
        logs = [event["logs"] for event in events(folder / name / "seed-42", "step")]
        assert max(log["tsa_left_out"] for log in logs) > 0
    # Half of the probability is masked by nothing, 0.6 by something.
    confident = {
        name: min(event["logs"]["confident"] for event in events(folder / name / "seed-42", "step"))
        for name in ("notebook-all", "paper-all")
    }
    assert confident["notebook-all"] == 1 > confident["paper-all"]


# --- KcBERT on NSMC ---------------------------------------------------------------------------------------------------


def test_kcbert_reads_nsmc_as_the_book(experiments: Path, catalog: Catalog) -> None:
    (spec,) = variants(experiments / "kcbert-nsmc.toml", catalog).values()
    data = data_of(spec)
    assert list(data.splits) == ["train", "validation"]
    assert data.train.texts == [text for text, _ in reviews(4000, 0)]
    assert data.splits["validation"].texts == [text for text, _ in reviews(480, 4000)]
    assert spec.seeds == (7,)
    assert spec.training.precision == "fp16"


def test_the_rehearsal_of_kcbert_keeps_the_epoch_with_the_least_loss(experiments: Path, tmp_path: Path) -> None:
    folder, _ = finished(experiments / "kcbert-nsmc-rehearsal.toml", tmp_path, "--set", "training.epochs=4")
    run = folder / "default" / "seed-7"
    evaluations = events(run, "evaluation")
    losses = {event["step"]: event["metrics"]["cross_entropy"] for event in evaluations}
    result = json.loads((run / "result.json").read_text("utf-8"))
    assert result["best_step"] == min(losses, key=losses.__getitem__)
    assert len(losses) == 4
    assert not result.get("test")
    # 0.9 to the power of the epochs done.
    each = evaluations[0]["step"]
    for event in events(run, "step"):
        assert event["learning_rate"] == pytest.approx(2e-3 * 0.9 ** ((event["step"] - 1) // each))


def test_half_precision_without_a_gpu_is_refused_before_a_folder_is_made(experiments: Path, tmp_path: Path) -> None:
    spec = experiments / "kcbert-nsmc.toml"
    command = ("run", spec, "--set", SMALL, "--set", "training.device=cpu", "--runs-dir", tmp_path / "runs")
    result = kexp(*command)
    assert result.exit_code == 2
    assert 'training.precision: fp16 needs a GPU; use "bf16" or "fp32" on a CPU' in result.stderr
    assert not (tmp_path / "runs").exists()
    assert kexp("check", spec).exit_code == 0
