"""Small random encoders of every family, for tests that hold for all of them."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PretrainedConfig

SIZES: dict[str, Any] = {
    "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 32, "pad_token_id": 0,
}  # fmt: skip

FLAT: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {},
    "xlm-roberta": {},
    "camembert": {},
    "electra": {"embedding_size": 8},
    "distilbert": {"hidden_dim": 32},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "pooler_hidden_size": 16},
    "modernbert": {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2},
}
"""What families that are run without padding need beside ``SIZES``."""

PADDED: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 8},
    "mpnet": {},
    "convbert": {"embedding_size": 16, "head_ratio": 1},
}
"""Families whose rows are padded."""

DECODERS: dict[str, dict[str, Any]] = {
    "qwen2": {"num_key_value_heads": 1},
    "qwen3": {"num_key_value_heads": 1, "head_dim": 8},
    "llama": {"num_key_value_heads": 1},
    "exaone4": {"num_key_value_heads": 1, "sliding_window": 8, "sliding_window_pattern": 2},
    "gemma": {"num_key_value_heads": 1, "head_dim": 8},
    "gpt2": {},
}
"""Language models, whose classifiers read the last token."""


def config(family: str, **more: Any) -> PretrainedConfig:
    """Return the configuration of a family with further options, or others."""
    return AutoConfig.for_model(family, **{**SIZES, **(FLAT | PADDED | DECODERS).get(family, {}), **more})


def build(family: str, factory: Any = AutoModelForSequenceClassification, **more: Any) -> Any:
    """Return a random model, always the same one."""
    torch.manual_seed(0)
    return factory.from_config(config(family, **more))
