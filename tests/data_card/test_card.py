"""The whole card, from the command line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from card_rows import labelled, write_rows
from support import kexp, tiny_spec

Write = Callable[..., Path]

WORDS = ["영화", "각본", "배우", "좋다", "나쁘다", "정말", "조금", "지루하다", "음악", "연출", "화면", "결말"]


def texts(count: int) -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=9)) + f" {number}" for number in range(count)]


@pytest.fixture
def spec(write_spec: Write, tmp_path: Path) -> Path:
    own = texts(120)
    rows = [*labelled(*[(text, "xy"[number % 2]) for number, text in enumerate(own)]),
            *labelled((own[0], "x"), (own[1], "x"), ("", "y"), (f"{own[4]} ㅋㅋ", "x"))]  # fmt: skip
    return write_spec(tiny_spec().format(data=write_rows(tmp_path / "rows.jsonl", rows)))


def card(*arguments: str | Path) -> dict[str, Any]:
    result = kexp("data", *arguments, "--json")
    assert not result.exit_code, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_card_as_json(spec: Path) -> None:
    found = card(spec)
    assert found.keys() == {
        "name",
        "variant",
        "splits",
        "lengths",
        "tokens",
        "findings",
        "samples",
        "remarks",
        "digest",
    }
    assert (found["name"], found["variant"], found["remarks"]) == ("spec", "default", [])
    assert [split["split"] for split in found["splits"]] == ["train", "validation", "test"]
    assert found["splits"][0]["read"] == {"x": 63, "y": 61}
    assert sum(sum(split["trained"].values()) for split in found["splits"]) == 120
    assert [(one["split"], one["unit"]) for one in found["lengths"]] == [
        (split, unit) for unit in ("characters", "tokens") for split in ("train", "validation", "test")
    ]
    assert found["lengths"][0]["percentiles"].keys() == {"0", "5", "25", "50", "75", "95", "99", "100"}
    assert found["tokens"]["max_length"] == 16
    findings = {one["name"]: one for one in found["findings"]}
    counts = {
        name: (findings[name]["count"], findings[name]["rows"])
        for name in ("empty", "duplicates", "contradictions", "near-duplicates")
    }
    assert counts["empty"] == (1, 124)
    assert counts["duplicates"] == (1, 124)
    assert counts["contradictions"] == (2, 124)
    assert findings["empty"]["share"] == pytest.approx(1 / 124)
    assert findings["duplicates"]["examples"] == [
        {"split": "train", "row": 121, "text": texts(1)[0], "label": "x", "note": "as row 1"}
    ]
    assert len(found["samples"]) == 3


def test_a_card_on_the_screen_tells_the_same(spec: Path) -> None:
    found, result = card(spec), kexp("data", spec)
    assert not result.exit_code
    lines = result.stdout.splitlines()
    assert lines[0] == "spec, default"
    assert "label\ttrain as read\ttrain\tvalidation\ttest" in lines
    assert any(line.startswith("x\t63\t") for line in lines)
    for finding in found["findings"]:
        place = next(
            number for number, line in enumerate(lines) if line.startswith(f"{finding['name']}  {finding['title']}")
        )
        assert lines[place + 1] == f"  {finding['remedy']}"
        example = finding["examples"][0]
        assert lines[place + 2].startswith(f"  {example['split']} row {example['row']}\t{example['label']}\t")
    assert f"{len(found['findings'])} findings" in lines
    characters, place = found["lengths"][:3], lines.index("characters\ttrain\tvalidation\ttest")
    assert lines[place + 1] == "\t".join(["rows", *(str(one["rows"]) for one in characters)])
    assert lines[place + 2] == "\t".join(["mean", *(f"{one['mean']:.1f}" for one in characters)])
    assert lines[place + 10] == "\t".join(["100 %", *(str(one["percentiles"]["100"]) for one in characters)])
    suggested = found["tokens"]["suggested"]
    assert any(
        f"training.max_length is 16; {suggested} holds 99 % of the rows of training; the backbone reads at most 256"
        in line
        for line in lines
    )
    assert "reading the data of spec" in result.stderr


def test_a_run_folder_is_a_spec(spec: Path, tmp_path: Path) -> None:
    assert not kexp("run", spec, "--runs-dir", tmp_path / "runs", "--set", "training.epochs=1", "--quiet").exit_code
    (folder,) = (tmp_path / "runs" / "spec").iterdir()
    assert card(folder) == card(spec)


def test_a_folder_without_a_spec_is_refused(tmp_path: Path) -> None:
    result = kexp("data", tmp_path)
    assert result.exit_code == 2
    assert result.stderr == f"{tmp_path}: no spec.toml in this folder; expected a spec file or a run folder\n"


def test_of_the_folder_of_a_search_the_spec_is_named(spec: Path, tmp_path: Path) -> None:
    spec.write_text(
        f'{spec.read_text("utf-8")}\n[search]\ntrials = 1\n[search.space]\n"training.learning_rate" = {{low = 1e-3, high = 1e-2}}\n',
        "utf-8",
    )
    assert not kexp("tune", spec, "--runs-dir", tmp_path / "runs", "--quiet").exit_code
    (folder,) = (path.parent for path in (tmp_path / "runs" / "spec").glob("*/study.toml"))
    result = kexp("data", folder)
    assert result.exit_code == 2
    study = folder / "study.toml"
    assert result.stderr == f"{folder}: it is the folder of a search, not of runs; give its spec, {study}\n"
    assert card(study)["lengths"] == card(spec)["lengths"]


def test_a_variant_is_chosen(spec: Path, write_spec: Write) -> None:
    two = write_spec(spec.read_text("utf-8") + "[variants.all]\n[variants.few]\nlabelled.per_class = 5\n", "two.toml")
    first = kexp("data", two, "--json")
    assert "the card is that of all; --variant chooses another: few" in first.stderr
    assert json.loads(first.stdout)["variant"] == "all"
    few = card(two, "--variant", "few")
    assert few["variant"] == "few"
    assert {split["split"]: sum(split["trained"].values()) for split in few["splits"]}["train"] == 10
    changed = card(two, "--variant", "few", "--set", "labelled.per_class=3")
    assert sum(changed["splits"][0]["trained"].values()) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("split.folds=5",), "fold 1, one of 5 folds"),
        (("labelled.per_class=5", "labelled.draws=3", "split.folds=4"), "draw 1, fold 1, one of 3 draws, 4 folds"),
        (("split.resplit=true", "seeds=[7,8]"), "seed 7, one of 2 seeds"),
        (("seeds=[7,8]",), None),
        (("split.resplit=true", "seeds=[7]"), None),
    ],
)
def test_the_card_says_of_which_run_it_is_where_others_divide_the_rows_in_another_way(
    spec: Path, options: tuple[str, ...], said: str | None
) -> None:
    remarks = card(spec, *(part for option in options for part in ("--set", option)))["remarks"]
    of_runs = [remark for remark in remarks if remark.startswith("the card is that of")]
    expected = f"the card is that of {said}: the other runs divide the rows in another way"
    assert of_runs == ([expected] if said else [])


def test_without_a_tokenizer_the_rest_is_shown_and_the_reason(spec: Path) -> None:
    absent = ("--set", 'backbone={use="hf", id="nobody/nothing-at-all"}')
    found = card(spec, *absent)
    assert found["tokens"] is None
    assert found["samples"] == []
    assert {one["unit"] for one in found["lengths"]} == {"characters"}
    (remark,) = found["remarks"]
    assert remark.startswith("nothing is said of tokens: ")
    assert "nobody/nothing-at-all" in remark
    assert [one["name"] for one in found["findings"]][:2] == ["empty", "duplicates"]
    assert remark in kexp("data", spec, *absent).stdout


def test_data_that_cannot_be_read_are_refused(spec: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "가"}\n', "utf-8")
    result = kexp("data", spec)
    assert result.exit_code == 2
    assert "label" in result.stderr
    assert not result.stdout


def test_data_that_cannot_be_trained_on_are_shown(spec: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", labelled(*[(f"글 {number % 9}", "x") for number in range(20)]))
    found = card(spec)
    assert 'every train row has the label "x"' in found["remarks"][0]
    assert found["splits"] == [{"split": "train", "read": {"x": 20}, "trained": {}, "dropped": {}}]
    assert found["lengths"][0]["rows"] == 20
    assert {one["name"]: one["count"] for one in found["findings"]}["duplicates"] == 11


def test_texts_cannot_steer_the_terminal(spec: Path, tmp_path: Path) -> None:
    rows = [*labelled(("\x1b[31m[bold]글[/] \t 가\n나", "x\x1b"))] * 2
    write_rows(tmp_path / "rows.jsonl", [*rows, *labelled(*[(f"{text}", "y") for text in texts(30)])])
    result = kexp("data", spec)
    assert not result.exit_code
    assert "\x1b" not in result.stdout
    assert "\\x1b[31m[bold]글[/] 가 나" in result.stdout


def test_nothing_is_made_but_the_cache(spec: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    card(spec)
    assert sorted(tmp_path.rglob("*")) == before
