"""Public Korean corpora whose texts have several labels: UnSmile, K-MHaS, KOTE and KOLD.

Names of files and columns, labels, numbers of rows and licences are those of the authors' repositories, files and cards
on the Hugging Face hub. What could not be read there says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from kexp.errors import Problem
from kexp_korean.corpora import PLAIN_TSV, QUOTED_TSV
from kexp_korean.published import DEV, Corpus, EvaluationSplit, Part
from kexp_korean.shapes import BY_SA, Shape, named_alike

INSULTS = "the comments insult people"


class UnSmile(Corpus):
    """UnSmile: whom a comment is hateful of, whether it is abuse, or clean; a comment may be of several kinds.

    Tab-separated without quoting: the column ``문장``, then one of 0 and 1 for each of seven groups, ``기타 혐오``
    (hate of others), ``악플/욕설`` (abuse of nobody in particular), ``clean`` and ``개인지칭`` (a person can be
    recognised). 15,005 rows of train and 3,737 of ``unsmile_valid_v1.0.tsv``. There is no test file, so the latter, on
    which the authors report their baseline, becomes the test split unless ``dev = "validation"``.
    """

    licence: ClassVar[str] = (
        "CC BY-NC-ND 4.0: name the authors, no commercial use, and pass no changed data on; " + INSULTS
    )
    homepage: ClassVar[str] = "https://github.com/smilegate-ai/korean_unsmile_dataset"
    CATEGORIES: ClassVar[Sequence[str]] = (
        "여성/가족", "남성", "성소수자", "인종/국적", "연령", "지역", "종교", "기타 혐오", "악플/욕설", "clean",
    )  # fmt: skip
    """The labels of the authors' baseline."""
    PERSON: ClassVar[str] = "개인지칭"

    label: Literal["categories", "clean"] = Field(
        "categories",
        description="categories: the ten labels of the authors' baseline, any number per comment. clean: the column "
        "clean by itself, with the classes not clean and clean.",
    )
    person: bool = Field(
        False, description="Learn the column 개인지칭 as one more label: whether a person can be recognised."
    )
    dev: EvaluationSplit = DEV

    def problems(self) -> Iterable[Problem]:
        """Yield one more label where there is a class, and what is wrong on disk."""
        if self.person and self.label == "clean":
            message = 'one more label of a comment, which with label = "clean" has one class'
            yield Problem("person", message, 'leave it out, or use label = "categories"')
        yield from super().problems()

    def parts(self) -> Sequence[Part]:
        """Return both files."""
        if self.label == "clean":
            shape = Shape(("문장",), label="clean", labels={"0": "not clean", "1": "clean"}, layout=PLAIN_TSV)
        else:
            flags = named_alike(*self.CATEGORIES, *[self.PERSON] * self.person)
            shape = Shape(("문장",), flags=flags, layout=PLAIN_TSV)
        return (
            Part("train", {"unsmile_train_v1.0.tsv": shape}, 15_005),
            Part(self.dev, {"unsmile_valid_v1.0.tsv": shape}, 3_737),
        )


class KMHaS(Corpus):
    """K-MHaS: hate in news comments, of one to four of eight kinds, or none.

    Tab-separated with quoting and the columns ``document`` and ``label``, where labels such as 0,2 are numbers of the
    kinds and 8 is none: 78,977 rows of train, 8,776 of validation, 21,939 of test. The authors describe two layers,
    which ``label`` chooses between: the kinds, and hate or not.
    """

    licence: ClassVar[str] = f"{BY_SA}; {INSULTS}"
    homepage: ClassVar[str] = "https://github.com/adlnlp/K-MHaS"
    KINDS: ClassVar[Sequence[str]] = (
        "Origin", "Physical", "Politics", "Profanity", "Age", "Gender", "Race", "Religion", "Not Hate Speech",
    )  # fmt: skip
    """By their numbers in the files."""

    label: Literal["kinds", "hate"] = Field(
        "kinds",
        description="kinds: the eight kinds of hate and Not Hate Speech, any number per comment. hate: the classes "
        "Hate Speech and Not Hate Speech.",
    )

    def parts(self) -> Sequence[Part]:
        """Return train, validation and test."""
        names = [*self.KINDS] if self.label == "kinds" else [*["Hate Speech"] * 8, self.KINDS[-1]]
        shape = Shape(
            text=("document",),
            label="label",
            labels={str(number): name for number, name in enumerate(names)},
            layout=QUOTED_TSV,
            separator=",",
            one_class=self.label == "hate",
        )
        return (
            Part("train", {"kmhas_train.txt": shape}, 78_977),
            Part("validation", {"kmhas_valid.txt": shape}, 8_776),
            Part("test", {"kmhas_test.txt": shape}, 21_939),
        )


class KOTE(Corpus):
    """KOTE: which of 43 emotions people read in an online comment, any number of them, or 없음 for none.

    Without header, tab-separated with quoting: an id, the text, and numbers of emotions such as 0,3,7, in the order of
    the authors' README. 40,000 rows of train, 5,000 of validation (``val.tsv``), 5,000 of test.
    """

    licence: ClassVar[str] = "MIT: keep the authors' notice with copies"
    homepage: ClassVar[str] = "https://github.com/searle-j/KOTE"
    EMOTIONS: ClassVar[Sequence[str]] = (
        "불평/불만", "환영/호의", "감동/감탄", "지긋지긋", "고마움", "슬픔", "화남/분노", "존경", "기대감",
        "우쭐댐/무시함", "안타까움/실망", "비장함", "의심/불신", "뿌듯함", "편안/쾌적", "신기함/관심", "아껴주는",
        "부끄러움", "공포/무서움", "절망", "한심함", "역겨움/징그러움", "짜증", "어이없음", "없음", "패배/자기혐오",
        "귀찮음", "힘듦/지침", "즐거움/신남", "깨달음", "죄책감", "증오/혐오", "흐뭇함(귀여움/예쁨)", "당황/난처",
        "경악", "부담/안_내킴", "서러움", "재미없음", "불쌍함/연민", "놀람", "행복", "불안/걱정", "기쁨", "안심/신뢰",
    )  # fmt: skip
    """By their numbers in the files."""

    def parts(self) -> Sequence[Part]:
        """Return train, validation and test."""
        shape = Shape(
            text=("text",),
            label="labels",
            labels={str(number): name for number, name in enumerate(self.EMOTIONS)},
            layout={**QUOTED_TSV, "header": False, "columns": ("id", "text", "labels")},
            separator=",",
        )
        return (
            Part("train", {"train.tsv": shape}, 40_000),
            Part("validation", {"val.tsv": shape}, 5_000),
            Part("test", {"test.tsv": shape}, 5_000),
        )


class KOLD(Corpus):
    """KOLD: whether a comment on news or a video is offensive, at what it is aimed, and at which groups.

    One JSON array, ``kold_v1.json``, of 40,429 comments with ``title`` and ``comment``; validation and test are taken
    out of train. The three levels of the authors are ``label``: ``OFF``, true or false; ``TGT`` of what is offensive;
    ``GRP`` of what is aimed at groups, such as others-feminist, or several with ``&`` between. Rows without a label of
    the level are left out. The names of groups are read from the file, whose list kexp's authors have not seen.
    """

    licence: ClassVar[str] = (
        "none is stated in the authors' repository, which forbids training models that generate offensive language; "
        + INSULTS
    )
    homepage: ClassVar[str] = "https://github.com/boychaboy/KOLD"
    TARGETS: ClassVar[Mapping[str, str]] = {
        **named_alike("untargeted", "individual", "group", "other"),
        "others": "other",
    }
    """The file's name for other targets was not seen: either is read."""

    label: Literal["OFF", "TGT", "GRP"] = Field(
        "OFF",
        description="OFF: offensive or not. TGT: of offensive comments, whether they are aimed at nobody, an "
        "individual, a group or others. GRP: of those aimed at groups, at which, any number per comment.",
    )
    title: bool = Field(False, description="Give the title of the article or video with each comment, as a pair.")

    def parts(self) -> Sequence[Part]:
        """Return the only file."""
        labels: Mapping[str, Mapping[str, str]] = {
            "OFF": {"False": "not offensive", "True": "offensive"},
            "TGT": self.TARGETS,
            "GRP": {},
        }
        shape = Shape(
            text=("title",) if self.title else ("comment",),
            text_pair="comment" if self.title else "",
            label=self.label,
            labels=labels[self.label],
            layout={"format": "json"},
            drop_unlabelled=self.label != "OFF",
            separator="&" if self.label == "GRP" else "",
        )
        return (Part("train", {"kold_v1.json": shape}, 40_429),)
