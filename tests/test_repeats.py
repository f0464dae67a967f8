"""The names and folders of a variant's runs, and finding them again."""

from __future__ import annotations

from pathlib import Path

import pytest

from kexp.repeats import Repeat, all_repeats, place_of, repeats_in, run_files

EXAMPLES = (
    (Repeat(7), "seed-7", "seed 7", "7"),
    (Repeat(1, draw=2), "draw-2/seed-1", "draw 2, seed 1", "draw-2/seed-1"),
    (Repeat(1, fold=3), "fold-3/seed-1", "fold 3, seed 1", "fold-3/seed-1"),
    (Repeat(0, 2, 3), "draw-2/fold-3/seed-0", "draw 2, fold 3, seed 0", "draw-2/fold-3/seed-0"),
)


@pytest.mark.parametrize(("repeat", "folder", "name", "key"), EXAMPLES, ids=str)
def test_a_repeat_is_named_by_what_it_has(repeat: Repeat, folder: str, name: str, key: str) -> None:
    assert (repeat.folder, repeat.name, repeat.key) == (folder, name, key)
    assert Repeat.parse(folder) == repeat
    assert Repeat.of({"variant": "x", **repeat.keys()}) == repeat


@pytest.mark.parametrize(
    "folder", ["", "seed", "seed-", "seed-x", "seed--1", "fold-1", "fold-0/seed-1", "fold-1/draw-1/seed-1", "seed-1/model",
               "seed-１", f"seed-{10**19}"]
)  # fmt: skip
def test_other_folders_are_no_repeats(folder: str) -> None:
    assert Repeat.parse(folder) is None


def test_runs_are_every_draw_with_every_fold_and_every_seed() -> None:
    assert [repeat.folder for repeat in all_repeats([4, 9], 1, None)] == ["seed-4", "seed-9"]
    assert [repeat.folder for repeat in all_repeats([4, 9], 2, 2)] == [
        f"draw-{draw}/fold-{fold}/seed-{seed}" for draw in (1, 2) for fold in (1, 2) for seed in (4, 9)
    ]


def test_summaries_of_earlier_versions_have_seeds_alone() -> None:
    assert repeats_in({"seeds": [2, 1]}) == [Repeat(2), Repeat(1)]
    assert repeats_in({"seeds": [1], "repeats": [{"fold": 2, "seed": 1}]}) == [Repeat(1, fold=2)]


def test_variants_may_be_called_like_draws_and_folds(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").touch()
    made = (
        "fold-1/seed-2",
        "fold-1/seed-10",
        "fold-1/fold-2/seed-1",
        "draw-1/draw-1/seed-1",
        "plain/draw-2/fold-1/seed-3",
    )
    for folder in made:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "result.json").touch()
        (tmp_path / folder / "model").mkdir()
        (tmp_path / folder / "model" / "config.json").touch()
    found = [(variant, repeat) for _, variant, repeat in run_files(tmp_path, "result.json")]
    assert found == [(variant, repeat) for _, variant, repeat in run_files(tmp_path, "model/config.json")]
    assert found == [
        ("draw-1", Repeat(1, draw=1)),
        ("fold-1", Repeat(2)),
        ("fold-1", Repeat(10)),
        ("fold-1", Repeat(1, fold=2)),
        ("plain", Repeat(3, 2, 1)),
    ]
    assert place_of(tmp_path / "fold-1") == (tmp_path, "fold-1", ())
    assert place_of(tmp_path / "fold-1" / "seed-2") == (tmp_path, "fold-1", (("seed", 2),))
    assert place_of(tmp_path / "fold-1" / "fold-2") == (tmp_path, "fold-1", (("fold", 2),))
    assert place_of(tmp_path / "plain/draw-2/fold-1/seed-3") == (
        tmp_path, "plain", (("draw", 2), ("fold", 1), ("seed", 3)),
    )  # fmt: skip
    assert place_of(tmp_path / "plain/seed-3/model") is None
    assert place_of(tmp_path / "plain/seed-3/draw-1") is None
