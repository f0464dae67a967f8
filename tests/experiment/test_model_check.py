"""Models that cannot classify, or whose predictions depend on the padding, are refused before a run folder exists."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from support import kexp
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel
from transformers.models.bert.modeling_bert import BertSelfAttention

from kexp.builtin.backbones import cased_wordpiece
from kexp.errors import KexpError
from kexp.experiment.model_check import check_padding

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "영화", "정말", "최고", "별로", "[", "]", "SEP"]
TOKENIZER = cased_wordpiece({token: number for number, token in enumerate(VOCABULARY)})
COMMON = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
BART = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "eos_token_id": 3,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "decoder_start_token_id": 3,
}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "bert": COMMON | {"max_position_embeddings": 20},
    "roberta": COMMON | {"max_position_embeddings": 22},
    "mpnet": COMMON | {"max_position_embeddings": 20},
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 20},
    "llama": COMMON,
    "opt": COMMON | {"ffn_dim": 16, "word_embed_proj_dim": 16},
    "xlnet": {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16},
    "t5": {"d_model": 16, "num_layers": 1, "num_heads": 2, "d_kv": 8, "d_ff": 16, "decoder_start_token_id": 0},
    "bart": BART,
}


def model_of(family: str, **options: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, vocab_size=30, **{"pad_token_id": 0, **SIZES[family], **options})
    return AutoModelForSequenceClassification.from_config(config)


def refusal(model: PreTrainedModel, max_length: int = 16) -> str:
    with pytest.raises(KexpError) as caught:
        check_padding(model, TOKENIZER, max_length, "model X")
    return str(caught.value)


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama", "opt", "bart"])
def test_a_model_that_ignores_its_padding_passes_and_is_as_before(family: str) -> None:
    model = model_of(family).train()
    state = torch.get_rng_state()
    check_padding(model, TOKENIZER, 16, "model X")
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("family", ["gpt2", "llama", "opt"])
def test_a_decoder_that_looks_for_another_padding_is_refused(family: str) -> None:
    message = refusal(model_of(family, pad_token_id=7))
    assert message.startswith("model X reads the padding: the logits of a short row alone and padded are ")
    assert "config.json says pad_token_id 7, the tokenizer pads with 0; correct it" in message


def test_a_model_that_reads_the_last_position_is_refused() -> None:
    assert refusal(model_of("xlnet")).startswith("model X reads the padding: ")


def test_an_encoder_decoder_without_its_end_token_is_refused() -> None:
    message = refusal(model_of("t5"))
    assert message.startswith("model X cannot classify 16 tokens: ")
    assert "<eos>" in message


@pytest.mark.parametrize(("family", "length"), [("bert", 20), ("roberta", 21), ("gpt2", 20)])
def test_more_tokens_than_positions_are_refused_in_plain_words(family: str, length: int) -> None:
    check_padding(model_of(family), TOKENIZER, length, "model X")
    assert refusal(model_of(family), length + 1) == (
        f"model X cannot classify {length + 1} tokens: a token or a position is beyond the tables of its weights; "
        "lower training.max_length; use another model"
    )


def test_a_model_that_later_versions_of_transformers_run_in_another_way_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_of("bert", initializer_range=0.5)
    attention = BertSelfAttention.forward

    def unscaled(self: Any, hidden_states: torch.Tensor, *others: Any, **named: Any) -> Any:
        return attention(self, 3 * hidden_states, *others, **named)

    unscaled.__module__ = attention.__module__
    monkeypatch.setattr(BertSelfAttention, "forward", unscaled)
    assert re.fullmatch(
        r"model X: the forward pass without padding gives logits that are [\d.e-]+ apart from those of "
        rf"transformers {transformers.__version__}, which runs such models in another way; "
        "install another version of transformers, and report this",
        refusal(model),
    )


# --- from the command line -------------------------------------------------------------------------------------------


def write(folder: Path, family: str, **options: Any) -> Path:
    model = model_of(family, **options)
    model.save_pretrained(folder / "model")
    TOKENIZER.save_pretrained(folder / "model")
    rows = [f"영화 {'정말 ' * (number % 4)}[SEP] 최고 [PAD],{'가' if number % 2 else '나'}" for number in range(40)]
    (folder / "data.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    (folder / "spec.toml").write_text(
        'seeds = [1]\n[dataset]\nuse = "table"\npath = "data.csv"\n[cleaning]\nduplicates = "keep"\n'
        'contradictions = "keep"\noverlap = "keep"\n[backbone]\nuse = "hf"\npath = "model"\n'
        "[training]\nepochs = 1\nmax_length = 16\n",
        encoding="utf-8",
    )
    return folder / "spec.toml"


@pytest.mark.parametrize("command", ["run", "tune"])
@pytest.mark.parametrize("family", ["xlnet", "t5"])
def test_nothing_is_written_for_a_model_that_cannot_be_used(family: str, command: str, tmp_path: Path) -> None:
    spec = write(tmp_path, family)
    if command == "tune":
        spec.write_text(
            spec.read_text("utf-8")
            + '[search]\ntrials = 1\n[search.space]\n"training.learning_rate" = { low = 1e-4, high = 1e-3 }\n'
        )
    result = kexp(command, spec, "--runs-dir", tmp_path / "runs")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"backbone of type {family} ")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", ["check", "run"])
def test_gradient_checkpointing_needs_a_model_that_supports_it(command: str, tmp_path: Path) -> None:
    spec = write(tmp_path, "mpnet")
    spec.write_text(f"{spec.read_text('utf-8')}gradient_checkpointing = true\n", encoding="utf-8")
    options = ["--runs-dir", tmp_path / "runs"] if command == "run" else []
    result = kexp(command, spec, *options)
    assert result.exit_code == 2
    finding = "training.gradient_checkpointing: MPNetForSequenceClassification does not support it"
    assert result.stderr.splitlines()[-1] == f"{spec}: {finding}; leave it out, or use another backbone"
    assert not (tmp_path / "runs").exists()


def test_a_model_of_unknown_code_is_known_to_support_it_or_not_once_it_is_built(tmp_path: Path) -> None:
    spec = write(tmp_path, "mpnet")
    spec.write_text(f"{spec.read_text('utf-8')}gradient_checkpointing = true\n", encoding="utf-8")
    config = tmp_path / "model" / "config.json"
    stored = json.loads(config.read_text("utf-8"))
    config.write_text(json.dumps({**stored, "auto_map": {"AutoModel": "own.Model"}}), encoding="utf-8")
    assert kexp("check", spec).exit_code == 0
    result = kexp("run", spec, "--runs-dir", tmp_path / "runs")
    assert result.exit_code == 2
    finding = "training.gradient_checkpointing: MPNetForSequenceClassification does not support it"
    assert result.stderr.splitlines()[-1] == f"{finding}; leave it out, or use another backbone"
    assert not (tmp_path / "runs").exists()


def test_special_tokens_in_the_data_are_text_in_training_and_prediction(tmp_path: Path) -> None:
    spec = write(tmp_path, "bart")
    result = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    run = Path(json.loads(result.stdout)["folder"]) / "default" / "seed-1"
    predicted = kexp("predict", run, "영화 [SEP] 최고", "--json")
    assert predicted.exit_code == 0, predicted.output


def test_a_trained_decoder_whose_padding_was_changed_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "gpt2")
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text("utf-8")), "pad_token_id": 7}), encoding="utf-8")
    result = kexp("predict", tmp_path / "model", "영화 최고")
    assert result.exit_code == 2
    assert f"model {tmp_path / 'model'} reads the padding: " in result.stderr


def test_rows_of_unknown_tokens_alone_are_reported_in_training_and_prediction(tmp_path: Path) -> None:
    spec = write(tmp_path, "bert")
    rows = [*(f"영화 {'정말 ' * (number % 4)}최고,{'가' if number % 2 else '나'}" for number in range(40))]
    rows += [f"{'뷁' * (101 + number)},{'가' if number % 2 else '나'}" for number in range(10)]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    result = kexp("run", spec, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    tokens = json.loads(result.stdout)["variants"]["default"]["data"]["tokens"]
    assert sum(split["unknown rows"] for split in tokens.values()) == 10
    shown = kexp("run", spec, "--dry-run")
    for split, found in tokens.items():
        if found["unknown rows"]:
            count = found["unknown rows"]
            rows = f"1 row of {split} consists" if count == 1 else f"{count} rows of {split} consist"
            assert f"{rows} of unknown tokens alone" in " ".join(shown.output.split())
    predicted = kexp("predict", tmp_path / "model", "뷁" * 101, "영화 최고")
    assert "2 rows; 1 of unknown tokens alone" in predicted.stderr
