"""The benchmarks run, and print a line for every contestant; what they measure is no test's business."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kexp.testing import korean_reviews, save_tiny_model

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
FEW = ("--rows", "40", "--rounds", "1")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The options that name a tiny model and some reviews, in the columns of NSMC."""
    folder = tmp_path_factory.mktemp("benchmarks")
    reviews = list(zip(*korean_reviews(300), strict=True))
    # As many as a step of UDA draws from.
    rows = [f"{number}\t{text} {number}\t{label}" for number, (text, label) in enumerate(reviews * 14)]
    (folder / "reviews.tsv").write_text("\n".join(["id\tdocument\tlabel", *rows]) + "\n", "utf-8")
    return ("--model", str(save_tiny_model(folder / "model")), "--data", str(folder / "reviews.tsv"))


@pytest.mark.parametrize(
    ("name", "options", "contestants"),
    [
        ("training", (*FEW, "--max-length", "16"), ["notebook", "Trainer, dynamic", "Trainer, grouped", "kexp"]),
        ("frozen", (*FEW, "--max-length", "16", "--epochs", "2"), ["Trainer", "kexp, all blocks", "kexp, frozen"] * 2),
        ("prediction", FEW, ["naive loop", "transformers pipeline", "kexp"]),
        (
            "uda_step",
            ("--labelled", "2", "--unlabelled", "6", "--steps", "2"),
            ["three passes", "three passes", "kexp"],
        ),
    ],
)
def test_every_contestant_is_timed(
    name: str, options: tuple[str, ...], contestants: list[str], given: tuple[str, ...]
) -> None:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *given, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rest = iter(done.stdout.splitlines())
    for contestant in contestants:
        assert any(line.strip().startswith(contestant) for line in rest), f"{contestant} is missing in {done.stdout}"
