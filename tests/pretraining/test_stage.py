"""Pre-training as a stage of an experiment: which texts it reads, what is shared and stored, and that it can go on."""

from __future__ import annotations

import errno
import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from support import kexp, tiny_spec
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForPreTraining, BertForMaskedLM

from kexp import tensor_files
from kexp.builtin.backbones import cased_wordpiece, wordpiece_vocabulary
from kexp.catalog import Catalog
from kexp.devices import choose
from kexp.errors import RunInterrupted
from kexp.experiment import pretraining as stage_of_runs
from kexp.experiment import train_and_test
from kexp.experiment.assemble import assemble
from kexp.experiment.inputs import PreparedInputs
from kexp.model.token_rows import TokenRows
from kexp.plan.resolve import resolve
from kexp.pretraining import pretrain as stages
from kexp.pretraining.masked_lm import shared_weights
from kexp.pretraining.masking import IGNORED
from kexp.pretraining.pretrain import PretrainedWeights, Stage, pretrain
from kexp.repeats import Repeat

WriteSpec = Callable[..., Path]

STAGE = """
[pretraining]
steps = 6
batch_size = 16
learning_rate = 1e-3
"""
FEW = "[labelled]\nn = 30\n[evaluation]\nbaselines = []\n"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test a store of its own."""
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Stage]:
    """Return a list of the stages that were trained, as it grows."""
    stages_made: list[Stage] = []
    train = stages._train

    def counted(stage: Stage, *given: Any) -> dict[str, Any]:
        stages_made.append(stage)
        return train(stage, *given)

    monkeypatch.setattr(stages, "_train", counted)
    return stages_made


def write(write_spec: WriteSpec, reviews: Path, tables: str = "", top: str = "", **training: Any) -> Path:
    spec = tiny_spec(top, STAGE + FEW + tables, **{"steps": 2, "epochs": None, **training})
    return write_spec(spec.format(data=reviews))


def results(folder: Path) -> dict[str, Any]:
    """Return the results of the only experiment in a folder by variant and seed."""
    (experiment,) = folder.glob("*/*")
    found = {}
    for path in sorted(experiment.glob("*/*/result.json")):
        found["/".join(path.parts[-3:-1])] = json.loads(path.read_text("utf-8"))
    return found


def weights_of(folder: Path, run: str) -> bytes:
    (path,) = folder.glob(f"*/*/{run}/model/model.safetensors")
    return path.read_bytes()


def stage_for(path: Path, catalog: Catalog, folder: Path) -> tuple[Stage, Any]:
    """Return the stage of a spec, and the classifier of its first seed."""
    spec = resolve(path, catalog).base
    prepared = PreparedInputs(catalog, folder)
    run = assemble(spec, Repeat(1), prepared, choose("cpu", spec.training.precision))
    assert spec.pretraining is not None
    assert run.inputs.pretraining is not None
    torch.manual_seed(5)
    return stage_of_runs._stage(run, spec.pretraining, run.inputs.pretraining, folder / "pretrained"), run.model


def do(stage: Stage, classifier: Any, stop_after: int | None = None) -> PretrainedWeights:
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == stop_after

    return pretrain(stage, lambda: shared_weights(stage.start.model, classifier), lambda line: None, should_stop)


# --- the texts ------------------------------------------------------------------------------------------------------


def test_no_text_of_validation_or_test_is_read(
    reviews: Path, write_spec: WriteSpec, catalog: Catalog, tmp_path: Path
) -> None:
    lines = [line.rpartition(",")[0] for line in reviews.read_text("utf-8").splitlines()[1:]]
    # Everything, decomposed as macOS writes it and with spaces, and a few texts that are nowhere else.
    further = tmp_path / "further.txt"
    others = [f"다른 글 {number} 영화" for number in range(5)]
    odd = [f" {unicodedata.normalize('NFD', line)}  " for line in lines]
    further.write_text("\n".join([*odd, "", *others, *others]) + "\n", "utf-8")
    path = write_spec(
        tiny_spec("", STAGE + f'texts = ["{further}"]\n' + FEW, steps=2, epochs=None, max_length=64).format(
            data=reviews
        )
    )
    spec = resolve(path, catalog).base
    inputs = PreparedInputs(catalog, tmp_path / "cache").inputs(spec, Repeat(1))
    rows = inputs.pretraining
    assert rows is not None
    read = {inputs.tokenizer.decode(rows.encoded.tokens.row(n)[1:-1]) for n in range(len(rows.encoded))}

    def seen(texts: list[str]) -> set[str]:
        return {inputs.tokenizer.decode(inputs.tokenizer(text).input_ids[1:-1]) for text in texts}

    data = inputs.data
    assert data.unlabelled is not None
    held_out = [*data.splits["validation"].texts, *data.splits["test"].texts]
    assert len(held_out) > 40
    assert not read & seen(held_out)
    assert read == seen([*data.train.texts, *data.unlabelled.texts, *others])
    assert rows.counts["in validation or test"] == len(held_out)
    assert rows.counts["empty"] == 1
    assert rows.counts["files"] == len(lines) + 11
    assert rows.counts["kept"] == len(rows.encoded) == len(lines) - len(held_out) + 5


def test_texts_of_validation_and_test_are_known_whatever_their_white_space_and_case(
    reviews: Path, write_spec: WriteSpec, catalog: Catalog, tmp_path: Path
) -> None:
    table = tmp_path / "dvd.csv"
    table.write_text(reviews.read_text("utf-8").replace("영화", "DVD 영화"), "utf-8")
    lines = [line.rpartition(",")[0] for line in table.read_text("utf-8").splitlines()[1:]]
    further = tmp_path / "further.txt"
    others = [*(line.replace(" ", "\u00a0 ") for line in lines), *(line.replace(" ", "", 1).lower() for line in lines)]
    further.write_text("\n".join(others) + "\n", "utf-8")
    keys = STAGE + f'texts = ["{further}"]\n'
    path = write_spec(tiny_spec("", keys + FEW, steps=2, epochs=None).format(data=table))
    inputs = PreparedInputs(catalog, tmp_path / "cache").inputs(resolve(path, catalog).base, Repeat(1))
    assert inputs.pretraining is not None
    held_out = len(inputs.data.splits["validation"]) + len(inputs.data.splits["test"])
    assert inputs.pretraining.counts["in validation or test"] == 2 * held_out
    # Those of train stay as they are, three spellings of each.
    assert inputs.pretraining.counts["kept"] == 3 * (len(lines) - held_out)


@pytest.mark.parametrize("name", ["more.csv", "more.jsonl", "more.txt"])
def test_further_texts_are_read_from_tables_and_lines(
    reviews: Path, write_spec: WriteSpec, catalog: Catalog, tmp_path: Path, name: str
) -> None:
    texts = ["새 글 하나", "새 글 둘, 쉼표"]
    content = {
        "more.csv": "id,body\n" + "".join(f'{number},"{text}"\n' for number, text in enumerate(texts)),
        "more.jsonl": "".join(json.dumps({"body": text}) + "\n" for text in texts),
        "more.txt": "id\tbody\n" + "".join(f"{number}\t{text}\n" for number, text in enumerate(texts)),
    }[name]
    (tmp_path / name).write_text(content, "utf-8")
    keys = STAGE + f'texts = ["{name}"]\ntext_column = "body"\n'
    path = write_spec(tiny_spec("", keys + FEW, steps=2, epochs=None).format(data=reviews))
    rows = PreparedInputs(catalog, tmp_path / "cache").inputs(resolve(path, catalog).base, Repeat(1)).pretraining
    assert rows is not None
    assert rows.counts["files"] == 2
    assert rows.counts["kept"] == rows.counts["train"] + 2


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('texts = ["gone.txt"]', "pretraining.texts[0]: {folder}/gone.txt does not exist; give a file"),
        ('texts = ["odd.xyz"]', "pretraining.texts[0]: {folder}/odd.xyz: expected a name that ends in"),
        ('texts = ["tabs.txt"]', "tabs.txt: line 1 has tab characters, so it is a table; name the column of its"),
        ('texts = ["table.csv"]', "table.csv: no column 'text'; the columns are id, body; name the column of the"),
        ('text_column = "a"', "pretraining.text_column: there are no files with further texts; give texts, or remove"),
        ("max_length = 900", 'pretraining.max_length: 900 is more than the 256 positions of backbone "tiny"; use 256'),
        ("mask_probability = 1.5", "pretraining.mask_probability"),
    ],
)
def test_what_cannot_be_done_is_said_before_a_folder_is_made(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, keys: str, expected: str
) -> None:
    (tmp_path / "odd.xyz").write_text("글\n", "utf-8")
    (tmp_path / "tabs.txt").write_text("id\tbody\n1\t글\n", "utf-8")
    (tmp_path / "table.csv").write_text("id,body\n1,글\n", "utf-8")
    path = write_spec(tiny_spec("", STAGE + keys + "\n" + FEW, steps=2, epochs=None).format(data=reviews))
    result = kexp("run", path, "--runs-dir", tmp_path / "runs")
    assert result.exit_code == 2
    assert expected.format(folder=tmp_path) in result.stderr
    assert not (tmp_path / "runs").exists()


# --- what is shared and stored --------------------------------------------------------------------------------------


def test_seeds_and_variants_share_one_pretraining_and_a_run_again_makes_none(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, made: list[Stage]
) -> None:
    variants = """
[variants.a]
[variants.b.training]
learning_rate = 1e-3
[variants.w.pretraining]
whole_word = true
"""
    path = write(write_spec, reviews, variants, "seeds = [1, 2]")
    assert kexp("run", path, "--runs-dir", tmp_path / "runs").exit_code == 0
    assert [stage.options.whole_word for stage in made] == [False, True]
    found = {run: result["pretraining"] for run, result in results(tmp_path / "runs").items()}
    assert {run for run, record in found.items() if not record["stored"]} == {"a/seed-1", "w/seed-1"}
    assert len({record["digest"] for record in found.values()}) == 2
    assert all(record["steps"] == 6 and record["head"] == "fresh" for record in found.values())
    assert found["a/seed-1"]["train_loss_after"] < found["a/seed-1"]["train_loss_before"]
    again = tmp_path / "again"
    assert kexp("run", path, "--runs-dir", again).exit_code == 0
    assert len(made) == 2
    # Whether the weights were stored changes no bit of what is trained on them.
    for run in found:
        assert weights_of(tmp_path / "runs", run) == weights_of(again, run)


def test_draws_of_the_labelled_rows_out_of_the_same_texts_share_it(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, catalog: Catalog
) -> None:
    few = stage_for(write(write_spec, reviews), catalog, tmp_path / "cache")[0]
    more = write(write_spec, reviews.with_name(reviews.name)).read_text("utf-8").replace("n = 30", "per_class = 20")
    assert stage_for(write_spec(more), catalog, tmp_path / "cache")[0].key() == few.key()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("batch_size = 16\nlearning_rate = 1e-3", "batch_size = 8\nlearning_rate = 1e-3"),
        ("learning_rate = 1e-3", "learning_rate = 2e-3"),
        ("learning_rate = 1e-3", "learning_rate = 1e-3\nseed = 1"),
        ("learning_rate = 1e-3", "learning_rate = 1e-3\nwhole_word = true"),
        ("learning_rate = 1e-3", "learning_rate = 1e-3\nmask_probability = 0.3"),
        ("learning_rate = 1e-3", "learning_rate = 1e-3\nmax_length = 4"),
        ("max_length = 16", 'max_length = 16\nprecision = "bf16"'),
        ("hidden = 32", "hidden = 16"),
    ],
)
def test_other_options_are_another_pretraining(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, catalog: Catalog, before: str, after: str
) -> None:
    path = write(write_spec, reviews)
    key = stage_for(path, catalog, tmp_path / "cache")[0].key()
    text = path.read_text("utf-8")
    assert before in text
    assert stage_for(write_spec(text.replace(before, after, 1)), catalog, tmp_path / "cache")[0].key() != key
    # What only fine-tuning depends on is none of it.
    for same in ("log_every = 3", "layer_decay = 0.5", 'schedule = "constant"'):
        other = write_spec(text.replace("max_length = 16", f"max_length = 16\n{same}", 1))
        assert stage_for(other, catalog, tmp_path / "cache")[0].key() == key


def test_other_texts_are_another_pretraining_and_the_same_in_another_order_are_not(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, catalog: Catalog
) -> None:
    first, second, third = ("영화 최고", "영화 감동", "영화 별로")
    keys = []
    for number, texts in enumerate(([first, second], [second, first, first], [first, third])):
        (tmp_path / f"{number}.txt").write_text("\n".join(texts), "utf-8")
        spec = tiny_spec("", STAGE + f'texts = ["{number}.txt"]\n' + FEW, steps=2, epochs=None)
        keys.append(stage_for(write_spec(spec.format(data=reviews)), catalog, tmp_path / "cache")[0].key())
    assert keys[0] == keys[1] != keys[2]


def test_a_damaged_store_is_told_and_made_anew_with_the_same_bytes(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, catalog: Catalog
) -> None:
    path = write(write_spec, reviews)
    stage, classifier = stage_for(path, catalog, tmp_path / "cache")
    first = do(stage, classifier)
    (file,) = stage.folder.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    told: list[str] = []
    stage, classifier = stage_for(path, catalog, tmp_path / "cache")
    again = pretrain(stage, lambda: shared_weights(stage.start.model, classifier), told.append, lambda: False)
    assert not again.stored
    assert any(f"{file} is damaged" in line and "made anew" in line for line in told)
    assert tensor_files.tensor_digest("", again.weights) == tensor_files.tensor_digest("", first.weights)


# --- the steps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_after", [1, 4, 6])
def test_a_stopped_pretraining_goes_on_to_the_same_bytes(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, catalog: Catalog, stop_after: int, made: list[Stage]
) -> None:
    path = write(write_spec, reviews)
    whole = do(*stage_for(path, catalog, tmp_path / "whole"))
    if stop_after < 6:
        with pytest.raises(RunInterrupted, match=f"pre-training was stopped after step {stop_after} of 6"):
            do(*stage_for(path, catalog, tmp_path / "parts"), stop_after)
        assert not list((tmp_path / "parts/pretrained").glob("*.safetensors"))
    found = do(*stage_for(path, catalog, tmp_path / "parts"))
    assert tensor_files.tensor_digest("", found.weights) == tensor_files.tensor_digest("", whole.weights)
    same = ("train_loss_before", "train_loss_after", "steps", "texts", "digest")
    assert {name: found.record[name] for name in same} == {name: whole.record[name] for name in same}
    # Nothing is left but the weights and the lock.
    assert sorted(file.suffix for file in (tmp_path / "parts/pretrained").iterdir()) == [".lock", ".safetensors"]


@pytest.mark.parametrize("whole_word", [False, True])
def test_the_weights_are_those_of_a_plain_loop(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, catalog: Catalog, whole_word: bool
) -> None:
    path = write(write_spec, reviews)
    keys = f"learning_rate = 1e-3\nwarmup_ratio = 0.5\nwhole_word = {str(whole_word).lower()}"
    path = write_spec(path.read_text("utf-8").replace("learning_rate = 1e-3", keys))
    stage, classifier = stage_for(path, catalog, tmp_path / "cache")
    config = stage.start.model.config
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    plain = BertForMaskedLM(config)
    plain.load_state_dict(stage.start.model.state_dict())
    start = BertForMaskedLM(config)
    start.load_state_dict(plain.state_dict())
    stage = replace(stage, start=replace(stage.start, model=start))
    found = do(stage, classifier)
    groups = [
        {"params": [p for p in plain.parameters() if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in plain.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8)
    # Three steps of warm-up, then evenly to 0.
    rates = [1 / 4, 2 / 4, 3 / 4, 1, 2 / 3, 1 / 3]
    plain.train()
    for rate, (batch,) in zip(rates, stage.stream.epoch(0), strict=False):
        rows = TokenRows.of(batch.labelled.inputs, torch.device("cpu"))
        labels = rows.spread(torch.from_numpy(batch.labelled.labels), IGNORED)
        assert (labels != IGNORED).any()
        loss = plain(**rows.padded(stage.stream.collator.pad_id), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * rate
        optimizer.step()
    expected = plain.state_dict()
    assert len(found.weights) > 10
    for name, weights in found.weights.items():
        torch.testing.assert_close(weights, expected[name], rtol=1e-3, atol=2e-5)


def test_bf16_pretrains_in_bf16(reviews: Path, write_spec: WriteSpec, tmp_path: Path, catalog: Catalog) -> None:
    path = write(write_spec, reviews)
    plain = do(*stage_for(path, catalog, tmp_path / "cache"))
    other = write_spec(path.read_text("utf-8").replace("max_length = 16", 'max_length = 16\nprecision = "bf16"'))
    found = do(*stage_for(other, catalog, tmp_path / "cache"))
    assert found.record["train_loss_after"] < found.record["train_loss_before"]
    assert found.record["train_loss_after"] == pytest.approx(plain.record["train_loss_after"], rel=0.02)
    assert found.record["train_loss_after"] != plain.record["train_loss_after"]
    assert all(weights.dtype == torch.float32 for weights in found.weights.values() if weights.is_floating_point())


# --- what follows ---------------------------------------------------------------------------------------------------


def test_frozen_layers_are_those_of_the_pretrained_weights(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, made: list[Stage]
) -> None:
    freezing = '[freezing]\nuse = "bottom-layers"\nlayers = 1\n'
    for reuse in ("true", "false"):
        spec = tiny_spec("", STAGE + FEW + freezing, layers=2, epochs=3, reuse_frozen=reuse)
        folder = tmp_path / reuse
        assert kexp("run", write_spec(spec.format(data=reviews)), "--runs-dir", folder).exit_code == 0
    from safetensors.torch import load_file

    models = [
        load_file(next((tmp_path / reuse).glob("*/*/*/*/model/model.safetensors"))) for reuse in ("true", "false")
    ]
    (stored,) = (tmp_path / "cache/pretrained").glob("*.safetensors")
    record = next(iter(results(tmp_path / "true").values()))["pretraining"]
    pretrained = tensor_files.load(stored, {"pre-training": record["digest"]})["weights"]
    for name, weights in models[0].items():
        torch.testing.assert_close(weights, models[1][name], rtol=1e-4, atol=1e-5)
        if "embeddings" in name or "layer.0." in name:
            assert torch.equal(weights, pretrained[name]), name
    (log,) = (tmp_path / "true").glob("*/*/*/*/log.txt")
    assert "were computed once and are kept" in log.read_text("utf-8")
    assert len(made) == 1


def test_check_and_dry_run_say_what_is_pretrained(reviews: Path, write_spec: WriteSpec, tmp_path: Path) -> None:
    text = tiny_spec("", FEW + "[variants.plain]\n[variants.tapt.pretraining]\nepochs = 4\n", steps=2, epochs=None)
    path = write_spec(text.format(data=reviews))
    assert "variants: plain, tapt; seeds: 1; with pre-training: tapt" in kexp("check", path).stdout
    result = kexp("run", path, "--dry-run", "--runs-dir", tmp_path / "runs")
    assert "tapt: pre-training 192 texts, 24 steps (192 of train)" in result.stdout
    assert "plain: pre-training" not in result.stdout
    assert not (tmp_path / "cache/pretrained").exists()


def test_a_variant_leaves_the_stage_out_with_0_epochs(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, made: list[Stage]
) -> None:
    path = write(write_spec, reviews, "[variants.tapt]\n[variants.plain.pretraining]\nepochs = 0\nmax_length = 900\n")
    assert "variants: tapt, plain; seeds: 1; with pre-training: tapt" in kexp("check", path).stdout
    assert "plain: pre-training" not in kexp("run", path, "--dry-run").stdout
    assert kexp("run", path, "--runs-dir", tmp_path / "runs").exit_code == 0
    assert len(made) == 1
    found = results(tmp_path / "runs")
    assert "pretraining" in found["tapt/seed-1"]
    assert "pretraining" not in found["plain/seed-1"]
    # As without the section; a resumed experiment knows it too.
    bare = write_spec(path.read_text("utf-8").replace(STAGE, "").partition("[variants")[0], "bare.toml")
    assert kexp("run", bare, "--runs-dir", tmp_path / "bare").exit_code == 0
    assert weights_of(tmp_path / "runs", "plain/seed-1") == weights_of(tmp_path / "bare", "default/seed-1")
    (folder,) = (tmp_path / "runs").glob("*/*")
    (folder / "plain/seed-1/result.json").unlink()
    assert kexp("run", "--resume", folder).exit_code == 0
    assert "pretraining" not in results(tmp_path / "runs")["plain/seed-1"]
    shown = kexp("runs", "show", folder).stdout.splitlines()
    assert "pre-training\t6 steps" in shown
    assert any(line.startswith("variant plain\tpretraining.epochs: 10 -> 0") for line in shown)


def test_a_search_tries_options_of_pretraining(reviews: Path, write_spec: WriteSpec, tmp_path: Path) -> None:
    search = """
[search]
trials = 3
[search.space]
"pretraining.steps" = {{ choices = [2, 3] }}
[search.sampler]
use = "grid"
"""
    result = kexp("tune", write(write_spec, reviews, search), "--runs-dir", tmp_path / "runs", "--quiet")
    assert result.exit_code == 0, result.stderr
    trials = [json.loads(path.read_text("utf-8")) for path in (tmp_path / "runs").glob("*/*/trials/*/*/result.json")]
    found = {trial["pretraining"]["steps"]: trial["pretraining"]["digest"] for trial in trials}
    # The spec as it stands has six.
    assert found.keys() == {6, 2, 3}
    # The best one is trained again, on the weights that its trial has left.
    (best,) = (tmp_path / "runs").glob("*/*/best/seed-1/result.json")
    record = json.loads(best.read_text("utf-8"))["pretraining"]
    assert record["stored"]
    assert record["digest"] == found[record["steps"]]


def test_resuming_refuses_other_texts(reviews: Path, write_spec: WriteSpec, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("영화 하나\n", "utf-8")
    spec = tiny_spec("", STAGE + f'texts = ["{tmp_path}/more.txt"]\n' + FEW, steps=2, epochs=None)
    assert kexp("run", write_spec(spec.format(data=reviews)), "--runs-dir", tmp_path / "runs").exit_code == 0
    (tmp_path / "more.txt").write_text("영화 둘\n", "utf-8")
    (folder,) = (tmp_path / "runs").glob("*/*")
    result = kexp("run", "--resume", folder)
    assert result.exit_code == 2
    assert "the contents of pretraining.texts[0] differ" in result.stderr


# --- interrupted runs, other processes, other checkpoints -----------------------------------------------------------


def test_a_run_that_is_stopped_while_it_pretrains_goes_on_to_the_same_bytes(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[Stage]
) -> None:
    path = write(write_spec, reviews)
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path / "other"))
    assert kexp("run", path, "--runs-dir", tmp_path / "whole").exit_code == 0
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path / "cache"))
    calls = iter(range(100))
    with monkeypatch.context() as patched:
        patched.setattr(train_and_test, "graceful_stop", lambda: nullcontext(lambda: next(calls) == 3))
        result = kexp("run", path, "--runs-dir", tmp_path / "runs")
    assert result.exit_code == 130
    (folder,) = (tmp_path / "runs").glob("*/*")
    assert "pre-training was stopped after step 4 of 6" in results(tmp_path / "runs")["default/seed-1"]["reason"]
    result = kexp("run", "--resume", folder)
    assert result.exit_code == 0
    assert "on from step 4" in result.stderr
    assert weights_of(tmp_path / "runs", "default/seed-1") == weights_of(tmp_path / "whole", "default/seed-1")
    assert len(made) == 3


def test_a_second_process_waits_for_the_first(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, catalog: Catalog, made: list[Stage]
) -> None:
    path = write(write_spec, reviews)
    first = do(*stage_for(path, catalog, tmp_path / "other"))
    (ready,) = (tmp_path / "other/pretrained").glob("*.safetensors")
    stage, classifier = stage_for(path, catalog, tmp_path / "cache")
    stage.folder.mkdir(parents=True)
    lock = FileLock(stage.folder / f"{stage.key()}.lock")
    lock.acquire()
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        # The other process is done while this one waits.
        shutil.copy(ready, stage.folder)
        lock.release(force=True)

    found = pretrain(stage, lambda: shared_weights(stage.start.model, classifier), tell, lambda: False)
    assert told[0] == "another process makes the same pre-trained weights; they are waited for"
    assert found.stored
    assert len(made) == 1
    assert tensor_files.tensor_digest("", found.weights) == tensor_files.tensor_digest("", first.weights)


def test_waiting_for_another_process_can_be_stopped(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, catalog: Catalog
) -> None:
    stage, classifier = stage_for(write(write_spec, reviews), catalog, tmp_path / "cache")
    stage.folder.mkdir(parents=True)
    with FileLock(stage.folder / f"{stage.key()}.lock"), pytest.raises(RunInterrupted, match="another process"):
        do(stage, classifier, stop_after=1)


def test_weights_made_in_another_way_are_others(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(write_spec, reviews)
    flat = do(*stage_for(path, catalog, tmp_path / "cache"))
    monkeypatch.setattr("kexp.model.flat_families.MASKED_LANGUAGE_MODELS", {})
    padded = do(*stage_for(path, catalog, tmp_path / "cache"))
    assert not padded.stored
    assert padded.record["digest"] != flat.record["digest"]
    assert flat.record["forward"] == "flat"
    assert padded.record["forward"] == (
        "padded: BertForMaskedLM of transformers.models.bert.modeling_bert has no forward pass without padding."
    )
    # Dropout draws other numbers in training.
    assert padded.record["train_loss_before"] == pytest.approx(flat.record["train_loss_before"], rel=1e-5)


def model_folder(folder: Path, reviews: Path, family: str, head: str) -> Path:
    """Write a small model with a tokenizer; return its folder."""
    texts = [line.rpartition(",")[0] for line in reviews.read_text("utf-8").splitlines()]
    tokenizer = cased_wordpiece(wordpiece_vocabulary(texts, 300))
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), hidden_size=32, embedding_size=32, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=64, max_position_embeddings=64, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    factory = {"masked": AutoModelForMaskedLM, "none": AutoModel, "discriminator": AutoModelForPreTraining}[head]
    factory.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("family", "head", "expected"),
    [
        ("bert", "masked", "of the checkpoint"),
        ("electra", "masked", "of the checkpoint"),
        ("bert", "none", "fresh"),
        ("electra", "discriminator", "fresh"),
    ],
)
def test_the_head_of_the_checkpoint_is_used_and_a_fresh_one_is_told(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, family: str, head: str, expected: str
) -> None:
    model_folder(tmp_path / "model", reviews, family, head)
    text = f"""
[dataset]
use = "table"
path = "{reviews}"
[backbone]
use = "hf"
path = "model"
[training]
steps = 2
max_length = 16
"""
    result = kexp("run", write_spec(text + STAGE + FEW), "--runs-dir", tmp_path / "runs")
    assert result.exit_code == 0, result.stderr
    assert ("begins with random weights of the language modelling head" in result.stderr) == (expected == "fresh")
    record = results(tmp_path / "runs")["default/seed-1"]["pretraining"]
    assert record["head"] == expected
    assert record["forward"] == "flat"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "gpt2"}, "pretraining: transformers has no masked language model of type gpt2; use another"),
        (
            {"model_type": "bert", "auto_map": {"AutoModel": "odd.Model"}},
            "pretraining: the model brings code of its own, whose masked language model is not known; use another",
        ),
    ],
)
def test_a_backbone_without_a_masked_language_model_is_refused_by_check(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, config: dict[str, Any], expected: str
) -> None:
    model_folder(tmp_path / "model", reviews, "bert", "masked")
    stated = json.loads((tmp_path / "model/config.json").read_text("utf-8"))
    (tmp_path / "model/config.json").write_text(json.dumps(stated | config), "utf-8")
    text = f'[dataset]\nuse = "table"\npath = "{reviews}"\n[backbone]\nuse = "hf"\npath = "model"\n'
    result = kexp("check", write_spec(text + STAGE))
    assert result.exit_code == 2
    assert expected in result.stderr


def test_a_loss_that_is_not_finite_names_the_options_of_pretraining(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path
) -> None:
    path = write(write_spec, reviews)
    spec = path.read_text("utf-8").replace("learning_rate = 1e-3", "learning_rate = 0.999")
    spec = spec.replace("steps = 6", "steps = 60").replace("batch_size = 16\nlearning", "weight_decay = 1e30\nlearning")
    result = kexp("run", write_spec(spec), "--runs-dir", tmp_path / "runs")
    assert result.exit_code == 1
    reason = results(tmp_path / "runs")["default/seed-1"]["reason"]
    assert reason.startswith("pre-training: the loss is not finite at step")
    assert "lower pretraining.learning_rate" in reason


# --- a store that cannot be written, or not be read -----------------------------------------------------------------


@pytest.mark.parametrize("written", [None, 0, 1, 3], ids=["no folder", "nothing", "a checkpoint", "all checkpoints"])
def test_a_store_that_cannot_be_written_costs_the_store_alone(
    reviews: Path,
    write_spec: WriteSpec,
    tmp_path: Path,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
    written: int | None,
) -> None:
    path = write(write_spec, reviews, checkpoint_every_steps=2)
    whole = do(*stage_for(path, catalog, tmp_path / "whole"))
    save, calls = tensor_files.save, iter(range(100))

    def full(file: Path, *given: Any) -> None:
        if "pretrained" in str(file) and next(calls) >= (written or 0):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        save(file, *given)

    monkeypatch.setattr(tensor_files, "save", full)
    stage, classifier = stage_for(path, catalog, tmp_path / "cache")
    if written is None:
        stage.folder.parent.mkdir(parents=True, exist_ok=True)
        stage.folder.write_text("no folder", "utf-8")
    told: list[str] = []
    found = pretrain(stage, lambda: shared_weights(stage.start.model, classifier), told.append, lambda: False)
    assert not found.stored
    assert tensor_files.tensor_digest("", found.weights) == tensor_files.tensor_digest("", whole.weights)
    same = ("train_loss_before", "train_loss_after", "steps", "texts", "digest")
    assert {name: found.record[name] for name in same} == {name: whole.record[name] for name in same}
    said = [line for line in told if str(stage.folder) in line]
    assert len([line for line in said if "every run does its own pre-training" in line]) == 1
    assert len([line for line in said if "no checkpoint of the pre-training can be written" in line]) == (
        1 if written in (0, 1) else 0
    )


def test_checkpoints_that_are_damaged_are_told_and_pretraining_begins_anew(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, catalog: Catalog
) -> None:
    path = write(write_spec, reviews)
    whole = do(*stage_for(path, catalog, tmp_path / "whole"))
    stage, classifier = stage_for(path, catalog, tmp_path / "cache")
    with pytest.raises(RunInterrupted):
        do(stage, classifier, stop_after=3)
    (checkpoint,) = stage.folder.glob("*/step-3.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-20])
    stage, classifier = stage_for(path, catalog, tmp_path / "cache")
    told: list[str] = []
    found = pretrain(stage, lambda: shared_weights(stage.start.model, classifier), told.append, lambda: False)
    assert f"the checkpoints in {checkpoint.parent} cannot be used; pre-training begins anew" in told
    assert tensor_files.tensor_digest("", found.weights) == tensor_files.tensor_digest("", whole.weights)
    assert sorted(file.suffix for file in stage.folder.iterdir()) == [".lock", ".safetensors"]


def test_weights_of_another_pretraining_under_its_name_are_made_anew(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, catalog: Catalog
) -> None:
    path = write(write_spec, reviews)
    stage, classifier = stage_for(path, catalog, tmp_path / "cache")
    other = stage.folder / f"{stage.key()}.safetensors"
    tensor_files.save(other, {"weights": {}, "record": {}}, {"pre-training": "another"})
    told: list[str] = []
    found = pretrain(stage, lambda: shared_weights(stage.start.model, classifier), told.append, lambda: False)
    assert any(f"{other} was made from something else" in line and "made anew" in line for line in told)
    assert found.weights


def test_what_a_killed_process_left_beside_stored_weights_is_removed(
    reviews: Path, write_spec: WriteSpec, tmp_path: Path, catalog: Catalog
) -> None:
    path = write(write_spec, reviews)
    stage, classifier = stage_for(path, catalog, tmp_path / "cache")
    # Before it is trained.
    left = stage.folder / stage.key() / "step-6.safetensors"
    do(stage, classifier)
    left.parent.mkdir()
    left.write_bytes(b"large")
    assert do(*stage_for(path, catalog, tmp_path / "cache")).stored
    assert not left.parent.exists()
