"""``kexp init``: what it finds in files as people have them, and that what it writes passes and runs."""

from __future__ import annotations

import csv
import gzip
import json
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import kexp

from kexp.init.write import TEMPLATES

OPENINGS = ["이 영화는", "어제 본 공연은", "주말에 산 책은", "친구가 준 선물은", "새로 연 식당은", "동네 빵집은"]
PRAISE = ["정말 재미있었다", "다시 보고 싶을 만큼 좋았다", "기대한 것보다 훨씬 훌륭했다", "누구에게나 권하고 싶다"]
BLAME = ["정말 지루했다", "다시는 보고 싶지 않다", "기대한 것보다 훨씬 못했다", "아무에게도 권하고 싶지 않다"]


def reviews(count: int = 120) -> list[tuple[str, str]]:
    """Return different texts, half of them 긍정."""
    return [
        (f"{OPENINGS[n % 6]} {(PRAISE if n % 2 else BLAME)[n // 12 % 4]} {n}번", "긍정" if n % 2 else "부정")
        for n in range(count)
    ]


def write_csv(path: Path, rows: Iterable[Sequence[Any]], encoding: str = "utf-8", separator: str = ",") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    return path


def init(path: Path, *arguments: str | Path, folder: Path | None = None) -> dict[str, Any]:
    """Write a spec beside the data, and return it."""
    spec = (folder or path.parent) / "spec.toml"
    made = kexp("init", path, "--model", "tiny", "--output", spec, "--force", *arguments)
    assert made.exit_code == 0, made.stderr
    assert made.stdout == f"{spec}\n"
    checked = kexp("check", spec)
    assert checked.exit_code == 0, checked.stderr
    return tomllib.loads(spec.read_text("utf-8"))


def refused(path: Path, *arguments: str) -> str:
    """Return why no spec is written."""
    made = kexp("init", path, "--model", "tiny", "--output", path.parent / "spec.toml", *arguments)
    assert made.exit_code == 2, made.stderr
    assert made.stdout == ""
    assert not (path.parent / "spec.toml").exists()
    assert "Traceback" not in made.stderr
    return made.stderr.strip().removeprefix(f"{path}: ")


HEADER = ("번호", "리뷰", "감정")
NUMBERED = [(n, *row) for n, row in enumerate(reviews())]


@pytest.mark.parametrize(
    ("name", "encoding", "separator", "stated"),
    [
        ("data.csv", "utf-8", ",", {}),
        ("data.csv", "utf-8-sig", ",", {}),
        ("data.csv", "cp949", ",", {"encoding": "cp949"}),
        ("data.csv", "utf-16", ",", {"encoding": "utf-16"}),
        ("data.csv", "utf-8", ";", {"separator": ";"}),
        ("data.csv", "cp949", "\t", {"encoding": "cp949", "separator": "\t"}),
        ("data.txt", "utf-8", "|", {"separator": "|"}),
        ("data.tsv", "utf-8", "\t", {}),
        ("data.txt", "utf-8", ",", {"separator": ","}),
    ],
)
def test_text_files_are_read_as_they_are(
    tmp_path: Path, name: str, encoding: str, separator: str, stated: dict[str, str]
) -> None:
    path = write_csv(tmp_path / name, [HEADER, *NUMBERED], encoding, separator)
    assert init(path)["dataset"] == {"use": "table", "path": name, **stated, "text": "리뷰", "label": "감정"}


def test_a_file_without_header_gets_names(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", NUMBERED)
    found = init(path)["dataset"]
    assert found["header"] is False
    assert found["columns"] == ["column1", "text", "label"]
    assert (found["text"], found["label"]) == ("text", "label")


def test_a_header_with_one_name_that_is_a_value_is_a_header(tmp_path: Path) -> None:
    degrees = ["none", "hate", "offensive"]
    rows = [(text, "FT"[n % 2], degrees[n % 3]) for n, (text, _) in enumerate(reviews())]
    path = write_csv(tmp_path / "data.csv", [("comments", "bias", "hate"), *rows])
    assert init(path)["dataset"] == {"use": "table", "path": "data.csv", "text": "comments", "label": "hate"}


def test_quoted_cells_of_tsv(tmp_path: Path) -> None:
    lines = [f'"{text}"\t"{label}"' for text, label in [("text", "label"), *reviews()]]
    path = tmp_path / "data.tsv"
    path.write_text("\n".join(lines), "utf-8")
    assert init(path)["dataset"]["quoting"] is True


def test_marks_of_mysql_and_stray_quotation_marks(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    lines = [f'"그는 \\"{text}\\"라고 했다, 정말",{label}' for text, label in reviews()]
    path.write_text("\n".join(["text,label", *lines]), "utf-8")
    assert init(path)["dataset"]["escape"] == "\\"
    path.write_text("\n".join(["text,label", *(f'5" 화면은 {text},{label}' for text, label in reviews())]), "utf-8")
    found = init(path)["dataset"]
    assert (found["text"], found["label"]) == ("text", "label")


@pytest.mark.parametrize("kind", ["jsonl", "json", "array.jsonl", "parquet", "xlsx", "csv.gz", "noname"])
def test_other_formats(tmp_path: Path, kind: str) -> None:
    rows = [{"guid": f"a{n}", "doc": {"내용": text}, "라벨": label} for n, (text, label) in enumerate(reviews())]
    flat = [{"doc": text, "라벨": label} for text, label in reviews()]
    path, text, stated = tmp_path / f"data.{kind}", "doc.내용", {}
    if kind == "jsonl":
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    elif kind in ("json", "array.jsonl"):
        path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), "utf-8")
        stated = {"format": "json"} if kind == "array.jsonl" else {}
    elif kind == "csv.gz":
        path.write_bytes(gzip.compress("\n".join(["doc,라벨", *map(",".join, reviews())]).encode("cp949")))
        text, stated = "doc", {"encoding": "cp949"}
    elif kind == "noname":
        path = write_csv(tmp_path / "data", [("doc", "라벨"), *reviews()])
        text, stated = "doc", {"format": "csv"}
    else:
        import pandas as pd

        frame, text = pd.DataFrame(flat), "doc"
        frame.to_parquet(path) if kind == "parquet" else frame.to_excel(path, index=False)
    assert init(path)["dataset"] == {"use": "table", "path": path.name, **stated, "text": text, "label": "라벨"}


ODD = ['리뷰 "본문"', "C:\\경로", "a.b", "#표", "두\n줄", "'따옴표'", "{% raw %}{{ x }}"]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_of_columns_and_labels_are_written_as_they_are(tmp_path: Path, name: str) -> None:
    rows = [(text, f'{label} "#\\') for text, label in reviews()]
    path = write_csv(tmp_path / "data.csv", [(name, f"{name} label"), *rows])
    found = init(path)
    assert found["dataset"]["text"] == name
    assert found["dataset"]["label"] == f"{name} label"


@pytest.mark.parametrize("name", ["한글 이름 [1] (사본).csv", "a'b\"c.csv", "CON.csv", "-x.csv", "ㅋ" * 60 + ".csv"])
def test_odd_names_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = tmp_path / "데이터 #1"
    folder.mkdir()
    path = write_csv(folder / name, [("text", "label"), *reviews()])
    monkeypatch.chdir(tmp_path)
    made = kexp("init", path, "--model", "tiny")
    assert made.exit_code == 0, made.stderr
    spec = tmp_path / made.stdout.removesuffix("\n")
    assert spec.parent == tmp_path
    assert spec.is_file()
    assert tomllib.loads(spec.read_text("utf-8"))["dataset"]["path"] == f"데이터 #1/{name}"
    assert kexp("check", spec).exit_code == 0


def test_folder_of_splits(tmp_path: Path) -> None:
    rows = reviews(240)
    folder = tmp_path / "data"
    folder.mkdir()
    write_csv(folder / "ratings_train.tsv", [("text", "label"), *rows[:160]], separator="\t")
    write_csv(
        folder / "ratings_dev.tsv", [("text", "label"), *rows[160:200], ("다른 글입니다 정말", "중립")], separator="\t"
    )
    write_csv(folder / "ratings_test.tsv", [("text", "label"), *rows[200:]], separator="\t")
    (folder / "unlabeled.txt").write_text("\n".join(f"{text} 더 있다" for text, _ in rows), "utf-8")
    (folder / "README.md").write_text("#", "utf-8")
    made = kexp("init", folder, "--model", "tiny", "--output", tmp_path / "spec.toml")
    assert made.exit_code == 0, made.stderr
    assert 'note: rows with the label "중립" are left out: in ratings_dev.tsv alone' in made.stderr
    found = tomllib.loads((tmp_path / "spec.toml").read_text("utf-8"))
    assert found["dataset"] == {
        "use": "table",
        "train": "data/ratings_train.tsv",
        "validation": "data/ratings_dev.tsv",
        "test": "data/ratings_test.tsv",
        "unlabelled": "data/unlabeled.txt",
        "header": {"unlabelled": False},
        "columns": {"unlabelled": ["text"]},
        "text": "text",
        "label": "label",
        "leave_out": ["중립"],
    }
    assert "split" not in found
    ran = kexp("run", tmp_path / "spec.toml", "--dry-run", "--json")
    assert ran.exit_code == 0, ran.stderr


def test_folders_that_cannot_be_told(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    assert "no table in this folder" in refused(folder)
    for name in ("train_1.csv", "train_2.csv"):
        write_csv(folder / name, [("text", "label"), *reviews()])
    assert "train_1.csv and train_2.csv seem to be of one split" in refused(folder)
    (folder / "train_1.csv").rename(folder / "a.csv")
    (folder / "train_2.csv").rename(folder / "b.csv")
    assert refused(folder) == "no file has train in its name; give one of the files: a.csv, b.csv"
    (folder / "a.csv").rename(folder / "train.csv")
    write_csv(folder / "test.csv", [("text", "label"), *reviews()], "cp949")
    assert "encoding is 'utf-8-sig' in train.csv and 'cp949' in test.csv" in refused(folder)


def test_groups_ids_and_columns_that_name_splits_are_seen(tmp_path: Path) -> None:
    rows = [
        (f"u{n}", text, label, f"화자{n % 11}", ["train", "test"][n % 5 == 0])
        for n, (text, label) in enumerate(reviews())
    ]
    path = write_csv(tmp_path / "data.csv", [("utterance_id", "text", "label", "speaker", "split"), *rows])
    assert init(path)["dataset"]["group"] == "speaker"
    text = (tmp_path / "spec.toml").read_text("utf-8")
    assert "# Not used, since every row has its own value: utterance_id" in text
    assert "# split seems to name splits" in text
    assert init(path, "--group", "split")["dataset"]["group"] == "split"


def test_pairs(tmp_path: Path) -> None:
    rows = [(text, f"{text} 그렇다", label) for text, label in reviews()]
    path = write_csv(tmp_path / "data.csv", [("premise", "hypothesis", "gold_label"), *rows])
    found = init(path)["dataset"]
    assert (found["text"], found["text_pair"], found["label"]) == ("premise", "hypothesis", "gold_label")


def test_rows_without_label_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = [(text, "" if n % 10 == 0 else label) for n, (text, label) in enumerate(reviews())]
    path = write_csv(tmp_path / "data.csv", [("text", "label"), *rows])
    assert init(path)["cleaning"] == {"unlabelled": "drop"}
    found = json.loads(kexp("run", tmp_path / "spec.toml", "--dry-run", "--json").stdout)
    assert '"without_label": 12' in json.dumps(found)


def test_rare_labels_are_left_out_and_few_rows_hold_every_label(tmp_path: Path) -> None:
    rows = [(text, f"분류{n % 12}") for n, (text, _) in enumerate(reviews(60))]
    path = write_csv(tmp_path / "data.csv", [("text", "label"), *rows, ("이것은 하나뿐이다", "기타")])
    found = init(path)
    assert found["dataset"]["leave_out"] == ["기타"]
    assert found["split"] == {"validation": 12, "test": 12}
    ran = kexp("run", tmp_path / "spec.toml", "--dry-run", "--json")
    assert ran.exit_code == 0, ran.stderr


def test_imbalance_is_said_and_max_length_holds_the_texts(tmp_path: Path) -> None:
    rows = [(text, "스팸" if n % 10 == 0 else "정상") for n, (text, _) in enumerate(reviews(300))]
    path = write_csv(tmp_path / "data.csv", [("text", "label"), *rows])
    found = init(path)
    text = (tmp_path / "spec.toml").read_text("utf-8")
    assert "# The most frequent label has 9 times as many rows as the rarest" in text
    assert '# class_weights = "balanced"' in text
    card = json.loads(kexp("data", tmp_path / "spec.toml", "--json").stdout)
    assert found["training"]["max_length"] >= card["tokens"]["suggested"]


@pytest.mark.parametrize(
    ("header", "cells", "message"),
    [
        (("text", "price"), lambda n: [f"{n / 7:.3f}"], "holds measured values (0, 0.143, 0.286); name it with --label"),
        (("text", "score"), lambda n: [f"{n / 7:.3f}" if n else "없음"], "and '없음', which is no number; correct it"),
        (("text", "label"), lambda n: ["['좋음', '나쁨']"], "every row has \"['좋음', '나쁨']\"; expected at least two labels"),
        (("text", "label"), lambda n: ['[{"a": 1}]'], "holds several values in a cell ([{\"a\": 1}])"),
        (("text", "label"), lambda n: ["좋음"], "every row has '좋음'; expected at least two labels"),
        (("text",), lambda n: [], "there is no column besides the text; add a column of labels"),
    ],
)  # fmt: skip
def test_what_kexp_cannot_learn_is_refused(tmp_path: Path, header: Sequence[str], cells: Any, message: str) -> None:
    rows = [(text, *cells(n)) for n, (text, _) in enumerate(reviews())]
    path = write_csv(tmp_path / "data.csv", [header, *rows])
    label = ("--label", "label") if message.startswith("every") else ()
    assert message in refused(path, *label)


def test_mistakes_of_the_command_line(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", [("text", "label"), *reviews()])
    assert refused(path, "--label", "라벨") == "no column '라벨'; the columns are text, label"
    assert 'did you mean "few-labels"?' in refused(path, "--template", "few-label")
    made = kexp("init", path, "--model", "klu", "--output", tmp_path / "spec.toml")
    assert (made.exit_code, "expected an installed backbone" in made.stderr) == (2, True)
    assert (
        refused(tmp_path / "absent.csv")
        == f"{tmp_path / 'absent.csv'} does not exist; expected a table, or a folder of tables"
    )
    few = write_csv(tmp_path / "few.csv", [("text", "label"), *reviews(4)])
    assert refused(few) == "4 rows, expected at least 10 with a text and a label"
    rows = [(text, label) for text, _ in reviews(20) for label in ("긍정", "부정")]
    contested = write_csv(tmp_path / "contested.csv", [("text", "label"), *rows])
    assert "0 rows of 0 labels are left without repetitions and contradictions; expected at least 10" in refused(
        contested
    )
    assert "it has no sheets, as an Excel workbook has; leave out --sheet" in refused(path, "--sheet", "하나")


def test_a_workbook_of_two_sheets_needs_the_name_of_one(tmp_path: Path) -> None:
    import pandas as pd

    path, frame = tmp_path / "data.xlsx", pd.DataFrame(reviews(), columns=["글", "분류"])
    with pd.ExcelWriter(path) as book:
        frame.to_excel(book, sheet_name="하나", index=False)
        frame.to_excel(book, sheet_name="둘", index=False)
    assert refused(path) == "several sheets have cells: 하나, 둘; name one with --sheet, or save it alone"
    assert init(path, "--sheet", "둘")["dataset"]["sheet"] == "둘"


def test_a_title_above_the_names_is_said(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for row in [("2024년 설문 결과",), (), ("의견", "구분"), *reviews()]:
        book.active.append(row)
    path = tmp_path / "data.xlsx"
    book.save(path)
    expected = "row 3: found 2 cells, expected 1 as in row 1, the first one; delete a title above the names"
    assert refused(path).startswith(expected)
    path = write_csv(tmp_path / "data.csv", [("2024년 설문 결과", ""), ("의견", "구분"), *reviews()])
    assert refused(path).startswith("the first line has one cell, where others have more; delete a title above the")
    # A title as long as the texts is taken for one of them.
    title = "2024년 하반기 전국 고객 만족도 설문 조사 결과 모음"
    path = write_csv(tmp_path / "data.csv", [(title, ""), ("의견", "구분"), *reviews()])
    made = kexp("init", path, "--model", "tiny", "--output", tmp_path / "spec.toml")
    assert made.exit_code == 0
    assert "no line was taken for the names of the columns" in " ".join(made.stderr.split())


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize(("rows", "labels"), [(14, 2), (200, 50)])
def test_templates_fit_few_rows_and_many_labels(tmp_path: Path, template: str, rows: int, labels: int) -> None:
    named = [(text, f"분류{n % labels}") for n, (text, _) in enumerate(reviews(rows))]
    path = write_csv(tmp_path / "data.csv", [("text", "label"), *named])
    init(path, "--template", template)
    ran = kexp("run", tmp_path / "spec.toml", "--dry-run", "--json")
    assert ran.exit_code == 0, ran.stderr


def test_few_labels_fit_few_rows(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", [("text", "label"), *reviews(40)])
    found = init(path, "--template", "few-labels")
    assert found["labelled"] == {"per_class": 6}
    # 40 rows less 4 for validation, 4 for test and 12 labelled ones are 20 unlabelled ones.
    assert (found["training"]["batch_size"], found["training"]["unlabelled_ratio"]) == (5, 3)
    ran = kexp("run", tmp_path / "spec.toml", "--dry-run", "--json")
    assert ran.exit_code == 0, ran.stderr


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "data.csv", [("text", "label"), *reviews()])
    spec = tmp_path / "spec.toml"
    spec.write_text("mine", "utf-8")
    made = kexp("init", path, "--model", "tiny", "--output", spec)
    assert (made.exit_code, spec.read_text("utf-8")) == (2, "mine")
    assert made.stderr == f"{spec} exists already; --output names another file, --force replaces it\n"
    init(path)
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []


def test_of_a_large_sorted_file_rows_from_everywhere_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kexp.init.layout.LOOKED_AT", 100)
    rows = sorted(reviews(350), key=lambda row: row[1])
    path = write_csv(tmp_path / "data.csv", [("text", "label"), *rows, ("하나뿐인 글이다", "기타")])
    made = kexp("init", path, "--model", "tiny", "--output", tmp_path / "spec.toml")
    assert made.exit_code == 0, made.stderr
    assert "train: data.csv, CSV in utf-8, 351 rows\n" in made.stderr
    assert f"note: {path}: 88 rows were looked at, one in 4 of 351\n" in made.stderr
    text = (tmp_path / "spec.toml").read_text("utf-8")
    assert "# 2 labels, of different texts: 긍정 44, 부정 44\n" in text
    assert "leave_out" not in tomllib.loads(text)["dataset"]


def test_json_has_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "리뷰 2024"
    folder.mkdir()
    write_csv(folder / "data.csv", [("text", "label"), *reviews()])
    monkeypatch.chdir(folder)
    made = kexp("init", ".", "--model", "tiny", "--json")
    assert made.exit_code == 0, made.stderr
    assert json.loads(made.stdout) == {
        "spec": "리뷰 2024.toml",
        "files": {"train": "data.csv"},
        "text": ["text"],
        "text_pair": None,
        "label": "label",
        "group": None,
        "labels": {"긍정": 60, "부정": 60},
        "leave_out": {},
        "backbone": {"use": "tiny"},
        "notes": [],
    }
    assert tomllib.loads(Path("리뷰 2024.toml").read_text("utf-8"))["name"] == "리뷰-2024"


def test_a_terminal_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(n, text, label, "FT"[n % 2]) for n, (text, label) in enumerate(reviews())]
    path = write_csv(tmp_path / "data.csv", [("id", "review", "label", "gender"), *rows])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kexp.cli.init._has_terminal", lambda: True)
    made = kexp("init", path, stdin="\nsex\ngender\ncompare\ntiny\nmine.toml\n")
    assert made.exit_code == 0, made.stderr
    assert made.stdout.endswith("\nmine.toml\n")
    found = tomllib.loads((tmp_path / "mine.toml").read_text("utf-8"))
    assert (found["dataset"]["text"], found["dataset"]["label"]) == ("review", "gender")
    assert list(found["variants"]) == ["baseline", "augmented"]
    made = kexp("init", path, stdin="\n\n\ntiny\nmine.toml\n\n")
    assert made.exit_code == 0, made.stderr
    assert "mine.toml exists already; --output names another file, --force replaces it" in made.stderr
    assert tomllib.loads((tmp_path / "data.toml").read_text("utf-8"))["dataset"]["label"] == "label"
    interrupted = kexp("init", path, "--output", "other.toml", stdin="")
    assert interrupted.exit_code == 130
    assert not (tmp_path / "other.toml").exists()
    assert kexp("init", path, "--output", "mine.toml", stdin="").exit_code == 2


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_runs(tmp_path: Path, template: str) -> None:
    path = write_csv(tmp_path / "data.csv", [("text", "label"), *reviews(200)])
    init(path, "--template", template)
    command, *options = ("tune", "--trials", "1") if template == "search" else ("run", "--seeds", "1", "--json")
    length = "training.steps=4" if template == "few-labels" else "training.epochs=1"
    if template == "search":
        ran = kexp("check", tmp_path / "spec.toml")
        found = tomllib.loads((tmp_path / "spec.toml").read_text("utf-8"))
        assert set(found["search"]["space"]) == {
            "training.learning_rate",
            "training.epochs",
            "objective.label_smoothing",
        }
        options += ["--set", "search.space=" + '{"training.learning_rate" = {low = 1e-4, high = 1e-3}}']
    every = ["--set", "training.evaluate_every=2"] if template == "few-labels" else []
    ran = kexp(
        command, tmp_path / "spec.toml", "--quiet", "--runs-dir", tmp_path / "runs", *options, *every,
        "--set", length, "--set", "backbone.layers=1", "--set", "backbone.hidden=32", "--set", "backbone.heads=2",
    )  # fmt: skip
    assert ran.exit_code == 0, ran.stderr
    assert list((tmp_path / "runs").rglob("model.safetensors"))


@pytest.mark.parametrize(
    ("columns", "label", "said"),
    [
        ({"성별": "남여", "점수": "12345"}, "점수", False),
        ({"store": "가나", "score": "12345"}, "score", False),
        ({"helpful": "01", "stars": "12345", "verified": "YN"}, "stars", False),
        ({"지역": "가나", "나이": "1234", "추천여부": "YN"}, "추천여부", False),
        ({"gender": "MF", "answer": "OX"}, "answer", False),
        ({"gender": "MF", "말투": "가나다"}, "말투", True),
        ({"좋아요": "0123"}, "좋아요", True),
        ({"gender": "MF", "class": "OX"}, "class", False),
    ],
)
def test_what_is_known_of_the_writer_is_the_label_last(
    tmp_path: Path, columns: dict[str, str], label: str, said: bool
) -> None:
    rows = [(text, *(of[n % len(of)] for of in columns.values())) for n, (text, _) in enumerate(reviews())]
    path = write_csv(tmp_path / "data.csv", [("내용", *columns), *rows])
    made = kexp("init", path, "--model", "tiny", "--output", tmp_path / "spec.toml")
    assert tomllib.loads((tmp_path / "spec.toml").read_text("utf-8"))["dataset"]["label"] == label
    assert (f"label {label}: taken because few of its values differ" in " ".join(made.stderr.split())) == said


def test_what_may_be_taken_wrongly_is_said(tmp_path: Path) -> None:
    rows = [
        (f"https://example.com/{n}/reviews", text, f"{text} 그렇군요", ["A", "a", "B", "A,B"][n % 4], ["train", "test"][n % 2])
        for n, (text, _) in enumerate(reviews())
    ]  # fmt: skip
    path = write_csv(tmp_path / "data.csv", [("url", "Q", "A", "label", "split"), *rows])
    made = kexp("init", path, "--model", "tiny", "--output", tmp_path / "spec.toml")
    said = " ".join(made.stderr.split())
    assert "text A (or Q); label label, 3 labels, any number of them per row" in said
    assert 'labels that look alike stay different labels: "A" and "a"; if they are one' in said
    assert "note: split seems to name splits, and is not used" in said
    assert 'text = ["Q", "A"]' in (tmp_path / "spec.toml").read_text("utf-8")


def test_a_reply_is_not_the_text(tmp_path: Path) -> None:
    rows = [(text, f"{text} 그렇군요, 속상하셨겠어요", label) for text, label in reviews()]
    for reply in ("시스템문장1", "답변", "system_response"):
        path = write_csv(tmp_path / "data.csv", [(reply, "사람문장1", "감정"), *((b, a, c) for a, b, c in rows)])
        assert init(path)["dataset"]["text"] == "사람문장1"
    assert init(write_csv(tmp_path / "data.csv", [("답변", "감정"), *reviews()]))["dataset"]["text"] == "답변"


def test_labels_in_one_cell_are_told_and_a_name_with_a_mark_is_one(tmp_path: Path) -> None:
    for labels, joined in ((["1,2", "1", "2,3", "3"], True), (["정치, 사회", "경제", "IT/과학", "과학"], False)):
        rows = [(text, labels[n // 2 % 4]) for n, (text, _) in enumerate(reviews())]
        path = write_csv(tmp_path / "data.csv", [("text", "label"), *rows])
        assert init(path)["dataset"].get("label_separator") == ("," if joined else None)


def test_what_may_be_several_labels_is_said(tmp_path: Path) -> None:
    """Decimals with a comma look like two labels."""
    rows = [(text, ["3,5", "4,5", "5,0", "3,0"][n % 4]) for n, (text, _) in enumerate(reviews())]
    path = write_csv(tmp_path / "data.csv", [("text", "label"), *rows])
    made = kexp("init", path, "--model", "tiny", "--output", tmp_path / "spec.toml")
    said = " ".join(made.stderr.split())
    assert 'may be several labels of a row, and each combination is taken for a label; label_separator = ","' in said
    assert "task" not in tomllib.loads((tmp_path / "spec.toml").read_text("utf-8"))


@pytest.mark.parametrize("names", [("학습데이터", "검증용", "평가 데이터셋"), ("trainset", "dev_data", "tests")])
def test_words_that_say_file_stand_beside_the_split(tmp_path: Path, names: tuple[str, str, str]) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    rows = reviews(240)
    for place, name in enumerate((*names, "sample_submission")):
        write_csv(folder / f"{name}.csv", [("text", "label"), *rows[60 * place : 60 * place + 60]])
    made = kexp("init", folder, "--model", "tiny", "--output", tmp_path / "spec.toml")
    assert made.exit_code == 0, made.stderr
    found = tomllib.loads((tmp_path / "spec.toml").read_text("utf-8"))["dataset"]
    assert [found[split] for split in ("train", "validation", "test")] == [f"data/{name}.csv" for name in names]
    assert "sample_submission.csv is not used: its name says no split" in " ".join(made.stderr.split())
