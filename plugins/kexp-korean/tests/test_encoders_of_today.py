"""ModernBERT and DeBERTa through the whole of kexp: freezing, training, predicting, attributions and ONNX."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_models import BYTES, FAMILIES, Family, make_folder, trained_vocabulary
from typer.testing import CliRunner

from kexp.builtin.freezing import FreezeAllButHead, FreezeBottomLayers, GradualUnfreezing
from kexp.cli import app
from kexp.contracts import BackboneContext, TokenizerContext
from kexp.evaluate.attributions import attribute_words
from kexp.model.blocks import find_blocks
from kexp.testing import korean_reviews
from kexp.trained import load

NEW = FAMILIES[-4:]
SPEC = """
seeds = [1]
[dataset]
use = "table"
path = "{data}"
text_pair = "about"
[backbone]
use = "{use}"
path = "{model}"
[training]
epochs = 12
batch_size = 16
max_length = 24
learning_rate = 2e-3
[freezing]
use = "gradual"
"""
NAMES = ("ax-encoder", "kf-deberta", "deberta-v3-korean", "mdeberta")


def kexp(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module", params=list(zip(NAMES, NEW, strict=True)), ids=NAMES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a small model of a family on pairs of synthetic texts, with a tokenizer made of such texts."""
    name, family = request.param
    folder = tmp_path_factory.mktemp(name)
    model = make_folder(folder / "model", family, trained_vocabulary(family), **sizes(family))
    texts, labels = korean_reviews(160, 0)
    rows = [json.dumps({"text": text, "about": "영화", "label": label}, ensure_ascii=False)
            for text, label in zip(texts, labels, strict=True)]  # fmt: skip
    (folder / "reviews.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
    (folder / "spec.toml").write_text(SPEC.format(data=folder / "reviews.jsonl", use=name, model=model), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEXP_CACHE_DIR", str(folder / "cache"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        summary = json.loads(kexp("run", folder / "spec.toml", "--runs-dir", folder / "runs", "--json", "--quiet"))
    return Path(summary["folder"]) / "default" / "seed-1"


def sizes(family: Family) -> dict[str, int]:
    """Return sizes that learn the synthetic texts, and a padding that the trained vocabulary has."""
    return {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "max_position_embeddings": 64,
            **({"pooler_hidden_size": 32} if family.architecture == "deberta-v2" else {})}  # fmt: skip


def record(run: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run / "result.json").read_text("utf-8"))
    return found


def test_it_learns_without_padding_and_its_origin_is_recorded(run: Path) -> None:
    result = record(run)
    assert result["forward"] == "flat"
    assert result["metrics"]["test"]["accuracy"] > 0.8
    origin = result["backbone"]
    assert origin["licence"] in ("Apache-2.0", "MIT")
    assert Path(origin["source"]).name == "model"
    report = (run.parent.parent / "report.html").read_text("utf-8")
    assert f"licence {origin['licence']}" in report


def test_predictions_of_the_saved_model_are_those_of_the_run(run: Path, tmp_path: Path) -> None:
    import pandas as pd

    stored = pd.read_parquet(run / "predictions.parquet").query("split == 'test'")
    model = load(run)
    probabilities = model.predict(list(stored["text"]), list(stored["text_pair"]))
    columns = [f"probability:{label}" for label in model.labels]
    assert probabilities == pytest.approx(stored[columns].to_numpy(), abs=1e-5)


def test_words_have_attributions(run: Path) -> None:
    model = load(run)
    found = attribute_words("정말 재미있는 영화", lambda texts: model.predict(list(texts), ["영화"] * len(texts)))
    assert [word for word, _ in found.words] == ["정말", "재미있는", "영화"]
    assert any(abs(value) > 0 for _, value in found.words)


@pytest.mark.slow
def test_onnx_gives_the_same_probabilities(run: Path) -> None:
    shown = json.loads(kexp("export", run, "--json"))
    assert shown["check"]["largest_difference"] < 1e-4
    assert (run / "onnx" / "model.onnx").is_file()


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_freezing_policies_freeze_what_they_name(family: Family, tmp_path: Path) -> None:
    layers = {"n_layers": 3} if family.architecture == "distilbert" else {"num_hidden_layers": 3}
    options = family.options(**family.choice, path=make_folder(tmp_path, family, **layers))
    model = options.build(BackboneContext(("a", "b"), options.build_tokenizer(TokenizerContext())))
    blocks = find_blocks(model)
    assert options.layer_count() == 3
    assert blocks.names == ("embeddings", "layer.0", "layer.1", "layer.2", "head")

    def trained(frozen: Sequence[str]) -> set[str]:
        blocks.apply_freezing(frozen)
        return {
            blocks.block_of[name.rpartition(".")[0]] for name, part in model.named_parameters() if part.requires_grad
        }

    # DistilBERT, DeBERTa and others have something to train in every block.
    assert trained(FreezeAllButHead().frozen(blocks.names, 0)) == {"head"}
    assert trained(FreezeBottomLayers(layers=2).frozen(blocks.names, 0)) == {"layer.2", "head"}
    grown = [trained(GradualUnfreezing().frozen(blocks.names, epoch)) for epoch in range(5)]
    assert [len(names) for names in grown] == [1, 2, 3, 4, 5]
    # What is beside the layers (norms, relative positions) is in one of the blocks, and the base has no head.
    base = [name for name, _ in model.base_model.named_parameters()]
    prefix = f"{model.base_model_prefix}."
    heads = [name for name in base if blocks.block_of[f"{prefix}{name}".rpartition(".")[0]] == "head"]
    assert all("pooler" in name for name in heads)


def test_the_bytes_of_mdeberta_reach_the_model(tmp_path: Path) -> None:
    from small_models import write_pieces

    from kexp_korean.deberta import MDeBERTa

    family = replace(NEW[3], vocabulary=[*NEW[3].vocabulary[:-1], *BYTES, "[MASK]"])
    folder = make_folder(tmp_path, family)
    write_pieces(folder / MDeBERTa.PIECES, family.vocabulary[:-1], byte_fallback=True)
    options = MDeBERTa(path=folder)
    tokenizer = options.build_tokenizer(TokenizerContext())
    model = options.build(BackboneContext(("a", "b"), tokenizer)).eval()
    one, other = (model(**tokenizer(text, return_tensors="pt")).logits.detach().numpy() for text in ("쀍", "뷁"))
    assert not np.allclose(one, other)
