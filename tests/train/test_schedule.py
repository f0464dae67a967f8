from __future__ import annotations

import math

import pytest
import torch
from transformers import get_scheduler

from kexp.spec.training_section import Training
from kexp.train.schedule import multiplier


@pytest.mark.parametrize(("ours", "theirs"), [("linear", "linear"), ("cosine", "cosine"), ("constant", "constant")])
def test_schedules_without_warm_up_are_those_of_transformers(ours: str, theirs: str) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = get_scheduler(theirs, optimizer, num_warmup_steps=0, num_training_steps=20)
    options = Training(schedule=ours)
    for step in range(20):
        assert multiplier(step, 20, 5, options) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()


def test_exponential_multiplies_by_gamma_after_every_epoch() -> None:
    options = Training(schedule="exponential", gamma=0.9)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    for epoch in range(3):
        for step in range(4):
            assert multiplier(epoch * 4 + step, 12, 4, options) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("options", [Training(warmup_ratio=0.25), Training(warmup_steps=5)])
def test_warm_up_rises_evenly_to_the_peak(options: Training) -> None:
    factors = [multiplier(step, 20, 5, options) for step in range(20)]
    assert factors[:6] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0])
    assert factors[6:] == sorted(factors[6:], reverse=True)
    assert factors[-1] > 0


def test_cosine_ends_at_zero() -> None:
    assert multiplier(20, 20, 5, Training(schedule="cosine")) == pytest.approx(0.0)
    assert multiplier(10, 20, 5, Training(schedule="cosine")) == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
