"""Folders of small random language models with a byte-level tokenizer, as on the hub: without a classification head."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import small_encoders
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

END, BEGIN, PAD = "<|endoftext|>", "<s>", "<pad>"


def save_decoder(
    folder: Path,
    texts: Iterable[str],
    family: str = "qwen2",
    *,
    pad: str | None = PAD,
    begins: bool = False,
    ends: bool = False,
    side: str = "right",
    config: dict[str, Any] | None = None,
) -> Path:
    """Save a language model; its rows have a first or last special token if ``begins`` or ``ends``."""
    special = [END, BEGIN, *([pad] if pad and pad not in (END, BEGIN) else [])]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(sorted(texts), trainer)
    around = [BEGIN] * begins + ["$A"] + [END] * ends
    if begins or ends:
        named = [(token, backend.token_to_id(token)) for token in (BEGIN, END)]
        backend.post_processor = processors.TemplateProcessing(single=" ".join(around), pair=None, special_tokens=named)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=BEGIN, eos_token=END, pad_token=pad, padding_side=side, model_max_length=64
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"vocab_size": len(tokenizer) + 3, "max_position_embeddings": 64, "pad_token_id": None, **(config or {})}
    # Larger than a model's own, so that random logits differ from text to text.
    AutoModelForCausalLM.from_config(small_encoders.config(family, initializer_range=0.2, **sizes)).save_pretrained(
        folder
    )
    return folder


def change(path: Path, **keys: Any) -> None:
    """Change keys of a JSON file; None removes one."""
    stored = {**json.loads(path.read_text("utf-8")), **keys}
    path.write_text(json.dumps({key: value for key, value in stored.items() if value is not None}), "utf-8")
