"""AI-Hub's corpus of emotional dialogue: what a person says, with one of sixty emotions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from kexp_korean.aihub import AIHUB_TERMS
from kexp_korean.published import DEV, Corpus, EvaluationSplit, Part
from kexp_korean.shapes import Shape

LARGE = {"1": "분노", "2": "슬픔", "3": "불안", "4": "상처", "5": "당황", "6": "기쁨"}
"""The large classes by the first digit of a code."""
DETAILED = {
    "분노": (
        "분노", "툴툴대는", "좌절한", "짜증내는", "방어적인",
        "악의적인", "안달하는", "구역질 나는", "노여워하는", "성가신",
    ),
    "슬픔": (
        "슬픔", "실망한", "비통한", "후회되는", "우울한",
        "마비된", "염세적인", "눈물이 나는", "낙담한", "환멸을 느끼는",
    ),
    "불안": (
        "불안", "두려운", "스트레스 받는", "취약한", "혼란스러운",
        "당혹스러운", "회의적인", "걱정스러운", "조심스러운", "초조한",
    ),
    "상처": (
        "상처", "질투하는", "배신당한", "고립된", "충격 받은",
        "가난한, 불우한", "희생된", "억울한", "괴로워하는", "버려진",
    ),
    "당황": (
        "당황", "고립된(당황한)", "남의 시선을 의식하는", "외로운", "열등감",
        "죄책감의", "부끄러운", "혐오스러운", "한심한", "혼란스러운(당황한)",
    ),
    "기쁨": (
        "기쁨", "감사하는", "신뢰하는", "편안한", "만족스러운",
        "흥분", "느긋", "안도", "신이 난", "자신하는",
    ),
}  # fmt: skip
"""The detailed classes of each large one, in the order of the second digit of their codes."""
SPOKEN = ("HS01", "HS02", "HS03")
"""What the person says in a dialogue; SS01 and so on are the answers."""


def emotions(level: Literal["detailed", "large"]) -> dict[str, str]:
    """Return the names of the codes E10 to E69; those of the large classes are each the name of ten codes."""
    return {
        f"E{first}{second}": large if level == "large" else name
        for first, large in LARGE.items()
        for second, name in enumerate(DETAILED[large])
    }


class AIHubEmotion(Corpus):
    """Dialogues of AI-Hub's 감성 대화 말뭉치, with the person's emotion: one of 60, or one of 6.

    Two JSON arrays, 감성대화말뭉치(최종데이터)_Training.json and _Validation.json, with the code
    ``profile.emotion.type`` (E10 to E69) and the utterances ``talk.content.HS01`` to ``HS03``, of which the last may be
    empty. 51,628 and 6,640 dialogues are what users count, not compared with the files by kexp's authors, to whom they
    are not open. AI-Hub publishes no test file, so Validation becomes the test split unless ``dev = "validation"``.
    """

    licence: ClassVar[str] = AIHUB_TERMS
    homepage: ClassVar[str] = "https://aihub.or.kr/aihubdata/data/view.do?currMenu=115&topMenu=100&dataSetSn=86"
    NAMES: ClassVar[Mapping[str, str]] = {
        "train": "감성대화말뭉치*Training*.json",
        "dev": "감성대화말뭉치*Validation*.json",
    }

    text: Literal["joined", "first"] = Field(
        "joined", description="All that the person says in a dialogue, joined by spaces, or the first utterance alone."
    )
    label: Literal["detailed", "large"] = Field("detailed", description="The 60 emotions, or the 6 that they are of.")
    dev: EvaluationSplit = DEV

    def parts(self) -> Sequence[Part]:
        """Return Training and Validation."""
        shape = Shape(
            text=tuple(f"talk.content.{name}" for name in (SPOKEN if self.text == "joined" else SPOKEN[:1])),
            label="profile.emotion.type",
            labels=emotions(self.label),
            layout={"format": "json"},
        )
        return (
            Part("train", {self.NAMES["train"]: shape}, 51_628, counted_by_users=True),
            Part(self.dev, {self.NAMES["dev"]: shape}, 6_640, counted_by_users=True),
        )
