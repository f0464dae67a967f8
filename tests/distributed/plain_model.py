"""A model whose loss two processes can have in common: without dropout, for which each draws other numbers."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification

from kexp.builtin.backbones import cased_wordpiece, wordpiece_vocabulary


def without_dropout(folder: Path, texts: list[str]) -> None:
    """Save a small model whose dropout is 0 everywhere: processes draw different numbers for it."""
    tokenizer = cased_wordpiece(wordpiece_vocabulary(texts, 300))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
