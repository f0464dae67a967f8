"""Attention among the tokens of each row, over rows without padding."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from kexp.model.flat_layout import Layout


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
    if tokens.is_cuda and dropout == 0.0 and (kernel := _variable_length_kernel()) is not None:
        dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else tokens.dtype
        if dtype in {torch.float16, torch.bfloat16}:
            return _unpadded(kernel, layout, tokens.to(dtype), first_queries, window)
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


@cache
def _variable_length_kernel() -> Callable[..., torch.Tensor] | None:
    """Return PyTorch's attention over rows without padding, None where this version of it has none with windows."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    kernel: Callable[..., Any] = varlen_attn
    return kernel if "window_size" in inspect.signature(kernel).parameters else None


def project(hidden: torch.Tensor, *modules: Any) -> torch.Tensor:
    """Return the outputs of modules beside each other, by one product where they are plain linear layers."""
    if all(type(module) is torch.nn.Linear and module.bias is not None for module in modules):
        weights, biases = ([getattr(module, name) for module in modules] for name in ("weight", "bias"))
        return linear(hidden, torch.cat(weights), torch.cat(biases))
    return torch.cat([module(hidden) for module in modules], -1)


def attend_by(
    query: Any,
    key: Any,
    value: Any,
    hidden: torch.Tensor,
    layout: Layout,
    *,
    size: int,
    dropout: float,
    first: bool,
) -> torch.Tensor:
    """Return ``attend`` of projected hidden states, of first tokens alone if ``first``; a head has ``size`` numbers."""
    if not first:
        tokens = project(hidden, query, key, value)
        return attend(layout, tokens.view(len(tokens), 3, -1, size), dropout=dropout)
    tokens, queries = project(hidden, key, value), query(layout.first(hidden))
    return attend(layout, tokens.view(len(tokens), 2, -1, size), queries.view(len(queries), -1, size), dropout=dropout)
