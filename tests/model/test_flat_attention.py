"""Attention within rows: padded in groups, or by a kernel that takes offsets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from kexp.model import flat_attention
from kexp.model.flat_attention import attend
from kexp.model.flat_layout import Layout, all_together, layout_of, similar_lengths

CPU = torch.device("cpu")


def by_definition(layout: Layout, tokens: torch.Tensor, window: int | None) -> torch.Tensor:
    outputs = []
    for row in tokens.split(layout.lengths.tolist()):
        query, key, value = row.transpose(0, 2).unbind(1)
        places = torch.arange(len(row))
        scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
        if window is not None:
            scores = scores.masked_fill((places - places[:, None]).abs() > window, float("-inf"))
        outputs.append((scores.softmax(-1) @ value).transpose(0, 1).flatten(1))
    return torch.cat(outputs)


def kernel(query: Any, key: Any, value: Any, starts: Any, key_starts: Any, longest: int, longest_key: int, *, window_size: Any) -> torch.Tensor:  # fmt: skip
    """Do what PyTorch documents of its variable-length attention, row by row."""
    outputs = []
    assert starts.dtype == key_starts.dtype == torch.int32
    assert int(starts.diff().max()) == longest
    assert int(key_starts.diff().max()) == longest_key
    for row in range(len(starts) - 1):
        queries = query[starts[row] : starts[row + 1]].transpose(0, 1)
        keys, values = (part[key_starts[row] : key_starts[row + 1]].transpose(0, 1) for part in (key, value))
        scores = queries @ keys.transpose(1, 2) / query.shape[-1] ** 0.5
        if window_size != (-1, -1):
            # A window counts from the last query and key, as in all kernels of this kind.
            places = torch.arange(queries.shape[1])[:, None] + keys.shape[1] - queries.shape[1]
            away = torch.arange(keys.shape[1]) - places
            scores = scores.masked_fill((away < -window_size[0]) | (away > window_size[1]), float("-inf"))
        outputs.append((scores.softmax(-1) @ values).transpose(0, 1))
    return torch.cat(outputs)


@pytest.mark.parametrize("by_kernel", [False, True])
@pytest.mark.parametrize("window", [None, 0, 2, 50])
@pytest.mark.parametrize("lengths", [[5], [3, 40, 3, 21], [4, 4, 4], [1, 1], [9, 8, 1]], ids=str)
def test_tokens_attend_within_their_row(
    lengths: list[int], window: int | None, by_kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_kernel:
        monkeypatch.setattr(flat_attention, "_kernel_takes", lambda tokens: True)
        monkeypatch.setattr(flat_attention, "_variable_length_kernel", lambda: kernel)
    layout = layout_of(np.array(lengths), CPU)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(sum(lengths), 3, 2, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    expected = by_definition(layout, tokens, window)
    output = attend(layout, tokens, dropout=0.0, window=window)
    torch.testing.assert_close(output, expected)
    first = attend(layout, tokens[:, 1:], layout.first(tokens[:, 0]), dropout=0.0, window=window)
    torch.testing.assert_close(first, layout.first(expected))
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    (gradient,), (reference,) = (torch.autograd.grad((part * weights).sum(), tokens, retain_graph=True) for part in (output, expected))  # fmt: skip
    torch.testing.assert_close(gradient, reference)


def test_rows_of_similar_length_are_padded_together() -> None:
    layout = Layout(np.array([3, 40, 3, 21, 38]), CPU, similar_lengths)
    assert [group.shape for group in layout.groups] == [(2, 40), (1, 21), (2, 3)]
    assert [group.mask is None for group in layout.groups] == [False, True, True]
    (group,) = Layout(np.array([3, 40, 3, 21, 38]), CPU, all_together).groups
    assert group.shape == (5, 40)
    assert group.mask is not None
    assert group.mask.sum(-1).flatten().tolist() == [40, 38, 21, 3, 3]


def test_equal_lengths_of_any_kind_share_a_layout() -> None:
    layout = layout_of(np.array([4, 2, 9]), CPU)
    assert layout_of(np.array([4, 2, 9], np.int32), CPU) is layout
    assert layout.lengths.tolist() == [4, 2, 9]


def test_rows_by_length_are_not_moved() -> None:
    layout = layout_of(np.array([7, 7, 2]), CPU)
    tokens = torch.randn(16, 5)
    assert layout.pad(tokens) is tokens
    assert layout.sort(tokens[:3]).data_ptr() == tokens.data_ptr()


def test_padding_and_sorting_are_undone_with_gradients() -> None:
    layout = layout_of(np.array([2, 9, 5, 8]), CPU)
    tokens = torch.randn(24, 3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(layout.unpad(layout.pad(tokens)), tokens)
    assert torch.equal(layout.unsort(layout.sort(tokens[:4])), tokens[:4])
    assert torch.autograd.gradcheck(lambda given: layout.unpad(layout.pad(given).cos()), tokens)
    assert torch.autograd.gradgradcheck(lambda given: layout.first(given).sin(), tokens)
