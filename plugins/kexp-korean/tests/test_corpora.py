"""Corpora as they are published: every row of them, what is wrong with files, and training on every shape."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from corpus_files import (
    BOM,
    EXAMPLES,
    GROUPS,
    ODD,
    Example,
    Written,
    plain,
    quoted,
    texts,
    write,
    write_curses,
    write_emotions,
)
from datasets import ClassLabel
from pydantic import ValidationError
from typer.testing import CliRunner

from kexp.cli import app
from kexp.contracts import DatasetContext
from kexp.errors import DataError
from kexp.testing.dataset import context_of
from kexp_korean import plugin
from kexp_korean.corpora import CurseDetection, Intent3i4K, KoBEST, KoreanHateSpeech, KorNLI, KorSTS, QuestionPair
from kexp_korean.emotional_dialogue import AIHubEmotion, emotions
from kexp_korean.klue import KLUE
from kexp_korean.label_sets import KOLD, KOTE, KMHaS, UnSmile
from kexp_korean.nsmc import NSMC
from kexp_korean.published import Corpus

EXPERIMENTS = Path(__file__).parents[3] / "experiments" / "korean"
PARTS = {
    "nsmc": ["ratings_train.txt as train", "ratings_test.txt as test"],
    "klue-ynat": ["ynat-v1.1_train.json as train", "ynat-v1.1_dev.json as test"],
    "kornli": [
        "snli_1.0_train.ko.tsv as train", "multinli.train.ko.tsv as train",
        "xnli.dev.ko.tsv as validation", "xnli.test.ko.tsv as test",
    ],
    "curse-detection": ["dataset.txt as train"],
}  # fmt: skip


def read(options: Corpus, context: DatasetContext | None = None) -> dict[str, list[tuple[str, str | None, Any]]]:
    """Read a corpus, with the names of labels."""
    found = {}
    for split, made in options.build(context or context_of(options)).items():
        pairs = made["text_pair"][:] if "text_pair" in made.column_names else [None] * len(made)
        labels: list[Any] = ["" for _ in pairs]
        if "label" in made.column_names:
            labels, feature = made["label"][:], made.features["label"]
            if isinstance(feature, ClassLabel):
                labels = feature.int2str(labels)
            elif isinstance(of := getattr(feature, "feature", None), ClassLabel):
                labels = [of.int2str(own) for own in labels]
        found[split] = list(zip(made["text"][:], pairs, labels, strict=True))
    return found


def kexp(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_row_is_read_as_it_stands(name: str, tmp_path: Path) -> None:
    example = EXAMPLES[name]
    expected = example.write(tmp_path)
    options = example.read_from(tmp_path)
    context = context_of(options)
    assert list(options.problems()) == []
    assert read(options, context) == expected
    found = {part: count for part, count in context.counts.items() if " as " in part}
    assert [*found] == PARTS.get(name, [*found])
    assert sum(found.values()) == sum(map(len, expected.values()))
    # No file of a test has the published number of rows.
    assert len(context.warnings) == len(found)
    expected_of = "users count" if name == "aihub-emotion" else "published are"
    assert all(expected_of in warning for warning in context.warnings)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_published_number_of_rows_is_no_warning(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = EXAMPLES[name]
    example.write(tmp_path)
    options = example.read_from(tmp_path)
    context = context_of(options)
    options.build(context)
    rows = iter([count for part, count in context.counts.items() if " as " in part])
    parts = [type(part)(part.split, part.files, next(rows), part.many) for part in options.parts()]
    monkeypatch.setattr(type(options), "parts", lambda self: parts)
    again = context_of(options)
    options.build(again)
    assert again.warnings == []


def test_published_numbers_of_rows() -> None:
    """What the authors state; a slip here would warn every user, or nobody."""
    here = Path(__file__).parent
    known = {
        NSMC(path=here): [150_000, 50_000],
        KLUE(path=here, task="ynat"): [45_678, 9_107],
        KLUE(path=here, task="nli"): [24_998, 3_000],
        KLUE(path=here, task="sts"): [11_668, 519],
        KorNLI(path=here): [550_152, 392_702, 2_490, 5_010],
        KorSTS(path=here): [5_749, 1_500, 1_379],
        UnSmile(path=here): [15_005, 3_737],
        KMHaS(path=here): [78_977, 8_776, 21_939],
        KOTE(path=here): [40_000, 5_000, 5_000],
        KOLD(path=here): [40_429],
        KoreanHateSpeech(path=here, unlabelled=True): [7_896, 471, 2_033_893],
        Intent3i4K(path=here): [55_134, 6_121],
        QuestionPair(path=here): [6_888, 688],
        CurseDetection(path=here): [5_825],
        KoBEST(path=here, task="boolq"): [3_665, 700, 1_404],
        KoBEST(path=here, task="wic"): [3_318, 610, 1_260],
        KoBEST(path=here, task="sentineg"): [3_649, 400, 397],
        AIHubEmotion(path=here): [51_628, 6_640],
    }
    for options, rows in known.items():
        assert [part.rows for part in options.parts()] == rows
    assert sum(known[KorNLI(path=here)][:2]) == 942_854
    assert sum(known[KMHaS(path=here)]) == 109_692
    assert sum(known[UnSmile(path=here)]) == 18_742


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["klue-ynat", "klue-nli", "klue-sts", "korean-hate-speech", "unsmile", "aihub-emotion"]
)
def test_dev_is_test_or_validation(name: str, tmp_path: Path) -> None:
    example = EXAMPLES[name]
    expected = example.write(tmp_path)
    assert read(example.read_from(tmp_path, dev="validation")) == {
        "train": expected["train"],
        "validation": expected["test"],
    }


def test_train_files_of_kornli_are_chosen(tmp_path: Path) -> None:
    expected = EXAMPLES["kornli"].write(tmp_path)
    (tmp_path / "KorNLI" / "snli_1.0_train.ko.tsv").unlink()
    assert read(KorNLI(path=tmp_path, train=("multinli",)))["train"] == expected["train"][45:]
    (problem,) = KorNLI(path=tmp_path).problems()
    assert problem.message.endswith("lacks snli_1.0_train.ko.tsv")
    with pytest.raises(ValidationError, match="named twice"):
        KorNLI(path=tmp_path, train=("snli", "snli"))


@pytest.mark.parametrize(
    ("label", "names", "second"),
    [
        ("hate", ["none", "offensive", "hate"], "offensive"),
        ("bias", ["none", "others", "gender"], "others"),
        ("contain_gender_bias", ["False", "True"], "False"),
    ],
)
def test_one_of_three_labels_is_learned(label: str, names: list[str], second: str, tmp_path: Path) -> None:
    EXAMPLES["korean-hate-speech"].write(tmp_path)
    train = KoreanHateSpeech(path=tmp_path, label=label).build(DatasetContext())["train"]
    assert train.features["label"].names == names
    assert train.features["label"].int2str(train[1]["label"]) == second


def test_unlabelled_comments_are_read_in_the_order_of_their_files(tmp_path: Path) -> None:
    EXAMPLES["korean-hate-speech"].write(tmp_path)
    context = DatasetContext()
    found = read(KoreanHateSpeech(path=tmp_path, unlabelled=True), context)
    assert [text for text, _, _ in found["unlabelled"]] == [*texts(12, 212), *texts(12, 224)]
    assert {label for _, _, label in found["unlabelled"]} == {""}
    assert context.counts["unlabeled_comments_*.txt as unlabelled"] == 24
    assert "unlabelled" not in read(KoreanHateSpeech(path=tmp_path))


@pytest.mark.parametrize("level", ["detailed", "large"])
def test_codes_of_emotions_are_named(level: str, tmp_path: Path) -> None:
    expected = write_emotions(tmp_path, level=level)
    options = AIHubEmotion(path=tmp_path, label=level)
    made = options.build(DatasetContext())["train"]
    assert read(options) == expected
    assert options.label_count() == len(made.features["label"].names) == {"detailed": 60, "large": 6}[level]
    assert made.features["label"].names[:2] == {"detailed": ["분노", "툴툴대는"], "large": ["분노", "슬픔"]}[level]
    assert emotions("large")["E69"] == "기쁨"
    assert emotions("detailed")["E59"] == "혼란스러운(당황한)"


def test_the_first_utterance_alone(tmp_path: Path) -> None:
    expected = write_emotions(tmp_path)
    first = read(AIHubEmotion(path=tmp_path, text="first"))["train"]
    assert [text.strip() for text, _, _ in first] == [row.text.split()[0] for row in expected["train"]]


def test_multiple_choice_is_refused_with_the_reason(tmp_path: Path) -> None:
    for task in ("copa", "HellaSwag"):
        with pytest.raises(ValidationError, match="multiple choice"):
            KoBEST(path=tmp_path, task=task)


def test_truth_values_may_be_words_or_numbers(tmp_path: Path) -> None:
    for name, values in (("a", ("True", "False")), ("b", ("TRUE", "FALSE")), ("c", ("1", "0"))):
        lines = [("Text", "Question", "Answer"), ("글", "물음", values[0]), ("글", "또", values[1])]
        for file in ("train", "dev", "test"):
            write(tmp_path / name / "BoolQ" / f"{file}.tsv", plain(lines))
        found = read(KoBEST(path=tmp_path / name, task="boolq"))
        assert [label for _, _, label in found["train"]] == ["True", "False"]


def test_words_in_context_of_the_repository(tmp_path: Path) -> None:
    """Links of a dictionary beside the sentences, a tab inside a cell, and truth values in two spellings."""
    header = ("ID", "Target", "SENTENCE1", "Dictionary 1", "Link 1", "SENTENCE2", "Dictionary 2", "Link2", "ANSWER")
    link = "https://example.org/view.do?word_no=1"
    made = [
        (1, "배", "[배]를 탔다.\t", 2, link, "[배]가 고프다.", 1, link, "False"),
        (2, "길", "[길]을 잃었다.", 1, link, "돌아오는 [길]이다.", 1, link, "FALSE"),
        (3, "해", "[해]가 진다.", 1, link, "[해]가 든다.", 1, link, "True"),
    ]
    for name in ("train", "dev", "test"):
        write(tmp_path / "v1.0" / "WiC" / f"{name}.tsv", quoted([header, *made], "\t"))
    assert read(KoBEST(path=tmp_path, task="wic"))["validation"] == [
        ("[배]를 탔다.\t", "[배]가 고프다.", "False"),
        ("[길]을 잃었다.", "돌아오는 [길]이다.", "False"),
        ("[해]가 진다.", "[해]가 든다.", "True"),
    ]


def test_rows_that_lack_a_cell_are_left_out_and_counted_where_the_authors_do(tmp_path: Path) -> None:
    EXAMPLES["kobest-boolq"].write(tmp_path)
    context = DatasetContext()
    KoBEST(path=tmp_path, task="boolq").build(context)
    assert context.counts["rows without a text or label left out"] == 3


def test_blank_lines_and_rows_of_several_lines_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "a" / "dataset.txt", "\n욕이다|1\n \n인사다|0\n")
    context = DatasetContext()
    assert read(CurseDetection(path=tmp_path / "a"), context)["train"] == [
        ("욕이다", None, "욕설"),
        ("인사다", None, "욕설 아님"),
    ]
    assert context.read["train"]["blank_lines"] == 2
    header = "comments\tcontain_gender_bias\tbias\thate\n"
    for split in ("train", "dev"):
        write(tmp_path / "b" / f"{split}.tsv", f'{header}"두\n줄"\tFalse\tnone\thate\n')
    assert read(KoreanHateSpeech(path=tmp_path / "b"), context)["test"] == [("두\n줄", None, "hate")]
    assert context.read["test"]["merged_lines"] == 1


# --- where files are ---------------------------------------------------------------------------------------------------


def test_names_may_be_of_another_case_or_composition(tmp_path: Path) -> None:
    expected = EXAMPLES["question-pair"].write(tmp_path / "a")
    (tmp_path / "a" / "kor_Pair_test.csv").rename(tmp_path / "a" / "kor_pair_test.csv")
    assert read(QuestionPair(path=tmp_path / "a")) == expected
    expected = write_emotions(tmp_path / "b")
    for path in (tmp_path / "b").rglob("*.json"):
        path.rename(path.with_name(unicodedata.normalize("NFD", path.name)))
    assert read(AIHubEmotion(path=tmp_path / "b")) == expected


def test_the_folder_of_a_task_will_do(tmp_path: Path) -> None:
    expected = EXAMPLES["kobest-boolq"].write(tmp_path)
    folder = (tmp_path / "v1.0" / "BoolQ").rename(tmp_path / "renamed")
    assert read(KoBEST(path=folder, task="boolq")) == expected


def test_version_1_1_is_read_where_both_are_there(tmp_path: Path) -> None:
    expected = EXAMPLES["klue-nli"].write(tmp_path)
    for split in ("train", "dev"):
        write(tmp_path / "klue-nli-v1" / f"klue-nli-v1_{split}.json", "[]")
    assert read(KLUE(path=tmp_path, task="nli")) == expected


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    EXAMPLES["nsmc"].write(tmp_path / "a")
    EXAMPLES["nsmc"].write(tmp_path / "b")
    first, second = NSMC(path=tmp_path).problems()
    assert f"{tmp_path / 'a' / 'ratings_train.txt'} and {tmp_path / 'b' / 'ratings_train.txt'}" in first.message
    assert "ratings_test.txt" in second.message
    # The file that is nearest is meant.
    EXAMPLES["nsmc"].write(tmp_path)
    assert list(NSMC(path=tmp_path).problems()) == []


def test_what_is_missing_is_named_with_where_to_get_it(tmp_path: Path) -> None:
    example = EXAMPLES["klue-ynat"]
    example.write(tmp_path)
    next(tmp_path.rglob("*_dev.json")).unlink()
    (problem,) = example.read_from(tmp_path).problems()
    assert problem.message == f"{tmp_path} lacks ynat-v1.1_dev.json"
    assert problem.hint == "get it from https://github.com/KLUE-benchmark/KLUE"
    (problem,) = example.read_from(next(tmp_path.rglob("*_train.json"))).problems()
    assert "is not a folder" in problem.message


@pytest.mark.parametrize("name", ["ynat.tar.gz", "ynat.ZIP", "ynat.7z", "ynat.alz", "a.json.gz", "라벨.zip.part0"])
def test_archives_are_to_be_unpacked(name: str, tmp_path: Path) -> None:
    archive = write(tmp_path / name, b"\x1f\x8b")
    (problem,) = KLUE(path=tmp_path, task="ynat").problems()
    assert problem.hint == f"unpack {name}"
    (problem,) = KLUE(path=archive, task="ynat").problems()
    assert problem.hint.startswith("unpack it, and give the folder that holds ynat-v1.1_train.json and")


@pytest.mark.parametrize(
    "copy", ["ratings_train (1).txt", "ratings_train.txt.txt", "Ratings_train - 복사본.txt", "ratings_train(2).txt"]
)
def test_a_file_that_was_renamed_in_passing_is_named(copy: str, tmp_path: Path) -> None:
    EXAMPLES["nsmc"].write(tmp_path)
    (tmp_path / "ratings_train.txt").rename(tmp_path / copy)
    (problem,) = NSMC(path=tmp_path).problems()
    assert problem.hint == f"rename {copy} to ratings_train.txt"


def test_other_files_of_a_corpus_are_not_taken_for_renamed_ones(tmp_path: Path) -> None:
    EXAMPLES["korean-hate-speech"].write(tmp_path)
    (tmp_path / "labeled" / "train.tsv").unlink()
    (problem,) = KoreanHateSpeech(path=tmp_path).problems()
    assert problem.hint == "get it from https://github.com/kocohub/korean-hate-speech"


def test_a_file_with_as_many_rows_as_another_one_has_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    EXAMPLES["nsmc"].write(tmp_path)
    train, test = NSMC(path=tmp_path).parts()
    monkeypatch.setattr(NSMC, "parts", lambda self: (replace(train, rows=20), replace(test, rows=60)))
    context = DatasetContext()
    NSMC(path=tmp_path).build(context)
    assert context.warnings == [
        "ratings_train.txt has 60 rows, published are 20: has it the content of ratings_test.txt, which has as many?",
        "ratings_test.txt has 20 rows, published are 60: has it the content of ratings_train.txt, which has as many?",
    ]


def test_a_single_file_may_be_named_or_its_folder(tmp_path: Path) -> None:
    expected = write_curses(tmp_path)
    assert read(CurseDetection(path=tmp_path)) == read(CurseDetection(path=tmp_path / "dataset.txt")) == expected
    (tmp_path / "dataset.txt").rename(tmp_path / "curses.txt")
    assert read(CurseDetection(path=tmp_path / "curses.txt")) == expected
    (problem,) = CurseDetection(path=tmp_path).problems()
    assert "lacks dataset.txt" in problem.message


# --- what is wrong in files --------------------------------------------------------------------------------------------

TABS = "\t"
DAMAGE = {
    "label": ("nsmc", "ratings_train.txt", "id\tdocument\tlabel\n1\t좋다\t1\n2\t나쁘다\t3\n", "data row 2: label '3', where it is 0 or 1 (1 such rows)"),
    "no label": ("kornli", "xnli.dev.ko.tsv", "sentence1\tsentence2\tgold_label\n하나\t둘\t\n", "data row 1: gold_label '', where it is entailment, neutral or contradiction"),
    "column": ("kornli", "xnli.test.ko.tsv", "premise\tsentence2\tgold_label\n하나\t둘\tneutral\n", "no column 'sentence1'; the columns are premise, sentence2, gold_label"),
    "separator": ("nsmc", "ratings_test.txt", "id,document,label\n1,좋다,1\n", "the only column is 'id,document,label'"),
    "cut line": ("kornli", "snli_1.0_train.ko.tsv", "sentence1\tsentence2\tgold_label\n하나\t둘\tneutral\n하나\t", "line 3: found 2 cells, expected 3"),
    "cut json": ("klue-ynat", "ynat-v1.1_train.json", '[\n  {"guid": "a", "title": "제목", "label": "경제"},\n  {"guid": "b", "ti', "line 3, column 17: not valid JSON"),
    "no array": ("klue-ynat", "ynat-v1.1_dev.json", '{"error": "not found"}', "expected an array of objects"),
    "web page": ("klue-nli", "klue-nli-v1.1_dev.json", "<!DOCTYPE html><html></html>", "is a web page"),
    "lfs": ("3i4k", "fci_test.txt", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
    "cp949": ("question-pair", "kor_pair_train.csv", "question1,question2,is_duplicate\n하나,둘,0\n".encode("cp949"), "line 2: byte 0x"),
    "quoting": ("korean-hate-speech", "train.tsv", 'comments\tcontain_gender_bias\tbias\thate\n"열린\tTrue\tnone\tnone\n', "a quotation mark is opened and never closed"),
    "no mark": ("curse-detection", "dataset.txt", "욕이다|1\n\n표시가 없다\n", "line 3: no | with a label behind it, found '표시가 없다'"),
    "no number": ("curse-detection", "dataset.txt", "욕이다|1\n\n욕이|아니다\n", "line 3: label '아니다', where it is 0 or 1"),
    "eighth": ("3i4k", "fci_train_val.txt", "0\t글\n7\t글\n", "data row 2: label '7', where it is 0, 1, 2, 3, 4, 5 or 6"),
    "code": ("aihub-emotion", "*_Training.json", '[{"profile": {"emotion": {"type": "E70"}}, "talk": {"content": {"HS01": "글", "HS02": "", "HS03": ""}}}]', "data row 1: profile.emotion.type 'E70', where it is E10 to E69"),
    "nesting": ("aihub-emotion", "*_Training.json", '[{"profile": "E10", "talk": {"content": {"HS01": "글", "HS02": "", "HS03": ""}}}]', "'profile' holds a string (E10), expected a table"),
    "list": ("klue-ynat", "ynat-v1.1_train.json", '[{"title": ["제목"], "label": "경제"}]', "data row 1, column 'title': found a list"),
    "flag": ("unsmile", "unsmile_train_v1.0.tsv", f"문장\t{TABS.join(GROUPS)}\n글{TABS + '0' + TABS + '1'}{(TABS + '0') * 8}\n또{(TABS + '2') * 10}\n", "data row 2: 여성/가족 '2', where it is 0 or 1 (1 such rows)"),
    "no flag": ("unsmile", "unsmile_valid_v1.0.tsv", "문장\t여성/가족\n글\t1\n", "no column '남성', '성소수자'"),
    "kind": ("kmhas", "kmhas_valid.txt", "document\tlabel\n글\t8\n또\t0,9\n", "data row 2: label '0,9', where it is 0, 1, 2, 3, 4, 5, 6, 7 or 8, or several of them with \",\" between"),
    "no kind": ("kmhas", "kmhas_test.txt", "document\tlabel\n글\t\n", "data row 1: label '', where it is 0, 1"),
    "emotion": ("kote", "val.tsv", "7\t글\t0,44\n", "data row 1: labels '0,44', where it is 0 to 43, or several of them"),
    "columns": ("kote", "test.tsv", "7\t글\t0\t1,0\n", "found 4 columns, expected 3: id, text, labels"),
    "target": ("kold", "kold_v1.json", '[{"comment": "글", "OFF": "maybe"}]', "data row 1: OFF 'maybe', where it is False or True"),
    "score": ("korsts", "sts-dev.tsv", "score\tsentence1\tsentence2\n5.0\t글\t글\n5.2\t글\t또\n", "data row 2: score '5.2', where it is a number from 0 to 5 (1 such rows)"),
    "no score": ("korsts", "sts-test.tsv", "score\tsentence1\tsentence2\n\t글\t글\n", "data row 1: score '', where it is a number"),
    "no real label": ("klue-sts", "klue-sts-v1.1_dev.json", '[{"sentence1": "글", "sentence2": "또", "labels": {"real-label": true}}]', "data row 1: labels.real-label True, where it is a number"),
    "empty": ("kobest-wic", "test.jsonl", "", "the file is empty"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_told_with_file_place_and_remedy(damage: str, tmp_path: Path) -> None:
    name, file, content, finding = DAMAGE[damage]
    example = EXAMPLES[name]
    example.write(tmp_path)
    (path,) = tmp_path.rglob(file)
    write(path, content)
    options = example.read_from(tmp_path)
    with pytest.raises(DataError) as caught:
        options.build(context_of(options))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert finding in message
    assert "again from https://" in message
    # No option of a corpus says how its files lie.
    assert "set " not in message


@pytest.mark.parametrize("name", ["nsmc", "klue-ynat", "kornli", "curse-detection", "3i4k", "aihub-emotion"])
def test_byte_order_marks_and_line_ends_of_windows_change_nothing(name: str, tmp_path: Path) -> None:
    example = EXAMPLES[name]
    expected = example.write(tmp_path)
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        path.write_bytes(BOM + path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert read(example.read_from(tmp_path)) == expected


# --- specs, licences, training -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Example, Path, Written]]:
    made = {}
    for name, example in EXAMPLES.items():
        folder = tmp_path_factory.mktemp(name)
        made[name] = (example, folder / example.path, example.write(folder))
    return made


def test_every_corpus_has_an_experiment() -> None:
    found = {path.stem for path in EXPERIMENTS.glob("*.toml")}
    assert found == {*EXAMPLES, "aihub-dialect"}
    kinds = {
        path.stem: path.read_text("utf-8").split('use = "')[1].split('"')[0] for path in EXPERIMENTS.glob("*.toml")
    }
    assert {*kinds.values()} == {*plugin.kexp_datasets()} - {"dialect-sample"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_experiments_resolve_with_pinned_weights(name: str, corpora: dict[str, tuple[Example, Path, Written]]) -> None:
    path = corpora[name][1]
    spec = EXPERIMENTS / f"{name}.toml"
    checked = kexp("check", spec, "--set", f"dataset.path={path}", "--json")
    assert checked.exit_code == 0, checked.stdout
    assert json.loads(checked.stdout)["warnings"] == []
    component = EXAMPLES[name].component
    # A spec says where its corpus comes from, and under which terms.
    comment = spec.read_text("utf-8").split("\n")[1]
    assert component.homepage.split("?")[0].split("/aihubdata")[0] in comment


def test_the_experiment_on_dialects_resolves(tmp_path: Path) -> None:
    write(tmp_path / "recording.json", "{}")
    checked = kexp("check", EXPERIMENTS / "aihub-dialect.toml", "--set", f"dataset.path={tmp_path}", "--json")
    assert checked.exit_code == 0, checked.stdout
    assert json.loads(checked.stdout)["warnings"] == []


def test_every_corpus_states_licence_and_homepage() -> None:
    assert "licence" not in kexp("plugins", "show", "dataset", "table").stdout
    for name, component in plugin.kexp_datasets().items():
        assert component.licence, name
        assert component.homepage.startswith("https://") or name == "dialect-sample"
        shown = kexp("plugins", "show", "dataset", name)
        assert f"licence: {component.licence}" in shown.stdout
        found = json.loads(kexp("plugins", "show", "dataset", name, "--json").stdout)
        assert found["licence"] == component.licence


TINY = """
seeds = [1]
[dataset]
{dataset}
[backbone]
use = "tiny"
layers = 1
hidden = 16
heads = 2
vocabulary = 300
positions = 64
[training]
epochs = 1
max_length = 32
batch_size = 16
learning_rate = 3e-3
{tables}
"""


def lines(example: Example, path: Path, **options: Any) -> Iterator[str]:
    (use,) = [name for name, component in plugin.kexp_datasets().items() if component is example.component]
    stated = {"use": use, "path": str(path), **example.options, **options}
    return (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in stated.items())


@pytest.mark.parametrize(
    "name", ["klue-nli", "question-pair", "3i4k", "curse-detection", "kobest-wic", "aihub-emotion"]
)
def test_a_corpus_of_every_shape_trains(
    name: str, corpora: dict[str, tuple[Example, Path, Written]], tmp_path: Path
) -> None:
    example, path, expected = corpora[name]
    options = {"label": "large"} if name == "aihub-emotion" else {}
    spec = write(tmp_path / "spec.toml", TINY.format(dataset="\n".join(lines(example, path, **options)), tables=""))
    ran = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--quiet", "--json")
    assert ran.exit_code == 0, ran.stderr
    folder = Path(json.loads(ran.stdout)["folder"])
    result = json.loads((folder / "default" / "seed-1" / "result.json").read_text("utf-8"))
    assert result["dataset"] == {"licence": example.component.licence, "homepage": example.component.homepage}
    assert len(result["labels"]) == example.read_from(path.parent if example.path else path, **options).label_count()
    if "test" in expected:
        assert result["rows"]["test"] <= len(expected["test"])
    report = (folder / "report.html").read_text("utf-8")
    assert example.component.licence.split("'")[0].split('"')[0] in report


def test_unlabelled_comments_are_used(corpora: dict[str, tuple[Example, Path, Written]], tmp_path: Path) -> None:
    example, path, _ = corpora["korean-hate-speech"]
    tables = '[objective]\nuse = "pseudo-label"\n'
    dataset = "\n".join(lines(example, path, unlabelled=True))
    spec = write(tmp_path / "spec.toml", TINY.format(dataset=dataset, tables=tables))
    smaller = ("--set", "training.unlabelled_ratio=1", "--set", "training.batch_size=8")
    ran = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--quiet", "--json", *smaller)
    assert ran.exit_code == 0, ran.stderr
    data = json.loads(ran.stdout)["variants"]["default"]["data"]
    counts = Counter(data["splits"]["unlabelled"])
    assert counts["kept"] > 0
    assert counts.pop("read") == 24 == counts.total()
    assert data["source"]["read"]["unlabeled_comments_*.txt as unlabelled"] == 24


def test_texts_of_the_tests_are_odd() -> None:
    """Quotation marks, separators and white space stand in the first rows of every file."""
    assert texts(len(ODD)) == [*ODD]
