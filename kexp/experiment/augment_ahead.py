"""Which augmenters of a run make their texts in a process of its own, ahead of the training loop."""

from __future__ import annotations

from collections.abc import Mapping

from kexp.contracts.augmenter import CheckedAugmenter
from kexp.data.augment_process import AugmentProcess, in_process_of_its_own
from kexp.data.labelled_stream import LabelledStream
from kexp.data.semi_supervised_stream import SemiSupervisedStream
from kexp.spec.sections import Spec
from kexp.train.loop import total_steps


def processes_of(
    spec: Spec, stream: LabelledStream | SemiSupervisedStream, augmenters: Mapping[str, CheckedAugmenter]
) -> dict[str, AugmentProcess]:
    """Return a process for every augmenter that has enough to do, by the rows that it augments."""
    if not augmenters:
        return {}
    steps = total_steps(spec.training, stream)
    if isinstance(stream, SemiSupervisedStream):
        visited = float(stream.rows_before(steps * stream.labelled.accumulation))
        texts = {"labelled": visited, "unlabelled": stream.ratio * visited}
    else:
        texts = {"labelled": steps / stream.steps_per_epoch() * stream.rows_per_epoch()}
    texts["labelled"] *= spec.augmentation.probability
    found = {
        of: in_process_of_its_own(f"augmentation.{of}", augmenter, texts[of]) for of, augmenter in augmenters.items()
    }
    return {of: process for of, process in found.items() if process is not None}
