"""Language models as classifiers: the last token of each row is read, whatever its tokenizer pads with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import small_encoders
import torch
from small_decoders import BEGIN, END, PAD, save_decoder
from support import kexp
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kexp.builtin.backbones import HubBackbone
from kexp.contracts import BackboneContext, TokenizerContext
from kexp.data.encoding import encode
from kexp.data.labelled_stream import Collator
from kexp.data.tokenising import tokenise
from kexp.devices import choose
from kexp.experiment.model_check import check_padding
from kexp.inference.loading import load
from kexp.model.blocks import find_blocks
from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows
from kexp.model_tokenizer import padding_note

Write = Callable[..., Path]
TEXTS = ["정말 재미있는 영화", "별로", "배우가 좋고 음악도 훌륭했다 다시 보고 싶다", "", "지루하다 최악"]
LABELS = ("나쁨", "좋음")


@pytest.fixture(autouse=True)
def _quiet(recwarn: pytest.WarningsRecorder) -> None:
    """Warnings of transformers on random models are no errors."""


def built(folder: Path) -> tuple[Any, Any, Collator]:
    options = HubBackbone(path=folder)
    tokenizer = options.build_tokenizer(TokenizerContext())
    torch.manual_seed(1)
    model = options.build(BackboneContext(LABELS, tokenizer)).eval()
    # A head of transformers is random, and small.
    model.score.weight.data.normal_(generator=torch.Generator().manual_seed(2))
    return model, tokenizer, Collator.of(tokenizer, model)


def logits(model: Any, tokenizer: Any, collator: Collator, texts: list[str]) -> torch.Tensor:
    encoded = encode(texts, None, tokenizer, max_length=32, truncation="right", tokenise=tokenise)
    rows = TokenRows.of(collator(encoded, np.arange(len(texts))), torch.device("cpu"))
    with torch.no_grad():
        return Classifier(model, choose("cpu", "fp32"), collator.pad_id)(rows)


def by_hand(model: Any, tokenizer: Any, text: str) -> torch.Tensor:
    """Return the head on the last token's hidden state of one row, which is not padded."""
    ids = tokenizer(text)["input_ids"] or [tokenizer.pad_token_id]
    with torch.no_grad():
        return model.score(model.base_model(input_ids=torch.tensor([ids]))[0][0, -1])


KINDS: dict[str, dict[str, Any]] = {
    "pads": {},
    "pads on the left": {"side": "left"},
    "no padding token": {"pad": None},
    "pads with the end": {"pad": END},
    "pads with the end of rows": {"pad": END, "ends": True},
    "no padding token, rows end": {"pad": None, "ends": True},
    "begins and ends": {"begins": True, "ends": True},
    "pads with the beginning": {"pad": BEGIN, "begins": True},
    "the configuration alone pads": {"pad": None, "config": {"pad_token_id": 1}},
}


@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_last_token_is_read_alone_and_in_a_batch(tmp_path: Path, kind: str, family: str) -> None:
    model, tokenizer, collator = built(save_decoder(tmp_path / "m", TEXTS, family, **KINDS[kind]))
    found = logits(model, tokenizer, collator, TEXTS)
    assert found.std(0).min() > 1e-3
    for number, text in enumerate(TEXTS):
        torch.testing.assert_close(found[number], by_hand(model, tokenizer, text), rtol=1e-4, atol=1e-5)
        alone = logits(model, tokenizer, collator, [text])[0]
        torch.testing.assert_close(found[number], alone, rtol=1e-4, atol=1e-5)
    assert not collator.token_types
    check_padding(model, tokenizer, 32, "model")
    # What is saved is read in the same way by transformers itself; it has no rows without tokens.
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    words: Any = AutoTokenizer.from_pretrained(tmp_path / "saved")
    texts = [text for text in TEXTS if text]
    inputs = words(texts, padding=True, return_tensors="pt")
    assert words.padding_side == "right"
    with torch.no_grad():
        again = plain(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
    torch.testing.assert_close(
        again, found[[number for number, text in enumerate(TEXTS) if text]], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("kind", "token", "note"),
    [
        ("pads", PAD, ""),
        ("pads with the end", END, ""),
        ("no padding token", END, f'the tokenizer has no padding token: rows are padded with "{END}"'),
        ("no padding token, rows end", BEGIN, f'the tokenizer has no padding token: rows are padded with "{BEGIN}"'),
        ("the configuration alone pads", BEGIN, f'the tokenizer has no padding token: rows are padded with "{BEGIN}"'),
        ("pads with the end of rows", BEGIN, f'the tokenizer pads with "{END}", in which its rows end'),
    ],
)
def test_the_padding_token_is_chosen_and_told(tmp_path: Path, kind: str, token: str, note: str) -> None:
    model, tokenizer, _ = built(save_decoder(tmp_path / "m", TEXTS, **KINDS[kind]))
    assert tokenizer.pad_token == token
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert padding_note(tokenizer).startswith(note)
    assert bool(padding_note(tokenizer)) == bool(note)


@pytest.mark.parametrize("family", [*small_encoders.DECODERS])
def test_every_family_has_blocks_and_reads_given_embeddings(tmp_path: Path, family: str) -> None:
    model, tokenizer, collator = built(save_decoder(tmp_path / "m", TEXTS, family))
    blocks = find_blocks(model)
    assert blocks.names == ("embeddings", "layer.0", "layer.1", "head")
    of = {name: blocks.block_of[name.rpartition(".")[0]] for name, _ in model.named_parameters()}
    assert {name for name, block in of.items() if block == "head"} == {"score.weight"}
    assert {name.split(".")[-2] for name, block in of.items() if block == "embeddings"} <= {
        "embed_tokens",
        "wte",
        "wpe",
    }
    encoded = encode(TEXTS[:3], None, tokenizer, max_length=32, truncation="right", tokenise=tokenise)
    rows = TokenRows.of(collator(encoded, np.arange(3)), torch.device("cpu"))
    classifier = Classifier(model, choose("cpu", "fp32"), collator.pad_id)
    given = classifier.embedded_logits(classifier.embed(rows), rows)
    torch.testing.assert_close(given, classifier(rows), rtol=1e-4, atol=1e-5)


def test_a_classifier_of_others_without_a_padding_token_is_read_by_lengths(tmp_path: Path) -> None:
    folder = save_decoder(tmp_path / "m", TEXTS, pad=None, ends=True)
    model, _, _ = built(folder)
    model.config.pad_token_id = None
    model.save_pretrained(folder)
    loaded = load(folder, device="cpu", precision="fp32")
    assert any(f'the tokenizer has no padding token: rows are padded with "{BEGIN}"' in note for note in loaded.notes)
    tokenizer = loaded.members[0].pipeline.tokenizer
    expected = [by_hand(model, tokenizer, text).softmax(-1).numpy() for text in TEXTS]
    np.testing.assert_allclose(loaded.predict(TEXTS), expected, atol=1e-5)


# --- the commands -----------------------------------------------------------------------------------------------------


def spec_of(model: Path, reviews: Path, tables: str = "", **training: Any) -> str:
    keys = {"epochs": 2, "batch_size": 16, "max_length": 48, "learning_rate": 5e-3, **training}
    stated = "\n".join(f"{key} = {value}" for key, value in keys.items())
    return f"""
name = "decoder"
seeds = [1]
[dataset]
use = "table"
path = "{reviews}"
[backbone]
use = "hf"
path = "{model}"
{tables}
[training]
{stated}
"""


@pytest.mark.parametrize("adapter", ["", 'adapter = {use = "lora", target = "all-linear"}'], ids=["whole", "lora"])
def test_run_predict_and_export(write_spec: Write, reviews: Path, tmp_path: Path, adapter: str) -> None:
    folder = save_decoder(tmp_path / "작은 모델", pd.read_csv(reviews)["text"], "qwen3", pad=None, side="left")
    spec = write_spec(spec_of(folder, reviews, adapter, layer_decay=0.9, gradient_checkpointing="true"))
    assert kexp("check", spec).exit_code == 0
    done = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json")
    assert done.exit_code == 0, done.stderr
    assert f'the tokenizer has no padding token: rows are padded with "{END}"' in done.stderr
    # Nothing but the run folder is needed from here on.
    shutil.rmtree(folder)
    run = Path(json.loads(done.stdout)["folder"]) / "default" / "seed-1"
    stored = pd.read_parquet(run / "predictions.parquet")
    model = load(run, device="cpu", precision="fp32")
    expected = stored[[f"probability:{label}" for label in model.labels]].to_numpy()
    np.testing.assert_allclose(model.predict(stored["text"].tolist()), expected, atol=1e-4)
    assert np.isfinite(model.predict(["", "영화"])).all()
    out = tmp_path / "onnx"
    exported = kexp("export", run, "--output", out, "--format", "onnx")
    assert exported.exit_code == 0, exported.stderr
    assert json.loads((out / "kexp.json").read_text("utf-8"))["check"]["largest_difference"] < 1e-4


def test_objectives_that_change_embeddings_read_the_last_token(
    write_spec: Write, reviews: Path, tmp_path: Path
) -> None:
    folder = save_decoder(tmp_path / "m", pd.read_csv(reviews)["text"])
    text = spec_of(folder, reviews, epochs=1) + '[objective]\nuse = "vat"\n[labelled]\nn = 60\n'
    done = kexp("run", write_spec(text), "--runs-dir", tmp_path / "runs", "--json", "--quiet")
    assert done.exit_code == 0, done.stderr


def test_pretraining_is_refused_with_the_reason(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    folder = save_decoder(tmp_path / "m", pd.read_csv(reviews)["text"])
    done = kexp("check", write_spec(spec_of(folder, reviews) + "[pretraining]\nsteps = 2\n"))
    assert done.exit_code == 2
    assert "pretraining: transformers has no masked language model of type qwen2" in " ".join(done.stderr.split())


def test_code_of_its_own_is_refused_unless_it_is_trusted(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    from small_decoders import change

    folder = save_decoder(tmp_path / "m", pd.read_csv(reviews)["text"])
    own = {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M", "AutoModelForSequenceClassification": "own.S"}
    change(folder / "config.json", model_type="exaone", auto_map=own)
    done = kexp("run", write_spec(spec_of(folder, reviews)), "--runs-dir", tmp_path / "runs")
    assert done.exit_code != 0
    assert "runs Python code of its own; read it, then set trust_remote_code = true" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
