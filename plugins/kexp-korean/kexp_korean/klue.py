"""KLUE: topics of titles, inference on pairs, and how alike two sentences are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from kexp.errors import Problem
from kexp_korean.published import DEV, Corpus, EvaluationSplit, Part
from kexp_korean.shapes import BY_SA, SCORES, Shape, named_alike

NLI = ("entailment", "neutral", "contradiction")
JSON: Mapping[str, Any] = {"format": "json"}


class KLUE(Corpus):
    """KLUE's topics of news titles (YNAT), inference (NLI) and similarity (STS), from JSON arrays of version 1.1 or 1.

    ``ynat`` has ``title`` and ``label``, one of seven topics, in 45,678 rows of train and 9,107 of dev; ``nli`` has
    ``premise``, ``hypothesis`` and ``gold_label`` in 24,998 and 3,000; ``sts`` has ``sentence1``, ``sentence2`` and
    ``labels`` in 11,668 and 519. KLUE's test rows are hidden, so its dev file is what results are reported on: it
    becomes the test split unless ``dev = "validation"``.
    """

    licence: ClassVar[str] = BY_SA
    homepage: ClassVar[str] = "https://github.com/KLUE-benchmark/KLUE"
    YNAT: ClassVar[Shape] = Shape(
        text=("title",),
        label="label",
        labels=named_alike("IT과학", "경제", "사회", "생활문화", "세계", "스포츠", "정치"),
        layout=JSON,
    )
    INFERENCE: ClassVar[Shape] = Shape(
        text=("premise",), text_pair="hypothesis", label="gold_label", labels=named_alike(*NLI), layout=JSON
    )
    FILES: ClassVar[Mapping[str, tuple[str, int, int]]] = {
        "ynat": ("ynat", 45_678, 9_107),
        "nli": ("klue-nli", 24_998, 3_000),
        "sts": ("klue-sts", 11_668, 519),
    }
    """By task how its files begin, and how many rows train and dev have."""

    task: Literal["ynat", "nli", "sts"] = Field(
        description="ynat: topics of news titles. nli: inference on pairs. sts: how alike two sentences are."
    )
    label: Literal["real-label", "label", "binary-label"] = Field(
        "real-label",
        description="Which label of sts is learned. real-label: mean of the ratings from 0 to 5, as in KLUE's own "
        "baseline. label: the same with one decimal. binary-label: the classes negative and positive.",
    )
    dev: EvaluationSplit = DEV

    def problems(self) -> Iterable[Problem]:
        """Yield a label that the task does not have, and what is wrong on disk."""
        if self.task != "sts" and "label" in self.model_fields_set:
            yield Problem("label", f'"{self.label}" is a label of task = "sts", not of "{self.task}"', "leave it out")
        yield from super().problems()

    def parts(self) -> Sequence[Part]:
        """Return the train and the dev file of the task."""
        name, *rows = self.FILES[self.task]
        train, dev = (
            {f"{name}-v{version}_{split}.json": self._shape() for version in ("1.1", "1")} for split in ("train", "dev")
        )
        return (Part("train", train, rows[0]), Part(self.dev, dev, rows[1]))

    def _shape(self) -> Shape:
        if self.task != "sts":
            return self.YNAT if self.task == "ynat" else self.INFERENCE
        label = f"labels.{self.label}"
        if self.label == "binary-label":
            names = {"0": "negative", "1": "positive"}
            return Shape(("sentence1",), "sentence2", label, names, JSON)
        return Shape(("sentence1",), "sentence2", label, layout=JSON, score=SCORES)
