"""Train a little with every objective, alone and together; each process writes how both differ to a file of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from kexp import tensor_files
from kexp.builtin.objectives import (
    OBJECTIVES,
    AdaMatchOptions,
    BinaryCrossEntropyOptions,
    FlexMatchOptions,
    FreeMatchOptions,
    MeanTeacherOptions,
    PseudoLabelOptions,
    SoftMatchOptions,
    UdaOptions,
)
from kexp.contracts.objective import build_objective
from kexp.devices import choose
from kexp.distributed import ALONE, World
from kexp.host_batches import HostBatch, HostRows, HostUnlabelledBatch, MicroBatch
from kexp.launchers import launched
from kexp.model.forward import Classifier
from kexp.process_group import joined
from kexp.spec.training_section import Training
from kexp.testing.targets import TargetRows, rows_for
from kexp.train.checkpoint import TrainState
from kexp.train.evaluated_weights import EvaluatedWeights
from kexp.train.step import OptimizerStep
from kexp.train.window import Window

ROWS, CLASSES, STEPS = 12, 3, 4
COUNTED = np.repeat(np.arange(CLASSES), (3, 4, 5))

EXAMPLES = {name: options() for name, options in OBJECTIVES.items()} | {
    "uda, annealed": UdaOptions(tsa="linear", temperature=0.4, confidence=0.4, distribution_alignment="labelled"),
    "uda, later": UdaOptions(supervised_warmup=1, coefficient_rampup=2, target_mode="eval", divergence="js"),
    "freematch, fair": FreeMatchOptions(momentum=0.5, fairness=1.0),
    "flexmatch, eager": FlexMatchOptions(confidence=0.5),
    "softmatch, quick": SoftMatchOptions(momentum=0.3),
    "adamatch, half": AdaMatchOptions(confidence=0.5),
    "pseudo-label, full": PseudoLabelOptions(start=0.0, full=0.0),
    "mean-teacher, quick": MeanTeacherOptions(rampup=0.0, coefficient=5.0, decay=0.5),
    "mean-teacher, label sets": MeanTeacherOptions(rampup=0.0, supervised=BinaryCrossEntropyOptions()),
    "uda, label sets": UdaOptions(confidence=0.6, supervised=BinaryCrossEntropyOptions(pos_weight="balanced")),
}
BATCHES = [[(5, 10), (4, 8)], [(3, 3), (1, 2)], [(1, 1)], [(7, 7)]]
"""Labelled and unlabelled rows of the batches of each step: of some, a process has none."""


def model() -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, num_labels=CLASSES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    net = BertForSequenceClassification(config)
    with torch.no_grad():
        net.classifier.weight.mul_(60)
    return net.double().train()


def steps(targets: TargetRows, unlabelled: bool) -> Iterator[list[MicroBatch]]:
    """Yield the batches of each step."""
    generator = np.random.default_rng(0)

    def rows(count: int) -> HostRows:
        lengths = generator.integers(2, 10, count)
        return HostRows(generator.integers(0, 50, lengths.sum()), lengths)

    for batches in BATCHES:
        made = []
        for of_labelled, others in batches:
            labelled = HostBatch(
                rows(of_labelled), targets.of_classes(generator.integers(0, CLASSES, of_labelled), CLASSES)
            )
            views = HostUnlabelledBatch(rows(others), rows(others), generator.integers(0, ROWS, others))
            made.append(MicroBatch(labelled, views if unlabelled else None))
        yield made


def trained(options: Any, world: World, passes: int) -> dict[str, Any]:
    """Return the losses and logs of some steps, the weights after them, and the state of the objective."""
    net, hardware, targets = model(), choose("cpu", "fp32"), rows_for(options)
    classifier, settings = Classifier(net, hardware, 0, world=world), Training(schedule="constant")
    objective = build_objective(options, targets.context(COUNTED, CLASSES, unlabelled_rows=ROWS, seed=7 + world.rank))
    optimizer = torch.optim.SGD([{"params": [*net.parameters()], "lr": 0.2, "base_lr": 0.2}], lr=0.2)
    step = OptimizerStep(
        classifier, objective, optimizer, hardware.gradient_scaler(), EvaluatedWeights(classifier, objective, settings),
        settings, 7, STEPS, STEPS,
    )  # fmt: skip
    state, window = TrainState(processes=world.size, passes=passes), Window(0.0, 0.0, hardware.device)
    for batches in steps(targets, options.uses_unlabelled):
        step(batches, state, window)
    return {
        "losses": torch.stack([*window.losses]),
        "norms": torch.stack([*window.norms]),
        "logs": window.means(),
        "weights": {name: value.clone() for name, value in net.state_dict().items()},
        "state": dict(objective.state_dict()),
    }


def difference(found: Any, expected: Any) -> float:
    """Return how far results are apart at most; large ones relative to the largest of a tensor."""
    if isinstance(found, dict):
        assert found.keys() == expected.keys()
        return max((difference(found[name], expected[name]) for name in found), default=0.0)
    found, expected = torch.as_tensor(found).double(), torch.as_tensor(expected).double()
    if not found.numel():
        return 0.0
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1))


def main() -> None:
    results = {}
    with joined(launched()) as world:
        for name, options in EXAMPLES.items():
            for passes in (1, 2):
                together, alone = trained(options, world, passes), trained(options, ALONE, passes)
                results[f"{name}, passes {passes}"] = {
                    "differences": {part: difference(together[part], alone[part]) for part in together},
                    "digests": [
                        tensor_files.tensor_digest("", together["weights"]),
                        tensor_files.tensor_digest("", together["state"]),
                        str(together["logs"]),
                    ],
                }
    (Path(sys.argv[1]) / f"{os.environ['RANK']}.json").write_text(json.dumps(results))


main()
