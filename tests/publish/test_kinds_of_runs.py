"""Runs of every kind are published as they are: pairs, cleaning, calibration, ONNX, folds, and old run folders."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from published_runs import trained
from support import kexp, tiny_spec
from transformers import pipeline

from kexp.publish.card import fenced, md
from kexp.trained import load


def publish(run: Path, to: Path, *more: str | Path, licence: str | None = "mit") -> str:
    """Publish a run and return its card."""
    stated = () if licence is None else ("--licence", licence)
    result = kexp("publish", run, "--to", to, *stated, *more)
    assert result.exit_code == 0, result.output
    return (to / "README.md").read_text("utf-8")


def refused(*arguments: str | Path) -> str:
    result = kexp("publish", *arguments)
    assert result.exit_code == 2, result.output
    return result.stderr


def asked(folder: Path, given: list[Any], **options: Any) -> list[dict[str, float]]:
    """Ask transformers alone; return the scores of every label."""
    classify: Any = pipeline("text-classification", model=str(folder), device="cpu")
    answers = [classify(one, truncation=True, top_k=None, **options) for one in given]
    return [{one["label"]: one["score"] for one in answer} for answer in answers]


def test_an_adapter_is_said(reviews: Path, tmp_path: Path) -> None:
    adapter = 'adapter = {use = "lora", r = 3}'
    spec = tiny_spec("seeds = [1]", epochs=1).format(data=reviews).replace("[training]", f"{adapter}\n[training]")
    (tmp_path / "spec.toml").write_text(spec, "utf-8")
    made = kexp("run", tmp_path / "spec.toml", "--runs-dir", tmp_path / "runs", "--json", "--quiet")
    assert made.exit_code == 0, made.output
    run = Path(json.loads(made.stdout)["folder"])
    counted = json.loads((run / "default" / "seed-1" / "result.json").read_text("utf-8"))["parameters"]
    card = publish(run, tmp_path / "model")
    shares = f"{counted['trainable']:,} of {counted['total']:,} parameters were trained"
    assert f"trained by LoRA of rank 3, which is merged into the weights: {shares}" in card


# --- pairs, calibration, ONNX -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated model of pairs, one of whose labels is written in Markdown, YAML and Jinja."""
    folder = tmp_path_factory.mktemp("pairs")
    rows = ["a,b,label"]
    rows += [
        f"{n % 9} 첫 질문 길게,{(n + n % 2) % 9} 둘째 질문,{'다르다' if n % 2 else '| `{{같다}}` <b>: *'}"
        for n in range(240)
    ]
    (folder / "쌍.csv").write_text("\n".join(rows), "utf-8")
    spec = tiny_spec(
        dataset='text = "a"\ntext_pair = "b"', tables="[evaluation]\ncalibrate = true\n", epochs=4, max_length=14
    )
    return trained(folder / "쌍.csv", folder, spec=spec)


def test_pairs_with_a_temperature_and_onnx(pairs: Path, tmp_path: Path) -> None:
    card = publish(pairs, tmp_path / "model", "--onnx")
    model = load(tmp_path / "model")
    texts = [("3 첫 질문 길게", "3 둘째 질문"), ("1 첫 질문 " * 9, "둘째 " * 5), ("가", "나 " * 30), ("0", "0")]
    expected = load(pairs).predict(texts)
    assert np.array_equal(model.predict(texts), expected)
    temperature = json.loads((pairs / "default/seed-1/result.json").read_text("utf-8"))["calibration"]["temperature"]
    assert temperature != 1
    given = [{"text": text, "text_pair": pair} for text, pair in texts]
    logits = asked(tmp_path / "model", given, function_to_apply="none")
    scaled = np.array([[row[label] / temperature for label in model.labels] for row in logits])
    exponents = np.exp(scaled - scaled.max(1, keepdims=True))
    assert exponents / exponents.sum(1, keepdims=True) == pytest.approx(expected, abs=1e-5)
    assert f"divide them by {temperature:.6g} before the softmax" in card
    assert 'classify({"text": text, "text_pair": text}' in card
    assert "Korean pairs of texts" in card
    assert {path.name for path in (tmp_path / "model/onnx").iterdir()} >= {"model.onnx", "README.md", "tokenizer.json"}
    assert "`onnx/` has the model in ONNX" in card
    assert str(pairs.parent) not in (tmp_path / "model/onnx/kexp.json").read_text("utf-8")


def test_strange_labels_break_no_table(pairs: Path, tmp_path: Path) -> None:
    card = publish(pairs, tmp_path / "model")
    escaped = r"\| \`\{\{같다\}\}\` \<b\>: \*"
    assert f"| {escaped} |" in card
    # Every row of a table has as many cells as its head.
    tables = [block.splitlines() for block in card.split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    for lines in tables:
        cells = {line.replace("\\|", "").count("|") for line in lines if line.startswith("|")}
        assert len(cells) == 1, lines
    labels = json.loads((tmp_path / "model/config.json").read_text("utf-8"))["id2label"]
    assert "| `{{같다}}` <b>: *" in labels.values()


def test_markdown_is_escaped_and_fences_are_longer_than_what_they_hold() -> None:
    assert md("a|b\n\n# c  [d](e)") == r"a\|b \# c \[d\](e)"
    assert fenced("x = '''\n````\n'''", "toml") == "`````toml\nx = '''\n````\n'''\n`````"


# --- cleaning, code -----------------------------------------------------------------------------------------------

LOUD = """
import kexp
from kexp.builtin.backbones import TinyBackbone

class Loud(TinyBackbone):
    "A tiny backbone that reads no exclamation marks."
    licence = "CC BY-SA 4.0"

    def origin(self):
        return {"source": "owner/loud", "revision": "0123abc", "licence": self.licence}

    def clean(self, text):
        return text.replace("!", "").replace("최고", "최악")

@kexp.hookimpl
def kexp_backbones():
    return {"loud": Loud}
"""


def test_cleaning_is_said_and_kept(reviews: Path, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        LOUD.replace('licence = "', 'licence: "ClassVar[str]" = "').replace(
            "import kexp\n", "from typing import ClassVar\n\nimport kexp\n", 1
        ),
        "utf-8",
    )
    spec = tiny_spec(tables='[plugins]\nlocal = ["loud.py"]\n', epochs=1).replace('use = "tiny"', 'use = "loud"')
    (tmp_path / "loud.toml").write_text(spec.format(data=reviews), "utf-8")
    made = kexp(
        "run", tmp_path / "loud.toml", "--runs-dir", tmp_path / "runs", "--json", "--quiet", "--allow-local-code"
    )
    assert made.exit_code == 0, made.output
    run = Path(json.loads(made.stdout)["folder"])
    message = refused(run, "--to", tmp_path / "model", "--allow-local-code", "--licence", "mit")
    assert "the weights (owner/loud): CC BY-SA 4.0 (share-alike); expected --licence cc-by-sa-4.0, found mit" in message
    card = publish(run, tmp_path / "model", "--allow-local-code", licence="cc-by-sa-4.0")
    assert "Fine-tuned from owner/loud (revision 0123abc)." in card
    assert "cleaned as" in card
    assert "Loud does" in card
    assert "and does not clean" in card
    data = ModelCard(card).data.to_dict()
    assert (data["base_model"], data["base_model_relation"]) == ("owner/loud", "finetune")
    # The code is the user's own; without it kexp says so instead of predicting uncleaned texts.
    assert not list((tmp_path / "model").glob("*.py"))
    shutil.move(tmp_path / "loud.py", tmp_path / "elsewhere.py")
    answer = kexp("predict", tmp_path / "model", "최고!")
    assert answer.exit_code == 2
    assert "loud" in answer.stderr
    shutil.copy(tmp_path / "elsewhere.py", tmp_path / "model/loud.py")
    texts = ["최고!", "지루하다"]
    found = load(tmp_path / "model", allow_local_code=True).predict(texts)
    shutil.move(tmp_path / "elsewhere.py", tmp_path / "loud.py")
    assert np.array_equal(found, load(run, allow_local_code=True).predict(texts))


# --- variants, folds, old run folders ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folds(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    tables = '[split]\nfolds = 2\n[variants.plain]\n[variants."초점"]\nobjective.use = "focal"\n'
    return trained(reviews, folder, spec=tiny_spec(tables=tables, epochs=1))


def test_variants_and_folds_are_named_by_the_user(folds: Path, tmp_path: Path) -> None:
    assert "several variants: plain, 초점; choose one with --variant" in refused(folds, "--to", tmp_path / "model")
    message = refused(folds, "--to", tmp_path / "model", "--variant", "초점")
    assert "models of several draws or folds, which saw other rows; name one of" in message
    assert "fold-2/seed-1" in message
    card = publish(folds / "초점/fold-2/seed-1", tmp_path / "model")
    assert "Variant 초점, fold 2, seed 1" in card
    assert "| all folds as one |" in card
    assert 'use = "focal"' in card
    assert "plain" not in card
    assert np.array_equal(
        load(tmp_path / "model").predict(["최고"]), load(folds / "초점/fold-2/seed-1").predict(["최고"])
    )


def test_old_and_unfinished_run_folders(folds: Path, tmp_path: Path) -> None:
    """Files that later versions added, or that the end of an experiment writes, may be missing."""
    copy = Path(shutil.copytree(folds, tmp_path / "runs" / "old" / folds.name))
    for name in ("summary.json", "environment.json", "report.html"):
        (copy / name).unlink(missing_ok=True)
    run = copy / "plain/fold-1/seed-1"
    result = json.loads((run / "result.json").read_text("utf-8"))
    for name in ("checksum", "dataset", "backbone", "per_class", "monitor", "kept_epoch", "device", "precision"):
        result.pop(name, None)
    (run / "result.json").write_text(json.dumps(result), "utf-8")
    (run / "predictions.parquet").unlink()
    (run / "model" / "checksums.json").unlink()
    card = publish(run, tmp_path / "model")
    assert "| 좋음 | – | – | – |" in card
    assert "this model" in card
    result["status"], result["reason"] = "failed", "out of memory"
    (run / "result.json").write_text(json.dumps(result), "utf-8")
    assert "the run is failed: out of memory" in refused(run, "--to", tmp_path / "other")


def test_a_search_names_the_run_of_its_best_spec(tmp_path: Path) -> None:
    study = tmp_path / "runs" / "x" / "20270101T000000Z-study"
    study.mkdir(parents=True)
    (study / "study.toml").write_text("", "utf-8")
    assert "is a study, not a run folder" in refused(study, "--to", tmp_path / "model")


# --- licences of runs -------------------------------------------------------------------------------------------------


def test_data_whose_terms_forbid_it(folds: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folds, tmp_path / "runs" / "x" / folds.name))
    run = copy / "plain/fold-1/seed-1"
    result = json.loads((run / "result.json").read_text("utf-8"))
    del result["checksum"]
    result["dataset"] = {"licence": "CC BY-NC 4.0", "homepage": "https://example.com/corpus"}
    (run / "result.json").write_text(json.dumps(result), "utf-8")
    for more in ((), ("--licence", "mit"), ("--licence", "cc-by-nc-4.0")):
        message = refused(run, "--to", tmp_path / "model", *more)
        assert "the data (table): CC BY-NC 4.0 (non-commercial)" in message
        assert "--despite-licence" in message
    assert not (tmp_path / "model").exists()
    card = publish(run, tmp_path / "model", "--despite-licence", licence=None)
    assert yaml.safe_load(card.split("---")[1])["license"] == "cc-by-nc-4.0"
    assert "Licence: CC BY-NC 4.0." in card
    assert "from <https://example.com/corpus>" in card


def test_licences_of_runs_that_recorded_none_are_those_of_the_components(folds: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folds, tmp_path / "runs" / "x" / folds.name))
    spec = copy / "spec.toml"
    text = spec.read_text("utf-8")
    table = text[text.index("[dataset]") : text.index("\n[", text.index("[dataset]") + 3)]
    spec.write_text(text.replace(table, '[dataset]\nuse = "aihub-emotion"\npath = "/data/aihub"\n'), "utf-8")
    message = refused(copy / "plain/fold-1/seed-1", "--to", tmp_path / "model", "--licence", "mit")
    assert "the data (aihub-emotion): AI-Hub's terms of use" in message
    assert "(terms of its own)" in message


def test_the_card_of_several_columns_joins_them_in_its_code(tmp_path: Path) -> None:
    rows = [f'{n},"말 ""{n}""",좋다{n},{"긍정" if n % 2 else "부정"}' for n in range(60)]
    data = tmp_path / "rows.csv"
    data.write_text("\n".join(['번호,"제목 ""가""",본문,label', *rows]), "utf-8")
    columns = "text = ['제목 \"가\"', '본문']\njoin_with = ' / '"
    run = trained(data, tmp_path, spec=tiny_spec("seeds = [1]", "", dataset=columns, epochs=1))
    card = publish(run, tmp_path / "model")
    code = next(line for line in card.splitlines() if line.startswith("text = unicodedata"))
    names: dict[str, Any] = {"unicodedata": unicodedata}
    exec(code, names)
    assert names["text"] == '제목 "가" / 본문'
