"""Rows with several labels: how they are read from every format, and prepared as other rows are."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import write
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from datasets import Sequence as ListOf

from kexp.builtin.tasks.multi_label import MultiLabel
from kexp.catalog import load_catalog
from kexp.data.prepare import prepare
from kexp.data.rows import PreparedData
from kexp.errors import DataError
from kexp.plan.validate import dump, validate
from kexp.repeats import Repeat
from kexp.spec.sections import Spec

catalog = functools.cache(load_catalog)
NAMES = ["여성/가족", "남성", "성소수자", "인종/국적", "연령", "지역", "종교", "기타 혐오", "악플/욕설", "clean"]
"""The label columns of a Korean corpus of hate speech."""
SPLIT = {"validation": 0.2, "test": 0.2}


def spec_of(dataset: dict[str, Any], **sections: Any) -> Spec:
    spec, problems = checked(dataset, **sections)
    assert spec is not None, problems
    return spec


def checked(dataset: dict[str, Any], **sections: Any) -> tuple[Spec | None, list[str]]:
    table = {"name": "test", "backbone": "tiny", "split": SPLIT, "dataset": {"use": "table", **dataset}, **sections}
    spec, problems = validate(table, catalog())
    return spec, list(map(str, problems))


def prepared(dataset: dict[str, Any], repeat: Repeat | None = None, **sections: Any) -> PreparedData:
    return prepare(spec_of(dataset, **sections), repeat or Repeat(1))


def refusal(dataset: dict[str, Any], **sections: Any) -> str:
    with pytest.raises(DataError) as caught:
        prepared(dataset, **sections)
    return str(caught.value)


def sets_by_text(data: PreparedData) -> dict[str, set[str]]:
    """Return the names of every row of all splits by its text."""
    return {
        text: {name for name, has in zip(data.labels, row, strict=True) if has}
        for rows in data.splits.values()
        for text, row in zip(rows.texts, rows.labels.tolist(), strict=True)
    }


def unsmile(rows: int = 200, seed: int = 0) -> tuple[str, dict[str, set[str]]]:
    """Return a TSV file of ten columns of 0 and 1, and the labels of each text."""
    generator = np.random.default_rng(seed)
    table = (generator.random((rows, 10)) < [0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0]).astype(int)
    table[:, 9] = table.sum(1) == 0
    lines = ["\t".join(["문장", *NAMES])]
    lines += ["\t".join([f"{number}번째 댓글", *map(str, row)]) for number, row in enumerate(table)]
    sets = [{name for name, has in zip(NAMES, row, strict=True) if has} for row in table]
    return "\n".join(lines) + "\n", {f"{number}번째 댓글": own for number, own in enumerate(sets)}


def kmhas(rows: int = 120) -> tuple[str, dict[str, set[str]]]:
    """Return a TSV file with labels such as 0,2, and the numbers of each text."""
    cells = ["8", "0,2", "2", "8", "0", "1,2,3", "3", "8", "1"]
    lines = [f"{number}번째 댓글\t{cells[number % len(cells)]}" for number in range(rows)]
    sets = {f"{number}번째 댓글": set(cells[number % len(cells)].split(",")) for number in range(rows)}
    return "document\tlabel\n" + "\n".join(lines) + "\n", sets


# --- columns of 0 and 1 ------------------------------------------------------------------------------------------------


def test_columns_of_0_and_1_are_labels_in_their_order(tmp_path: Path) -> None:
    text, sets = unsmile()
    dataset = {"path": str(write(tmp_path, "a.tsv", text)), "text": "문장", "label": NAMES}
    data = prepared(dataset)
    assert list(data.labels) == NAMES
    assert sets_by_text(data) == sets
    assert data.train.labels.dtype == np.int64
    assert isinstance(spec_of(dataset).task, MultiLabel)


def test_words_for_0_and_1_are_read_and_anything_else_is_refused_with_row_and_column(tmp_path: Path) -> None:
    rows = ["1,0", "true,false", "TRUE,False", "1.0,0.0", " 1 ,0", "0,1"]
    text = "text,a,b\n" + "\n".join(f"글 {number},{row}" for number, row in enumerate(rows * 4)) + "\n"
    dataset = {"path": str(write(tmp_path, "a.csv", text)), "label": ["a", "b"]}
    sets = sets_by_text(prepared(dataset))
    assert all(sets[f"글 {number}"] == ({"b"} if number % 6 == 5 else {"a"}) for number in range(24))
    for cell, found in (("2", "2"), ("yes", "yes"), ("0.5", "0.5"), ("-1", "-1")):
        path = write(tmp_path, "b.csv", f"{text}나,0,{cell}\n")
        message = refusal({**dataset, "path": str(path)})
        assert message.startswith(f"{path}: data row 25, column 'b': found a string ({found}), expected 0 or 1;")
    path = write(tmp_path, "c.csv", f"{text}나,0,\n")
    message = refusal({**dataset, "path": str(path)})
    assert message.startswith(f"{path}: data row 25, column 'b': found a blank cell; write 0 or 1;")


def test_columns_may_be_whole_numbers_truth_values_or_floats_of_parquet(tmp_path: Path) -> None:
    table = pa.table({
        "text": [f"글 {number}" for number in range(20)],
        "a": pa.array([True, False] * 10),
        "b": pa.array([0, 1, 1, 0, 0] * 4, pa.int8()),
        "c": pa.array([0.0, 1.0] * 10),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    data = prepared({"path": str(tmp_path / "a.parquet"), "label": ["a", "b", "c"]})
    sets = sets_by_text(data)
    for number in range(20):
        names = {"a": number % 2 == 0, "b": number % 5 in (1, 2), "c": number % 2 == 1}
        assert sets[f"글 {number}"] == {name for name, has in names.items() if has}


def test_a_row_whose_label_columns_are_all_blank_has_a_missing_label(tmp_path: Path) -> None:
    rows = "".join(f"글 {n},{n % 2},{int(n % 3 == 0)}\n" for n in range(30))
    dataset = {"path": str(write(tmp_path, "a.csv", f"text,a,b\n{rows}나,,\n")), "label": ["a", "b"]}
    assert "data row 31 has no label (1 such rows)" in refusal(dataset)
    data = prepared(dataset, cleaning={"unlabelled": "drop"})
    assert data.record["splits"]["train"]["without_label"] == 1
    assert "나" not in sets_by_text(data)


def test_label_names_rename_columns_in_their_order(tmp_path: Path) -> None:
    text, _ = unsmile()
    dataset = {"path": str(write(tmp_path, "a.tsv", text)), "text": "문장", "label": NAMES}
    data = prepared({**dataset, "label_names": {"clean": "없음", "남성": "male"}})
    assert list(data.labels) == ["없음", "male", *(name for name in NAMES if name not in ("clean", "남성"))]
    assert {"없음"} in sets_by_text(data).values()
    _, problems = checked({**dataset, "label_names": {"clean": "a", "틀림": "b"}})
    assert problems == ['dataset.label_names: "틀림" is none of the label columns; give names of columns']
    _, problems = checked({**dataset, "label_names": {"clean": "남성", "지역": "b"}})
    assert any('"남성" is the name of a column too' in problem for problem in problems)


def test_mistakes_in_the_list_of_columns_are_told_before_the_data_are_read(tmp_path: Path) -> None:
    path = str(write(tmp_path, "a.csv", "text,a,b\n가,0,1\n"))
    for options, expected in (
        ({"label": ["a", "c"]}, "dataset.label: "),
        ({"label": ["a", "a"]}, 'dataset.label: the column "a" is named twice; name every column once'),
        ({"label": ["a", "text"]}, 'dataset.text: the column "text" is label too; name another column'),
        ({"label": []}, "dataset.label: no column is named"),
        ({"label": ["a", "b"], "label_separator": ","}, "dataset.label_separator: each label has a column of its own"),
        ({"label": ["a", "b"], "blank_label": "none"}, "dataset.blank_label: columns of labels have 0 or 1"),
    ):
        spec, problems = checked({"path": path, **options})
        assert spec is None
        assert any(problem.startswith(expected) for problem in problems), problems


# --- cells of several labels ---------------------------------------------------------------------------------------------


def test_cells_are_split_at_a_separator_and_renamed(tmp_path: Path) -> None:
    text, sets = kmhas()
    dataset = {"path": str(write(tmp_path, "a.tsv", text)), "text": "document", "label_separator": ","}
    data = prepared(dataset)
    assert data.labels == ("0", "1", "2", "3", "8")
    assert sets_by_text(data) == sets
    names = {"8": "해당없음", "0": "출신차별", "1": "외모차별", "2": "정치성향차별", "3": "혐오욕설"}
    renamed = prepared({**dataset, "label_names": names})
    assert list(renamed.labels) == list(names.values())
    assert sets_by_text(renamed) == {text: {names[name] for name in own} for text, own in sets.items()}
    del names["3"]
    assert "data row 6, column 'label': label '3' is not in label_names" in refusal({**dataset, "label_names": names})


def test_what_a_blank_cell_means_is_stated(tmp_path: Path) -> None:
    rows = "".join(f'글 {n},"{cell}"\n' for n, cell in enumerate(["가,나", "", "나"] * 20))
    dataset = {"path": str(write(tmp_path, "a.csv", f"text,label\n{rows}")), "label_separator": ","}
    assert "data row 2 has no label (20 such rows)" in refusal(dataset)
    assert len(sets_by_text(prepared(dataset, cleaning={"unlabelled": "drop"}))) == 40
    data = prepared({**dataset, "blank_label": "none"})
    assert Counter(map(frozenset, sets_by_text(data).values())) == {
        frozenset({"가", "나"}): 20, frozenset({"나"}): 20, frozenset(): 20
    }  # fmt: skip
    assert data.record["labels"]["train"].keys() == {"(none)", "가", "나"}


def test_mistakes_in_cells_are_told_with_the_row(tmp_path: Path) -> None:
    rows = "".join(f'글 {n},"{cell}"\n' for n, cell in enumerate(["가,나", "나"] * 10))
    for cell, expected in (
        ("가,,나", 'found an empty name in "가,,나"; remove a ","'),
        ("가,", 'found an empty name in "가,"'),
        ("[가]", "a list written as text; leave out label_separator"),
        ("가|나", 'the name "가|나" holds "|"'),
        ("가,(none)", 'found "(none)", which means a row without labels'),
    ):
        path = write(tmp_path, "a.csv", f'text,label\n{rows}다,"{cell}"\n')
        message = refusal({"path": str(path), "label_separator": ","})
        assert message.startswith(f"{path}: data row 21, column 'label': "), message
        assert expected in message
    # A name that holds the mark between names may be renamed.
    path = write(tmp_path, "b.csv", f'text,label\n{rows}다,"가|나"\n라,"가|나"\n마,"가|나"\n')
    data = prepared({"path": str(path), "label_separator": ",", "label_names": {"가": "a", "나": "b", "가|나": "a/b"}})
    assert data.labels == ("a", "b", "a/b")


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "text", "python"])
@pytest.mark.parametrize("numbers", [False, True], ids=["words", "numbers"])
def test_lists_are_read_from_every_format(tmp_path: Path, kind: str, numbers: bool) -> None:
    cells: list[list[Any]] = [[0, 2], [], [1], [2]] if numbers else [["가", "다"], [], ["나"], ["다"]]
    rows = [{"text": f"글 {n}", "label": cells[n % 4]} for n in range(48)]
    if kind == "jsonl":
        path = write(tmp_path, "a.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    elif kind == "json":
        path = write(tmp_path, "a.json", json.dumps(rows))
    elif kind == "parquet":
        path = tmp_path / "a.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        dumped = (json.dumps(row["label"], ensure_ascii=False) if kind == "text" else str(row["label"]) for row in rows)
        lines = (f"글 {n}\t{cell}" for n, cell in enumerate(dumped))
        path = write(tmp_path, "a.tsv", "text\tlabel\n" + "\n".join(lines) + "\n")
    dataset = {"path": str(path)}
    data = prepared(dataset)
    assert data.labels == (("0", "1", "2") if numbers else ("가", "나", "다"))
    assert sets_by_text(data) == {row["text"]: set(map(str, row["label"])) for row in rows}
    if numbers:
        names = {"2": "이", "1": "일", "0": "영"}
        renamed = prepared({**dataset, "label_names": names})
        assert renamed.labels == ("이", "일", "영")
        assert sets_by_text(renamed) == {
            text: {names[name] for name in own} for text, own in sets_by_text(data).items()
        }


def test_lists_in_rows_below_a_dotted_path_and_missing_ones(tmp_path: Path) -> None:
    rows = [{"text": f"글 {n}", "of": {"labels": [["a"], ["a", "b"], None][n % 3]}} for n in range(30)]
    path = write(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    dataset = {"path": str(path), "label": "of.labels"}
    assert "data row 3 has no label (10 such rows)" in refusal(dataset)
    data = prepared(dataset, cleaning={"unlabelled": "drop"})
    assert len(sets_by_text(data)) == 20


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("['가' '나']", "a list without commas; write it as JSON"),
        ("[0 1]", "no list of JSON or Python; write it as JSON"),
        ('[["가"]]', "found a list (['가']) as a label of several, expected a name or a number"),
        ("[null]", "as a label of several, expected a name or a number"),
        ('["가", ""]', "found an empty name"),
    ],
)
def test_texts_that_are_no_list_of_names_are_refused(tmp_path: Path, cell: str, expected: str) -> None:
    rows = "".join(f'글 {n}\t["{name}"]\n' for n, name in enumerate("가나" * 10))
    path = write(tmp_path, "a.tsv", f"text\tlabel\n{rows}다\t{cell}\n")
    message = refusal({"path": str(path)})
    assert message.startswith(f"{path}: data row 21, column 'label': found "), message
    assert expected in message


def test_a_saved_dataset_with_a_list_of_named_labels(tmp_path: Path) -> None:
    names = ["기쁨", "슬픔", "분노"]
    features = Features({"text": Value("string"), "labels": ListOf(ClassLabel(names=names))})
    cells = [[0, 2], [1], [], [2]]
    rows = Dataset.from_dict(
        {"text": [f"글 {n}" for n in range(40)], "labels": [cells[n % 4] for n in range(40)]}, features
    )
    DatasetDict({"train": rows}).save_to_disk(str(tmp_path / "saved"))
    dataset = {"use": "hub", "path": str(tmp_path / "saved"), "label": "labels"}
    spec = spec_of(dataset)
    assert isinstance(spec.task, MultiLabel)
    assert spec.dataset.shown_task() == ("multi-label", 'the column "labels" holds lists (of type List)')
    data = prepare(spec, Repeat(1))
    assert list(data.labels) == names
    assert sets_by_text(data) == {f"글 {n}": {names[place] for place in cells[n % 4]} for n in range(40)}
    renamed = prepared({**dataset, "label_names": {"2": "anger", "0": "joy", "1": "sadness"}})
    assert renamed.labels == ("anger", "joy", "sadness")
    left = prepared({**dataset, "leave_out": ["슬픔"]})
    assert left.labels == ("기쁨", "분노")
    assert left.record["source"]["read"] == {'rows with the label "슬픔" left out': 10}


# --- leaving rows out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("left", ["8", "0", "0|2", "2|0"])
def test_rows_with_a_name_or_exactly_a_set_are_left_out_and_counted(tmp_path: Path, left: str, renamed: bool) -> None:
    text, sets = kmhas()
    names = {"0": "출신", "1": "외모", "2": "정치", "3": "욕설", "8": "없음"}
    dataset = {"path": str(write(tmp_path, "a.tsv", text)), "text": "document", "label_separator": ","}
    dataset |= {"label_names": names} if renamed else {}
    wanted = set(left.split("|"))
    gone = {text for text, own in sets.items() if (own == wanted if "|" in left else left in own)}
    for spelled in {left, "|".join(names[name] for name in left.split("|")) if renamed else left}:
        data = prepared({**dataset, "leave_out": [spelled]})
        assert set(sets) - set(sets_by_text(data)) == gone
        assert data.record["source"]["read"] == {f'rows with the label "{spelled}" left out': len(gone)}


def test_rows_without_labels_and_missing_ones_are_left_out_by_their_own_words(tmp_path: Path) -> None:
    cells = ("[]", '["a"]', '["b"]', "")
    rows = "".join(f"글 {n}\t{cells[n % 4]}\n" for n in range(40))
    dataset = {"path": str(write(tmp_path, "a.tsv", f"text\tlabel\n{rows}"))}
    data = prepared({**dataset, "leave_out": ["(none)", ""]})
    assert data.record["source"]["read"] == {
        'rows with the label "(none)" left out': 10, 'rows with the label "" left out': 10
    }  # fmt: skip
    assert len(sets_by_text(data)) == 20
    warned = prepared({**dataset, "leave_out": ["", "c"]}).record["warnings"]
    assert 'dataset.leave_out: no row has the label "c"' in warned


# --- the task that is shown --------------------------------------------------------------------------------------------------


def test_the_columns_show_the_task_and_the_resolved_spec_states_it(tmp_path: Path) -> None:
    text, _ = kmhas()
    path = str(write(tmp_path, "a.tsv", text))
    spec = spec_of({"path": path, "text": "document", "label_separator": ","})
    assert spec.dataset.shown_task() == ("multi-label", "label_separator is set")
    resolved = dump(spec, catalog())
    assert resolved["task"]["use"] == "multi-label"
    assert resolved["objective"]["use"] == "binary-cross-entropy"
    assert resolved["training"]["monitor"] == "macro_f1"
    plain = spec_of({"path": path, "text": "document"}, task="single-label")
    assert plain.dataset.shown_task() is None
    # Options alone are those of the task that is shown.
    own = spec_of({"path": path, "text": "document", "label_separator": ","}, task={"thresholds": "best-f1"})
    assert own.task == MultiLabel(thresholds="best-f1")


def test_a_stated_task_of_one_label_clashes_with_columns_of_several(tmp_path: Path) -> None:
    path = str(write(tmp_path, "a.jsonl", '{"text": "가", "label": ["a"]}\n'))
    spec, problems = checked({"path": path}, task="single-label")
    remedy = 'use "multi-label", or name a column with one label per row'
    why = 'the column "label" holds lists (["a"])'
    assert (spec, problems) == (None, [f'task: task "single-label" has one label per row, but {why}; {remedy}'])


def test_lists_that_stand_below_the_first_rows_are_refused_with_the_remedy(tmp_path: Path) -> None:
    rows = [{"text": f"글 {n}", "label": "ab"[n % 2]} for n in range(30)] + [{"text": "나", "label": ["a", "b"]}]
    path = str(write(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    message = refusal({"path": path})
    assert message.startswith(f"{path}: data row 31, column 'label': found a list (['a', 'b']), expected one label;")
    assert message.endswith('choose one; or set [task] use = "multi-label", to learn all')
    data = prepared({"path": path}, task="multi-label")
    assert sets_by_text(data)["나"] == {"a", "b"}


def test_plain_labels_may_be_learnt_as_sets_of_one(tmp_path: Path) -> None:
    rows = "".join(f"글 {n},{('부정', '긍정')[n % 2]}\n" for n in range(40))
    dataset = {"path": str(write(tmp_path, "a.csv", f"text,label\n{rows}"))}
    data = prepared({**dataset, "label_names": {"부정": "neg", "긍정": "pos"}}, task="multi-label")
    assert data.labels == ("neg", "pos")
    assert set(map(frozenset, sets_by_text(data).values())) == {frozenset({"neg"}), frozenset({"pos"})}


def test_no_more_than_the_first_rows_are_read_to_see_the_task(tmp_path: Path) -> None:
    first = "".join(json.dumps({"text": f"글 {n}", "label": ["a"]}) + "\n" for n in range(200))
    spec, _ = checked({"path": str(write(tmp_path, "a.jsonl", first + "no JSON\n"))})
    assert spec is not None
    assert isinstance(spec.task, MultiLabel)


# --- preparing -----------------------------------------------------------------------------------------------------------


def test_one_text_with_two_sets_is_a_contradiction_and_the_same_set_in_another_order_is_not(tmp_path: Path) -> None:
    rows = [(f"글 {n}", [["a"], ["b", "c"], []][n % 3]) for n in range(60)]
    rows += [("둘", ["a", "b"]), ("둘", ["a"]), ("하나", ["a", "b"]), ("하나", ["b", "a"]), ("하나", ["a", "b", "b"])]
    path = write(tmp_path, "a.jsonl", "".join(json.dumps({"text": t, "label": c}) + "\n" for t, c in rows))
    data = prepared({"path": str(path)})
    counts = data.record["splits"]["train"]
    assert (counts["contradictions"], counts["duplicates"]) == (2, 2)
    assert sets_by_text(data)["하나"] == {"a", "b"}
    assert "둘" not in sets_by_text(data)


def kote(rows: int, seed: int = 1) -> tuple[list[dict[str, Any]], list[str]]:
    """Return rows with up to 44 labels, some rare, and the names."""
    names = [f"감정{number:02d}" for number in range(44)]
    frequencies = 0.4 * np.arange(1, 45) ** -0.9
    table = np.random.default_rng(seed).random((rows, 44)) < frequencies
    table[:3, 43] = True
    cells = [[names[place] for place in np.flatnonzero(row)] for row in table]
    return [{"text": f"{n}번째 글", "labels": cell, "who": n // 4} for n, cell in enumerate(cells)], names


def written(folder: Path, rows: Iterable[dict[str, Any]]) -> str:
    return str(write(folder, "a.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)))


def shares(data: PreparedData, split: str) -> Any:
    return data.splits[split].labels.mean(0)


def test_splits_have_their_share_of_44_labels(tmp_path: Path) -> None:
    rows, names = kote(1000)
    data = prepared({"path": written(tmp_path, rows), "label": "labels"})
    assert list(data.labels) == names
    whole = np.array([[name in row["labels"] for name in names] for row in rows]).mean(0)
    for split, size in (("train", 600), ("validation", 200), ("test", 200)):
        assert len(data.splits[split]) == size
        assert np.abs(shares(data, split) - whole).max() * size < 1.6
    counted = Counter(name for text, own in sets_by_text(data).items() for name in own or {"(none)"})
    recorded: Counter[str] = Counter()
    for split in data.record["labels"].values():
        recorded.update(split)
    assert recorded == counted


def test_a_limit_and_few_labelled_rows_keep_a_row_of_every_label(tmp_path: Path) -> None:
    rows, names = kote(1000)
    dataset = {"path": written(tmp_path, rows), "label": "labels"}
    data = prepared({**dataset, "limit": 60})
    assert len(data.train) == 60
    assert list(data.labels) == names
    few = [prepared(dataset, Repeat(1, draw=draw), labelled={"n": 60, "draws": 2}) for draw in (1, 2)]
    for found in few:
        assert len(found.train) == 60
        assert list(found.labels) == names
        assert found.unlabelled is not None
        assert len(found.unlabelled) == 540
    assert set(few[0].train.numbers.tolist()) != set(few[1].train.numbers.tolist())
    again = prepared(dataset, labelled={"n": 60, "draws": 2})
    assert again.train.numbers.tolist() == few[0].train.numbers.tolist()
    assert "cannot hold" in refusal(dataset, labelled={"n": 3})
    assert "dataset.limit: 3 train rows cannot hold" in refusal({**dataset, "limit": 3})


def test_folds_are_disjoint_and_cover_all_rows(tmp_path: Path) -> None:
    rows, names = kote(600)
    dataset = {"path": written(tmp_path, rows), "label": "labels"}
    tested: list[int] = []
    for fold in range(1, 6):
        data = prepared(dataset, Repeat(1, fold=fold), split={"folds": 5, "validation": 0.1})
        assert list(data.labels) == names
        assert len(data.splits["test"]) == 120
        tested += data.splits["test"].numbers.tolist()
    assert sorted(tested) == list(range(600))
    rows[5]["labels"] = ["하나뿐", *rows[5]["labels"]]
    message = refusal({**dataset, "path": written(tmp_path, rows)}, split={"folds": 5, "validation": 0.1})
    assert "is in one row alone, which one fold would test and never learn" in message
    assert "하나뿐" in message


def test_groups_stay_together(tmp_path: Path) -> None:
    rows, _ = kote(800)
    dataset = {"path": written(tmp_path, rows), "label": "labels", "group": "who"}
    for split, repeat in ((SPLIT, Repeat(1)), ({"folds": 4, "validation": 0.2}, Repeat(1, fold=2))):
        data = prepared(dataset, repeat, split=split)
        groups = [{number // 4 for number in found.numbers.tolist()} for found in data.splits.values()]
        assert sum(map(len, groups)) == 200
        assert set.union(*groups) == set(range(200))
        assert np.abs(shares(data, "test") - shares(data, "train"))[:5].max() < 0.08


def test_a_set_of_known_names_may_be_new_and_a_new_name_is_refused(tmp_path: Path) -> None:
    train = written(tmp_path / "train", [{"text": f"글 {n}", "label": [["a"], ["b"]][n % 2]} for n in range(20)])
    test = written(tmp_path / "test", [{"text": "새", "label": ["a", "b"]}, {"text": "둘", "label": []}])
    data = prepared({"train": train, "test": test}, split={"validation": 0.2})
    assert data.splits["test"].labels.tolist() == [[1, 1], [0, 0]]
    other = written(tmp_path / "other", [{"text": "새", "label": ["a", "c"]}])
    message = refusal({"train": train, "test": other}, split={"validation": 0.2})
    assert 'label "a|c" is in 1 row of the test split but not in train' in message


def test_rows_that_are_all_alike_leave_nothing_to_learn(tmp_path: Path) -> None:
    none = written(tmp_path, [{"text": f"글 {n}", "label": []} for n in range(20)])
    assert refusal({"path": none}) == "dataset: no train row has a label; expected rows with at least one"
    same = written(tmp_path, [{"text": f"글 {n}", "label": ["b", "a"]} for n in range(20)])
    assert refusal({"path": same}).startswith('dataset: every train row has exactly the labels "a" and "b"')
