"""Rows of tokens without padding."""

from __future__ import annotations

import numpy as np
import torch

from kexp.model.token_rows import TokenRows


def rows(lengths: list[int], first: int = 5, *, types: bool = False, hidden: int | None = None) -> TokenRows:
    tokens = sum(lengths)
    ids = torch.arange(first, first + tokens)
    known = None if hidden is None else torch.arange(float(hidden * 2)).reshape(hidden, 2) + first
    return TokenRows(ids, np.asarray(lengths), ids % 2 if types else None, known)


def test_padded_rows_are_masked_by_their_lengths_whatever_the_padding_id_is() -> None:
    padded = rows([2, 1, 3]).padded(5)
    assert {name: values.tolist() for name, values in padded.items()} == {
        "input_ids": [[5, 6, 5], [7, 5, 5], [8, 9, 10]],
        "attention_mask": [[1, 1, 0], [1, 0, 0], [1, 1, 1]],
    }
    assert {values.dtype for values in padded.values()} == {torch.int64}


def test_token_types_are_padded_with_zeros() -> None:
    assert rows([1, 2], types=True).padded(0)["token_type_ids"].tolist() == [[1, 0], [0, 1]]


def test_values_of_tokens_keep_their_gradient_when_they_are_padded() -> None:
    values = torch.arange(6.0).reshape(3, 2).requires_grad_()
    padded = rows([1, 2]).spread(values)
    assert padded.tolist() == [[[0, 1], [0, 0]], [[2, 3], [4, 5]]]
    (padded * 3).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[3, 3]] * 3


def test_every_token_knows_its_row() -> None:
    assert rows([2, 1, 3]).row_of_token.tolist() == [0, 0, 1, 2, 2, 2]
    assert len(rows([2, 1, 3])) == 3


def test_joined_groups_stand_one_after_the_other() -> None:
    joined = TokenRows.joined([rows([2, 1], types=True, hidden=3), rows([1, 2], 20, types=True, hidden=3)])
    assert joined.ids.tolist() == [5, 6, 7, 20, 21, 22]
    assert joined.lengths.tolist() == [2, 1, 1, 2]
    assert joined.types is not None
    assert joined.types.tolist() == [1, 0, 1, 0, 1, 0]
    assert joined.hidden is not None
    assert joined.hidden[:, 0].tolist() == [5, 7, 9, 20, 22, 24]
    one = rows([2])
    assert TokenRows.joined([one]) is one


def test_hidden_states_are_known_of_all_groups_or_not_at_all() -> None:
    joined = TokenRows.joined([rows([2, 1], hidden=3), rows([1])])
    assert joined.hidden is None
    assert len(joined) == 3


def test_a_group_without_rows_takes_no_hidden_states_from_the_others() -> None:
    known = rows([2, 1], types=True, hidden=3)
    assert TokenRows.joined([rows([]), known, rows([])]) is known
    assert len(TokenRows.joined([rows([]), rows([])])) == 0


def test_rows_of_equal_length_are_padded_by_nothing() -> None:
    equal = rows([2, 2], types=True)
    assert (equal.equally_long, rows([2, 1]).equally_long, rows([]).equally_long) == (True, False, True)
    assert {name: values.tolist() for name, values in equal.without_mask(0).items()} == {
        "input_ids": [[5, 6], [7, 8]],
        "token_type_ids": [[1, 0], [1, 0]],
    }
