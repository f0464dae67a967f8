"""What a dataset promises: splits of labelled text, read when a run needs them."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from kexp.errors import PluginError
from kexp.options import Options, build_component, component, component_title

if TYPE_CHECKING:
    from datasets import Dataset

SPLITS = ("train", "validation", "test")
UNLABELLED = "unlabelled"
"""Name of the split that a dataset may bring without labels."""


def _label_of(value: Any) -> str:
    # What reads files is imported once something is read.
    from kexp.files import label_of

    return label_of(value)


@dataclass(frozen=True, slots=True)
class DatasetContext:
    """What a dataset is read with.

    ``counts`` is for the dataset to fill: how many rows were left out while reading, by reason. It is kept in the
    record of the run. ``read`` may hold more numbers on what was read, by split and name, and ``warnings`` sentences
    that are shown with the data. ``rows`` holds, by split, the numbers of the rows in their file, from 1, where rows
    were left out between them. With ``keep_unlabelled``, rows of train, validation and test without a label are
    returned with an empty one, or -1 for a ClassLabel, since they are dropped later and counted; else they are refused.
    """

    counts: Counter[str] = field(default_factory=Counter)
    read: dict[str, Counter[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    rows: dict[str, Sequence[int]] = field(default_factory=dict)
    keep_unlabelled: bool = False
    label_of: Callable[[Any], str] = _label_of
    """``TaskOptions.label_of`` of the task: what a cell of a label column says, as text."""
    names_in: Callable[[str], Sequence[str]] = lambda label: (label,) if label else ()
    """``TaskOptions.names_in`` of the task: the names that a label is made of."""
    several: bool = False
    """``TaskOptions.several`` of the task: whether a label is a set of names."""


class DatasetOptions(Options):
    """Base of every dataset: rows of text with a label, in one or more splits."""

    kind: ClassVar[str] = "dataset"
    licence: ClassVar[str] = ""
    """Licence of the data with its limits; empty where the user brings them."""
    homepage: ClassVar[str] = ""
    """Address at which the authors publish the data; empty where there is none."""

    limit: PositiveInt | dict[Literal["train", "validation", "test", "unlabelled"], PositiveInt] | None = Field(
        None,
        description="Keep the first n rows of each split, shuffled with the split's seed; a table gives n per split.",
    )

    def shown_task(self) -> tuple[str, str] | None:
        """Return the name of the task that the columns of the data mean, and why; None where they show no other one."""
        return None

    def label_count(self) -> int | None:
        """Return the number of labels; None where it is not known before reading."""
        return None

    def joint(self) -> str:
        """Return what stands between joined text columns, in which special tokens of a tokenizer stay special."""
        return ""

    @classmethod
    def provenance(cls) -> dict[str, str]:
        """Return licence and homepage by name, those that are known."""
        return {name: value for name in ("licence", "homepage") if (value := getattr(cls, name))}

    @abstractmethod
    def build(self, context: DatasetContext) -> Mapping[str, Dataset]:
        """Read the data, and add to ``context.counts`` how many rows were left out while reading, by reason.

        Returns a Hugging Face dataset per split name (train, and perhaps validation, test and unlabelled) with the
        columns ``text`` (str), ``label`` (str, int or ClassLabel, or lists of them where a row has several; not needed
        where unlabelled), and optionally ``text_pair`` (str), ``group`` (str or int; rows of one group are never
        divided between splits) and ``augmented`` (str; an augmented view of the text, used where the row is
        unlabelled). Raises ``DataError`` with file and row.
        """


AnyDataset = Annotated[DatasetOptions, *component("dataset")]
"""A field that holds a component of this kind."""


def read_dataset(options: DatasetOptions, context: DatasetContext) -> Mapping[str, Dataset]:
    """Build a dataset; raises ``PluginError`` that names it when it fails, or returns what it may not."""
    from datasets import Dataset

    name = component_title(options)
    read = build_component(options, context)
    if not isinstance(read, Mapping):
        raise PluginError(f"{name}: build returned a {type(read).__name__}, expected a Dataset per split name")
    for split, rows in read.items():
        if split not in (*SPLITS, UNLABELLED):
            known = f"{', '.join(SPLITS)} or {UNLABELLED}"
            raise PluginError(f"{name}: build returned a split {split!r}, expected {known}")
        if not isinstance(rows, Dataset):
            raise PluginError(f"{name}: the {split} split is a {type(rows).__name__}, expected a datasets.Dataset")
    for reason, count in context.counts.items():
        if not isinstance(count, Integral):
            raise PluginError(f"{name}: counts[{reason!r}] is {count!r}, expected a number of rows")
    return read
