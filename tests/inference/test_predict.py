"""Predictions with trained models: in Python, from the command line, and for files of every format."""

from __future__ import annotations

import csv
import io
import itertools
import json
import shutil
import threading
import tracemalloc
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from support import kexp, tiny_spec
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from typer.testing import Result

from kexp.builtin.backbones import TinyBackbone
from kexp.errors import KexpError
from kexp.files import tables
from kexp.inference import text_pipeline
from kexp.inference import writers as sinks
from kexp.inference.columns import TextColumns
from kexp.inference.input_tables import Row, Table, open_table, read_lines
from kexp.inference.predict import Columns, predict_table
from kexp.trained import TrainedModel, load
from tests.support import unseen

SPEC = tiny_spec("seeds = [1, 2]")
LABELS = ["나쁨", "보통", "좋음"]
PROBABILITIES = [f"probability:{label}" for label in LABELS]
TEXTS = ["정말 최고 영화", "3번째 영화 별로", "무난", "5번째 영화 감동 배우 3 정말 " * 4, "지루하다 최악"]


def refused(*arguments: str | Path, given: str | bytes | None = None) -> str:
    result = kexp(*arguments, stdin=given)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr.strip().splitlines()[-1]


def printed(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout), delimiter="\t"))


def train(folder: Path, text: str) -> Path:
    spec = folder / "reviews.toml"
    spec.write_text(text, encoding="utf-8")
    result = kexp("run", spec, "--runs-dir", folder / "runs", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    return Path(json.loads(result.stdout)["folder"])


@pytest.fixture(scope="module")
def experiment(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("experiment"), SPEC.format(data=reviews))


@pytest.fixture(scope="module")
def run(experiment: Path) -> Path:
    return experiment / "default" / "seed-1"


@pytest.fixture(scope="module")
def model(run: Path) -> TrainedModel:
    return load(run)


def plain(folder: Path, texts: list[str]) -> np.ndarray:
    """Predict with transformers alone, a text at a time."""
    module = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        rows = [module(**tokenizer(text, truncation=True, return_tensors="pt")).logits.softmax(-1) for text in texts]
    return torch.cat(rows).double().numpy()


# --- in Python ------------------------------------------------------------------------------------------------------


def test_probabilities_are_those_of_transformers(model: TrainedModel, run: Path) -> None:
    assert list(model.labels) == LABELS
    assert model.predict(TEXTS) == pytest.approx(plain(run / "model", TEXTS), abs=1e-6)
    assert model.notes == []


def test_rows_of_the_run_are_predicted_as_they_were_recorded(model: TrainedModel, run: Path) -> None:
    frame = pd.read_parquet(run / "predictions.parquet")
    frame = frame[frame["split"] == "test"]
    assert len(frame) > 20
    assert model.predict(list(frame["text"])) == pytest.approx(frame[PROBABILITIES].to_numpy(), abs=1e-6)


def test_order_and_batches_change_nothing(model: TrainedModel, run: Path) -> None:
    texts = [f"{'영화 ' * (number % 13)}최고 {number}" for number in range(50)]
    order = np.random.default_rng(0).permutation(50)
    alone = np.concatenate([model.predict([text]) for text in texts])
    assert model.predict(texts) == pytest.approx(alone, abs=1e-6)
    for size in (1, 3, 50):
        found = load(run, batch_size=size).predict([texts[row] for row in order])
        assert found == pytest.approx(alone[order], abs=1e-6)


def test_passes_have_as_many_tokens_as_is_fast_or_as_many_rows_as_are_stated(run: Path) -> None:
    def shapes(size: int | None) -> list[tuple[int, int]]:
        """Return the rows and tokens of every pass."""
        found = []
        loaded = load(run, batch_size=size)
        forward = loaded.members[0].module.bert.embeddings.register_forward_pre_hook(
            unseen(lambda module, args, given: found.append(given["input_ids"].numel())), with_kwargs=True
        )
        loaded.predict(texts)
        forward.remove()
        return found

    # Five tokens each with the special ones, and ten.
    texts = ["가 나 다"] * 1000 + ["가 나 다 라 마 바 사 아"] * 500
    # No more than 4,096, were all rows of a pass as long as its longest one.
    assert shapes(None) == [409 * 10, 91 * 10 + 318 * 5, 682 * 5]
    assert shapes(600) == [500 * 10 + 100 * 5, 600 * 5, 300 * 5]


def test_batch_size_below_one_is_refused(run: Path) -> None:
    with pytest.raises(KexpError, match=r"^batch_size: expected 1 or more rows, found 0$"):
        load(run, batch_size=0)


def test_no_rows_and_empty_texts_have_predictions_too(model: TrainedModel, run: Path) -> None:
    assert model.predict([]).shape == (0, 3)
    assert model.predict(["", None]) == pytest.approx(plain(run / "model", ["", ""]), abs=1e-6)


def test_decomposed_and_padded_texts_are_read_as_in_training(model: TrainedModel) -> None:
    decomposed = [f"  {unicodedata.normalize('NFD', text)}\n" for text in TEXTS]
    assert decomposed[0].strip() != TEXTS[0]
    assert model.predict(decomposed) == pytest.approx(model.predict(TEXTS), abs=1e-7)


def test_cleaning_of_the_backbone_comes_with_the_spec(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TinyBackbone, "clean", lambda self, text: text.replace("#", ""))
    noisy = [text.replace(" ", "# #") for text in TEXTS]
    assert load(run).predict(noisy) == pytest.approx(load(run).predict(TEXTS), abs=1e-7)


def test_model_without_a_spec_is_not_cleaned_for_and_says_so(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TinyBackbone, "clean", lambda self, text: "")
    shutil.copytree(run / "model", tmp_path / "moved")
    moved = load(tmp_path / "moved")
    assert moved.predict(TEXTS) == pytest.approx(plain(run / "model", TEXTS), abs=1e-6)
    assert moved.notes == [
        f"{tmp_path / 'moved'}: it has no spec.toml; "
        "texts are normalised to NFC and trimmed, without the cleaning of a backbone"
    ]
    assert f"note: {moved.notes[0]}" in kexp("predict", tmp_path / "moved", "최고").stderr


@pytest.mark.parametrize("side", ["left", "right"])
def test_long_texts_are_cut_at_the_side_of_training(run: Path, tmp_path: Path, side: str) -> None:
    shutil.copytree(run / "model", tmp_path / "model")
    path = tmp_path / "model" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "truncation_side": side}))
    long = "최고 " * 20 + "최악 " * 20
    found = load(tmp_path / "model").answer([long, "최고"])
    assert found.truncated == 1
    assert found.probabilities[:1] == pytest.approx(plain(tmp_path / "model", [long]), abs=1e-6)


def test_texts_of_similar_length_share_a_batch_and_are_tokenised_once(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = load(*sorted(experiment.glob("default/seed-*")), batch_size=10)
    tokenised, sizes = [], []
    monkeypatch.setattr(
        text_pipeline,
        "tokenise",
        lambda texts, tok, joint: tokenised.append(len(texts)) or tokenise(texts, tok, joint),
    )
    from kexp.data.tokenising import tokenise

    for member in both.members:
        member.module.bert.embeddings.register_forward_pre_hook(
            lambda module, args, given: sizes.append(given["input_ids"].numel()), with_kwargs=True
        )
    texts = ["가 " * (number % 10 + 1) for number in range(100)]
    both.predict(texts)
    assert tokenised == [100]
    # Ten of each length: a batch holds rows of one length, and nothing is padded.
    assert sorted(sizes) == sorted(2 * [10 * length for length in range(3, 13)])


def test_threads_may_predict_at_once(model: TrainedModel) -> None:
    expected = model.predict(TEXTS)
    start = threading.Barrier(4)

    def ask(number: int) -> list[np.ndarray]:
        start.wait()
        return [model.predict(TEXTS) for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        for answers in pool.map(ask, range(4)):
            for answer in answers:
                assert answer == pytest.approx(expected, abs=1e-6)


# --- pairs ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    words = ["최고", "최악", "감동", "별로"]
    pairs = [(f"{n} {words[n % 4]} 영화", f"{words[n % 4 if n % 2 else (n + 1) % 4]} 그 영화") for n in range(120)]
    frame = pd.DataFrame([(a, b, "같다" if a.split()[1] == b.split()[0] else "다르다") for a, b in pairs])
    frame.columns = ["first", "second", "label"]
    frame.to_csv(folder / "pairs.csv", index=False)
    columns = 'text = "first"\ntext_pair = "second"\npath ='
    text = SPEC.replace("seeds = [1, 2]", "seeds = [1]").replace("epochs = 3", "epochs = 1").replace("path =", columns)
    return train(folder, text.format(data=folder / "pairs.csv"))


def test_pairs_are_predicted_as_they_were_recorded(paired: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(paired / "default" / "seed-1" / "predictions.parquet")
    recorded = frame[["probability:같다", "probability:다르다"]].to_numpy()
    model = load(paired)
    assert model.predict(list(frame["text"]), list(frame["text_pair"])) == pytest.approx(recorded, abs=1e-6)
    frame[["text", "text_pair"]].to_parquet(tmp_path / "in.parquet")
    result = kexp("predict", paired, "--input", tmp_path / "in.parquet", "--pair", "text_pair", "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["probability:같다"] for row in rows] == pytest.approx(recorded[:, 0], abs=1e-6)
    assert result.stderr == f"{len(rows)} rows\n"


def test_one_text_for_a_model_of_pairs_is_refused(paired: Path) -> None:
    assert refused("predict", paired, "최고") == (
        "the model was trained on pairs of the text column first and second, and is given one text; "
        "give a file with these columns with --input"
    )


def test_pair_without_its_second_text_has_no_label(paired: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text,other\n최고,최악\n최고,\n", encoding="utf-8")
    rows = printed(kexp("predict", paired, "--input", tmp_path / "in.csv", "--pair", "other"))
    assert [bool(row["predicted"]) for row in rows] == [True, False]


# --- several models -------------------------------------------------------------------------------------------------


def reordered(run: Path, to: Path, names: list[str]) -> Path:
    """Copy a model with its labels in another order: the same predictions, in other columns."""
    module = AutoModelForSequenceClassification.from_pretrained(run / "model")
    order = [LABELS.index(name) for name in names]
    module.classifier.weight.data = module.classifier.weight.data[order]
    module.classifier.bias.data = module.classifier.bias.data[order]
    module.config.id2label = dict(enumerate(names))
    module.config.label2id = {name: number for number, name in enumerate(names)}
    module.save_pretrained(to)
    AutoTokenizer.from_pretrained(run / "model").save_pretrained(to)
    return to


def test_several_models_are_averaged(experiment: Path) -> None:
    folders = sorted(experiment.glob("default/seed-*"))
    assert len(folders) == 2
    expected = np.mean([plain(folder / "model", TEXTS) for folder in folders], axis=0)
    assert load(*folders).predict(TEXTS) == pytest.approx(expected, abs=1e-6)
    rows = printed(kexp("predict", *folders, *TEXTS))
    assert [row["predicted"] for row in rows] == [LABELS[number] for number in expected.argmax(1)]


def test_labels_of_models_are_matched_by_name(run: Path, model: TrainedModel, tmp_path: Path) -> None:
    other = reordered(run, tmp_path / "other", ["좋음", "나쁨", "보통"])
    assert load(run, other).predict(TEXTS) == pytest.approx(model.predict(TEXTS), abs=1e-6)
    assert list(load(other, run).labels) == ["좋음", "나쁨", "보통"]
    assert load(other, run).predict(TEXTS)[:, [1, 2, 0]] == pytest.approx(model.predict(TEXTS), abs=1e-6)


def test_models_with_different_labels_are_refused(run: Path, paired: Path) -> None:
    assert refused("predict", run, paired, "최고") == (
        "models with different labels cannot be averaged: "
        f"only {run} has 나쁨, 보통, 좋음; only {paired / 'default/seed-1'} has 같다, 다르다"
    )


# --- choosing a model -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("below", "options"),
    [("", ("--seed", "2")), ("", ("--variant", "default", "--seed", "2")), ("default/seed-2", ()), ("default/seed-2/model", ())],
)  # fmt: skip
def test_a_model_is_found_by_every_folder_of_it(experiment: Path, below: str, options: tuple[str, ...]) -> None:
    (row,) = printed(kexp("predict", experiment / below, *options, "최고"))
    expected = plain(experiment / "default" / "seed-2" / "model", ["최고"])[0]
    assert [float(row[name]) for name in PROBABILITIES] == pytest.approx(expected, rel=1e-4)


def test_relative_folder_keeps_its_spec(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run / "model")
    assert load(".").notes == []


def test_a_run_folder_of_several_seeds_predicts_with_their_mean_and_says_so(experiment: Path) -> None:
    runs = [experiment / "default" / f"seed-{seed}" for seed in (1, 2)]
    expected = np.mean([plain(run / "model", ["최고"])[0] for run in runs], axis=0)
    predicted = kexp("predict", experiment, "최고")
    (row,) = printed(predicted)
    assert [float(row[name]) for name in PROBABILITIES] == pytest.approx(expected, rel=1e-4)
    said = f"note: the mean of the probabilities of 2 models: {runs[0]}, {runs[1]}\n"
    assert said in predicted.stderr
    assert load(experiment).predict(["최고"])[0] == pytest.approx(expected, rel=1e-4)
    both = [line for line in kexp("predict", experiment / "default", "최고").stdout.splitlines() if line]
    assert both == predicted.stdout.splitlines()
    assert refused("export", experiment).startswith(f"{experiment} holds 2 models, and one is needed; name one of ")


def test_a_run_folder_without_one_of_its_models_is_refused(experiment: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(experiment, tmp_path / "copied"))
    shutil.rmtree(copied / "default/seed-2")
    said = refused("predict", copied, "최고")
    assert "1 of 2 runs have a model, none: seed 2; finish them with kexp run --resume" in said
    assert kexp("predict", copied, "--seed", "1", "최고").exit_code == 0


def test_several_models_in_a_folder_are_named(experiment: Path) -> None:
    assert refused("predict", experiment, "--seed", "7", "최고") == (
        f"{experiment} holds no model of --seed 7; it holds default/seed-1, default/seed-2"
    )
    assert refused("predict", experiment / "default/seed-1", "--seed", "1", "최고") == (
        f"{experiment / 'default/seed-1'} is one model; --variant and --seed choose in a run folder"
    )


def test_folder_without_a_model_is_told(run: Path, tmp_path: Path) -> None:
    expected = (
        "expected a run folder, <variant> or <variant>/seed-<n> in one, or a Hugging Face folder with config.json"
    )
    assert refused("predict", "최고") == f"최고 is not a folder; {expected}"
    assert refused("predict", tmp_path, "최고") == f"{tmp_path} holds no trained model; {expected}"
    assert refused("predict", run, f"{run}0", "최고") == f"{run}0 does not exist; {expected}"
    (tmp_path / "result.json").write_text('{"status": "failed", "reason": "out of memory", "variant": "a", "seed": 1}')
    assert refused("predict", tmp_path, "x") == f"{tmp_path} holds no model; the run is failed: out of memory"
    with pytest.raises(KexpError, match="does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(KexpError, match="at least one folder"):
        load()


def test_a_file_in_the_place_of_a_text_is_refused(run: Path, tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("text\n최고\n", "utf-8")
    assert refused("predict", run, table) == f"{table} is a file, not a text; give its rows with --input {table}"


def test_model_without_a_trained_classifier_is_refused(run: Path, tmp_path: Path) -> None:
    AutoModel.from_pretrained(run / "model").save_pretrained(tmp_path / "headless")
    AutoTokenizer.from_pretrained(run / "model").save_pretrained(tmp_path / "headless")
    message = refused("predict", tmp_path / "headless", "최고")
    assert message == (
        f"{tmp_path / 'headless'} is not a trained classifier: its weights lack classifier.bias, classifier.weight"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id2label": {"0": "x", "1": "x", "2": "y"}}, "{}: two labels have the same name: x, x, y; correct id2label in config.json"),
    ],
)  # fmt: skip
def test_models_of_other_kinds_are_refused(run: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    shutil.copytree(run / "model", tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, **change}))
    assert refused("predict", tmp_path / "model", "최고") == message.format(tmp_path / "model")


def test_damaged_model_is_told(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "model", tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "model.safetensors" in refused("predict", tmp_path / "model", "최고")
    weights.unlink()
    assert refused("predict", tmp_path / "model", "최고").startswith(f"{tmp_path / 'model'} has no weights")


def test_model_without_positions_or_limit_needs_one(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "model", tmp_path / "model")
    path = tmp_path / "model" / "tokenizer_config.json"
    stated = json.loads(path.read_text())
    stated.pop("model_max_length")
    path.write_text(json.dumps(stated))
    # The model's own positions are a limit too.
    positions = AutoConfig.from_pretrained(run / "model").max_position_embeddings
    assert load(tmp_path / "model").members[0].pipeline.max_length == positions


def moved_experiment(experiment: Path, to: Path, change: tuple[str, str]) -> Path:
    shutil.copytree(experiment, to)
    spec = (to / "spec.toml").read_text("utf-8")
    assert change[0] in spec
    (to / "spec.toml").write_text(spec.replace(*change), encoding="utf-8")
    return to / "default" / "seed-1"


def test_data_of_the_experiment_may_be_gone(experiment: Path, reviews: Path, tmp_path: Path) -> None:
    moved = moved_experiment(experiment, tmp_path / "moved", (reviews.as_posix(), "/gone.csv"))
    assert kexp("predict", moved, "최고").exit_code == 0


def test_device_and_precision_that_are_not_there_are_told(run: Path) -> None:
    assert (
        refused("predict", run, "x", "--device", "tpu")
        == "--device: expected auto, cpu, cuda, cuda:N or mps, found tpu"
    )
    assert (
        refused("predict", run, "x", "--precision", "fp8") == "--precision: expected auto, fp32, bf16, fp16, found fp8"
    )
    assert refused("predict", run, "x", "--device", "cpu", "--precision", "fp16") == (
        "--precision: fp16 needs a GPU; use bf16 or fp32 on a CPU"
    )
    if not torch.cuda.is_available():
        assert refused("predict", run, "x", "--device", "cuda").startswith(
            "--device: cuda is not available, PyTorch sees 0 CUDA devices"
        )


def test_bf16_is_near(run: Path, model: TrainedModel) -> None:
    assert load(run, precision="bf16").predict(TEXTS) == pytest.approx(model.predict(TEXTS), abs=0.02)


# --- texts of the command line and of standard input ----------------------------------------------------------------


def test_texts_are_printed_with_every_probability(run: Path, model: TrainedModel) -> None:
    result = kexp("predict", run, *TEXTS)
    rows = printed(result)
    expected = model.predict(TEXTS)
    assert list(rows[0]) == ["text", "predicted", "confidence", *PROBABILITIES]
    assert [row["text"] for row in rows] == TEXTS
    assert [row["predicted"] for row in rows] == [LABELS[number] for number in expected.argmax(1)]
    assert [[float(row[name]) for name in PROBABILITIES] for row in rows] == pytest.approx(expected, rel=1e-4)
    assert [float(row["confidence"]) for row in rows] == pytest.approx(expected.max(1), rel=1e-4)
    assert result.stderr == "5 rows; 1 cut at the model's length\n"


def test_best_labels_are_in_order(run: Path, model: TrainedModel) -> None:
    rows = printed(kexp("predict", run, *TEXTS, "--top-k", "2"))
    assert list(rows[0]) == ["text", "predicted", "confidence", "predicted:2", "confidence:2"]
    for row, probabilities in zip(rows, model.predict(TEXTS), strict=True):
        first, second, _ = np.argsort(-probabilities)
        assert (row["predicted"], row["predicted:2"]) == (LABELS[first], LABELS[second])
        assert float(row["confidence:2"]) == pytest.approx(probabilities[second], rel=1e-4)
    assert refused("predict", run, "x", "--top-k", "4") == "--top-k 4: the model has 3 labels; use 3 or fewer"


@pytest.mark.parametrize("how", [("-",), ("--input", "-")])
def test_standard_input_is_a_text_per_line(run: Path, model: TrainedModel, how: tuple[str, ...]) -> None:
    result = kexp("predict", run, *how, stdin="\ufeff정말 최고\r\n\n최악\t이다")
    rows = printed(result)
    assert [row["text"] for row in rows] == ["정말 최고", "", "최악\t이다"]
    assert [row["predicted"] for row in rows][1] == ""
    expected = model.predict(["정말 최고", "최악\t이다"])[:, 0]
    assert [float(rows[n]["probability:나쁨"]) for n in (0, 2)] == pytest.approx(expected, rel=1e-4)
    assert result.stderr == "3 rows; 1 without text, left without a label\n"
    assert refused("predict", run, "-", given="최고\n".encode() + "최악\n".encode("cp949")) == (
        "standard input: line 2: byte 0xc3 is not UTF-8; convert the text to UTF-8"
    )


def test_long_text_and_empty_text_are_no_folders(run: Path) -> None:
    rows = printed(kexp("predict", run, "--", "", "영화 " * 300, "-_- 별로"))
    assert [bool(row["predicted"]) for row in rows] == [False, True, True]


def test_json_is_an_object_per_row_with_every_digit(run: Path, model: TrainedModel) -> None:
    rows = [json.loads(line) for line in kexp("predict", run, "최고", " ", "--json").stdout.splitlines()]
    assert rows[0]["probability:좋음"] == pytest.approx(model.predict(["최고"])[0, 2], abs=1e-9)
    assert rows[1] == {"text": " ", "predicted": None, "confidence": None, **dict.fromkeys(PROBABILITIES)}


# --- files ----------------------------------------------------------------------------------------------------------

ROWS: list[dict[str, Any]] = [{"id": f"{n:03}", "text": text, "더": f'a,"{n}"\tb'} for n, text in enumerate(TEXTS)]
WRITE = {
    "csv": lambda path: pd.DataFrame(ROWS).to_csv(path, index=False),
    "tsv": lambda path: pd.DataFrame(ROWS).to_csv(path, index=False, sep="\t"),
    "jsonl": lambda path: pd.DataFrame(ROWS).to_json(path, orient="records", lines=True, force_ascii=False),
    "parquet": lambda path: pd.DataFrame(ROWS).to_parquet(path, index=False),
}
READ = {
    "csv": lambda path: pd.read_csv(path, dtype={"id": str}),
    "tsv": lambda path: pd.read_csv(path, dtype={"id": str}, sep="\t"),
    "jsonl": lambda path: pd.read_json(path, lines=True, dtype={"id": str}),
    "parquet": pd.read_parquet,
}


@pytest.mark.parametrize(("given", "made"), [*zip(WRITE, READ, strict=True), ("csv", "parquet"), ("jsonl", "csv"), ("parquet", "jsonl")])  # fmt: skip
def test_files_keep_their_rows_and_columns(
    run: Path, model: TrainedModel, tmp_path: Path, given: str, made: str
) -> None:
    WRITE[given](tmp_path / f"in.{given}")
    quoting = ["--quoting"] * (given == "tsv")
    result = kexp("predict", run, "--input", tmp_path / f"in.{given}", "--output", tmp_path / f"out.{made}", *quoting)
    assert (result.exit_code, result.stdout) == (0, ""), result.output
    frame = READ[made](tmp_path / f"out.{made}")
    assert list(frame) == ["id", "text", "더", "predicted", "confidence", *PROBABILITIES]
    assert frame[["id", "text", "더"]].to_dict("records") == ROWS
    digits = {"rel": 1e-4} if made in ("csv", "tsv") else {"abs": 1e-9}
    assert frame[PROBABILITIES].to_numpy() == pytest.approx(model.predict(TEXTS), **digits)
    assert {path.name for path in tmp_path.iterdir()} == {f"in.{given}", f"out.{made}"}


def test_parquet_keeps_its_types(run: Path, tmp_path: Path) -> None:
    table = pa.table({
        "text": ["최고", None, "최악"],
        "when": pa.array([1, None, 3], pa.timestamp("us")),
        "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        "tags": pa.array([["x"], [], None]),
        "count": pa.array([1, None, 2**60]),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "in.parquet")
    kexp("predict", run, "--input", tmp_path / "in.parquet", "--output", tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.select(table.column_names).cast(table.schema) == table
    assert found.schema.field("when").type == pa.timestamp("us")
    assert found.column("predicted").null_count == found.column("probability:좋음").null_count == 1


def test_objects_may_have_keys_of_their_own(run: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "최고"}\n\n{"text": "최악", "more": [1]}\n{"other": 1.0}\n', "utf-8")
    kexp("predict", run, "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [row.get("more") for row in rows] == [None, [1], None]
    assert [bool(row["predicted"]) for row in rows] == [True, True, False]


@pytest.mark.parametrize("made", ["csv", "tsv", "parquet"])
def test_columns_of_json_lines_are_those_of_all_rows(run: Path, tmp_path: Path, made: str) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "최고"}\n\n{"text": "최악", "more": "x"}\n{"other": "y"}\n', "utf-8")
    kexp("predict", run, "--input", tmp_path / "in.jsonl", "--output", tmp_path / f"out.{made}")
    frame = READ[made](tmp_path / f"out.{made}")
    assert list(frame) == ["text", "more", "other", "predicted", "confidence", *PROBABILITIES]
    found = frame[["text", "more", "other"]].astype("object")
    assert found.where(found.notna(), None).to_numpy().tolist() == [
        ["최고", None, None],
        ["최악", "x", None],
        [None, None, "y"],
    ]
    assert frame["predicted"].notna().tolist() == [True, True, False]


def test_column_that_changes_its_type_is_told(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 1)
    (tmp_path / "in.jsonl").write_text('{"text": "최고", "n": 1}\n{"text": "최악", "n": "one"}\n', "utf-8")
    message = refused("predict", run, "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.parquet")
    assert message.startswith(f"{tmp_path / 'in.jsonl'}: a column changes its type among the rows: ")
    assert message.endswith("write JSONL, or give the column one type")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_table_without_rows_stays_one(run: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\n")
    for name in ("out.csv", "out.parquet"):
        assert kexp("predict", run, "--input", tmp_path / "in.csv", "--output", tmp_path / name).stderr == "0 rows\n"
    assert list(pd.read_parquet(tmp_path / "out.parquet")) == ["text", "predicted", "confidence", *PROBABILITIES]


def test_files_of_other_encodings_and_without_quoting(run: Path, tmp_path: Path) -> None:
    (tmp_path / "in.tsv").write_bytes('id\tdocument\n1\t"최고 영화\n2\t별로"\n'.encode("cp949"))
    options = ("--input", tmp_path / "in.tsv", "--text", "document", "--encoding", "cp949", "--no-quoting")
    assert [row["document"] for row in printed(kexp("predict", run, *options))] == ['"최고 영화', '별로"']


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", "", "{}: the file is empty"),
        ("in.jsonl", "\n", "{}: the file is empty"),
        ("in.csv", "body,n\nx,1\n", "{}: no column 'text'; the columns are body, n; name one with --text, or, where the file has no header, all with --columns"),
        ("in.txt", "최고\n최악\n", "{}: no column 'text'; the columns are 최고; name one with --text, or, where the file has no header, all with --columns; a text per line is read from standard input"),
        ("in.csv", "text,text\nx,1\n", "{}: two columns have one name: text, text"),
        ("in.csv", "text,predicted\nx,1\n", "{}: the column 'predicted' would be added by predictions; rename it"),
        ("in.csv", "text,n\nx,1\ny\n", "{}: line 3: found 1 cell, expected 2; check the separator"),
        ("in.csv", 'text,n\n"x,1\ny,2\n', "{}: line 2: a quotation mark is opened and never closed; use --no-quoting, or correct the file"),
        ("in.csv", "text\n가\n".encode("cp949"), '{}: line 2: byte 0xb0 is not utf-8-sig; the file is cp949; use --encoding "cp949"'),
        ("in.jsonl", '{"text": "x"}\n{"text": }\n', "{}: line 2, column 10: not valid JSON: Expecting value"),
        ("in.jsonl", '{"text": "x"}\n["x"]\n', '{}: line 2: expected an object, found ["x"]'),
        ("in.jsonl", '{"text": "\\ud800"}\n', "{}: line 1: half a surrogate pair (\\ud800 to \\udfff) is no character; remove it"),
        ("in.dat", "x", "--input {}: expected a name that ends in .csv, .tsv, .txt, .jsonl, .ndjson, .json, .parquet, .xlsx, perhaps with .gz"),
        ("in.xlsx", "x", "{}: is not an Excel workbook (.xlsx) by its first bytes; if it is CSV, give it a name that ends in .csv"),
    ],
)  # fmt: skip
def test_unusable_files_are_told(run: Path, tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    output = tmp_path / "out.csv"
    assert refused("predict", run, "--input", path, "--output", output) == message.format(path)
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_are_no_tables_are_told(run: Path, tmp_path: Path) -> None:
    assert refused("predict", run, "--input", tmp_path / "in.csv") == f"{tmp_path / 'in.csv'} does not exist"
    (tmp_path / "in.parquet").write_text("text\n")
    assert refused("predict", run, "--input", tmp_path / "in.parquet").startswith(
        f"{tmp_path / 'in.parquet'}: is not a Parquet file"
    )
    (tmp_path / "in.csv").write_text("text\nx\n")
    assert refused("predict", run, "--input", tmp_path / "in.csv", "--encoding", "utf-77") == (
        '--encoding utf-77: Python knows none of that name; try "utf-8" or "cp949"'
    )
    assert refused("predict", run, "--input", tmp_path / "in.csv", "--pair", "b") == (
        "--pair b: the model was trained on the text column text, not on pairs; leave it out"
    )


def test_what_contradicts_is_told(run: Path, tmp_path: Path) -> None:
    assert refused("predict", run) == (
        "nothing to predict; give texts, --input FILE, or - for a text per line from standard input"
    )
    assert refused("predict", run, "x", "--input", "in.csv") == (
        "--input and texts (x ...) both give texts to predict; use one of them"
    )
    assert refused("predict", run, "x", "--json", "--output", tmp_path / "out.csv") == (
        "--json prints the result, --output writes it; give one of them"
    )


def test_output_that_exists_is_replaced_only_when_told_so(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.tsv"
    output.write_text("precious")
    assert refused("predict", run, "x", "--output", output) == f"--output {output} exists already; --force replaces it"
    assert output.read_text() == "precious"
    assert kexp("predict", run, "x", "--output", output, "--force").exit_code == 0
    assert output.read_text().startswith("text\tpredicted")
    assert (
        refused("predict", run, "x", "--output", tmp_path) == f"--output {tmp_path} is a folder; expected a file name"
    )
    missing = tmp_path / "no" / "out.tsv"
    assert refused("predict", run, "x", "--output", missing) == (
        f"--output {missing}: the folder {missing.parent} does not exist"
    )


def test_full_disk_leaves_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, *given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sinks.Delimited, "write", full)
    output = tmp_path / "out.csv"
    assert refused("predict", run, "x", "--output", output) == (
        f"--output {output}: cannot be written: No space left on device; free some space"
    )
    assert list(tmp_path.iterdir()) == []


# --- files larger than memory ---------------------------------------------------------------------------------------


def counted(rows: int, seen: list[int]) -> Iterator[Row]:
    for number in range(rows):
        seen[0] += 1
        yield {"text": f"{number} 영화 {'최고 ' * (number % 5)}" if number % 10 else ""}


def test_rows_are_read_no_further_ahead_than_a_chunk(model: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 100)
    seen, ahead, written = [0], [], []

    class Watched:
        def write(self, rows: list[Row], values: Any = ()) -> None:
            ahead.append(seen[0] - len(written))
            written.extend(row["text"] for row in rows)

    counts = predict_table(model, Table("x", ["text"], counted(1050, seen)), Columns(TextColumns(), 1), Watched())
    # One chunk is read ahead of the one that is predicted.
    assert max(ahead) <= 200
    assert written == [row["text"] for row in counted(1050, [0])]
    assert (counts.rows, counts.empty) == (1050, 105)


def test_reading_and_writing_go_on_while_the_model_answers(
    model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 10)
    read, written, waited = [0], list[int](), list[bool]()
    answer, write = TrainedModel.answer_read, sinks.Delimited.write
    third_read, first_written = threading.Event(), threading.Event()

    def answered(self: TrainedModel, *given: Any) -> Any:
        # While it is at the second chunk, the third one is read and the first one is written.
        if (number := len(waited) + 1) == 2:
            waited.append(third_read.wait(20) and first_written.wait(20))
        else:
            waited.append(True)
        assert number == len(waited)
        return answer(self, *given)

    def noted(self: Any, rows: list[Row], values: Any) -> None:
        write(self, rows, values)
        written.append(len(rows))
        first_written.set()

    def rows() -> Iterator[Row]:
        for row in counted(40, read):
            if read[0] == 30:
                third_read.set()
            yield row

    monkeypatch.setattr(TrainedModel, "answer_read", answered)
    monkeypatch.setattr(sinks.Delimited, "write", noted)
    table, columns = Table("x", ["text"], rows()), Columns(TextColumns(), None)
    with sinks.sink_to(tmp_path / "out.csv", table, columns.added(model), force=False) as sink:
        predict_table(model, table, columns, sink)
    assert waited == [True] * 4
    assert written == [10, 10, 10, 10, 0]
    assert not [one for one in threading.enumerate() if one.name.startswith(("kexp reading", "kexp writing"))]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("place", ["read", "answer_read", "write"])
def test_whatever_ends_a_prediction_in_the_middle_leaves_no_file(
    model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, kind: str
) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 10)
    owner: Any = sinks.FileSink if place == "write" else TrainedModel
    real, calls = getattr(owner, place), [0]
    error = KeyboardInterrupt() if place == "answer_read" else KexpError("the third")

    def third_fails(*given: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            raise error
        return real(*given)

    monkeypatch.setattr(owner, place, third_fails)
    table, columns = Table("x", ["text"], counted(100, [0])), Columns(TextColumns(), None)
    with (
        pytest.raises(type(error)) as raised,
        sinks.sink_to(tmp_path / f"out.{kind}", table, columns.added(model), force=False) as sink,
    ):
        predict_table(model, table, columns, sink)
    assert raised.value is error
    assert list(tmp_path.iterdir()) == []


def test_streams_that_others_may_hold_are_read_and_written_by_the_program_itself(
    model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that waits for standard input or output would keep the program from ending."""
    names: set[str] = set()
    read = TrainedModel.read

    def noted(self: TrainedModel, *given: Any) -> Any:
        names.add(threading.current_thread().name)
        return read(self, *given)

    class Printed:
        def write(self, rows: list[Row], values: Any = ()) -> None:
            names.add(threading.current_thread().name)

    monkeypatch.setattr(TrainedModel, "read", noted)
    table = read_lines(io.BytesIO("최고\n별로\n".encode()), "-")
    assert predict_table(model, table, Columns(TextColumns(), None), Printed()).rows == 2
    assert names == {threading.current_thread().name}


def test_long_rows_make_short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CHUNK_CHARACTERS", 1000)
    rows = ({"text": "가" * 300} for _ in range(9))
    assert [len(chunk) for chunk in Table("x", ["text"], rows).chunks()] == [4, 4, 1]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_memory_does_not_grow_with_the_file(
    model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 200)

    def peak(rows: int) -> int:
        path = tmp_path / f"{rows}.{kind}"
        frame = pd.DataFrame({"text": [f"{n} 최고 영화" for n in range(rows)], "more": "다른 것 " * 50})
        written: Any = {"csv": frame.to_csv, "jsonl": frame.to_json, "parquet": frame.to_parquet}[kind]
        written(path, **({"orient": "records", "lines": True} if kind == "jsonl" else {"index": False}))
        tracemalloc.start()
        table = open_table(path, "--input")
        columns = Columns(TextColumns(), None)
        output = tmp_path / f"{rows}-out.{kind}"
        with sinks.sink_to(output, table, columns.added(model), force=False) as sink:
            predict_table(model, table, columns, sink)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(200)
    assert peak(6000) < 1.5 * peak(1200)


def test_order_of_rows_is_that_of_the_file_over_chunks(
    run: Path, model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 7)
    texts = [f"{number} {'최고 ' * (number * 7 % 11)}" for number in range(40)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    result = kexp("predict", run, "--input", tmp_path / "in.jsonl", "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["text"] for row in rows] == texts
    expected = model.predict(texts)
    assert np.array([[row[name] for name in PROBABILITIES] for row in rows]) == pytest.approx(expected, abs=1e-6)


def test_mistake_far_down_leaves_no_output(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 10)
    lines = itertools.chain(["text,n"], [f"최고,{n}" for n in range(50)], ["최고"])
    (tmp_path / "in.csv").write_text("\n".join(lines), encoding="utf-8")
    message = refused("predict", run, "--input", tmp_path / "in.csv", "--output", tmp_path / "out.csv")
    assert "line 52: found 1 cell, expected 2" in message
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_out_of_memory_names_the_remedy(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kexp.inference import trained_model as module

    def full(*given: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nmore")

    monkeypatch.setattr(module, "predict", full)
    assert refused("predict", run, "x") == (
        "out of memory; set a small --batch-size, such as 4 (CUDA out of memory. Tried to allocate 2 GiB)"
    )
    assert refused("predict", run, "x", "--batch-size", 16) == (
        "out of memory; lower --batch-size (CUDA out of memory. Tried to allocate 2 GiB)"
    )


def test_values_of_every_kind_are_lines_of_json() -> None:
    rows: list[Row] = [
        {"a": "한글", "b": 1, "c": None, "d": 0.1, "e": [1, {"f": "값"}], "g": True},
        {"a": np.int64(3), "b": np.float32(0.5), "c": np.bool_(True), "d": pd.Timestamp("2026-01-02")},
        {"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": np.float64("nan")}, "e": np.float32("nan")},
        {"a": {None: 1, (2, 3): "x"}},
    ]
    stream = io.StringIO()
    sinks.JsonLines(stream).write(rows)
    assert stream.getvalue().splitlines() == [
        '{"a": "한글", "b": 1, "c": null, "d": 0.1, "e": [1, {"f": "값"}], "g": true}',
        '{"a": 3, "b": 0.5, "c": true, "d": "2026-01-02 00:00:00"}',
        '{"a": null, "b": [null, 1.5], "c": {"d": null}, "e": null}',
        '{"a": {"None": 1, "(2, 3)": "x"}}',
    ]
