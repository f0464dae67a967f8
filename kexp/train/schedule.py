"""Learning rate as a pure function of the step, so that nothing has to be saved to resume it."""

from __future__ import annotations

import math

from kexp.spec.training_section import Training


def multiplier(step: int, total_steps: int, steps_per_epoch: int, options: Training) -> float:
    """Return the factor of the peak learning rate for the optimiser step number ``step`` (from 0).

    It rises evenly over the warm-up, then follows the schedule: linear to 0 at ``total_steps``, half a cosine to 0,
    ``gamma`` to the power of the epochs done, or constant.
    """
    warmup = options.warmup_steps or math.ceil(options.warmup_ratio * total_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if options.schedule == "constant":
        return 1.0
    if options.schedule == "exponential":
        return options.gamma ** (step // steps_per_epoch)
    progress = (step - warmup) / max(1, total_steps - warmup)
    if options.schedule == "linear":
        return max(0.0, 1.0 - progress)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
