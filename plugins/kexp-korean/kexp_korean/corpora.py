"""Public Korean corpora of single labels, and KorSTS with scores, read from the files that their authors publish.

Names of files and columns, labels, numbers of rows and licences are those of the authors' repositories and cards on the
Hugging Face hub. What could not be read there says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from kexp.options import LocalPath
from kexp_korean.klue import NLI
from kexp_korean.published import DEV, Corpus, EvaluationSplit, Part, Split
from kexp_korean.shapes import BY_SA, SCORES, Shape, named_alike

QUOTED_TSV: Mapping[str, Any] = {"format": "tsv", "quoting": True}
PLAIN_TSV: Mapping[str, Any] = {"format": "tsv", "quoting": False}
KOBEST_FILES: tuple[tuple[Split, str, str], ...] = (
    ("train", "train", "train"),
    ("validation", "dev", "validation"),
    ("test", "test", "test"),
)
"""Split, and the names of its file in the repository and on the hub."""


class KorNLI(Corpus):
    """KorNLI: SNLI and MultiNLI translated by machine for train, XNLI translated by people for validation and test.

    Tab-separated without quoting, with ``sentence1``, ``sentence2`` and ``gold_label``: 942,854 rows of train (550,152
    of SNLI, 392,702 of MultiNLI), 2,490 of validation, 5,010 of test.
    """

    licence: ClassVar[str] = BY_SA
    homepage: ClassVar[str] = "https://github.com/kakaobrain/kor-nlu-datasets"
    SHAPE: ClassVar[Shape] = Shape(
        text=("sentence1",), text_pair="sentence2", label="gold_label", labels=named_alike(*NLI), layout=PLAIN_TSV
    )
    TRAIN: ClassVar[Mapping[str, tuple[str, int]]] = {
        "snli": ("snli_1.0_train.ko.tsv", 550_152),
        "multinli": ("multinli.train.ko.tsv", 392_702),
    }

    train: tuple[Literal["snli", "multinli"], ...] = Field(
        ("snli", "multinli"), min_length=1, description="Which of the two train files are read."
    )

    @field_validator("train")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a file is named twice")
        return names

    def parts(self) -> Sequence[Part]:
        """Return the train files that are chosen, validation and test."""
        train = [Part("train", {self.TRAIN[name][0]: self.SHAPE}, self.TRAIN[name][1]) for name in self.train]
        dev = Part("validation", {"xnli.dev.ko.tsv": self.SHAPE}, 2_490)
        return (*train, dev, Part("test", {"xnli.test.ko.tsv": self.SHAPE}, 5_010))


class KorSTS(Corpus):
    """KorSTS: how alike two sentences are, from 0 to 5; STS-B translated by machine for train, else by people.

    Tab-separated without quoting, with ``score``, ``sentence1`` and ``sentence2`` beside ``genre``, ``filename``,
    ``year`` and ``id``: 5,749 rows of train, 1,500 of validation (``sts-dev.tsv``), 1,379 of test.
    """

    licence: ClassVar[str] = BY_SA
    homepage: ClassVar[str] = KorNLI.homepage
    SHAPE: ClassVar[Shape] = Shape(
        text=("sentence1",), text_pair="sentence2", label="score", score=SCORES, layout=PLAIN_TSV
    )

    def parts(self) -> Sequence[Part]:
        """Return train, validation and test."""
        return (
            Part("train", {"sts-train.tsv": self.SHAPE}, 5_749),
            Part("validation", {"sts-dev.tsv": self.SHAPE}, 1_500),
            Part("test", {"sts-test.tsv": self.SHAPE}, 1_379),
        )


class KoreanHateSpeech(Corpus):
    """BEEP!, comments on entertainment news, labelled for hate, for social bias and for gender bias.

    Tab-separated with quoting and the columns ``comments``, ``contain_gender_bias``, ``bias`` and ``hate``: 7,896 rows
    of train, 471 of dev. The labels of the 974 test rows (``test.no_label.tsv``) are not published, so dev becomes the
    test split unless ``dev = "validation"``. ``unlabelled = true`` adds the 2,033,893 comments, one per line, of
    ``unlabeled_comments_1.txt`` to ``_5.txt``.
    """

    licence: ClassVar[str] = f"{BY_SA}; the comments insult people"
    homepage: ClassVar[str] = "https://github.com/kocohub/korean-hate-speech"
    LABELS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "hate": named_alike("none", "offensive", "hate"),
        "bias": named_alike("none", "others", "gender"),
        "contain_gender_bias": named_alike("False", "True"),
    }

    label: Literal["hate", "bias", "contain_gender_bias"] = Field("hate", description="Which label is learned.")
    dev: EvaluationSplit = DEV
    unlabelled: bool = Field(
        False, description="Read the unlabelled comments too, for semi-supervised objectives and pre-training."
    )

    def parts(self) -> Sequence[Part]:
        """Return train, dev, and the unlabelled comments if they are wanted."""
        shape = Shape(text=("comments",), label=self.label, labels=self.LABELS[self.label], layout=QUOTED_TSV)
        labelled = (Part("train", {"train.tsv": shape}, 7_896), Part(self.dev, {"dev.tsv": shape}, 471))
        comments = Part("unlabelled", {"unlabeled_comments_*.txt": Shape(text=("comments",))}, 2_033_893, many=True)
        return (*labelled, *[comments] * self.unlabelled)


class Intent3i4K(Corpus):
    """3i4K: what a Korean utterance is meant as, of seven intentions, from the authors' own train and test file.

    Without header, tab-separated without quoting, the label first: 55,134 and 6,121 rows.
    """

    licence: ClassVar[str] = (
        "CC BY 4.0 by the corpus's card on the Hugging Face hub, CC BY-SA 4.0 by the authors' loader: name the authors"
    )
    homepage: ClassVar[str] = "https://github.com/warnikchow/3i4k"
    SHAPE: ClassVar[Shape] = Shape(
        text=("text",),
        label="label",
        labels={
            "0": "fragment",
            "1": "statement",
            "2": "question",
            "3": "command",
            "4": "rhetorical question",
            "5": "rhetorical command",
            "6": "intonation-dependent utterance",
        },
        layout={**PLAIN_TSV, "header": False, "columns": ("label", "text")},
    )

    def parts(self) -> Sequence[Part]:
        """Return train and test."""
        return (
            Part("train", {"fci_train_val.txt": self.SHAPE}, 55_134),
            Part("test", {"fci_test.txt": self.SHAPE}, 6_121),
        )


class QuestionPair(Corpus):
    """Question_pair: pairs of everyday questions that ask the same or something else.

    CSV with ``question1``, ``question2`` and ``is_duplicate``, in which, by the authors' README, 0 stands for the same
    question and 1 for another one. 6,888 rows of train and 688 of test, which the authors say differ in distribution.
    """

    licence: ClassVar[str] = (
        "the authors' repository names none that kexp knows: MIT by the card of kor_qpair on the Hugging Face hub, "
        "CC BY-SA 4.0 by the library Korpora"
    )
    homepage: ClassVar[str] = "https://github.com/songys/Question_pair"
    SHAPE: ClassVar[Shape] = Shape(
        text=("question1",),
        text_pair="question2",
        label="is_duplicate",
        labels={"0": "같은 질문", "1": "다른 질문"},
        layout={"format": "csv"},
    )

    def parts(self) -> Sequence[Part]:
        """Return train and test."""
        return (
            Part("train", {"kor_pair_train.csv": self.SHAPE}, 6_888),
            Part("test", {"kor_Pair_test.csv": self.SHAPE}, 688),
        )


class CurseDetection(Corpus):
    """Curse-detection-data: comments of forums that curse or do not; validation and test are taken out of train.

    A line is ``text|0`` or ``text|1``, where the text may have the mark too: 5,825 rows in ``dataset.txt``.
    """

    licence: ClassVar[str] = "MIT: keep the authors' notice with copies; the comments insult people"
    homepage: ClassVar[str] = "https://github.com/2runo/Curse-detection-data"
    SHAPE: ClassVar[Shape] = Shape(text=("text",), label="label", labels={"0": "욕설 아님", "1": "욕설"})

    path: LocalPath = Field(description="dataset.txt, or a folder that holds it.")

    def parts(self) -> Sequence[Part]:
        """Return the only file."""
        return (Part("train", {"dataset.txt": self.SHAPE}, 5_825),)


class KoBEST(Corpus):
    """KoBEST's tasks of classification: BoolQ, WiC and SentiNeg, from the repository's TSV or the hub's JSON lines.

    Folders ``BoolQ``, ``WiC`` and ``SentiNeg`` of ``train.tsv``, ``dev.tsv``, ``test.tsv`` (quoted, tab-separated), or
    ``boolq``, ``wic`` and ``sentineg`` of ``train.jsonl``, ``validation.jsonl``, ``test.jsonl``. ``boolq`` is a
    paragraph with a question, ``wic`` two sentences that mark a word by brackets, ``sentineg`` a sentence. The files of
    the repository have 3,665/700/1,404 rows (boolq), 3,318/610/1,260 (wic) and 3,649/400/397 (sentineg) by the numbers
    in them, and as many on the hub. Rows of the TSV that lack a cell are left out, as the authors' loader does.
    """

    licence: ClassVar[str] = BY_SA
    homepage: ClassVar[str] = "https://github.com/SKT-LSL/KoBEST_datarepo"
    FOLDERS: ClassVar[Mapping[str, str]] = {"boolq": "BoolQ", "wic": "WiC", "sentineg": "SentiNeg"}
    TRUTH: ClassVar[Mapping[str, str]] = named_alike("False", "True")
    TSV: ClassVar[Mapping[str, Shape]] = {
        "boolq": Shape(("Text",), "Question", "Answer", TRUTH, QUOTED_TSV, drop_incomplete=True),
        "wic": Shape(("SENTENCE1",), "SENTENCE2", "ANSWER", TRUTH, QUOTED_TSV, drop_incomplete=True),
        "sentineg": Shape(("Text",), "", "Label", {"0": "negative", "1": "positive"}, QUOTED_TSV, drop_incomplete=True),
    }
    JSONL: ClassVar[Mapping[str, Shape]] = {
        "boolq": Shape(("paragraph",), "question", "label", TRUTH, {"format": "jsonl"}),
        "wic": Shape(("context_1",), "context_2", "label", TRUTH, {"format": "jsonl"}),
        "sentineg": replace(TSV["sentineg"], text=("sentence",), label="label", layout={"format": "jsonl"}),
    }
    ROWS: ClassVar[Mapping[str, tuple[int, int, int]]] = {
        "boolq": (3_665, 700, 1_404),
        "wic": (3_318, 610, 1_260),
        "sentineg": (3_649, 400, 397),
    }

    task: Literal["boolq", "wic", "sentineg"] = Field(
        description="boolq: yes or no to a question on a text. wic: whether a word has one meaning in two sentences. "
        "sentineg: sentiment with negated test sentences."
    )

    @field_validator("task", mode="before")
    @classmethod
    def _classification(cls, task: Any) -> Any:
        if str(task).lower() in ("copa", "hellaswag"):
            raise ValueError(f"{task} is multiple choice, which is no classification of texts or pairs")
        return task

    def parts(self) -> Sequence[Part]:
        """Return train, validation and test of the task."""
        tsv, jsonl = self.TSV[self.task], self.JSONL[self.task]
        folder = self.FOLDERS[self.task]
        return [
            Part(
                split,
                {
                    f"{folder}/{old}.tsv": tsv,
                    f"{folder}/{new}.jsonl": jsonl,
                    f"/{old}.tsv": tsv,
                    f"/{new}.jsonl": jsonl,
                },
                rows,
            )
            for (split, old, new), rows in zip(KOBEST_FILES, self.ROWS[self.task], strict=True)
        ]
