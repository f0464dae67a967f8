"""The datasets ``table`` and ``hub``: columns, labels and splits as the options say, and messages that name the place."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import datasets
import huggingface_hub.constants
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from kexp import hub
from kexp.builtin.datasets import HubDataset, TableDataset
from kexp.contracts import DatasetContext
from kexp.errors import DataError


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def forget() -> None:
    """Make kexp.hub ask again whether the hub can be reached."""
    for function in vars(hub).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()


@pytest.fixture(autouse=True)
def _own_cache_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    forget()
    yield
    forget()


def write(folder: Path, name: str, content: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding))
    return path


def write_jsonl(folder: Path, rows: list[dict[str, object]]) -> Path:
    return write(folder, "rows.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def build(options: TableDataset | HubDataset) -> Mapping[str, Dataset]:
    context = DatasetContext()
    built = options.build(context)
    assert not context.counts  # these datasets leave out no row
    return built


def refusal(options: TableDataset | HubDataset) -> str:
    with pytest.raises(DataError) as caught:
        build(options)
    return str(caught.value)


def told(options: TableDataset | HubDataset) -> list[str]:
    return [str(problem) for problem in options.problems()]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path, "a.csv", "title,body,label,author\n가,나다,1,7\n라,,0,7\nNA,null,1,8\n")


# --- table: columns --------------------------------------------------------------------------------------------------


def test_a_single_file_is_the_train_split(table: Path) -> None:
    built = build(TableDataset(path=table, text="title"))
    assert list(built) == ["train"]
    assert built["train"].to_dict() == {"text": ["가", "라", "NA"], "label": ["1", "0", "1"]}


def test_several_text_columns_are_joined_in_their_order(table: Path) -> None:
    built = build(TableDataset(path=table, text=("body", "title"), join_with=" / "))
    assert built["train"]["text"][:] == ["나다 / 가", " / 라", "null / NA"]


def test_pair_and_group_come_along_as_texts(table: Path) -> None:
    built = build(TableDataset(path=table, text="title", text_pair="body", group="author"))["train"]
    assert built["text_pair"][:] == ["나다", "", "null"]
    assert built["group"][:] == ["7", "7", "8"]
    assert set(built.column_names) == {"text", "text_pair", "label", "group"}


def test_missing_columns_are_told_with_those_that_exist(table: Path) -> None:
    message = refusal(TableDataset(path=table, text="document", label="score"))
    assert message == (
        f"{table}: no column 'document', 'score'; the columns are title, body, label, author; "
        "if the file has no header, set header = false and columns = [...]"
    )


@pytest.mark.parametrize("option", ["text", "text_pair", "label", "group"])
def test_every_option_that_names_a_column_is_checked(table: Path, option: str) -> None:
    message = refusal(TableDataset(path=table, **{"text": "title", option: "nowhere"}))
    assert message == f"{table}: no column 'nowhere'; the columns are title, body, label, author"


# --- table: labels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["긍정", "부정"], ["긍정", "부정"]),
        ([1, 0], ["1", "0"]),
        ([1.0, -1.0], ["1", "-1"]),
        (["1.50", "0.5"], ["1.50", "0.5"]),
        ([True, "False"], ["True", "False"]),
        (["1.0", "-2.00"], ["1", "-2"]),
        ([" 긍정 ", "긍정"], ["긍정", "긍정"]),
        ([1, "1"], ["1", "1"]),
    ],
)
def test_labels_of_every_type_become_strings(tmp_path: Path, labels: list[object], expected: list[str]) -> None:
    path = write_jsonl(tmp_path, [{"text": "가", "label": label} for label in labels])
    assert build(TableDataset(path=path))["train"]["label"][:] == expected


def test_label_names_give_the_class_names_in_their_order(table: Path) -> None:
    built = build(TableDataset(path=table, text="title", label_names={"1": "긍정", "0": "부정"}))["train"]
    assert built.features["label"] == ClassLabel(names=["긍정", "부정"])
    assert built["label"][:] == [0, 1, 0]


def test_label_names_work_on_integers_and_on_floats_without_fraction(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path, [{"text": "가", "label": 5.0}, {"text": "나", "label": 3}])
    built = build(TableDataset(path=path, label_names={"3": "셋", "5": "다섯"}))["train"]
    assert built.features["label"].names == ["셋", "다섯"]
    assert built["label"][:] == [1, 0]


def test_a_label_that_label_names_lacks_is_told_with_its_row(table: Path) -> None:
    message = refusal(TableDataset(path=table, text="title", label_names={"1": "긍정", "2": "부정"}))
    assert message == f"{table}: data row 2: label '0' is not in label_names (1, 2)"


def test_two_labels_of_one_name_are_refused_before_anything_is_read(table: Path) -> None:
    options = TableDataset(path=table, text="title", label_names={"1": "감정", "0": "감정"})
    (problem,) = options.problems()
    assert problem.path == "label_names"
    assert '"감정"' in problem.message


@pytest.mark.parametrize(
    "content",
    ["text,label\n가,1\n나,\n다, \n", '{"text": "가", "label": 1}\n{"text": "나"}\n{"text": "다", "label": null}\n'],
)
def test_rows_without_label_are_counted_and_the_first_is_named(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, "a.csv" if content.startswith("text") else "a.jsonl", content)
    message = refusal(TableDataset(path=path))
    assert (
        message
        == f'{path}: data row 2 has no label (2 such rows); fill them in, or leave them out with cleaning.unlabelled = "drop"'
    )


def test_a_missing_text_is_an_empty_one(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path, [{"text": None, "label": "가"}, {"label": "나"}, {"text": "다", "label": "나"}])
    assert build(TableDataset(path=path))["train"]["text"][:] == ["", "", "다"]


# --- table: files ----------------------------------------------------------------------------------------------------


def test_one_file_per_split(tmp_path: Path) -> None:
    files = {
        split: write(tmp_path, f"{split}.tsv", f"text\tlabel\n{split}\t1\n")
        for split in ("train", "validation", "test")
    }
    built = build(TableDataset(**files))
    assert {split: dataset["text"][:] for split, dataset in built.items()} == {split: [split] for split in files}
    assert list(built) == ["train", "validation", "test"]


def test_messages_name_the_file_of_the_split(tmp_path: Path) -> None:
    train = write(tmp_path, "train.csv", "text,label\n가,1\n")
    test = write(tmp_path, "test.csv", "text\n가\n")
    assert refusal(TableDataset(train=train, test=test)).startswith(f"{test}: no column 'label'")


def test_parquet_with_missing_texts_categories_and_an_index_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame({"text": ["가", None, "나"], "label": pd.Categorical(["b", "a", "b"])}, index=[5, 9, 2])
    frame.to_parquet(path)
    built = build(TableDataset(path=path))["train"]
    assert built.to_dict() == {"text": ["가", "", "나"], "label": ["b", "a", "b"]}


def test_a_foreign_label_is_told_with_its_row_whatever_the_index_of_the_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"text": ["가", "나"], "label": ["x", "y"]}, index=[5, 9]).to_parquet(path)
    message = refusal(TableDataset(path=path, label_names={"x": "가", "z": "나"}))
    assert message == f"{path}: data row 2: label 'y' is not in label_names (x, z)"


def test_encoding_quoting_header_and_separator_reach_the_reader(tmp_path: Path) -> None:
    path = write(tmp_path, "a.dat", '"좋아|1\n나쁨"|0\n', "cp949")
    options = TableDataset(
        path=path, format="csv", separator="|", encoding="cp949", header=False, columns=("text", "label"), quoting=False
    )
    assert told(options) == []
    assert build(options)["train"].to_dict() == {"text": ['"좋아', '나쁨"'], "label": ["1", "0"]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,label\n가,1\n"),
        ("A.CSV", "text,label\n가,1\n"),
        ("a.tsv", "text\tlabel\n가\t1\n"),
        ("a.txt", "text\tlabel\n가\t1\n"),
        ("a.jsonl", '{"text": "가", "label": 1}\n'),
        ("a.ndjson", '{"text": "가", "label": 1}\n'),
    ],
)
def test_the_name_tells_the_format(tmp_path: Path, name: str, content: str) -> None:
    options = TableDataset(path=write(tmp_path, name, content))
    assert told(options) == []
    assert build(options)["train"].to_dict() == {"text": ["가"], "label": ["1"]}


def test_what_is_wrong_with_the_options_is_told_without_reading(tmp_path: Path, table: Path) -> None:
    missing, odd = tmp_path / "none.csv", write(tmp_path, "rows.dat", "text,label\n")
    assert told(TableDataset()) == ["path: no file is named; set path, or train and optionally validation and test"]
    assert told(TableDataset(path=table, train=table)) == [
        "train: path and train both name the train rows; keep one of them"
    ]
    assert told(TableDataset(path=missing)) == [f"path: {missing} does not exist"]
    assert told(TableDataset(train=table, test=missing)) == [f"test: {missing} does not exist"]
    assert told(TableDataset(path=tmp_path)) == [f"path: {tmp_path} is not a file"]
    assert told(TableDataset(path=odd)) == ['format: the format of rows.dat is unknown; set format = "csv", "tsv", ...']
    assert told(TableDataset(path=table, header=False)) == [
        "columns: a file without header needs the names of its columns"
    ]
    assert told(TableDataset(path=table, columns=("text", "label"))) == [
        "columns: the header names the columns already; remove it, or set header = false"
    ]
    assert told(TableDataset(path=table, encoding="euckr2")) == [
        'encoding: Python knows no encoding "euckr2"; for example "utf-8" or "cp949"'
    ]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    assert told(TableDataset(train=first, test=second, header=False)) == [
        f"train: {first} does not exist",
        f"test: {second} does not exist",
        "columns: a file without header needs the names of its columns",
    ]


# --- hub: local folders ----------------------------------------------------------------------------------------------


def saved(folder: Path, splits: dict[str, list[int]], names: tuple[str, ...] = ("부정", "긍정")) -> Path:
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(names))})
    made = {
        split: Dataset.from_dict(
            {"text": [f"{split} {row}" for row in range(len(ids))], "label": ids}, features=features
        )
        for split, ids in splits.items()
    }
    DatasetDict(made).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def test_a_folder_of_csv_files_gives_its_splits(tmp_path: Path) -> None:
    write(tmp_path, "data/train.csv", "text,label\n가,1\n나,0\n")
    write(tmp_path, "data/test.csv", "text,label\n다,1\n")
    built = build(HubDataset(path=tmp_path / "data"))
    assert {split: dataset.to_dict() for split, dataset in built.items()} == {
        "train": {"text": ["가", "나"], "label": ["1", "0"]},
        "test": {"text": ["다"], "label": ["1"]},
    }


def test_words_that_pandas_takes_for_missing_stay_texts_in_a_folder_of_csv_files(tmp_path: Path) -> None:
    write(tmp_path, "data/train.csv", "text,label\nNA,1\nnull,0\nnan,0\n")
    assert build(HubDataset(path=tmp_path / "data"))["train"]["text"][:] == ["NA", "null", "nan"]


def test_class_label_names_and_their_order_are_kept(tmp_path: Path) -> None:
    built = build(HubDataset(path=saved(tmp_path, {"train": [1, 0, 1]})))["train"]
    assert built.features["label"].names == ["부정", "긍정"]
    assert built["label"][:] == [1, 0, 1]


def test_label_names_rename_a_class_label(tmp_path: Path) -> None:
    path = saved(tmp_path, {"train": [1, 0, 1]})
    built = build(HubDataset(path=path, label_names={"1": "good", "0": "bad"}))["train"]
    assert built.features["label"].names == ["good", "bad"]
    assert built["label"][:] == [0, 1, 0]


def test_a_single_dataset_that_save_to_disk_wrote_is_the_train_split(tmp_path: Path) -> None:
    Dataset.from_dict({"text": ["가", "나"], "label": [1, 0]}).save_to_disk(str(tmp_path / "one"))
    built = build(HubDataset(path=tmp_path / "one"))
    assert {split: dataset["text"][:] for split, dataset in built.items()} == {"train": ["가", "나"]}


def test_splits_are_renamed_and_others_left_out(tmp_path: Path) -> None:
    path = saved(tmp_path, {"train": [1, 0], "dev": [1], "test": [0]})
    built = build(HubDataset(path=path, splits={"train": "train", "test": "dev"}))
    assert {split: dataset["text"][:] for split, dataset in built.items()} == {
        "train": ["train 0", "train 1"],
        "test": ["dev 0"],
    }


def test_without_splits_those_of_kexps_names_are_taken(tmp_path: Path) -> None:
    path = saved(tmp_path, {"train": [1, 0], "validation": [1], "extra": [0]})
    assert list(build(HubDataset(path=path))) == ["train", "validation"]


def test_a_split_that_is_missing_is_told_with_those_that_exist(tmp_path: Path) -> None:
    path = saved(tmp_path, {"train": [1, 0], "dev": [1]})
    options = HubDataset(path=path, splits={"train": "train", "validation": "validation"})
    assert refusal(options) == f"{path}: no split validation; it has train, dev; set dataset.splits"


def test_a_dataset_without_train_split_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, {"dev": [1]})
    assert refusal(HubDataset(path=path)) == f"{path}: no split train; it has dev; set dataset.splits"


def test_an_unlabelled_test_split_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = saved(tmp_path, {"train": [1, 0], "test": [-1, -1]})
    assert refusal(HubDataset(path=path)) == (
        f'{path}, split test: 2 rows have no label (-1); name another split in dataset.splits, or leave them out with cleaning.unlabelled = "drop"'
    )
    assert list(build(HubDataset(path=path, splits={"train": "train"}))) == ["train"]


def test_a_missing_column_is_told_with_the_split(tmp_path: Path) -> None:
    path = saved(tmp_path, {"train": [1, 0]})
    assert refusal(HubDataset(path=path, text="sentence")) == (
        f"{path}, split train: no column 'sentence'; the columns are text, label"
    )


def test_a_folder_without_data_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    message = refusal(HubDataset(path=tmp_path / "nothing"))
    assert message.startswith(f"{tmp_path / 'nothing'}: cannot be loaded as a dataset: ")
    assert "doesn't contain any data files" in message


def test_a_damaged_file_in_a_folder_is_told_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path, "data/train.csv", "text,label\n가,1\n나,다,라,0\n")
    message = refusal(HubDataset(path=tmp_path / "data"))
    assert message.startswith(f"{tmp_path / 'data'}: cannot be loaded as a dataset: ")
    assert "Expected 2 fields in line 3, saw 4" in message


def test_what_is_wrong_with_the_source_is_told_without_loading(tmp_path: Path) -> None:
    neither_or_both = "id: give either id, a hub id, or path, a local folder"
    assert told(HubDataset()) == [neither_or_both]
    assert told(HubDataset(id="owner/name", path=tmp_path)) == [neither_or_both]
    assert told(HubDataset(path=tmp_path / "none")) == [
        f"path: {tmp_path / 'none'} is not a folder; give a hub id or an existing folder"
    ]
    assert told(HubDataset(path=tmp_path, splits={"test": "test"})) == [
        'splits: train is missing; for example splits = {train = "train", test = "validation"}'
    ]


def test_a_hub_id_without_revision_is_warned_of() -> None:
    (warning,) = HubDataset(id="owner/name").warnings()
    assert str(warning) == "revision: not pinned: the data may change under the experiment; give a commit"
    assert list(HubDataset(id="owner/name", revision="0123abc").warnings()) == []


# --- hub: without network --------------------------------------------------------------------------------------------

REMEDY = 'give a local folder with path = "...", or download it first where there is a network'


@pytest.mark.parametrize("variable", ["KEXP_OFFLINE", "HF_HUB_OFFLINE"])
def test_a_hub_id_that_is_not_cached_fails_at_once_when_the_user_stays_offline(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv(variable, "1")
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    message = refusal(HubDataset(id="kexp-tests/not-there"))
    assert message.startswith(
        f'dataset "kexp-tests/not-there" is not in the local cache and KEXP_OFFLINE or HF_HUB_OFFLINE is set; {REMEDY}'
    )


def test_a_hub_that_does_not_answer_is_asked_once_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(*_: object, **__: object) -> None:
        asked.append(1)
        raise OSError("no route to host")

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.delenv("KEXP_OFFLINE", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    for name in ("kexp-tests/one", "kexp-tests/two"):
        message = refusal(HubDataset(id=name))
        assert message.startswith(
            f'dataset "{name}" is not in the local cache and the Hugging Face hub does not answer; {REMEDY}'
        )
    assert asked == [1]
