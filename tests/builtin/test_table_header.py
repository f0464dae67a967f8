"""``kexp check`` reads the header of tables: a column that is not there costs no run."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from support import kexp, tiny_spec

ROWS = [{"리뷰": f"글 {n}", "감정": "긍정" if n % 2 else "부정"} for n in range(300)]
CSV = "\n".join(["리뷰,감정", *(",".join(row.values()) for row in ROWS)])


def write(path: Path) -> Path:
    name = path.name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(CSV.encode()))
    elif path.suffix in (".xlsx", ".parquet"):
        import pandas as pd

        frame = pd.DataFrame(ROWS)
        frame.to_excel(path, index=False) if path.suffix == ".xlsx" else frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in ROWS), "utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps({"data": ROWS}), "utf-8")
    else:
        path.write_text(CSV.replace(",", "\t") if path.suffix == ".tsv" else CSV, "utf-8")
    return path


def problems(folder: Path, data: Path, dataset: str, tables: str = "") -> list[dict[str, Any]]:
    (folder / "spec.toml").write_text(tiny_spec(dataset=dataset, tables=tables).format(data=data), "utf-8")
    found = json.loads(kexp("check", folder / "spec.toml", "--json").stdout)
    assert found["ok"] is not bool(found["problems"])
    return found["problems"]


@pytest.mark.parametrize("name", ["d.csv", "d.tsv", "d.csv.gz", "d.jsonl", "d.json", "d.parquet", "d.xlsx"])
def test_a_column_that_is_not_there_is_found_in_every_format(tmp_path: Path, name: str) -> None:
    data = write(tmp_path / name)
    assert problems(tmp_path, data, 'text = "리뷰"\nlabel = "감정"') == []
    (label,) = problems(tmp_path, data, 'text = "리뷰"\nlabel = "감성"')
    assert label["path"] == "dataset.label"
    assert label["message"] == f"{data}: no column '감성'; the columns are 리뷰, 감정"
    both = problems(tmp_path, data, "")
    assert [one["path"] for one in both] == ["dataset.text", "dataset.label"]
    ran = kexp("run", tmp_path / "spec.toml", "--runs-dir", tmp_path / "runs")
    assert (ran.exit_code, (tmp_path / "runs").exists()) == (2, False)


def test_every_file_and_every_option_is_looked_at(tmp_path: Path) -> None:
    data, test = write(tmp_path / "train.csv"), write(tmp_path / "test.jsonl")
    (tmp_path / "more.txt").write_text("글 하나\n글 둘\n", "utf-8")
    stated = 'text = "리뷰"\nlabel = "감정"\ngroup = "화자"\ntest = "test.jsonl"\nunlabelled = "more.txt"'
    found = problems(tmp_path, data, stated)
    assert [(one["path"], Path(one["message"].split(":")[0]).name) for one in found] == [
        ("dataset.group", "train.csv"), ("dataset.group", "test.jsonl"), ("dataset.text", "more.txt"),
        ("dataset.group", "more.txt"),
    ]  # fmt: skip
    assert "header.unlabelled = false" in found[2]["message"]
    assert test.is_file()


def test_a_key_of_later_rows_of_json_lines_is_a_column(tmp_path: Path) -> None:
    rows = [{"text": f"글 {n}", **({"label": str(n % 2)} if n > 200 else {})} for n in range(300)]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert problems(tmp_path, tmp_path / "d.jsonl", "") == []


def test_an_encoding_that_the_file_is_not_in_is_found(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(CSV.encode("cp949"))
    (found,) = problems(tmp_path, tmp_path / "d.csv", 'text = "리뷰"\nlabel = "감정"')
    assert found["path"] == "dataset.path"
    assert 'set encoding = "cp949"' in found["message"]
    assert problems(tmp_path, tmp_path / "d.csv", 'encoding = "cp949"\ntext = "리뷰"\nlabel = "감정"') == []
    unknown = problems(tmp_path, tmp_path / "d.csv", 'encoding = "ansi"')
    assert [one["path"] for one in unknown] == ["dataset.encoding"]


def test_a_variant_with_another_column_is_told_under_its_name(tmp_path: Path) -> None:
    data = write(tmp_path / "d.csv")
    tables = '[variants.a]\n[variants.b]\ndataset.label = "없음"'
    (found,) = problems(tmp_path, data, 'text = "리뷰"\nlabel = "감정"', tables)
    assert found["path"] == "variants.b.dataset.label"
