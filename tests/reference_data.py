"""The specs in ``experiments/`` beside made-up files of the names and shapes that they read."""

from __future__ import annotations

import shutil
from pathlib import Path

from support import REPOSITORY

OPINIONS = (("지루", "별로"), ("재미", "감동"))
PAIRED = 300


def review(number: int, label: int, characters: int) -> str:
    """Return a review that no other number has, of 10 characters or more."""
    text = f"{OPINIONS[label][number % 2]} {number:05d}번"
    return text + "영화" * ((characters - len(text)) // 2) + "요" * ((characters - len(text)) % 2)


def reviews(rows: int, first: int) -> list[tuple[str, int]]:
    """Return reviews of 10 to 33 characters, as many negative as positive ones."""
    return [(review(first + row, row % 2, 10 + row // 2 % 24), row % 2) for row in range(rows)]


def write_nsmc(folder: Path, train: int = 4000, test: int = 480) -> None:
    """Write NSMC's two files, and pairs of the first train reviews of 15 to 28 characters."""
    folder.mkdir(parents=True)
    for name, rows, first in (("train", train, 0), ("test", test, train)):
        lines = [f"{number}\t{text}\t{label}\n" for number, (text, label) in enumerate(reviews(rows, first))]
        (folder / f"ratings_{name}.txt").write_text("id\tdocument\tlabel\n" + "".join(lines), encoding="utf-8")
    fitting = [text for text, _ in reviews(train, 0) if 15 <= len(text) <= 28][:PAIRED]
    pairs = "".join(f"{text},{text.replace('영화', '작품')}\n" for text in fitting)
    (folder / "pairs.csv").write_text("document,augmented\n" + pairs, encoding="utf-8")


def write_model(folder: Path) -> None:
    """Write a random BERT without its tokenizer, which is enough to check a spec."""
    from small_encoders import build

    build("bert", num_hidden_layers=4, max_position_embeddings=300).save_pretrained(folder)


def lay_out(folder: Path) -> Path:
    """Copy ``experiments/`` into a folder, beside what it reads; return the copy."""
    write_nsmc(folder / "data" / "nsmc")
    write_model(folder / "models" / "ko-mini")
    return Path(shutil.copytree(REPOSITORY / "experiments", folder / "experiments"))
