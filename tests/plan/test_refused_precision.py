"""DeBERTa is not run in fp16: by ``kexp check``, before training, and in predictions; and the reason for it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import small_encoders
import torch
from support import kexp
from transformers import PreTrainedModel

from kexp.builtin.backbones import HubBackbone, TinyBackbone
from kexp.catalog import Catalog
from kexp.contracts import TokenizerContext
from kexp.devices import Hardware, choose
from kexp.errors import KexpError, SpecError
from kexp.experiment.model_check import try_backbone
from kexp.inference import loading
from kexp.plan.resolve import resolve
from kexp.pretrained import fp16_problem
from kexp.testing import korean_texts, save_tiny_model, tiny_backbone
from kexp.trained import load

Write = Callable[..., Path]
SPEC = """
[dataset]
use = "table"
path = "{data}"
[backbone]
use = "hf"
path = "{model}"
[training]
max_length = 16
precision = "{precision}"
"""


def model_folder(folder: Path, family: str) -> Path:
    """Save a small model with as many token embeddings as its tokenizer has tokens."""
    tokenizer = tiny_backbone().build_tokenizer(TokenizerContext(korean_texts()))
    small_encoders.build(family, vocab_size=len(tokenizer), num_labels=2).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("family", "precision", "refused"),
    [
        ("deberta-v2", "fp16", True),
        ("deberta", "fp16", True),
        ("deberta-v2", "bf16", False),
        ("deberta-v2", "fp32", False),
        ("deberta-v2", "auto", False),
        ("bert", "fp16", False),
        ("modernbert", "fp16", False),
    ],
)
def test_check_refuses_deberta_in_fp16(
    family: str, precision: str, refused: bool, reviews: Path, tmp_path: Path, write_spec: Write
) -> None:
    model = model_folder(tmp_path / "model", "deberta-v2" if family == "deberta" else family)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "model_type": family}))
    checked = kexp("check", write_spec(SPEC.format(data=reviews, model=model, precision=precision)))
    lines = [line for line in checked.output.splitlines() if "65,504" in line]
    assert bool(lines) == refused
    if refused:
        assert checked.exit_code == 2
        assert "training.precision" in lines[0]
        assert f"({family})" in lines[0]
        assert 'use "auto"' in lines[0]
    else:
        assert checked.exit_code == 0, checked.output


def test_a_search_over_fp16_is_refused(reviews: Path, tmp_path: Path, write_spec: Write) -> None:
    text = SPEC.format(data=reviews, model=model_folder(tmp_path / "model", "deberta-v2"), precision="auto")
    space = '[search]\ntrials = 2\n[search.space]\n"training.precision" = {choices = ["fp16", "fp32"]}\n'
    checked = kexp("check", write_spec(text + space))
    assert checked.exit_code == 2
    assert "search.space.training.precision" in checked.output
    assert "65,504" in checked.output


def test_a_model_whose_type_is_known_once_it_is_built_is_refused_before_training(
    reviews: Path, tmp_path: Path, write_spec: Write, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_folder(tmp_path / "model", "deberta-v2")
    monkeypatch.setattr(HubBackbone, "precision_problem", lambda self, precision: "")
    plan = resolve(write_spec(SPEC.format(data=reviews, model=folder, precision="fp16")), catalog)
    tokenizer = plan.base.backbone.build_tokenizer(TokenizerContext())
    with pytest.raises(SpecError, match=r"training\.precision.*65,504"):
        try_backbone(plan.base, ("a", "b"), tokenizer)


def test_what_another_backbone_says_of_a_precision_is_heard(
    reviews: Path, write_spec: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TinyBackbone, "precision_problem", lambda self, precision: f"no {precision} here")
    text = f'[dataset]\nuse = "table"\npath = "{reviews}"\n[backbone]\nuse = "tiny"\n[training]\nprecision = "bf16"\n'
    checked = kexp("check", write_spec(text))
    assert checked.exit_code == 2
    assert 'training.precision: no bf16 here; use "fp32"' in checked.output


def test_predictions_of_deberta_in_fp16_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "choose", lambda *given, **named: Hardware(torch.device("cpu"), "fp16"))
    with pytest.raises(KexpError, match=r"--precision fp16: .*deberta-v2.*65,504.*; use bf16 or fp32"):
        load(model_folder(tmp_path / "deberta", "deberta-v2"))
    load(save_tiny_model(tmp_path / "bert"))


def test_auto_is_never_fp16() -> None:
    assert choose("auto", "auto").precision in ("fp32", "bf16")
    assert choose("cpu", "auto").precision == "fp32"


def test_other_types_and_unknown_ones_are_not_refused() -> None:
    assert [fp16_problem(kind) for kind in ("bert", "electra", "modernbert", "", None)] == [""] * 5


# --- the reason -------------------------------------------------------------------------------------------------------


def logits(model: PreTrainedModel, dtype: torch.dtype) -> torch.Tensor:
    """Return the logits of a short row beside a long one."""
    ids = torch.tensor([[5, 6, 0, 0], [7, 8, 9, 10]])
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        found: torch.Tensor = model(input_ids=ids, attention_mask=(ids > 0).long()).logits
    return found.float()


def test_products_with_positions_overflow_in_fp16_and_in_no_other_precision() -> None:
    model = small_encoders.build("deberta-v2").eval()
    for layer in model.deberta.encoder.layer:
        attention = layer.attention.self
        # Queries of 100 and position keys of 100, over the 8 numbers of a head: 80,000.
        for part in (attention.query_proj, attention.pos_key_proj):
            torch.nn.init.constant_(part.bias, 100.0)
    assert torch.isfinite(logits(model, torch.float32)).all()
    assert torch.isfinite(logits(model, torch.bfloat16)).all()
    assert torch.isnan(logits(model, torch.float16)).all()


def test_masks_do_not_overflow_in_fp16() -> None:
    model = small_encoders.build("deberta-v2").eval()
    torch.testing.assert_close(logits(model, torch.float16), logits(model, torch.float32), rtol=0.05, atol=0.01)
