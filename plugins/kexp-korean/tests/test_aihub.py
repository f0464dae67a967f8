"""AI-Hub's dialect recordings: shapes seen in real samples, written here in small."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kexp.contracts import DatasetContext
from kexp.errors import DataError
from kexp_korean.aihub import AIHubDialect
from kexp_korean.transcripts import fluent, spoken

Write = Callable[..., Path]
JEJU = "제주방언 > 사적 대화 > 일상 대화"
GYEONGSANG = "경상도 방언 > 사적 대화"
JEOLLA = "전라방언 > 사적 대화"
GANGWON = "강원방언 > 사적 대화"


def utterance(standard: str | None, dialect: str | None, form: str | None = None) -> dict[str, Any]:
    whole = {"id": "x.1.1.1", "speaker_id": "1", "note": "", "eojeolList": []}
    forms = {"form": form, "standard_form": standard, "dialect_form": dialect}
    return whole | {key: value for key, value in forms.items() if value is not None}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, category: str, *utterances: Any, encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        identity = path.stem
        recording = {"id": identity, "metadata": {"category": category}, "speaker": [], "utterance": list(utterances)}
        path.write_text(json.dumps(recording, ensure_ascii=False), encoding)
        return path

    return write


def rows(options: AIHubDialect) -> list[tuple[str, str, str]]:
    dataset = options.build(DatasetContext())["train"]
    names = dataset.features["label"].names
    return [(row["text"], names[row["label"]], row["group"]) for row in dataset]


def test_pairs_become_two_rows_of_one_group(tmp_path: Path, write: Write) -> None:
    write("a/JEJU1.json", JEJU, utterance("어디 가십니까", "어디 감수과"), utterance("네", "네"), encoding="utf-8-sig")
    write("b/deep/GS1.json", GYEONGSANG, utterance("뭐 하니", "뭐 하노"))
    (tmp_path / "notes.txt").write_text("not a recording")
    options = AIHubDialect(path=tmp_path)
    assert list(options.problems()) == []
    assert rows(options) == [
        ("어디 가십니까", "standard", "JEJU1"),
        ("어디 감수과", "dialect", "JEJU1"),
        ("뭐 하니", "standard", "GS1"),
        ("뭐 하노", "dialect", "GS1"),
    ]
    _, counts = options.read()
    assert (counts.files, counts.utterances, counts.pairs, counts.identical) == (2, 3, 2, 1)


def test_equal_forms_can_be_standard_rows(tmp_path: Path, write: Write) -> None:
    write("1.json", JEJU, utterance("네", "네"), utterance("어서 와", "혼저 오라"))
    found = rows(AIHubDialect(path=tmp_path, identical="standard"))
    assert found == [("네", "standard", "1"), ("어서 와", "standard", "1"), ("혼저 오라", "dialect", "1")]


def test_four_labels_leave_other_regions_out_and_say_so(tmp_path: Path, write: Write) -> None:
    for number, (category, dialect) in enumerate([(JEJU, "제"), (GYEONGSANG, "경"), (JEOLLA, "전"), (GANGWON, "강")]):
        write(f"{number}.json", category, utterance("표", dialect), utterance("표준", "표준"))
    options = AIHubDialect(path=tmp_path, scheme="four")
    context = DatasetContext()
    dataset = options.build(context)["train"]
    assert dataset.features["label"].names == ["standard", "gyeongsang", "jeju", "jeolla"]
    assert list(zip(dataset["text"][:], dataset["label"][:], strict=True)) == [
        ("표", 0), ("제", 2), ("표", 0), ("경", 1), ("표", 0), ("전", 3),
    ]  # fmt: skip
    assert context.counts == {
        "files": 4, "utterances": 8, "read from the field form": 0, "pairs": 3, "with equal forms": 3,
        "without words": 0, "of gangwon, not in the scheme": 2, "rows labelled gyeongsang": 1, "rows labelled jeju": 1,
        "rows labelled jeolla": 1, "rows labelled standard": 3,
    }  # fmt: skip


def test_regions_are_those_that_occur(tmp_path: Path, write: Write) -> None:
    write("1.json", GANGWON, utterance("표", "강"))
    with pytest.raises(DataError, match="all rows are of gangwon"):
        AIHubDialect(path=tmp_path, scheme="region").build(DatasetContext())
    write("2.json", JEJU, utterance("표", "제"))
    options = AIHubDialect(path=tmp_path, scheme="region")
    assert rows(options) == [("강", "gangwon", "1"), ("제", "jeju", "2")]
    assert options.build(DatasetContext())["train"].features["label"].names == ["jeju", "gangwon"]


def test_old_files_have_the_inline_form_alone(tmp_path: Path, write: Write) -> None:
    inline = "(혼저)/(어서) 옵서 {laughing} &name1& #(감수과)/(가십니까)*"
    write("1.json", JEJU, utterance(None, None, inline), utterance("뭐", None, "(무시거)/(뭐)"), utterance(None, None))
    options = AIHubDialect(path=tmp_path)
    found = [text for text, _, _ in rows(options)]
    assert found == ["어서 옵서 가십니까", "혼저 옵서 감수과", "뭐", "무시거"]
    counts = options.read()[1]
    assert (counts.from_form, counts.empty) == (2, 1)
    assert counts.notes()["read from the field form"] == 2


@pytest.mark.parametrize(
    ("text", "dialect", "standard"),
    [
        ("그냥 말", "그냥 말", "그냥 말"),
        ("(가)/(나) 다", "가 다", "나 다"),
        ("앞(가) / (나)뒤", "앞가뒤", "앞나뒤"),
        ("((가)/(나))", "가", "나"),
        ("((가))/((나))", "가", "나"),
        ("(가 {laughing} 나)/(다)", "가 나", "다"),
        ("(())", "", ""),
        ("아 (()) 그* #뭐 ((아마))", "아 그 뭐 아마", "아 그 뭐 아마"),
        ("&company-name1&에서 &name& 씨", "에서 씨", "에서 씨"),
        ("R&D 와 B&B", "R&D 와 B&B", "R&D 와 B&B"),
        ("(가)/() 나", "가 나", "나"),
        ("  빈   칸\t들 ", "빈 칸 들", "빈 칸 들"),
    ],
)
def test_marks_are_stripped(text: str, dialect: str, standard: str) -> None:
    assert (spoken(text, "dialect"), spoken(text, "standard")) == (dialect, standard)


@pytest.mark.parametrize(
    ("text", "dialect", "standard", "dropped"),
    [
        ("-그- 그냥 말", "그냥 말", "그냥 말", {"stuttered or broken off": 1}),
        ("그- 어디 가-", "어디", "어디", {"stuttered or broken off": 2}),
        ("하-하지만 제-주도", "하지만 제-주도", "하지만 제-주도", {"stuttered or broken off": 1}),
        ("-어-, 그래", ", 그래", ", 그래", {"stuttered or broken off": 1}),
        ("(아)/() 혼저 ()/(음) 옵서", "혼저 옵서", "혼저 옵서", {"said in one form alone": 2}),
        ("(혼저)/(어서) 옵서", "혼저 옵서", "어서 옵서", {}),
        ("xx 어디 xxx를 가 (xx)/(xx)", "어디 가", "어디 가", {"not understood": 3}),
        ("taxi xxl 탔어", "taxi xxl 탔어", "taxi xxl 탔어", {}),
        ("2-3 번 {laughing} &name& #그 ((아마)) (())", "2-3 번 그 아마", "2-3 번 그 아마", {}),
        ("-그-", "", "", {"stuttered or broken off": 1}),
    ],
)
def test_disfluencies_are_dropped_and_counted(text: str, dialect: str, standard: str, dropped: dict[str, int]) -> None:
    for side, expected in (("dialect", dialect), ("standard", standard)):
        counts: Counter[str] = Counter()
        assert fluent(text, side, counts) == expected  # type: ignore[arg-type]
        assert +counts == dropped


def test_disfluencies_are_kept_unless_asked(tmp_path: Path, write: Write) -> None:
    write(
        "1.json", JEJU, utterance("-그- 어서 와", "-그- 혼저 오라"), utterance("-어- 네", "네"), utterance("xx", "-음-")
    )
    assert [text for text, _, _ in rows(AIHubDialect(path=tmp_path))][:2] == ["-그- 어서 와", "-그- 혼저 오라"]
    options = AIHubDialect(path=tmp_path, disfluencies="drop")
    assert [text for text, _, _ in rows(options)] == ["어서 와", "혼저 오라"]
    notes = options.read()[1].notes()
    assert (notes["with equal forms"], notes["without words"]) == (1, 1)
    assert notes["marks dropped: stuttered or broken off"] == 4
    assert notes["marks dropped: not understood"] == 1


def spoken_by(speaker: str, standard: str, dialect: str) -> dict[str, Any]:
    return utterance(standard, dialect) | {"speaker_id": speaker}


@pytest.fixture
def speakers(tmp_path: Path) -> Path:
    people = {
        "JEJU1": [("DZ01", "50대", "여성", "제주 서귀포시"), ("DZ02", "20대", "남성", "서울")],
        "JEJU2": [("DZ02", "20대", "남성", "서울"), ("DZ03", "60대", "남성", "제주 제주시")],
        "JEJU3": [("DZ04", "70대", "여성", "제주")],
        "JEJU4": [("1", "50대", "여성", "제주")],
        "JEJU5": [("1", "30대", "여성", "부산")],
    }
    for name, listed in people.items():
        recording = {
            "id": name,
            "metadata": {"category": JEJU},
            "speaker": [dict(zip(("id", "age", "sex", "birthplace"), one, strict=True)) for one in listed],
            "utterance": [spoken_by(one[0], f"표준 {name} {one[0]}", f"제주 {name} {one[0]}") for one in listed],
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(recording, ensure_ascii=False), "utf-8")
    return tmp_path


def test_speakers_are_columns(speakers: Path) -> None:
    dataset = AIHubDialect(path=speakers).build(DatasetContext())["train"]
    assert {"speaker", "age", "sex", "birthplace"} <= set(dataset.column_names)
    row = dataset[2]
    assert [row[name] for name in ("text", "speaker", "age", "sex", "birthplace", "group")] == [
        "표준 JEJU1 DZ02", "DZ02", "20대", "남성", "서울", "JEJU1",
    ]  # fmt: skip


def test_recordings_of_a_speaker_stay_together(speakers: Path) -> None:
    groups = {text.split()[1]: group for text, _, group in rows(AIHubDialect(path=speakers, group="speaker"))}
    assert groups["JEJU1"] == groups["JEJU2"]
    # Of the others, one has a speaker of its own, and the speakers of two are only numbered.
    assert len(set(groups.values())) == 4
    by_recording = {text.split()[1]: group for text, _, group in rows(AIHubDialect(path=speakers))}
    assert by_recording == {name: name for name in by_recording}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"birthplace": ["제주"]}, ["DZ01", "DZ03", "DZ04", "1"]),
        ({"sex": ["남성"]}, ["DZ02", "DZ02", "DZ03"]),
        ({"age": ["50대", "70대"]}, ["DZ01", "DZ04", "1"]),
        ({"birthplace": ["제주", "부산"], "sex": ["여성"], "age": ["30대"]}, ["1"]),
    ],
)
def test_speakers_are_chosen_and_the_others_counted(
    speakers: Path, options: dict[str, Any], expected: list[str]
) -> None:
    chosen = AIHubDialect(path=speakers, **options)
    assert [text.split()[2] for text, label, _ in rows(chosen) if label == "dialect"] == expected
    assert chosen.read()[1].notes()["of other speakers"] == 7 - len(expected)


def test_a_choice_without_speakers_is_an_error(speakers: Path, write: Write) -> None:
    with pytest.raises(DataError, match=r"7 of other speakers.*; birthplace, sex and age must be written as in the"):
        AIHubDialect(path=speakers, birthplace=["Jeju"]).build(DatasetContext())


@pytest.mark.parametrize("listed", [{"id": "1"}, ["1"], "1"])
def test_speakers_that_are_no_objects_are_an_error(tmp_path: Path, listed: Any) -> None:
    path = tmp_path / "1.json"
    path.write_text(json.dumps({"speaker": listed, "utterance": [utterance("뭐", "머")]}), "utf-8")
    with pytest.raises(DataError, match='"speaker" is no list of JSON objects') as caught:
        AIHubDialect(path=tmp_path).build(DatasetContext())
    assert str(path) in str(caught.value)


def test_decomposed_hangul_is_composed(tmp_path: Path, write: Write) -> None:
    write("1.json", unicodedata.normalize("NFD", JEJU), utterance(unicodedata.normalize("NFD", "뭐"), "무시거"))
    write("2.json", JEOLLA, utterance("뭐", "머"), utterance("응", unicodedata.normalize("NFD", "응")))
    assert rows(AIHubDialect(path=tmp_path, scheme="region")) == [("무시거", "jeju", "1"), ("머", "jeolla", "2")]
    assert rows(AIHubDialect(path=tmp_path))[0][0] == "뭐"


def test_recordings_without_id_are_told_apart_by_their_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        recording = {"metadata": {}, "utterance": [utterance("뭐", "머")]}
        (tmp_path / name / "1.json").write_text(json.dumps(recording), "utf-8")
    assert [group for _, _, group in rows(AIHubDialect(path=tmp_path))] == ["a/1.json"] * 2 + ["b/1.json"] * 2


def test_companions_of_macos_archives_are_no_recordings(tmp_path: Path, write: Write) -> None:
    write("1.json", JEJU, utterance("뭐", "무시거"))
    (tmp_path / "._1.json").write_bytes(b"\x00\x05\x16\x07")
    assert len(rows(AIHubDialect(path=tmp_path))) == 2


def test_problems_of_the_options(tmp_path: Path, write: Write) -> None:
    (problem,) = AIHubDialect(path=tmp_path / "nowhere").problems()
    assert "does not exist" in problem.message
    (problem,) = AIHubDialect(path=tmp_path).problems()
    assert "no .json file" in problem.message
    path = write("1.json", JEJU)
    (problem,) = AIHubDialect(path=path).problems()
    assert "is not a folder" in problem.message
    (problem,) = AIHubDialect(path=tmp_path, scheme="region", identical="standard").problems()
    assert problem.path == "identical"


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b'{\n "utterance": [}', "line 2, column 16: not valid JSON"),
        (b'{\n"id": "\xb0\xa1"}', "line 2: byte 0xb0 is not UTF-8"),
        (b"", "line 1, column 1: not valid JSON"),
        (b"[1, 2]", "holds no JSON object"),
        (b'{"metadata": {}}', 'no list "utterance"'),
        (b'{"utterance": {}}', 'no list "utterance"'),
        (b'{"utterance": [3]}', "utterance 1 is no JSON object"),
        (b'{"utterance": [{}, {"standard_form": 3}]}', "utterance 2: standard_form is 3, expected text"),
        (b'{"utterance": [{"form": "\\ud83d"}]}', "utterance 1: form is .*expected text"),
    ],
)
def test_bad_files_are_named_with_the_place(tmp_path: Path, content: bytes, finding: str) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(DataError, match=finding) as caught:
        AIHubDialect(path=tmp_path).build(DatasetContext())
    assert str(tmp_path / "bad.json") in str(caught.value)
    assert "; " in str(caught.value)


def test_an_unknown_region_matters_where_regions_are_labels(tmp_path: Path, write: Write) -> None:
    path = write("1.json", "서울말 > 제주 이야기", utterance("뭐", "머"))
    with pytest.raises(DataError, match=r"'서울말 > 제주 이야기' names no known region .*scheme = \"two\"") as caught:
        AIHubDialect(path=tmp_path, scheme="four").build(DatasetContext())
    assert str(path) in str(caught.value)
    assert len(rows(AIHubDialect(path=tmp_path))) == 2
    path.write_text(json.dumps({"utterance": []}))
    with pytest.raises(DataError, match=r"no metadata\.category"):
        AIHubDialect(path=tmp_path, scheme="region").build(DatasetContext())


def test_nothing_usable_is_an_error_with_the_counts(tmp_path: Path, write: Write) -> None:
    with pytest.raises(DataError, match=r"no \.json file"):
        AIHubDialect(path=tmp_path).build(DatasetContext())
    write("1.json", JEJU, utterance("네", "네"), utterance("(())", "(())"))
    with pytest.raises(DataError, match=r"no usable utterance .*1 with equal forms, 1 without words"):
        AIHubDialect(path=tmp_path).build(DatasetContext())


def test_four_needs_its_three_regions(tmp_path: Path, write: Write) -> None:
    write("1.json", JEJU, utterance("뭐", "무시거"))
    with pytest.raises(DataError, match=r"no row labelled gyeongsang, jeolla; .*scheme = \"two\""):
        AIHubDialect(path=tmp_path, scheme="four").build(DatasetContext())


def test_odd_speakers(tmp_path: Path) -> None:
    recording = {"id": "1", "metadata": {"category": JEJU}, "utterance": [spoken_by("A", "가요", "감수다")]}

    def read(**odd: Any) -> dict[str, Any]:
        (tmp_path / "1.json").write_text(json.dumps(recording | odd, ensure_ascii=True), "utf-8")
        row: dict[str, Any] = AIHubDialect(path=tmp_path).build(DatasetContext())["train"][0]
        return row

    # Ages as numbers, names in other letters' forms, speakers that are not listed.
    born = unicodedata.normalize("NFD", "제주")
    row = read(speaker=[{"id": "A", "age": 50, "sex": None, "birthplace": born}])
    assert [row[name] for name in ("speaker", "age", "sex", "birthplace")] == ["A", "50", "", "제주"]
    assert len(AIHubDialect(path=tmp_path, age=("50",), birthplace=(born,)).build(DatasetContext())["train"]) == 2
    assert read(speaker=None)["speaker"] == "A"
    for key, value in (("age", ["50대"]), ("birthplace", "\ud800"), ("id", {"a": 1})):
        with pytest.raises(DataError, match=rf"1\.json: speaker 1: {key} is .*, expected text; "):
            read(speaker=[{"id": "A", key: value}])
    with pytest.raises(DataError, match=r"1\.json: utterance 1: speaker_id is .*, expected text; "):
        read(utterance=[spoken_by("\ud800", "가요", "감수다")])
