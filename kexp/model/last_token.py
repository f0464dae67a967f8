"""Classifiers on language models: their head reads the last token of each row, and rows are padded on the right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def reads_last_token(model: torch.nn.Module) -> bool:
    """Return whether a classifier is one linear map of the last token of a row, as transformers builds them."""
    import torch

    return isinstance(getattr(model, "score", None), torch.nn.Linear)


def logits_of(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the logits of padded rows, of shape (rows, labels).

    ``inputs`` are named as a model of transformers takes them, with an ``attention_mask`` where rows are padded, which
    is on the right. The last token of a row is the last one in the mask. transformers itself takes the last one that is
    not the padding token, which may be a token of the text, and the last place of all where embeddings are given.
    """
    import torch

    whole: Any = model
    if not reads_last_token(model):
        logits: torch.Tensor = whole(**inputs).logits
        return logits
    # Keys and values are kept for further tokens, of which there are none.
    caching = {"use_cache": False} if hasattr(model.config, "use_cache") else {}
    hidden = whole.base_model(**inputs, **caching)[0]
    if (mask := inputs.get("attention_mask")) is None:
        read = hidden[:, -1]
    else:
        # ``len`` would be a constant of a graph that is exported.
        read = hidden[torch.arange(mask.shape[0], device=mask.device), mask.sum(1) - 1]
    found: torch.Tensor = whole.score(read)
    return found
