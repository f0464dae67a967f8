"""Synthetic files in exactly the shape in which corpora are published, and the rows that have to be read from them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from kexp.testing import korean_texts
from kexp_korean.corpora import CurseDetection, Intent3i4K, KoBEST, KoreanHateSpeech, KorNLI, KorSTS, QuestionPair
from kexp_korean.emotional_dialogue import AIHubEmotion
from kexp_korean.klue import KLUE
from kexp_korean.label_sets import KOLD, KOTE, KMHaS, UnSmile
from kexp_korean.nsmc import NSMC
from kexp_korean.published import Corpus

BOM = b"\xef\xbb\xbf"
TOPICS = ("IT과학", "경제", "사회", "생활문화", "세계", "스포츠", "정치")
NLI = ("entailment", "neutral", "contradiction")
INTENTIONS = (
    "fragment", "statement", "question", "command", "rhetorical question", "rhetorical command",
    "intonation-dependent utterance",
)  # fmt: skip
GROUPS = ("여성/가족", "남성", "성소수자", "인종/국적", "연령", "지역", "종교", "기타 혐오", "악플/욕설", "clean")
KINDS = ("Origin", "Physical", "Politics", "Profanity", "Age", "Gender", "Race", "Religion", "Not Hate Speech")
ODD = ('그는 "좋다"고 했다', '"처음부터" 끝까지', "쉼표, 둘, 셋", "끝에 빈칸 ", "NA", "㈜ 회사 | 이름")
"""Texts with what formats take for something else."""


class Row(NamedTuple):
    """A row as it has to be read."""

    text: str
    text_pair: str | None
    label: Any


def texts(count: int, start: int = 0) -> list[str]:
    """Return different texts, of which the first are odd."""
    return [*ODD, *korean_texts(start + count)[start:]][:count]


def rows(labels: Sequence[Any], count: int, start: int = 0, *, pairs: bool = False) -> list[Row]:
    """Return rows whose labels come in turn."""
    others = texts(count, start + 100)[::-1]
    return [
        Row(text, others[number] if pairs else None, labels[number % len(labels)])
        for number, text in enumerate(texts(count, start))
    ]


def write(path: Path, content: str | bytes) -> Path:
    """Write a file, and the folders that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def quoted(lines: Sequence[Sequence[Any]], separator: str, end: str = "\n") -> str:
    """Return cells as csv and pandas write them."""
    file = io.StringIO()
    csv.writer(file, delimiter=separator, lineterminator=end).writerows(lines)
    return file.getvalue()


def plain(lines: Sequence[Sequence[Any]], end: str = "\n") -> str:
    """Return cells with tabs between, and no quoting."""
    return "".join("\t".join(map(str, line)) + end for line in lines)


# --- a writer per corpus: it returns the rows of every split ----------------------------------------------------------

Written = dict[str, list[Row]]


def three_splits(labels: Sequence[str], *, pairs: bool = False) -> Written:
    """Return rows of train, validation and test, all of them different."""
    sizes = {"train": (60, 0), "validation": (12, 60), "test": (14, 72)}
    return {split: rows(labels, count, start, pairs=pairs) for split, (count, start) in sizes.items()}


def write_nsmc(folder: Path) -> Written:
    """Write tab-separated files without quoting, with a header."""
    names = ("negative", "positive")
    made = {"train": rows(names, 60), "test": rows(names, 20, 60)}
    for split, found in made.items():
        lines = [(number, row.text, names.index(row.label)) for number, row in enumerate(found)]
        write(folder / f"ratings_{split}.txt", plain([("id", "document", "label"), *lines]))
    return made


def write_ynat(folder: Path) -> Written:
    """Write JSON arrays over many lines."""
    made = {"train": rows(TOPICS, 70), "test": rows(TOPICS, 21, 70)}
    for split, found in made.items():
        name = "dev" if split == "test" else split
        items = [
            {
                "guid": f"ynat-v1_{name}_{number:05}",
                "title": row.text,
                "predefined_news_category": "사회",
                "label": row.label,
                "annotations": {
                    "annotators": ["13", "3"],
                    "annotations": {"first-scope": [row.label], "second-scope": []},
                },
                "url": "https://example.org",
                "date": "2016.06.30. 오전 10:36",
            }
            for number, row in enumerate(found)
        ]
        path = folder / "klue_benchmark" / "ynat-v1.1" / f"ynat-v1.1_{name}.json"
        write(path, json.dumps(items, ensure_ascii=False, indent=2))
    return made


def write_klue_nli(folder: Path) -> Written:
    """Write JSON arrays over many lines, of pairs."""
    made = {"train": rows(NLI, 60, pairs=True), "test": rows(NLI, 21, 60, pairs=True)}
    for split, found in made.items():
        name = "dev" if split == "test" else split
        items = [
            {
                "guid": f"klue-nli-v1_{name}_{number:05}",
                "source": "wikitree",
                "premise": row.text,
                "hypothesis": row.text_pair,
                "gold_label": row.label,
                **dict.fromkeys(("author", "label2", "label3", "label4", "label5"), "neutral"),
            }
            for number, row in enumerate(found)
        ]
        path = folder / "klue-nli-v1.1" / f"klue-nli-v1.1_{name}.json"
        write(path, json.dumps(items, ensure_ascii=False, indent=4))
    return made


def write_kornli(folder: Path) -> Written:
    """Write tab-separated files of pairs without quoting; train is two of them."""
    snli, multinli = rows(NLI, 45, pairs=True), rows(NLI, 45, 45, pairs=True)
    dev, test = rows(NLI, 12, 90, pairs=True), rows(NLI, 15, 102, pairs=True)
    files = {"snli_1.0_train.ko": snli, "multinli.train.ko": multinli, "xnli.dev.ko": dev, "xnli.test.ko": test}
    for name, found in files.items():
        lines = [(row.text, row.text_pair, row.label) for row in found]
        write(folder / "KorNLI" / f"{name}.tsv", plain([("sentence1", "sentence2", "gold_label"), *lines]))
    return {"train": [*snli, *multinli], "validation": dev, "test": test}


def write_hate(folder: Path) -> Written:
    """Write quoted tab-separated files of three labels, a test file without any, and comments without header."""
    names = ("none", "offensive", "hate")
    made = {"train": rows(names, 60), "test": rows(names, 21, 60)}
    header = ("comments", "contain_gender_bias", "bias", "hate")
    for split, found in made.items():
        lines = [(row.text, number % 2 == 0, "others", row.label) for number, row in enumerate(found)]
        name = "dev" if split == "test" else split
        write(folder / "labeled" / f"{name}.tsv", quoted([header, *lines], "\t"))
        write(folder / "news_title" / f"{name}.news_title.txt", "제목\n" * len(lines))
    write(folder / "test.no_label.tsv", quoted([("comments",), *((text,) for text in texts(9, 200))], "\t"))
    for number in (1, 2):
        lines = texts(12, 200 + 12 * number)
        write(folder / "unlabeled" / f"unlabeled_comments_{number}.txt", "".join(f"{line}\n" for line in lines))
        write(folder / "news_title" / f"unlabeled_comments.news_title_{number}.txt", "제목\n" * len(lines))
    return made


def write_3i4k(folder: Path) -> Written:
    """Write tab-separated files without quoting and header, the label first."""
    made = {"train": rows(INTENTIONS, 70), "test": rows(INTENTIONS, 21, 70)}
    for name, found in zip(("fci_train_val", "fci_test"), made.values(), strict=True):
        lines = [(INTENTIONS.index(row.label), row.text) for row in found]
        write(folder / "data" / "train_val_test" / f"{name}.txt", plain(lines))
    return made


def write_question_pair(folder: Path) -> Written:
    """Write CSV with a byte order mark and Windows' line ends; the header of test ends with a comma."""
    names = ("같은 질문", "다른 질문")
    made = {"train": rows(names, 60, pairs=True), "test": rows(names, 20, 60, pairs=True)}
    train = [(n, 2 * n, 2 * n + 1, r.text, r.text_pair, names.index(r.label)) for n, r in enumerate(made["train"])]
    test = [(number, row.text, row.text_pair, names.index(row.label), "") for number, row in enumerate(made["test"])]
    headers = (("id", "qid1", "qid2", "question1", "question2", "is_duplicate"), ("test_id", "question1", "question2", "is_duplicate", ""))  # fmt: skip
    for name, header, lines in zip(("kor_pair_train", "kor_Pair_test"), headers, (train, test), strict=True):
        write(folder / f"{name}.csv", BOM + quoted([header, *lines], ",", "\r\n").encode())
    return made


def write_curses(folder: Path) -> Written:
    """Write a text per line, which may hold the mark that its label stands behind."""
    names = ("욕설 아님", "욕설")
    found = rows(names, 60)
    write(folder / "dataset.txt", "".join(f"{row.text}|{names.index(row.label)}\n" for row in found))
    return {"train": found}


def write_boolq(folder: Path) -> Written:
    """Write quoted tab-separated files whose truth values are words, with an empty row as a spreadsheet leaves it."""
    names = ("False", "True")
    made = three_splits(names, pairs=True)
    for split, found in made.items():
        lines = [("Text", "Question", "Answer"), *((row.text, row.text_pair, row.label.upper()) for row in found)]
        name = "dev" if split == "validation" else split
        write(folder / "v1.0" / "BoolQ" / f"{name}.tsv", quoted([*lines, ("", "", "")], "\t"))
        write(folder / "v1.0" / "COPA" / f"{name}.tsv", quoted([("sentence", "question", "1", "2", "Answer")], "\t"))
    return made


def write_wic(folder: Path) -> Written:
    """Write JSON lines as on the hub."""
    names = ("False", "True")
    made = three_splits(names, pairs=True)
    for split, found in made.items():
        items = [
            {"word": "배", "context_1": row.text, "context_2": row.text_pair, "label": names.index(row.label)}
            for row in found
        ]
        lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
        write(folder / "wic" / f"{split}.jsonl", lines)
    return made


def write_sentineg(folder: Path) -> Written:
    """Write quoted tab-separated files; the test sentences stand beside those that they were made of."""
    names = ("negative", "positive")
    made = three_splits(names)
    for split, found in made.items():
        name = "dev" if split == "validation" else split
        lines = [(row.text, names.index(row.label)) for row in found]
        header = ("Text", "Label")
        if split == "test":
            header += ("Text_origin", "Label_origin")  # type: ignore[assignment]
            lines = [(*line, "원래 문장", 1 - line[1]) for line in lines]  # type: ignore[misc]
        write(folder / "SentiNeg" / f"{name}.tsv", quoted([header, *lines], "\t"))
    return made


def write_emotions(folder: Path, codes: Sequence[str] = (), level: str = "detailed") -> Written:
    """Write one JSON array per file, nested, in the folders that AI-Hub's archives make."""
    from kexp_korean.emotional_dialogue import emotions

    names = emotions(level)  # type: ignore[arg-type]
    codes = codes or [*names]
    made: Written = {}
    for split, name, count, start in (("train", "Training", 240, 0), ("test", "Validation", 60, 240)):
        items = []
        for number, text in enumerate(korean_texts(start + count)[start:]):
            code = codes[number % len(codes)]
            first, _, rest = text.partition(" ")
            spoken = {"HS01": f"{first} ", "HS02": rest, "HS03": "" if number % 2 else "그래."}
            answers = {f"SS0{place}": "그렇군요." for place in (1, 2, 3)}
            items.append(
                {
                    "profile": {
                        "persona-id": "Pro_05349",
                        "persona": {"persona-id": "A02_G02_C01", "human": ["A02", "G02"], "computer": ["C01"]},
                        "emotion": {"emotion-id": f"S06_D02_{code}", "type": code, "situation": ["S06", "D02"]},
                    },
                    "talk": {
                        "id": {"profile-id": "Pro_05349", "talk-id": f"Pro_05349_{number:05}"},
                        "content": {
                            key: (spoken | answers)[key] for key in sorted(spoken | answers, key=lambda k: k[2:])
                        },
                    },
                }
            )
            made.setdefault(split, []).append(Row(f"{text}{'' if number % 2 else ' 그래.'}", None, names[code]))
        path = folder / f"{name}_221115_add" / "라벨링데이터" / f"감성대화말뭉치(최종데이터)_{name}.json"
        write(path, json.dumps(items, ensure_ascii=False))
    return made


def sets_of(count: int) -> list[tuple[int, ...]]:
    """Return sets of numbers below ``count``: one, two and three of them in turn."""
    return [
        tuple(sorted({n, *[(n + 2) % count] * (n % 3 > 0), *[(n + 3) % count] * (n % 3 > 1)})) for n in range(count)
    ]


def splits(labels: Sequence[Any], sizes: Mapping[str, int], *, pairs: bool = False) -> Written:
    """Return rows of splits, all of them different."""
    starts = {split: sum([*sizes.values()][:place]) for place, split in enumerate(sizes)}
    return {split: rows(labels, count, starts[split], pairs=pairs) for split, count in sizes.items()}


def write_unsmile(folder: Path) -> Written:
    """Write tab-separated files without quoting, with a column of 0 and 1 per label; a row has none of them."""
    made = splits([*([GROUPS[n] for n in own] for own in sets_of(10)), []], {"train": 66, "test": 22})
    for split, found in made.items():
        lines = [
            (row.text, *(int(name in row.label) for name in GROUPS), number % 2) for number, row in enumerate(found)
        ]
        name = "valid" if split == "test" else split
        write(folder / f"unsmile_{name}_v1.0.tsv", plain([("문장", *GROUPS, "개인지칭"), *lines]))
    return made


def write_kmhas(folder: Path) -> Written:
    """Write tab-separated files of which each other text is quoted."""
    labels = [*([KINDS[n] for n in own] for own in sets_of(8)), [KINDS[8]]]
    made = splits(labels, {"train": 63, "validation": 18, "test": 18})
    for split, found in made.items():
        lines = "document\tlabel\n"
        for number, row in enumerate(found):
            text = row.text.replace('"', '""')
            text = f'"{text}"' if number % 2 or '"' in text else text
            lines += f"{text}\t{','.join(str(KINDS.index(name)) for name in row.label)}\n"
        write(folder / "data" / f"kmhas_{'valid' if split == 'validation' else split}.txt", lines)
    return made


def write_kote(folder: Path) -> Written:
    """Write quoted tab-separated files without header."""
    emotions = KOTE.EMOTIONS
    labels = [[emotions[n] for n in own] for own in sets_of(44)]
    made = splits(labels, {"train": 132, "validation": 44, "test": 44})
    for split, found in made.items():
        lines = [
            (90 - number, row.text, ",".join(str(emotions.index(name)) for name in row.label))
            for number, row in enumerate(found)
        ]
        write(folder / f"{'val' if split == 'validation' else split}.tsv", quoted(lines, "\t"))
    return made


def write_kold(folder: Path) -> Written:
    """Write a JSON array of comments that are not offensive, or aimed at nobody, at a person, at groups or at others."""
    targets: list[tuple[str | None, str | None]] = [
        (None, None), ("untargeted", None), ("individual", None), ("group", "others-feminist"),
        ("group", "gender-female & others-feminist"), ("other", None), ("group", "race-black"),
    ]  # fmt: skip
    found = rows([target is not None for target, _ in targets], 84)
    items = [
        {
            "guid": f"kold-v1_{number:05}",
            "source": "naver_news",
            "date": "2022-02-16",
            "title": f"제목 {number}",
            "comment": row.text,
            "OFF": row.label,
            **dict(zip(("TGT", "GRP"), targets[number % len(targets)], strict=True)),
            "OFF_span": "",
            "TGT_span": None,
            "raw_labels": [{"offensiveness": row.label, "off_start_idx": [0], "target": [["group"]]}],
        }
        for number, row in enumerate(found)
    ]
    write(folder / "data" / "kold_v1.json", json.dumps(items, ensure_ascii=False))
    return {"train": [row._replace(label=("not offensive", "offensive")[row.label]) for row in found]}


def write_korsts(folder: Path) -> Written:
    """Write tab-separated files of pairs without quoting, with scores of three decimals."""
    made = splits([5.0, 3.8, 0.0, 4.25, 2.6], {"train": 60, "validation": 15, "test": 15}, pairs=True)
    header = ("genre", "filename", "year", "id", "score", "sentence1", "sentence2")
    for split, found in made.items():
        lines = [
            ("main-captions", "MSRvid", "2012test", f"{number:04}", f"{row.label:.3f}", row.text, row.text_pair)
            for number, row in enumerate(found)
        ]
        name = "dev" if split == "validation" else split
        write(folder / "KorSTS" / f"sts-{name}.tsv", plain([header, *lines]))
    return made


def write_klue_sts(folder: Path) -> Written:
    """Write JSON arrays over many lines, with three labels of a pair in a table."""
    made = splits([26 / 7, 0.0, 22 / 7, 1.6, 5.0], {"train": 60, "test": 20}, pairs=True)
    for split, found in made.items():
        name = "dev" if split == "test" else split
        items = [
            {
                "guid": f"klue-sts-v1_{name}_{number:05}",
                "source": "airbnb-rtt",
                "sentence1": row.text,
                "sentence2": row.text_pair,
                "labels": {
                    "label": round(row.label, 1),
                    "real-label": row.label,
                    "binary-label": int(row.label >= 3),
                },
                "annotations": {"agreement": "0:0:0:2:5:0", "annotators": ["07"], "annotations": [4]},
            }
            for number, row in enumerate(found)
        ]
        path = folder / "klue_benchmark" / "klue-sts-v1.1" / f"klue-sts-v1.1_{name}.json"
        write(path, json.dumps(items, ensure_ascii=False, indent=4))
    return made


@dataclass(frozen=True)
class Example:
    """A corpus with options, and what writes its files; ``path`` is what a spec names below the folder."""

    component: type[Corpus]
    write: Callable[[Path], Written]
    options: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""

    def read_from(self, folder: Path, **options: Any) -> Corpus:
        """Return the dataset's options for files below a folder."""
        return self.component(path=folder / self.path, **{**self.options, **options})


EXAMPLES = {
    "nsmc": Example(NSMC, write_nsmc),
    "klue-ynat": Example(KLUE, write_ynat, {"task": "ynat"}),
    "klue-nli": Example(KLUE, write_klue_nli, {"task": "nli"}),
    "klue-sts": Example(KLUE, write_klue_sts, {"task": "sts"}),
    "kornli": Example(KorNLI, write_kornli),
    "korsts": Example(KorSTS, write_korsts),
    "korean-hate-speech": Example(KoreanHateSpeech, write_hate),
    "3i4k": Example(Intent3i4K, write_3i4k),
    "question-pair": Example(QuestionPair, write_question_pair),
    "curse-detection": Example(CurseDetection, write_curses, path="dataset.txt"),
    "kobest-boolq": Example(KoBEST, write_boolq, {"task": "boolq"}),
    "kobest-wic": Example(KoBEST, write_wic, {"task": "wic"}),
    "kobest-sentineg": Example(KoBEST, write_sentineg, {"task": "sentineg"}),
    "unsmile": Example(UnSmile, write_unsmile),
    "kmhas": Example(KMHaS, write_kmhas),
    "kote": Example(KOTE, write_kote),
    "kold": Example(KOLD, write_kold),
    "aihub-emotion": Example(AIHubEmotion, write_emotions),
}
"""By the names of the specs in experiments/korean."""
