"""Write the synthetic files that the rehearsals of dialect, cola and course-60-classes read.

    python experiments/rehearsal_data.py            # data/rehearsal beside this folder
    python experiments/rehearsal_data.py FOLDER

They have the shape of the published files and none of their content. The same call writes the same bytes.
"""

from __future__ import annotations

import csv
import json
import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from kexp_korean.dialect_grammar import utterances

FOLDER = Path(__file__).resolve().parent.parent / "data" / "rehearsal"


def write(path: Path, rows: Iterable[Sequence[object]], **layout: str) -> None:
    """Write a table whose first row is whatever ``rows`` begins with."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n", **layout).writerows(rows)  # type: ignore[arg-type]


# --- four varieties of Korean -----------------------------------------------------------------------------------------

STANDARD, REGIONS = 0, {"gyeongsang": 1, "jeju": 2, "jeolla": 3}
CATEGORIES = {"gyeongsang": "경상도 방언", "jeju": "제주방언", "jeolla": "전라방언"}


def dialects(folder: Path, pairs: int = 1200) -> None:
    """Write ``pairs`` utterances of each region: CSV files sorted by label, and a folder of recordings.

    Every tenth recording is for validation, so that the two CSV files share none.
    """
    files: dict[str, list[tuple[str, int]]] = {"train_data.csv": [], "valid_data.csv": []}
    for region, label in REGIONS.items():
        recordings: dict[str, list[tuple[str, str]]] = {}
        for one in utterances(region, pairs, seed=0, marker_rate=0.8):
            if one.standard != one.dialect:
                recordings.setdefault(one.recording, []).append((one.standard, one.dialect))
        for number, (name, found) in enumerate(recordings.items()):
            write_recording(folder / "aihub" / region / f"{name}.json", name, CATEGORIES[region], found)
            rows = files["valid_data.csv" if number % 10 == 9 else "train_data.csv"]
            rows += [(text, kind) for forms in found for text, kind in zip(forms, (STANDARD, label), strict=True)]
    for name, rows in files.items():
        write(folder / name, [("contents", "label"), *sorted(rows, key=lambda row: row[1])])


def write_recording(path: Path, name: str, category: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Write a recording as AI-Hub publishes them: JSON with a byte order mark, an utterance per pair."""
    utterance = [
        {
            "id": f"{name}.1.1.{number}",
            "speaker_id": "1",
            "form": f"({dialect})/({standard})",
            "standard_form": standard,
            "dialect_form": dialect,
            "note": "",
            "eojeolList": [],
        }
        for number, (standard, dialect) in enumerate(pairs, start=1)
    ]
    speaker = [{"id": "1", "age": "50대", "sex": "여성", "birthplace": category[:2]}]
    metadata = {"title": "synthetic", "category": f"{category} > 사적 대화 > 일상 대화"}
    recording = {"id": name, "metadata": metadata, "speaker": speaker, "setting": {}, "utterance": utterance}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(recording, ensure_ascii=False, indent=1), "utf-8-sig")


# --- acceptable and unacceptable sentences ----------------------------------------------------------------------------

NOUNS = ["dog", "cat", "teacher", "child", "farmer", "bird", "student", "doctor", "singer", "horse"]
FARTHER_NOUNS = ["pilot", "baker", "guest", "robot"]
VERBS = ["run", "sleep", "sing", "walk", "bark", "read", "wait", "laugh"]
PLACES = ("near the house", "behind the trees", "in the gardens", "on the bridge")
ENDINGS = ("", " quietly", " again", " every day")


def sentence(draw: random.Random, nouns: Sequence[str]) -> tuple[str, bool]:
    """Return an English sentence, and whether noun, determiner and verb agree and stand in their order."""
    plural, acceptable = draw.random() < 0.5, draw.random() < 0.7
    fault = "" if acceptable else draw.choice(["verb", "determiner", "order"])
    noun = draw.choice(nouns) + ("s" if plural else "")
    verb = draw.choice(VERBS) + ("" if plural != (fault == "verb") else "s")
    determiner = draw.choice(["These", "Many"] if plural != (fault == "determiner") else ["This", "Every"])
    noun = noun.replace("childs", "children")
    place = f" {draw.choice(PLACES)}" if draw.random() < 0.4 else ""
    words = f"{noun} {determiner.lower()}".capitalize() if fault == "order" else f"{determiner} {noun}"
    text = f"{words}{place} {verb}{draw.choice(ENDINGS)}."
    # Quotation marks are part of some sentences and enclose no cell.
    return (f'"{text[:-1]}," said Mary.' if draw.random() < 0.05 else text), acceptable


def cola(folder: Path) -> None:
    """Write TSV files without header: source, label, notes, sentence. The last one has nouns that no other has."""
    draw = random.Random(0)
    sizes = {"in_domain_train": (2400, NOUNS), "in_domain_dev": (300, NOUNS), "out_of_domain_dev": (300, FARTHER_NOUNS)}
    for name, (count, nouns) in sizes.items():
        rows = [(text, right) for text, right in (sentence(draw, nouns) for _ in range(count))]
        cells = [("made", int(right), "" if right else "*", text) for text, right in rows]
        path = folder / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join("\t".join(map(str, row)) + "\n" for row in cells), "utf-8")


# --- sixty classes ----------------------------------------------------------------------------------------------------

FEELINGS = (
    ("화가 나", "분하다", "짜증이 나"), ("슬프다", "눈물이 나", "우울해"), ("불안해", "걱정이 돼", "두려워"),
    ("상처받았어", "억울해", "배신감이 들어"), ("당황스러워", "부끄러워", "혼란스러워"), ("기뻐", "신이 나", "감사해"),
)  # fmt: skip
SITUATIONS = ("가족관계", "학업", "직장", "연애", "건강", "재정", "진로", "대인관계", "결혼", "은퇴")
PEOPLE = ("친구가", "엄마가", "동료가", "선배가", "남편이", "딸이")
EVENTS = ("그렇게 말해서", "약속을 잊어서", "전화를 해서", "먼저 가 버려서", "선물을 줘서", "아무 말이 없어서")
AGES, SEXES, ILLNESSES = ("청소년", "청년", "중년", "노년"), ("남성", "여성"), ("있음", "없음")
HEADER = ("번호", "연령", "성별", "상황키워드", "신체질환", "감정_소분류", "사람문장1", "시스템문장1")


def emotions(folder: Path, rows: int = 6000) -> None:
    """Write a table of 60 emotions, E10 to E69.

    The first digit shows in the sentence alone and the second in the keyword of the situation alone, so that a model
    has to read both columns. One keyword in twenty is another one.
    """
    draw = random.Random(0)
    table: list[Sequence[object]] = [HEADER]
    for number in range(1, rows + 1):
        feeling, situation = draw.randrange(len(FEELINGS)), draw.randrange(len(SITUATIONS))
        shown = draw.choice(SITUATIONS) if draw.random() < 0.05 else SITUATIONS[situation]
        said = f"{draw.choice(PEOPLE)} {draw.choice(EVENTS)} {draw.choice(FEELINGS[feeling])}."
        who = [draw.choice(values) for values in (AGES, SEXES)]
        code = f"E{feeling + 1}{situation}"
        table.append([number, *who, shown, draw.choice(ILLNESSES), code, said, "그러셨군요. 더 말씀해 주세요."])
    write(folder / "emotions.csv", table)


def main(folder: Path) -> None:
    """Write everything below ``folder``."""
    dialects(folder / "dialect")
    cola(folder / "cola")
    emotions(folder / "course")
    print(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
