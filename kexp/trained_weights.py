"""The weights of a model that training may change: all of them, or those of its adapter and its head."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kexp.tensor_files import tensor_digest

if TYPE_CHECKING:
    import torch

_FIXED = "_kexp_fixed_weights"


def fix_weights(model: torch.nn.Module, names: Collection[str]) -> None:
    """Declare the parameters that no training of this model changes, whatever a freezing policy says."""
    setattr(model, _FIXED, frozenset(names))


def fixed_weights(model: torch.nn.Module) -> frozenset[str]:
    """Return the names of the parameters that no training changes; none without an adapter."""
    found: frozenset[str] = getattr(model, _FIXED, frozenset())
    return found


@dataclass(frozen=True, slots=True)
class TrainedWeights:
    """The state of a model without its fixed weights, which are those that it was built with."""

    model: torch.nn.Module

    def state_dict(self) -> dict[str, Any]:
        """Return weights and statistics by name, as they stand and not copied."""
        fixed = fixed_weights(self.model)
        return {name: value for name, value in self.model.state_dict().items() if name not in fixed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state_dict`` returned; raises ``RuntimeError`` where names or shapes differ."""
        found = self.model.load_state_dict(state, strict=False)
        missing = [name for name in found.missing_keys if name not in fixed_weights(self.model)]
        if missing or found.unexpected_keys:
            raise RuntimeError(f"weights by other names: missing {missing}, unexpected {found.unexpected_keys}")


def copy_model(model: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of a model that does not train, in eval mode; both have the same fixed weights in memory."""
    fixed = fixed_weights(model)
    shared = {id(weight): weight for name, weight in model.named_parameters() if name in fixed}
    return deepcopy(model, shared).requires_grad_(False).eval()


def fixed_digest(model: torch.nn.Module) -> str:
    """Return a digest of the fixed weights, one of which is on the CPU at a time."""
    digest = hashlib.sha256()
    weights = dict(model.named_parameters())
    for name in sorted(fixed_weights(model)):
        digest.update(tensor_digest("", {name: weights[name].detach().cpu().contiguous()}).encode())
    return digest.hexdigest()[:16]
