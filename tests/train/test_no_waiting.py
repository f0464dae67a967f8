"""No step waits for the device: nothing that an objective or the loop computes is read before a log line is due."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import CLASSES, ROWS, Pairs, model, trainer
from waiting import Reads

from kexp.builtin.objectives import OBJECTIVES
from kexp.contracts import ObjectiveOptions
from kexp.testing.targets import rows_for
from kexp.train.events import StepsDone


@pytest.mark.parametrize("options", OBJECTIVES.values(), ids=list(OBJECTIVES))
@pytest.mark.parametrize(
    "training", [{}, {"ema": 0.9}, {"optimizer": "adafactor", "gradient_checkpointing": True}], ids=str
)
def test_steps_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: type[ObjectiveOptions], training: dict[str, Any]
) -> None:
    stream, targets = Pairs(), rows_for(options())
    context = targets.context(stream.labels, CLASSES, unlabelled_rows=ROWS, seed=7)
    stream.labels = targets.of_classes(stream.labels, CLASSES)
    objective = options().build(context)
    # The padded forward pass of transformers looks at every mask, whether it masks anything; this is about the rest.
    monkeypatch.setattr("transformers.masking_utils._ignore_bidirectional_mask_sdpa", lambda *given: False)
    # On a CPU alone, PyTorch's own looks at the labels before it uses them.
    monkeypatch.setattr(
        "torch.nn.functional.one_hot", lambda labels, size: (labels[..., None] == torch.arange(size)) * 1
    )
    run = trainer(tmp_path, stream=stream, objective=objective, net=model(), epochs=2, log_every=5, **training)
    run.blocks.apply_freezing(())
    batches = list(stream.epoch(0))
    with Reads() as reads:
        for step in batches[:4]:
            run.step(step, run.state, run.window)
    assert reads.found == []


def test_the_numbers_of_a_window_are_read_once_it_is_closed(tmp_path: Path) -> None:
    with Reads() as reads:
        torch.ones(3).sum().item()
    assert reads.found == ["_local_scalar_dense"]
    events = list(trainer(tmp_path, epochs=1, log_every=5).events())
    (done,) = [event for event in events if isinstance(event, StepsDone)]
    assert done.step == 5
