"""AI-Hub's corpora of spoken dialect: a folder of JSON files, one per recording, as users download them."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kexp.contracts import DatasetContext, DatasetOptions
from kexp.errors import DataError, Problem
from kexp.options import LocalPath
from kexp_korean.schemes import SCHEME_DESCRIPTION, STANDARD, Pair, Rows, Scheme, Speaker, regions_of
from kexp_korean.transcripts import fluent, spoken

if TYPE_CHECKING:
    from datasets import Dataset

REGION_WORDS = {"경상": "gyeongsang", "제주": "jeju", "전라": "jeolla", "충청": "chungcheong", "강원": "gangwon"}
EXPECTED = "expected a recording of AI-Hub's dialect corpora"
REMEDY = "move the file out of the folder, or unpack the corpus again"
AIHUB_TERMS = (
    "AI-Hub's terms of use: for training models, commercial ones too; the data must not be passed on, and Korean "
    "nationals alone can apply for them"
)


@dataclass(slots=True)
class Counts:
    """What a folder held and what was left out of the rows."""

    files: int = 0
    utterances: int = 0
    pairs: int = 0
    identical: int = 0
    empty: int = 0
    from_form: int = 0
    other_regions: Counter[str] = field(default_factory=Counter)
    other_speakers: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)

    def notes(self) -> dict[str, int]:
        """Return every count by what it counts."""
        return {
            "files": self.files,
            "utterances": self.utterances,
            "read from the field form": self.from_form,
            "pairs": self.pairs,
            "with equal forms": self.identical,
            "without words": self.empty,
            **({"of other speakers": self.other_speakers} if self.other_speakers else {}),
            **{f"of {region}, not in the scheme": count for region, count in sorted(self.other_regions.items())},
            **{f"marks dropped: {kind}": count for kind, count in sorted(self.dropped.items()) if count},
            **{f"rows labelled {label}": count for label, count in sorted(self.classes.items())},
        }

    def __str__(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in self.notes().items())


class AIHubDialect(DatasetOptions):
    """Utterances of AI-Hub's spoken dialect corpora in standard and in dialect form; rows of a recording stay together.

    Forms come from ``standard_form`` and ``dialect_form``; where one is missing, as in older files, both are taken from
    the inline pairs ``(dialect)/(standard)`` of ``form``. Rows have the columns speaker, age, sex and birthplace where
    the corpus gives them. The run's record says how many utterances were left out, and the rows of every label.
    """

    licence: ClassVar[str] = AIHUB_TERMS
    homepage: ClassVar[str] = "https://aihub.or.kr"

    path: LocalPath = Field(description="Folder of JSON files, searched with all its subfolders.")
    scheme: Scheme = Field("two", description=SCHEME_DESCRIPTION)
    identical: Literal["drop", "standard"] = Field(
        "drop", description="What becomes of utterances whose two forms are equal: dropped, or one standard row."
    )
    group: Literal["recording", "speaker"] = Field(
        "recording",
        description="What is never divided between splits: a recording, or all recordings of a speaker. Ids that only "
        "number the speakers of a recording (1, 2) tell nothing of other recordings.",
    )
    birthplace: tuple[str, ...] | None = Field(
        None, min_length=1, description="Only utterances of speakers born in places that begin so, such as 제주."
    )
    sex: tuple[str, ...] | None = Field(
        None, min_length=1, description="Only utterances of speakers of this sex, as the corpus writes it (여성, 남성)."
    )
    age: tuple[str, ...] | None = Field(
        None, min_length=1, description="Only utterances of speakers of these ages, as the corpus writes them (50대)."
    )
    disfluencies: Literal["keep", "drop"] = Field(
        "keep",
        description="Stuttered and broken-off words (-그-, 하-하지만), sounds of one form alone ((아)/()) and words "
        "not understood (xx): as transcribed, or dropped.",
    )

    def problems(self) -> Iterable[Problem]:
        """Yield a folder that is missing or holds no JSON, and options that clash."""
        if not self.path.is_dir():
            finding = "is not a folder" if self.path.exists() else "does not exist"
            yield Problem("path", f"{self.path} {finding}", "give the folder into which the corpus was unpacked")
        elif next(_json_files(self.path), None) is None:
            yield Problem("path", f"{self.path} holds no .json file", "unpack AI-Hub's archives there")
        if self.identical == "standard" and self.scheme == "region":
            yield Problem("identical", 'scheme "region" has no standard rows', 'use identical = "drop"')

    def build(self, context: DatasetContext) -> Mapping[str, Dataset]:
        """Read all files into one split; raises ``DataError`` with the file and the place in it."""
        rows, counts = self.read()
        context.counts.update(counts.notes())
        return {"train": rows.dataset(self.path)}

    def read(self) -> tuple[Rows, Counts]:
        """Read all files, one at a time, into rows; raises ``DataError`` if there are none."""
        rows, counts = Rows(self.scheme), Counts()
        for path in sorted(_json_files(self.path)):
            counts.files += 1
            self._read_recording(path, rows, counts)
        if not counts.files:
            raise DataError(f"{self.path}: no .json file; unpack AI-Hub's archives there")
        if not rows:
            remedy = "check that this is the folder of the transcripts"
            if counts.other_regions:
                remedy = 'use scheme = "two"'
            elif counts.other_speakers:
                remedy = "birthplace, sex and age must be written as in the corpus"
            raise DataError(f"{self.path}: no usable utterance ({counts}); {remedy}")
        if self.group == "speaker":
            rows.group = _by_speaker(rows)
        counts.classes.update(rows.label)
        return rows, counts

    def _read_recording(self, path: Path, rows: Rows, counts: Counts) -> None:
        recording = _load(path)
        region = _region(recording, path) if self.scheme != "two" else ""
        group = str(recording.get("id") or path.relative_to(self.path).as_posix())
        utterances = recording["utterance"]
        counts.utterances += len(utterances)
        if region and region not in regions_of(self.scheme):
            counts.other_regions[region] += len(utterances)
            return
        speakers = _speakers(recording, path)
        for number, utterance in enumerate(utterances, start=1):
            standard, dialect = self._forms(utterance, path, number, counts)
            name = _name(utterance.get("speaker_id"))
            if not _encodable(name):
                raise DataError(f"{path}: utterance {number}: speaker_id is {name!r:.60}, expected text; {REMEDY}")
            speaker = speakers.get(name, Speaker(name))
            if not self._wanted(speaker):
                counts.other_speakers += 1
            elif not standard or not dialect:
                counts.empty += 1
            elif standard == dialect:
                counts.identical += 1
                if self.identical == "standard":
                    rows.add(standard, STANDARD, group, speaker)
            else:
                counts.pairs += 1
                pair = Pair(standard, dialect, region, group, speaker)
                rows.add_standard(pair)
                rows.add_dialect(pair)

    def _forms(self, utterance: Any, path: Path, number: int, counts: Counts) -> tuple[str, str]:
        """Return the standard and the dialect form, "" where there are no words."""
        standard, dialect = _transcripts(utterance, path, number, counts)
        if self.disfluencies == "drop":
            return fluent(standard, "standard", counts.dropped), fluent(dialect, "dialect", counts.dropped)
        return spoken(standard, "standard"), spoken(dialect, "dialect")

    def _wanted(self, speaker: Speaker) -> bool:
        return (
            (self.birthplace is None or speaker.birthplace.startswith(tuple(map(_name, self.birthplace))))
            and (self.sex is None or speaker.sex in map(_name, self.sex))
            and (self.age is None or speaker.age in map(_name, self.age))
        )


def _json_files(folder: Path) -> Iterator[Path]:
    """Yield the JSON files; macOS adds hidden companions ("._name.json") to archives, which are none."""
    return (path for path in folder.rglob("*.json") if not path.name.startswith(".") and path.is_file())


def _load(path: Path) -> dict[str, Any]:
    """Parse one file and check its outer shape: an object with a list of utterances."""
    try:
        document = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; check the file's permissions") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        byte = error.object[error.start]
        raise DataError(
            f"{path}: line {line}: byte 0x{byte:02x} is not UTF-8, as AI-Hub's files are; {REMEDY}"
        ) from None
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}; {REMEDY}"
        ) from None
    if not isinstance(document, dict):
        raise DataError(f"{path}: holds no JSON object, {EXPECTED}; {REMEDY}")
    if not isinstance(document.get("utterance"), list):
        raise DataError(f'{path}: has no list "utterance", {EXPECTED}; {REMEDY}')
    return document


def _region(recording: Mapping[str, Any], path: Path) -> str:
    """Return the region that the first part of ``metadata.category`` names."""
    metadata = recording.get("metadata")
    category = metadata.get("category") if isinstance(metadata, dict) else None
    if not isinstance(category, str):
        raise DataError(f'{path}: has no metadata.category, which gives the region; {REMEDY}, or use scheme = "two"')
    first = unicodedata.normalize("NFC", category).partition(">")[0]
    for word, region in REGION_WORDS.items():
        if word in first:
            return region
    known = ", ".join(REGION_WORDS)
    raise DataError(
        f"{path}: metadata.category {category!r} names no known region ({known}); {REMEDY}, "
        'or use scheme = "two", which needs none'
    )


def _speakers(recording: Mapping[str, Any], path: Path) -> dict[str, Speaker]:
    """Return the speakers of a recording by their ids; an older recording has none."""
    listed = recording.get("speaker") or []
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise DataError(f'{path}: "speaker" is no list of JSON objects, {EXPECTED}; {REMEDY}')
    for number, one in enumerate(listed, start=1):
        for key in ("id", "age", "sex", "birthplace"):
            value = one.get(key)
            if isinstance(value, dict | list) or not _encodable(str(value)):
                raise DataError(f"{path}: speaker {number}: {key} is {value!r:.60}, expected text; {REMEDY}")
    found = (Speaker(*(_name(one.get(key)) for key in ("id", "age", "sex", "birthplace"))) for one in listed)
    return {speaker.id: speaker for speaker in found}


def _name(value: Any) -> str:
    return "" if value is None else unicodedata.normalize("NFC", " ".join(str(value).split()))


def _by_speaker(rows: Rows) -> list[str]:
    """Return the group of each row: recordings that share a speaker, or share one with such a recording."""
    first: dict[str, str] = {}

    def root(name: str) -> str:
        while first.setdefault(name, name) != name:
            name = first[name]
        return name

    for group, speaker in zip(rows.group, rows.speaker, strict=True):
        # A number is that of a speaker within the recording.
        if speaker.id and not speaker.id.isdigit():
            first[root(f"speaker {speaker.id}")] = root(group)
    return [root(group) for group in rows.group]


def _transcripts(utterance: Any, path: Path, number: int, counts: Counts) -> tuple[str, str]:
    """Return the standard and the dialect form as transcribed."""
    if not isinstance(utterance, dict):
        raise DataError(f"{path}: utterance {number} is no JSON object; {REMEDY}")
    standard = _text(utterance, "standard_form", path, number)
    dialect = _text(utterance, "dialect_form", path, number)
    if not (standard and dialect):
        standard = dialect = _text(utterance, "form", path, number)
        counts.from_form += bool(standard)
    return standard, dialect


def _text(utterance: Mapping[str, Any], key: str, path: Path, number: int) -> str:
    value = utterance.get(key)
    if value is None:
        return ""
    # Half of a surrogate pair can be written in JSON, but no table can hold it.
    if not isinstance(value, str) or not _encodable(value):
        raise DataError(f"{path}: utterance {number}: {key} is {value!r:.60}, expected text; {REMEDY}")
    return value


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
