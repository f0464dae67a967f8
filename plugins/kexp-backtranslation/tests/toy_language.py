"""A toy Korean and a toy pivot language with other words and another word order, and a Marian pair that learns them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SUBJECTS = {"나는": "i", "너는": "you", "그는": "he", "영희는": "younghee", "아이가": "child", "친구가": "friend"}
ADVERBS = {"": "", "오늘": "today", "자주": "often", "정말": "truly", "혼자": "alone"}
OBJECTS = {
    "사과를": "apple",
    "책을": "book",
    "영화를": "film",
    "음악을": "music",
    "편지를": "letter",
    "빵을": "bread",
    "그림을": "picture",
    "노래를": "song",
}
# What the way back says instead: the same in other words.
VERBS = {
    "좋아한다": ("likes", "즐긴다"),
    "만든다": ("makes", "지어낸다"),
    "찾는다": ("seeks", "구한다"),
    "버린다": ("drops", "내던진다"),
    "본다": ("sees", "바라본다"),
    "산다": ("buys", "사들인다"),
}


def sentences() -> list[tuple[str, str, str]]:
    """Return all sentences (subject adverb object verb), in the pivot (subject verb object adverb), and paraphrased."""
    return [
        tuple(
            " ".join(filter(None, words))
            for words in (
                (subject, adverb, thing, verb),
                (SUBJECTS[subject], VERBS[verb][0], OBJECTS[thing], ADVERBS[adverb]),
                (subject, adverb, thing, VERBS[verb][1]),
            )
        )
        for subject in SUBJECTS
        for adverb in ADVERBS
        for thing in OBJECTS
        for verb in VERBS
    ]


def korean(count: int, seed: int = 0) -> list[str]:
    """Return ``count`` different toy Korean sentences."""
    return random.Random(seed).sample([sentence[0] for sentence in sentences()], count)


def _vocabulary(folder: Path, sides: Sequence[Sequence[str]]) -> None:
    """Write source.spm, target.spm and vocab.json as OPUS-MT's folders have them; padding comes last."""
    import sentencepiece

    pieces: list[str] = []
    for name, lines in zip(("source", "target"), sides, strict=True):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_prefix=str(folder / name),
            vocab_size=170,
            model_type="bpe",
            hard_vocab_limit=False,
            character_coverage=1.0,
            minloglevel=2,
        )
        (folder / f"{name}.model").rename(folder / f"{name}.spm")
        (folder / f"{name}.vocab").unlink()
        loaded = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.spm"))
        pieces += [loaded.id_to_piece(number) for number in range(3, loaded.get_piece_size())]
    words = ["</s>", "<unk>", *dict.fromkeys(pieces), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}), "utf-8")


def tokenizer(folder: Path) -> Any:
    from transformers import MarianTokenizer

    made = MarianTokenizer(
        source_spm=str(folder / "source.spm"),
        target_spm=str(folder / "target.spm"),
        vocab=str(folder / "vocab.json"),
        model_max_length=64,
    )
    made.save_pretrained(folder)
    return made


def fresh_model(words: int, size: int = 64, layers: int = 1, positions: int = 64) -> Any:
    """Return an untrained Marian model whose padding token comes last in ``words`` words."""
    from transformers import MarianConfig, MarianMTModel

    config = MarianConfig(
        vocab_size=words,
        d_model=size,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=max(4, size // 64),
        decoder_attention_heads=max(4, size // 64),
        encoder_ffn_dim=4 * size,
        decoder_ffn_dim=4 * size,
        max_position_embeddings=positions,
        activation_function="swish",
        static_position_embeddings=True,
        scale_embedding=True,
        dropout=0.0,
        pad_token_id=words - 1,
        eos_token_id=0,
        bos_token_id=0,
        decoder_start_token_id=words - 1,
        forced_eos_token_id=None,
    )
    model = MarianMTModel(config)
    model.generation_config.bad_words_ids = [[words - 1]]
    return model


def train(folder: Path, pairs: Sequence[tuple[str, str]], steps: int = 400, batch: int = 32) -> Path:
    """Train a model that translates the first of each pair into the second, and save it as a Hugging Face folder."""
    import torch

    folder.mkdir(parents=True)
    _vocabulary(folder, ([pair[0] for pair in pairs], [pair[1] for pair in pairs]))
    words = tokenizer(folder)
    torch.manual_seed(0)
    model = fresh_model(len(words.get_vocab()))
    pad = model.config.pad_token_id
    inputs = words([pair[0] for pair in pairs], return_tensors="pt", padding=True)
    labels = words(text_target=[pair[1] for pair in pairs], return_tensors="pt", padding=True)["input_ids"]
    # The loss looks past the padding; the decoder's own shift puts it at the start.
    labels = labels.masked_fill(labels == pad, -100)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3, betas=(0.9, 0.98), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.15)
    for _ in range(steps):
        rows = torch.randint(len(pairs), (batch,))
        loss = model(**{name: value[rows] for name, value in inputs.items()}, labels=labels[rows]).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        with torch.no_grad():  # Marian starts from the padding's embedding, which is zero in published models
            model.get_input_embeddings().weight[pad].zero_()
    model.eval().save_pretrained(folder)
    return folder
