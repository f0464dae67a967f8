"""The sections of a spec file: their keys with types, bounds and defaults."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PositiveInt,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic import ValidationInfo as Info

from kexp.contracts import (
    AnyAugmenter,
    AnyBackbone,
    AnyDataset,
    AnyFreezing,
    AnyMetric,
    AnyObjective,
    AnySampler,
    AnyTask,
    AnyTracker,
)
from kexp.errors import Problem
from kexp.lists_of_one import OneOrSeveral
from kexp.names import NAME_PATTERN, composed, file_name_problem
from kexp.options import LocalPath, Section
from kexp.spec.execution_section import Execution
from kexp.spec.pretraining_section import Pretraining
from kexp.spec.search_section import Search
from kexp.spec.training_section import Training

if TYPE_CHECKING:
    from packaging.requirements import Requirement
BATCH_SIZE = 32
"""Rows of a batch of training where nothing is stated."""


def _file_name(name: str) -> str:
    if problem := file_name_problem(name):
        raise ValueError(f'it names a folder; expected {problem}, found "{name[:60]}"')
    return name


Name = Annotated[
    str, BeforeValidator(lambda name: composed(name) if isinstance(name, str) else name), AfterValidator(_file_name),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN}),
]  # fmt: skip
"""A name that becomes a folder, in NFC."""


Characters = PositiveInt | dict[Literal["train", "validation", "test", "unlabelled"], PositiveInt]
"""A number of characters, for all splits or by split."""


class Cleaning(Section):
    """What happens to the rows before anything else; every dropped row is counted. NFC normalisation always happens."""

    trim: bool = Field(True, description="Strip white space from both ends of every text.")
    duplicates: Literal["drop", "keep"] = Field(
        "drop", description="What becomes of exact repetitions of text and label."
    )
    contradictions: Literal["drop", "keep"] = Field(
        "drop", description="What becomes of equal texts that carry different labels: drop them all, or keep them all."
    )
    overlap: Literal["drop", "keep"] = Field(
        "drop", description="What becomes of train rows whose text also stands in validation or test."
    )
    unlabelled: Literal["error", "drop"] = Field(
        "error", description="What becomes of rows of train, validation and test that have no label."
    )
    min_characters: Characters = Field(
        1,
        description="Shortest text, in characters after trimming; pairs count together. A table gives one per split.",
    )
    max_characters: Characters | None = Field(
        None, description="Longest text, in characters. A table gives one per split."
    )
    min_percentile: float = Field(0, ge=0, lt=100, description="Drop texts shorter than this percentile of train.")
    max_percentile: float = Field(100, gt=0, le=100, description="Drop texts longer than this percentile of train.")
    max_per_class: PositiveInt | None = Field(None, description="Keep at most this many train rows of a class.")
    balance: bool = Field(False, description="Cut every class of train to the size of the smallest.")
    splits: tuple[Literal["train", "validation", "test"], ...] = Field(
        ("train", "validation", "test"),
        min_length=1,
        description="Splits from which rows may be dropped; empty texts are dropped from all.",
    )

    def problems(self) -> Iterable[Problem]:
        """Yield bounds that leave nothing."""
        for split in ("train", "validation", "test", "unlabelled"):
            low, high = self.characters(split)
            if high < low:
                of = f" of {split}" if self.by_split else ""
                yield Problem("max_characters", f"{high:g} is below min_characters{of}, {low:g}")
            if not self.by_split:
                break
        if self.max_percentile <= self.min_percentile:
            yield Problem(
                "max_percentile", f"{self.max_percentile:g} is not above min_percentile, {self.min_percentile:g}"
            )

    @property
    def by_split(self) -> bool:
        """Whether splits have bounds of their own."""
        return isinstance(self.min_characters, dict) or isinstance(self.max_characters, dict)

    def characters(self, *splits: str) -> tuple[float, float]:
        """Return the shortest and the longest text that one of the splits may have."""

        def of(bound: Mapping[Any, int] | int | None, default: float) -> list[float]:
            if isinstance(bound, Mapping):
                return [bound.get(split, default) for split in splits]
            return [default if bound is None else bound]

        return min(of(self.min_characters, 1)), max(of(self.max_characters, math.inf))


class Split(Section):
    """Splits that the dataset does not bring are taken out of train."""

    validation: float = Field(
        0.1,
        ge=0,
        description="Share of train, or a number of rows from 1 upwards; 0 for none, even where the dataset has one.",
    )
    test: float = Field(
        0.1, ge=0, description="Share of all rows, or a number of rows from 1 upwards; 0 for no test split."
    )
    stratify: bool = Field(True, description="Keep the classes' shares equal in all splits.")
    group: bool = Field(True, description="Keep rows of one group together where the dataset has groups.")
    seed: int = Field(0, ge=0, description="Seed of splitting, limiting and the choice of labelled rows.")
    resplit: bool = Field(False, description="Draw a new split for every training seed.")
    folds: int | None = Field(
        None, ge=2, le=1000, description="k-fold cross-validation: one run per fold, whose rows are its test split."
    )

    @model_validator(mode="before")
    @classmethod
    def _test_is_a_fold(cls, given: Any) -> Any:
        folds = given.get("folds") if isinstance(given, Mapping) else None
        return {"test": 1 / folds, **given} if type(folds) is int and folds > 1 else given

    @field_validator("validation", "test")
    @classmethod
    def _share_or_rows(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError(f"expected a share below 1 or a whole number of rows, found {value:g}")
        return value

    def problems(self) -> Iterable[Problem]:
        """Yield shares that leave nothing to train on, and a test split that is given beside folds."""
        if self.folds is not None and self.test != 1 / self.folds:
            message = f"{self.test:g} beside folds = {self.folds}: every row is a test row of one fold"
            yield Problem("test", message, "remove it, or remove folds")
            return
        shares = [value for value in (self.validation, self.test) if value < 1]
        if sum(shares) >= 1:
            yield Problem("", f"validation and test take {sum(shares):g} of all rows; nothing is left for train")


class Labelled(Section):
    """Few-label work: which rows of train stay labelled; the rest becomes unlabelled rows."""

    n: PositiveInt | None = Field(None, description="Number of labelled rows, in the classes' proportions.")
    per_class: PositiveInt | None = Field(None, description="Number of labelled rows of each class.")
    draws: PositiveInt = Field(
        1, le=1000, description="How often the labelled rows are drawn: one run per draw, on equal validation and test."
    )
    pool: PositiveInt | None = Field(None, description="Most unlabelled rows; all others when not given.")
    pool_from: Literal["all", "file", "whole-file"] = Field(
        "all",
        description="Unlabelled rows: the rest of train and the dataset's unlabelled split, or the latter alone; "
        "whole-file keeps all of it, and drops the train rows whose text is there.",
    )
    seed_words: dict[str, tuple[str, ...]] = Field(
        {}, description="Words by label: an unlabelled row that holds words of one label alone is trained on with it."
    )

    @field_validator("seed_words")
    @classmethod
    def _normal_words(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        plain = {composed(label): tuple(map(composed, words)) for label, words in value.items()}
        if len(plain) < len(value):
            raise ValueError("two labels are the same but for composition (NFC)")
        return plain

    def problems(self) -> Iterable[Problem]:
        """Yield options that exclude each other."""
        if self.n is not None and self.per_class is not None:
            yield Problem("per_class", "n and per_class both choose the labelled rows", "set one of them")
        if self.draws > 1 and not self.chosen:
            yield Problem("draws", "all rows are labelled, so there is nothing to draw", "set n or per_class")
        if self.pool is not None and not self.chosen and self.pool_from == "all":
            yield Problem("pool", "all rows are labelled, so there are no unlabelled rows", "set n or per_class")
        yield from self._seed_word_problems()

    def _seed_word_problems(self) -> Iterable[Problem]:
        """Yield words that are empty or stand for two labels, and labels that would win because others have none."""
        if self.words and not self.chosen and self.pool_from == "all":
            message = "all rows are labelled, so there are no unlabelled rows"
            yield Problem("seed_words", message, 'set n or per_class, or pool_from = "file"')
        hidden = {(label, word) for label, word, _, _ in self._words_within()}
        found = [label for label, words in self.words.items() if any((label, word) not in hidden for word in words)]
        if len(found) == 1:
            message = f'words of "{found[0]}" alone would teach nothing but this label'
            others = ", each without a word of the first in it" if len(self.words) > 1 else ""
            yield Problem("seed_words", message, f"give words of another label too{others}")
        owners: dict[str, str] = {}
        for label, words in self.words.items():
            for word in dict.fromkeys(words):
                if not word.strip():
                    yield Problem(f"seed_words.{label}", "an empty word is in every text", "remove it")
                elif owners.setdefault(word, label) != label:
                    message = f'"{word}" is a word of "{owners[word]}" as well'
                    yield Problem(f"seed_words.{label}", message, "leave it with one of the labels, or with none")

    def warnings(self) -> Iterable[Problem]:
        """Yield words that give no row their label, since a word of another label stands in them."""
        for label, word, other, within in self._words_within():
            message = f'"{word}" gives no row this label, since every text with it holds "{within}" of "{other}" too'
            yield Problem(f"seed_words.{label}", message, f'give "{other}" a longer word than "{within}"')

    def _words_within(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield every word that a word of another label stands in: its label, it, the other label, the other word."""
        for label, other in itertools.permutations(self.words, 2):
            for word, within in itertools.product(dict.fromkeys(self.words[label]), dict.fromkeys(self.words[other])):
                if within.strip() and within in word and within != word:
                    yield label, word, other, within

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """The seed words of the labels that have some; a variant switches them off with empty lists."""
        return {label: words for label, words in self.seed_words.items() if words}

    @property
    def chosen(self) -> bool:
        """Whether only a subset of train is labelled."""
        return self.n is not None or self.per_class is not None


class Augmentation(Section):
    """Changes to training texts: made anew in every epoch, or once and stored where an augmenter is costly."""

    labelled: AnyAugmenter | None = Field(None, description="Augmenter of the labelled rows.")
    probability: float = Field(1.0, gt=0, le=1, description="Share of the labelled rows that an epoch changes.")
    unlabelled: AnyAugmenter | None = Field(None, description="Augmenter of unlabelled rows, for consistency training.")


DEFAULT_METRICS: Any = ("accuracy", "macro_f1", "weighted_f1", "mcc", "cross_entropy", "ece")


class Evaluation(Section):
    """What is measured on validation and test, and what the model is held against."""

    metrics: tuple[AnyMetric, ...] = Field(DEFAULT_METRICS, min_length=1, description="Metrics by name.")
    baselines: tuple[str, ...] | None = Field(
        None,
        description="Simple models on the same rows, all of the task if not given; linear ones on 50,000 of train at "
        "most.",
    )
    batch_size: PositiveInt | None = Field(None, description="Rows per forward pass of an evaluation.")
    batch_tokens: PositiveInt | None = Field(
        None, description="Tokens per forward pass of an evaluation; 4,096 where batch_size is not given either."
    )
    train: bool = Field(False, description="Measure the metrics on the labelled train rows too, at every evaluation.")
    calibrate: bool | Literal["temperature"] = Field(
        False,
        description="Divide the logits of the kept model by a temperature fitted on validation (Guo et al. 2017).",
    )
    oracle: bool = Field(
        True,
        description="Measure predictions for unlabelled rows by their hidden labels too, where the data have them.",
    )

    def problems(self) -> Iterable[Problem]:
        """Yield that the size of a pass is stated twice."""
        if self.batch_size is not None and self.batch_tokens is not None:
            yield Problem(
                "batch_tokens", "batch_size and batch_tokens both say how large a pass is", "remove one of them"
            )


_INSTALL = "install {} from where its authors publish it"
"""Not from the package index, where another package may have the name of a plugin."""


class Plugins(Section):
    """Which installed packages an experiment needs or does not use, and Python files of its own."""

    require: tuple[str, ...] = Field((), description='Packages that must be installed, such as "kexp-korean>=0.1".')
    block: tuple[str, ...] = Field((), description="Packages whose components are not used.")
    local: tuple[LocalPath, ...] = Field(
        (),
        description="Python files whose hooks are used; only with --allow-local-code, since a spec alone runs no code.",
    )

    @field_validator("require")
    @classmethod
    def _requirements(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            _requirement(text)
        return value

    def problems(self) -> Iterable[Problem]:
        """Yield files that do not exist, and packages that are missing or of another version."""
        from importlib.metadata import PackageNotFoundError, version

        for number, path in enumerate(self.local):
            if not path.is_file():
                yield Problem(f"local[{number}]", f"{path} does not exist")
        for number, text in enumerate(self.require):
            required = _requirement(text)
            try:
                found = version(required.name)
            except PackageNotFoundError:
                yield Problem(f"require[{number}]", f"{required.name} is not installed", _INSTALL.format(text))
                continue
            if not required.specifier.contains(found, prereleases=True):
                message = f"expected {text}, found {required.name} {found}"
                yield Problem(f"require[{number}]", message, _INSTALL.format(text))


def _requirement(text: str) -> Requirement:
    """Return a stated package; most specs state none, so that nothing is imported for it."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(text)
    except InvalidRequirement:
        raise ValueError(f'expected a package such as "kexp-korean>=0.1", found "{text}"') from None


class Spec(Section):
    """An experiment."""

    name: Name = Field(description="Name of the experiment; the file's name when not given.")
    description: str = Field("", description="What the experiment is about.")
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**63)], ...], OneOrSeveral()] = Field(
        (1,), min_length=1, max_length=10_000, description="One run per seed; a number alone is the only seed."
    )
    task: AnyTask = Field(
        "single-label",  # type: ignore[assignment]
        description="What a label is, and what a model predicts; what the dataset shows if not given.",
    )
    dataset: AnyDataset = Field(description="Where texts and labels come from.")
    cleaning: Cleaning = Field({}, description="What happens to the rows first.")  # type: ignore[assignment]
    split: Split = Field({}, description="How splits are made.")  # type: ignore[assignment]
    labelled: Labelled = Field({}, description="Which train rows keep their labels.")  # type: ignore[assignment]
    augmentation: Augmentation = Field({}, description="Changes to training texts.")  # type: ignore[assignment]
    backbone: AnyBackbone = Field(description="The pre-trained or fresh encoder, and its tokenizer.")
    pretraining: Pretraining | None = Field(
        None, description="Masked language modelling on the train texts before the classifier is trained."
    )
    objective: AnyObjective = Field("cross-entropy", description="The loss of a step.")  # type: ignore[assignment]
    freezing: AnyFreezing = Field("none", description="Blocks of the model that do not train.")  # type: ignore[assignment]
    sampler: AnySampler = Field("random", description="Order in which an epoch visits the train rows.")  # type: ignore[assignment]
    training: Training = Field({}, description="How the model is trained.")  # type: ignore[assignment]
    evaluation: Evaluation = Field({}, description="What is measured.")  # type: ignore[assignment]
    trackers: tuple[AnyTracker, ...] = Field((), description="Where events are sent besides metrics.jsonl.")
    search: Search | None = Field(None, description="What kexp tune looks for.")
    execution: Execution | None = Field(
        None, description="How many runs train at once, and where; one after the other in this process if not given."
    )
    plugins: Plugins = Field({}, description="Which packages are used.")  # type: ignore[assignment]

    @model_validator(mode="wrap")
    @classmethod
    def _with_batch_size(cls, value: Any, handler: ModelWrapValidatorHandler[Spec]) -> Spec:
        """Write out the default batch size, unless batches are of a number of tokens, or a search may make them so."""
        spec = handler(value)
        training, searched = spec.training, {} if spec.search is None else spec.search.space
        if training.batch_size is None and training.batch_tokens is None and "training.batch_tokens" not in searched:
            filled = training.model_copy(update={"batch_size": BATCH_SIZE})
            return spec.model_copy(update={"training": filled})
        return spec

    @field_validator("*", mode="wrap")
    @classmethod
    def _remember(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: Info) -> Any:
        """Keep the sections that are valid, so that the checks across sections run even when another is not."""
        result = handler(value)
        if info.context is not None and info.field_name is not None:
            info.context.setdefault("valid", {})[info.field_name] = result
        return result

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is given twice")
        return seeds
