"""Attention among the tokens of each row, over rows without padding."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from kexp.model.flat_layout import Layout, Wanted


def attend(
    layout: Layout,
    tokens: torch.Tensor,
    first_queries: torch.Tensor | None = None,
    *,
    dropout: float,
    window: int | None = None,
) -> torch.Tensor:
    """Return what the tokens of each row attend to, of shape (tokens, heads * size).

    ``tokens`` are queries, keys and values of shape (tokens, 3, heads, size). With ``first_queries`` of shape
    (rows, heads, size) they are keys and values alone, of shape (tokens, 2, heads, size), and what first tokens attend
    to is returned, of shape (rows, heads * size). ``dropout`` is the probability that a weight is left out, and
    ``window`` the greatest distance of a token that is attended to.
    """
    if window is not None and window >= layout.longest - 1:
        window = None
    # The kernel counts a window from the last token of queries, which of first tokens alone is not the last of the row.
    near_first = first_queries is not None and window is not None
    kernel = _variable_length_kernel() if dropout == 0.0 and not near_first and _kernel_takes(tokens) else None
    if kernel is not None:
        return _unpadded(kernel, layout, tokens, first_queries, window)
    return _padded(layout, tokens, first_queries, dropout, window)


def _padded(
    layout: Layout, tokens: torch.Tensor, first_queries: torch.Tensor | None, dropout: float, window: int | None
) -> torch.Tensor:
    padded = layout.pad(tokens)
    queries = None if first_queries is None else layout.sort(first_queries)
    outputs = []
    for group in layout.groups:
        parts = padded[group.slots].view(*group.shape, *tokens.shape[1:]).transpose(1, 3).unbind(2)
        query, key, value = parts if queries is None else (queries[group.rows].unsqueeze(2), *parts)
        mask = group.mask
        if window is not None:
            near = _near(query.shape[2], group.longest, window, tokens.device)
            mask = near if mask is None else mask & near
        output = scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        outputs.append(output.transpose(1, 2).flatten(2).flatten(0, 1))
    output = torch.cat(outputs) if len(outputs) > 1 else outputs[0]
    return layout.unpad(output) if queries is None else layout.unsort(output)


def _near(queries: int, keys: int, window: int, device: torch.device) -> torch.Tensor:
    """Return which keys are at most ``window`` tokens away, of shape (queries, keys)."""
    places = torch.arange(keys, device=device)
    return (places - places[:queries, None]).abs() <= window


def _unpadded(
    kernel: Callable[..., torch.Tensor],
    layout: Layout,
    tokens: torch.Tensor,
    first_queries: torch.Tensor | None,
    window: int | None,
) -> torch.Tensor:
    query, key, value = tokens.unbind(1) if first_queries is None else (first_queries.to(tokens), *tokens.unbind(1))
    if first_queries is None:
        offsets, longest = layout.offsets, layout.longest
    else:
        offsets, longest = layout.row_offsets, 1
    sides = (-1, -1) if window is None else (window, window)
    output = kernel(query, key, value, offsets, layout.offsets, longest, layout.longest, window_size=sides)
    return output.flatten(1)


def _kernel_takes(tokens: torch.Tensor) -> bool:
    """Return whether the kernel takes such tokens: it has no dropout either."""
    if not tokens.is_cuda or torch.cuda.get_device_capability(tokens.device) < (8, 0):
        return False
    size = tokens.shape[-1]
    return tokens.dtype in {torch.float16, torch.bfloat16} and size % 8 == 0 and size <= 256


@cache
def _variable_length_kernel() -> Callable[..., torch.Tensor] | None:
    """Return PyTorch's attention over rows without padding, None where this version of it has none with windows."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    kernel: Callable[..., Any] = varlen_attn
    return kernel if "window_size" in inspect.signature(kernel).parameters else None


def attend_by(
    attention: Any, names: tuple[str, str, str], hidden: torch.Tensor, layout: Layout, wanted: Wanted | None
) -> torch.Tensor:
    """Return ``attend`` of hidden states that an attention module projects, for the ``wanted`` tokens or for all.

    ``names`` are those of its projections to queries, keys and values.
    """
    query, key, value = (getattr(attention, name) for name in names)
    size, dropout = attention.attention_head_size, attention.dropout.p if attention.training else 0.0
    first = wanted is not None and wanted.first
    modules = (key, value) if first else (query, key, value)
    # One product of the joined weights was measured to be no faster, and passes by what modules do beside it.
    tokens = torch.stack([module(hidden) for module in modules], 1)
    queries = query(layout.first(hidden)).view(len(layout), -1, size) if first else None
    context = attend(layout, tokens.view(*tokens.shape[:2], -1, size), queries, dropout=dropout)
    return context if wanted is None or first else wanted.of(context)
