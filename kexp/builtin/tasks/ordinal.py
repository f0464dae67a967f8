"""Every row has one of several classes in an order, such as one to five stars."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from kexp.builtin.tasks.numbers import is_number, number_label, spelled
from kexp.builtin.tasks.single_label import SingleLabel
from kexp.contracts.task import CLASS, ORDERED_CLASS
from kexp.errors import DataError, Problem, did_you_mean
from kexp.files.cells import plain_label

if TYPE_CHECKING:
    import torch


class Ordinal(SingleLabel):
    """One label per row out of K ordered ones: K - 1 logits, each of which asks whether the label is above a class.

    The probabilities of the classes follow from them, and the largest one decides.
    """

    trained_as: ClassVar[str] = ORDERED_CLASS
    measured_as: ClassVar[Collection[str]] = (CLASS, ORDERED_CLASS)
    calibrates: ClassVar[bool] = False
    # Each logit is a yes or no of its own; what they say together, no type of transformers says.
    problem_type: ClassVar[str] = "multi_label_classification"
    plain: ClassVar[bool] = False

    order: tuple[str, ...] | None = Field(
        None, min_length=2, description="Labels from low to high; without it they are numbers, by value."
    )
    form: Literal["conditional", "cumulative"] = Field(
        "conditional",
        description="What a logit asks: above the class, given that it is above those before (conditional), or at all.",
    )

    @field_validator("order")
    @classmethod
    def _plain(cls, order: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Spell labels as they are read."""
        return order and tuple(map(_spelled, order))

    def problems(self) -> Iterable[Problem]:
        """Yield labels that are in the order twice."""
        order = self.order or ()
        for name in sorted({name for name in order if order.count(name) > 1}):
            yield Problem("order", f'"{name}" is named twice', "name every label once")
        if "" in order:
            yield Problem("order", "a label is empty", "leave it out")

    def defaults(self) -> Mapping[str, Any]:
        """Return the objective, metrics and monitor of ordered classes."""
        metrics = ("quadratic_kappa", "rank_mae", "accuracy", "macro_f1")
        return {
            "objective": {"use": "ordinal"},
            "evaluation": {"metrics": [{"use": name} for name in metrics]},
            "training": {"monitor": "quadratic_kappa"},
        }

    def label_of(self, value: Any) -> str:
        """Return a cell as a label; numbers with a fraction, such as half stars, are labels here."""
        if isinstance(value, Real | Decimal) and not isinstance(value, bool):
            return number_label(value)
        return _spelled(super().label_of(value))

    def warnings_of_labels(self, labels: Collection[str]) -> Sequence[str]:
        """Warn as of classes, but not of numbers with a fraction."""
        return super().warnings_of_labels([label for label in labels if not is_number(label)])

    def need_variety(self, labels: Collection[str]) -> None:
        """Raise ``DataError`` for a single class, and for a label that the order lacks."""
        super().need_variety(labels)
        if self.order is not None and (others := sorted({*labels} - {*self.order})):
            remedy = "name it there, or leave its rows out (dataset.leave_out)"
            raise DataError(f'task.order: it lacks the label "{others[0]}" of the data; {remedy}')

    def names(self, labels: Collection[str], given: Sequence[str] | None) -> tuple[str, ...]:
        """Number the labels of train from low to high: by ``order``, else by value, else as the dataset orders them.

        Raises ``DataError`` where nothing says their order, or where ``order`` names a label that no train row has.
        """
        if self.order is not None:
            if unknown := [name for name in self.order if name not in labels]:
                remedy = did_you_mean(unknown[0], sorted(labels))
                raise DataError(f'task.order: no train row has the label "{unknown[0]}"; {remedy}, or remove it')
            return self.order
        if all(map(is_number, labels)):
            return tuple(sorted(labels, key=lambda label: (float(label), label)))
        if given is not None:
            return tuple(name for name in given if name in labels)
        listed = ", ".join(f'"{label}"' for label in sorted(labels)[:5])
        few = f"{listed}{', ...' if len(labels) > 5 else ''}"
        raise DataError(f"task.order: nothing says how the labels {few} are ordered; name them from low to high")

    def outputs(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return a name for each class but the highest one: whether the label is above it."""
        return tuple(f">{name}" for name in names[:-1])

    def graph_predictions(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probabilities of the classes, of shape (rows, K), from logits of shape (rows, K - 1).

        P(y > k) is the product of the sigmoids up to k (conditional, Shi et al. 2021, equation 3), or a sigmoid by
        itself (cumulative, Niu et al. 2016). The latter need not fall with k, so they are sorted: the rearrangement of
        Chernozhukov et al. (2010), which is never farther from what falls, and the same if the order is turned round.
        """
        import torch

        above = logits.sigmoid()
        if self.form == "conditional":
            # ONNX has no cumulative product.
            above = torch.stack(list(itertools.accumulate(above.unbind(1), torch.mul)), 1)
        else:
            above = above.sort(1, descending=True).values
        ends = torch.ones_like(above[:, :1]), torch.zeros_like(above[:, :1])
        return torch.cat([ends[0], above], 1) - torch.cat([above, ends[1]], 1)


def _spelled(label: str) -> str:
    """Return a label as text, one that is a number in its one spelling."""
    label = plain_label(label)
    return spelled(float(label)) if is_number(label) else label
