"""``cleaning.unlabelled = "drop"``: rows of labelled splits without a label are left out, and counted everywhere."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from support import kexp, tiny_spec

from kexp.catalog import load_catalog
from kexp.data.prepare import prepare
from kexp.plan.resolve import repeats_of, resolve

LABELS = ["긍정", "부정", "", "부정", "긍정"]
ROWS = [(f"글 {n}번 {'좋다' if n % 2 else '나쁘다'}", LABELS[n % 5]) for n in range(100)]
DROP = '[cleaning]\nunlabelled = "drop"\n'


def spec_of(folder: Path, dataset: str = "", tables: str = DROP) -> Path:
    data = folder / "data.csv"
    data.write_text("\n".join(["text,label", *map(",".join, ROWS)]), "utf-8")
    text = tiny_spec(dataset=dataset, tables=tables, epochs=1)
    (folder / "spec.toml").write_text(text.format(data=data), "utf-8")
    return folder / "spec.toml"


@pytest.mark.parametrize("names", ["", 'label_names = {{"부정" = "나쁨", "긍정" = "좋음"}}'])
def test_rows_without_label_are_dropped_from_train_before_it_is_divided(tmp_path: Path, names: str) -> None:
    spec = resolve(spec_of(tmp_path, names), load_catalog()).base
    prepared = prepare(spec, next(iter(repeats_of(spec))))
    assert prepared.labels == (("나쁨", "좋음") if names else ("긍정", "부정"))
    assert prepared.record["splits"]["train"] | {"kept": 0} == {
        "read": 100, "without_label": 20, "empty": 0, "contradictions": 0, "duplicates": 0, "too_short": 0,
        "too_long": 0, "taken_for_test": 8, "taken_for_validation": 8, "overlap": 0, "over_limit": 0, "kept": 0,
    }  # fmt: skip
    numbers = sorted(int(number) for rows in prepared.splits.values() for number in rows.numbers)
    assert numbers == [n for n in range(100) if n % 5 != 2]
    given = Counter("긍정" if label == "긍정" else "부정" for _, label in ROWS if label)
    assert sum(given.values()) == len(numbers)


def test_the_default_refuses_them_and_names_the_remedy(tmp_path: Path) -> None:
    ran = kexp("run", spec_of(tmp_path, tables=""), "--runs-dir", tmp_path / "runs")
    assert ran.exit_code == 2
    assert (
        'data row 3 has no label (20 such rows); fill them in, or leave them out with cleaning.unlabelled = "drop"'
        in (ran.stderr)
    )


def test_a_class_label_of_minus_one_is_dropped_from_its_split(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["b", "a"])})
    texts = [f"글 {n}" for n in range(40)]
    splits = {
        "train": Dataset.from_dict({"text": texts[:30], "label": [n % 2 for n in range(30)]}, features),
        "test": Dataset.from_dict({"text": texts[30:], "label": [-1, -1, *(n % 2 for n in range(8))]}, features),
    }
    DatasetDict(splits).save_to_disk(tmp_path / "hub")
    spec = tmp_path / "hub.toml"
    spec.write_text(f'[dataset]\nuse = "hub"\npath = "hub"\n[backbone]\nuse = "tiny"\n{DROP}', "utf-8")
    base = resolve(spec, load_catalog()).base
    prepared = prepare(base, next(iter(repeats_of(base))))
    assert prepared.labels == ("b", "a")
    assert prepared.record["splits"]["test"]["without_label"] == 2
    assert prepared.splits["test"].labels.tolist() == [n % 2 for n in range(8)]


def test_screen_summary_report_and_card_count_them(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    ran = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--seeds", 1)
    assert ran.exit_code == 0, ran.stderr
    assert "20 without label" in ran.stdout + ran.stderr
    (folder,) = (tmp_path / "runs/spec").iterdir()
    summary = (folder / "summary.json").read_text("utf-8")
    assert '"without_label": 20' in summary
    page = (folder / "report.html").read_text("utf-8")
    assert '<tr><th scope="row">without_label</th><td>20</td>' in page
    card = json.loads(kexp("data", spec, "--json").stdout)
    train = next(split for split in card["splits"] if split["split"] == "train")
    assert train["dropped"]["without_label"] == 20
