"""Training objectives: losses on labelled rows, and losses on unlabelled rows beside them."""

from __future__ import annotations

from collections.abc import Mapping

from kexp.builtin.objectives.adamatch import AdaMatchOptions
from kexp.builtin.objectives.flexmatch import FlexMatchOptions
from kexp.builtin.objectives.freematch import FreeMatchOptions
from kexp.builtin.objectives.hard_targets import FixMatchOptions, PseudoLabelOptions
from kexp.builtin.objectives.label_sets import AsymmetricOptions, BinaryCrossEntropyOptions, BinaryFocalOptions
from kexp.builtin.objectives.mean_teacher import MeanTeacherOptions
from kexp.builtin.objectives.numbers import AbsoluteErrorOptions, HuberOptions, SquaredErrorOptions
from kexp.builtin.objectives.ordinal import OrdinalOptions
from kexp.builtin.objectives.softmatch import SoftMatchOptions
from kexp.builtin.objectives.supervised import (
    Focal,
    FocalOptions,
    MeanSquaredError,
    MeanSquaredErrorOptions,
    RDrop,
    RDropOptions,
)
from kexp.builtin.objectives.uda import UdaOptions
from kexp.builtin.objectives.vat import VatOptions
from kexp.contracts import ObjectiveOptions
from kexp.cross_entropy import CrossEntropy, CrossEntropyOptions

OBJECTIVES: Mapping[str, type[ObjectiveOptions]] = {
    "cross-entropy": CrossEntropyOptions,
    "focal": FocalOptions,
    "mean-squared-error": MeanSquaredErrorOptions,
    "r-drop": RDropOptions,
    "binary-cross-entropy": BinaryCrossEntropyOptions,
    "binary-focal": BinaryFocalOptions,
    "asymmetric": AsymmetricOptions,
    "squared-error": SquaredErrorOptions,
    "absolute-error": AbsoluteErrorOptions,
    "huber": HuberOptions,
    "ordinal": OrdinalOptions,
    "pseudo-label": PseudoLabelOptions,
    "uda": UdaOptions,
    "fixmatch": FixMatchOptions,
    "flexmatch": FlexMatchOptions,
    "softmatch": SoftMatchOptions,
    "freematch": FreeMatchOptions,
    "adamatch": AdaMatchOptions,
    "mean-teacher": MeanTeacherOptions,
    "vat": VatOptions,
}

__all__ = [
    "OBJECTIVES",
    "AbsoluteErrorOptions",
    "AdaMatchOptions",
    "AsymmetricOptions",
    "BinaryCrossEntropyOptions",
    "BinaryFocalOptions",
    "CrossEntropy",
    "CrossEntropyOptions",
    "FixMatchOptions",
    "FlexMatchOptions",
    "Focal",
    "FocalOptions",
    "FreeMatchOptions",
    "HuberOptions",
    "MeanSquaredError",
    "MeanSquaredErrorOptions",
    "MeanTeacherOptions",
    "OrdinalOptions",
    "PseudoLabelOptions",
    "RDrop",
    "RDropOptions",
    "SoftMatchOptions",
    "SquaredErrorOptions",
    "UdaOptions",
    "VatOptions",
]
