"""Inputs of several groups of rows as those of one."""

from __future__ import annotations

from collections.abc import Sequence

from kexp.contracts import Inputs
from kexp.host_batches import KnownInputs, known_hidden


def fuse(groups: Sequence[Inputs]) -> Inputs:
    """Put groups of rows below each other, padded at the right to the longest; what is padded is masked."""
    import torch
    from torch.nn.functional import pad

    if len(groups) == 1:
        return groups[0]
    width = max(group["input_ids"].shape[1] for group in groups)
    fused = {
        name: torch.cat([pad(group[name], (0, width - group[name].shape[1])) for group in groups]) for name in groups[0]
    }
    known = [hidden for group in groups if (hidden := known_hidden(group)) is not None]
    if len(known) < len(groups):
        return fused
    width = max(hidden.shape[1] for hidden in known)
    return KnownInputs(fused, torch.cat([pad(hidden, (0, 0, 0, width - hidden.shape[1])) for hidden in known]))
