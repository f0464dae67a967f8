"""The shapes of the JSON files and the spec in run folders and studies, as far as they are read again."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import Field, JsonValue, StrictBool, with_config
from typing_extensions import TypedDict

Number = int | Annotated[float, Field(allow_inf_nan=False)]
Scores = dict[str, Number | None]
"""By metric; null for a value that is not finite."""

# Keys that are not named here are kept as they are.
extensible = with_config({"extra": "allow"})


@extensible
class PerClass(TypedDict):
    """One label in ``per_class``."""

    label: str
    precision: Number
    recall: Number
    f1: Number
    support: Number


@extensible
class PerLabel(TypedDict):
    """One label in ``per_label``, of rows that have sets of them."""

    label: str
    precision: Number
    recall: Number
    f1: Number
    average_precision: Number | None
    auc: Number | None
    threshold: Number
    support: Number
    predicted: Number


@extensible
class Parameters(TypedDict, total=False):
    """Numbers of parameters."""

    total: int
    trainable: int


@extensible
class Calibration(TypedDict, total=False):
    """The temperature of a run's kept model, and metrics by split without and with it."""

    temperature: Required[Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    low: Number | None
    high: Number | None
    rows: int
    bins: int
    before: Required[dict[str, Scores]]
    after: Required[dict[str, Scores]]
    remark: str


@extensible
class Ended(TypedDict, total=False):
    """``result.json`` of a run that is not done."""

    status: Required[Literal["failed", "interrupted", "pruned"]]
    experiment: str
    variant: Required[str]
    seed: Required[int]
    draw: int
    fold: int
    reason: str | None


@extensible
class Done(TypedDict, total=False):
    """``result.json`` of a run that is done."""

    status: Required[Literal["done"]]
    experiment: str
    variant: Required[str]
    seed: Required[int]
    draw: int
    fold: int
    reason: None
    labels: Required[list[str]]
    rows: dict[str, int]
    seed_words: dict[str, Any]
    metrics: Required[dict[str, Scores]]
    monitor: str
    best_epoch: Number
    kept_epoch: Number
    evaluated_weights: str
    unlabelled_share: Number
    remarks: list[str]
    kept_models: list[dict[str, Any]]
    steps: int
    epochs: Number
    examples_per_second: Number
    tokens_per_second: Number
    train_seconds: Number | None
    time_shares: dict[str, Number]
    energy_joules: Number
    peak_memory_mib: Number | None
    device: str
    processes: int
    precision: str
    tf32: bool
    backbone: dict[str, str]
    forward: str
    optimizer: dict[str, Any]
    compiled: int
    hidden_states: dict[str, Any]
    pretraining: dict[str, Any]
    parameters: Parameters
    per_class: dict[str, list[PerClass]]
    confusion_matrix: dict[str, list[list[int]]]
    per_label: dict[str, list[PerLabel]]
    co_occurrence: dict[str, list[list[int]]]
    scores: dict[str, dict[str, Any]]
    decisions: dict[str, Any]
    calibration: Calibration
    calibrates: bool


Result = Annotated[Done | Ended, Field(discriminator="status")]


@extensible
class Mean(TypedDict, total=False):
    """A metric of a variant: ``n`` counts the outermost of what varied, and ``over`` says all of it in words."""

    mean: Required[Number | None]
    n: Required[int]
    over: str
    sd: Number | None
    low: Number | None
    high: Number | None
    interval: str | None
    values: list[Number]


@extensible
class Source(TypedDict, total=False):
    """What was read from the files of a dataset."""

    read: dict[str, int]
    files: dict[str, dict[str, Any]]


@extensible
class Data(TypedDict, total=False):
    """The record of a variant's data."""

    source: Source
    divisions: int
    max_positions: int
    splits: dict[str, dict[str, Number]]
    tokens: dict[str, dict[str, Number | None]]
    warnings: list[str]


@extensible
class Keys(TypedDict, total=False):
    """Which run of its variant a run is."""

    seed: Required[int]
    draw: int
    fold: int


@extensible
class OutOfFold(TypedDict, total=False):
    """Metrics over the test rows of all folds, by seed and draw, and their means."""

    file: Required[str]
    runs: Required[list[Keys]]
    metrics: Required[dict[str, Mean]]


@extensible
class SummaryVariant(TypedDict, total=False):
    """One variant in ``summary.json``."""

    seeds: Required[list[int]]
    repeats: list[Keys]
    status: Required[dict[str, Literal["done", "failed", "interrupted", "pruned"]]]
    metrics: Required[dict[str, dict[str, Mean]]]
    baselines: Required[dict[str, dict[str, Scores]]]
    remarks: list[str]
    data: Required[Data]
    out_of_fold: OutOfFold


@extensible
class Test(TypedDict, total=False):
    """What is stated about two variants and a metric; tests of earlier versions have no ``p_holm``."""

    a: Required[str]
    b: Required[str]
    metric: Required[str]
    test: str
    stated: StrictBool
    paired: StrictBool
    n: int
    unit: str
    over: str
    which: str | None
    difference: Required[Number]
    low: Number | None
    high: Number | None
    effect_size: Number | None
    detectable: Number | None
    p_value: Required[Number]
    p_holm: Number
    pairs: int
    better: str | None
    sentence: Required[str]


@extensible
class Finding(TypedDict):
    """What stands out, in words: the id of its rule, and the variant that it is about (None: all of them)."""

    id: str
    variant: str | None
    text: str


@extensible
class Summary(TypedDict, total=False):
    """``summary.json``."""

    experiment: Required[str]
    status: Required[Literal["done", "failed", "interrupted"]]
    lower_is_better: Required[list[str]]
    variants: Required[dict[str, SummaryVariant]]
    tests: Required[list[Test]]
    findings: list[Finding]
    remarks: Required[list[str]]


@extensible
class WordsRow(TypedDict):
    """The words of each text of a row with what they add to the probability of its predicted label."""

    label: str
    texts: list[list[tuple[str, Number]]]


@extensible
class WordsFile(TypedDict):
    """``words.json``: words by the number of their row; the remark says what is missing."""

    split: str
    rows: dict[str, WordsRow]
    remark: str


@extensible
class StudyFile(TypedDict, total=False):
    """``study.json``."""

    status: Required[Literal["done", "failed", "interrupted"]]
    trials: Required[dict[str, int]]
    goals: Required[dict[str, str]]
    best_value: Number | list[Number] | None
    best_trial: int | None
    best_params: dict[str, JsonValue] | None
    final: str | None


@extensible
class Environment(TypedDict, total=False):
    """``environment.json``."""

    started: str
    command: list[str]
    components: dict[str, str]
    inputs: dict[str, Any]
    resumed: list[dict[str, Any]]


@extensible
class Training(TypedDict, total=False):
    """``[training]`` of a resolved spec, as far as it is shown."""

    monitor: str


@extensible
class Dataset(TypedDict, total=False):
    """``[dataset]`` of a resolved spec: the columns with texts, the labels, and how the files are written."""

    text: str | Annotated[list[str], Field(min_length=1)]
    join_with: str
    text_pair: str
    label: str | Annotated[list[str], Field(min_length=1)]
    label_names: dict[str, str]
    leave_out: list[str]
    format: str
    encoding: str
    separator: str
    quoting: StrictBool
    escape: str
    sheet: str
    header: StrictBool | dict[str, StrictBool]
    columns: list[str] | dict[str, list[str]]


@extensible
class SpecTable(TypedDict, total=False):
    """The resolved spec of a run folder, as far as it is shown."""

    name: str
    description: str
    seeds: list[int]
    dataset: Dataset
    training: Training
    evaluation: dict[str, Any]
    variants: dict[str, dict[str, Any]]


@extensible
class StartedEvent(TypedDict, total=False):
    """Training begins or goes on."""

    event: Required[Literal["started"]]
    step: int
    total_steps: Required[int]


@extensible
class StepEvent(TypedDict, total=False):
    """Some steps are done."""

    event: Required[Literal["step"]]
    step: Required[int]
    epoch: Required[Number]
    loss: Required[Number | None]
    learning_rate: Required[Number | None]
    gradient_norm: Number | None
    examples_per_second: Number | None
    tokens_per_second: Number | None
    logs: Scores


@extensible
class EvaluationEvent(TypedDict, total=False):
    """Validation was measured."""

    event: Required[Literal["evaluation"]]
    step: Required[int]
    epoch: Required[Number]
    train_loss: Required[Number | None]
    metrics: Required[Scores]
    best: Required[bool]
    seconds: Required[Number]
    pool: Scores
    validation_loss: Number | None
    train_seconds: Number | None
    train_metrics: Scores


@extensible
class WarningEvent(TypedDict):
    """Something is probably going wrong."""

    event: Literal["warning"]
    step: int
    message: str


@extensible
class OtherEvent(TypedDict, total=False):
    """An event of which only the kind and the step are read."""

    event: Required[str]
    step: int


Event = StartedEvent | StepEvent | EvaluationEvent | WarningEvent
CHECKED_EVENTS = ("started", "step", "evaluation", "warning")
