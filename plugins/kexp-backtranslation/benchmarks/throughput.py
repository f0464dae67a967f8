"""Texts and tokens per second of both engines, and what limits them.

    python benchmarks/throughput.py [--model FOLDER] [--texts FILE] [--count 256] [--batch-tokens 2048,4096] ...

Without --model, an untrained Marian of OPUS-MT's size is made: its translations are nonsense that runs to the limit of
length, but every token costs what it costs in a trained one. --texts is a file with one text per line.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from kexp.contracts import Decoding
from kexp_backtranslation.ct2 import CTranslate2
from kexp_backtranslation.marian import Marian
from kexp_backtranslation.models import ModelSource
from kexp_backtranslation.progress import Meter, Progress
from kexp_backtranslation.store import Store
from kexp_backtranslation.work import Worker
from kexp_backtranslation.workplace import Workplace

WORDS = 65_001
SYLLABLES = [chr(code) for code in range(ord("가"), ord("힣"), 37)]


def korean_like(count: int) -> list[str]:
    """Return texts of 3 to 14 made-up words."""
    dice = random.Random(0)
    words = ["".join(dice.choices(SYLLABLES, k=dice.randint(1, 4))) for _ in range(3000)]
    return [" ".join(dice.choices(words, k=dice.randint(3, 14))) for _ in range(count)]


def untrained(folder: Path, texts: list[str]) -> Path:
    """Make a Marian folder of OPUS-MT's size, with weights as they were initialised."""
    import sentencepiece
    import torch
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(folder / "source"), vocab_size=3000, hard_vocab_limit=False,
        minloglevel=2,
    )  # fmt: skip
    (folder / "source.model").rename(folder / "source.spm")
    loaded = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    words = ["</s>", "<unk>", *(loaded.id_to_piece(number) for number in range(3, loaded.get_piece_size()))]
    words += [f"▁{number}" for number in range(WORDS - 1 - len(words))] + ["<pad>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}), "utf-8")
    spm = str(folder / "source.spm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        MarianTokenizer(source_spm=spm, target_spm=spm, vocab=str(folder / "vocab.json")).save_pretrained(folder)
    torch.manual_seed(0)
    config = MarianConfig(
        vocab_size=WORDS, d_model=512, encoder_layers=6, decoder_layers=6, encoder_attention_heads=8,
        decoder_attention_heads=8, encoder_ffn_dim=2048, decoder_ffn_dim=2048, max_position_embeddings=512,
        activation_function="swish", static_position_embeddings=True, scale_embedding=True, pad_token_id=WORDS - 1,
        eos_token_id=0, decoder_start_token_id=WORDS - 1,
    )  # fmt: skip
    MarianMTModel(config).save_pretrained(folder)
    return folder


def measure(options: Marian | CTranslate2, decoding: Decoding, texts: list[str], device: str, store: Path) -> Meter:
    """Translate all texts into a fresh store; a first small batch loads, converts and warms up, and is not counted."""
    translator: Any = options.build(Workplace("ko", "en", device, store))
    translator.translate(texts[:8], decoding, 1, 0)
    meter = Meter()
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "translations.sqlite") as database:
        worker = Worker(database, translator, "ko", "en", decoding, 0, meter)
        worker.translate(texts, 0, Progress("", len(texts), lambda line: None))
    return meter


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a model from Korean into English")
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--count", type=int, default=128)
    parser.add_argument("--batch-tokens", default="1024,4096")
    parser.add_argument("--methods", default="greedy,sampling,beam")
    parser.add_argument("--engines", default="marian,ctranslate2-float32,ctranslate2-int8")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    lines = arguments.texts.read_text("utf-8").splitlines() if arguments.texts else None
    texts = lines or korean_like(max(arguments.count, 2000))
    with tempfile.TemporaryDirectory() as folder:
        source = ModelSource(path=arguments.model or untrained(Path(folder), texts))
        print("engine\tmethod\tbatch_tokens\ttexts/s\ttokens/s\tseconds\tlimited by")
        for name in arguments.engines.split(","):
            engine, _, compute = name.partition("-")
            for method in arguments.methods.split(","):
                decoding = Decoding(method, 4 if method == "beam" else 1, 0.8)
                for size in map(int, arguments.batch_tokens.split(",")):
                    options = (
                        Marian(model=source, batch_tokens=size)
                        if engine == "marian"
                        else CTranslate2(model=source, batch_tokens=size, compute=compute or "int8")
                    )
                    start = time.perf_counter()
                    meter = measure(options, decoding, texts[: arguments.count], arguments.device, Path(folder))
                    spent = sum(meter.seconds.values())
                    limit, seconds = max(meter.seconds.items(), key=lambda item: item[1])
                    rates = f"{meter.texts / spent:.1f}\t{meter.tokens / spent:.0f}\t{time.perf_counter() - start:.1f}"
                    share = f"{limit} {100 * seconds / spent:.0f} %"
                    print(f"{name}\t{method}\t{size}\t{rates}\t{share}", flush=True)


if __name__ == "__main__":
    main()
