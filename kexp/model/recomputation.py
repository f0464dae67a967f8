"""Activations that the backward pass computes again, so that the forward pass need not keep them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from kexp.errors import KexpError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def recompute_activations(model: PreTrainedModel) -> None:
    """Let the backward pass compute the activations within each layer again, with the same dropout.

    Logits and gradients are the same, and the configuration of the model does not change. Raises ``KexpError`` for a
    model of a class that does not support it.
    """
    from torch.utils.checkpoint import checkpoint

    # The method of transformers for it would also let the output of frozen embeddings have a gradient.
    parts: list[Any] = [part for part in model.modules() if hasattr(part, "gradient_checkpointing")]
    if not parts or not model.supports_gradient_checkpointing:
        found, remedy = f"{type(model).__name__} does not support it", "leave it out, or use another backbone"
        raise KexpError(f"training.gradient_checkpointing: {found}; {remedy}")
    for part in parts:
        part.gradient_checkpointing = True
        part._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
