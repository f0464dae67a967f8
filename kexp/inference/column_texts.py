"""Texts of cells, a whole column at once; numbers as Python writes them, byte for byte, in a fraction of its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_POWERS = np.array([float(f"1e{power}") for power in range(23)])
"""Those that a 64-bit float holds exactly, so that a quotient by them is rounded once."""
_EXPONENTS = (
    (1e-5, 1e-4, r"^0\.0000(\d)(\d*)$", r"\1.\2e-05"),
    (1e-6, 1e-5, r"^0\.00000(\d)(\d*)$", r"\1.\2e-06"),
    (1e-9, 1e-6, "e-", "e-0"),
)
"""Where Arrow finds the digits that Python does, and writes their exponent in another way."""


def shortest_texts(numbers: pa.DoubleArray) -> pa.LargeStringArray:
    """Return what ``repr`` makes of each number: the fewest digits that are read as it; null stays null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = numbers.fill_null(0).to_numpy()
    common = _common(values)
    texts = pa.array(np.where(common, values, 0.5)).cast(pa.large_string())
    small = (values >= 1e-9) & (values < 1e-4)
    few, made = values[small], texts.filter(pa.array(small))
    for least, most, pattern, replacement in _EXPONENTS:
        if (places := (few >= least) & (few < most)).any():
            found = pc.replace_substring_regex(made.filter(pa.array(places)), pattern, replacement)
            made = pc.replace_with_mask(made, pa.array(places), pc.replace_substring(found, ".e", "e"))
    texts = _put(texts, small, made)
    whole = common & (values == np.rint(values))
    texts = _put(texts, whole, joined([pa.array(values[whole].astype(np.int64)).cast(pa.large_string()), ".0"]))
    return _others_by_python(texts, numbers, ~common, repr)


def six_digits(numbers: pa.DoubleArray) -> pa.LargeStringArray:
    """Return what the format ``.6g`` makes of each number: six digits, without zeros at the end; null stays null."""
    import pyarrow as pa

    values = numbers.fill_null(0).to_numpy()
    positive = _common(values) & (values > 0) & (values < 999_999)
    values = np.where(positive, values, 1)
    places = np.clip(5 - np.floor(np.log10(values)).astype(np.int64), 0, 22)
    scaled = values * _POWERS[places]
    digits = np.rint(scaled)
    # The product is rounded too: where that could decide between two neighbours, Python does.
    sure = positive & (np.abs(np.abs(scaled - digits) - 0.5) > 1e-6) & (digits >= 1e5) & (digits < 1e6)
    # Numbers below 0.0001 have an exponent after the digits.
    exponents = np.where(places > 9, places - 5, 0)
    texts = pa.array(digits / _POWERS[np.where(exponents > 0, 5, places)]).cast(pa.large_string())
    if exponents.any():
        ends = pa.array(["", *(f"e-{exponent:02}" for exponent in range(1, 18))], pa.large_string())
        texts = joined([texts, ends.take(pa.array(exponents))])
    return _others_by_python(texts, numbers, ~sure, "{:.6g}".format)


def _common(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which numbers Arrow may write: no negative ones and none that are not finite, very large or very small."""
    return ~np.signbit(values) & (values < 1e9) & ((values >= 1e-17) | (values == 0))  # type: ignore[no-any-return]


def _put(texts: pa.LargeStringArray, places: NDArray[np.bool_], made: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return the texts with those at some places replaced, one after the other."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.replace_with_mask(texts, pa.array(places), made) if len(made) else texts


def _others_by_python(
    texts: pa.LargeStringArray, numbers: pa.DoubleArray, others: NDArray[np.bool_], python: Callable[[float], str]
) -> pa.LargeStringArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    given = numbers.fill_null(0).filter(pa.array(others)).to_pylist()
    texts = _put(texts, others, pa.array(map(python, given), pa.large_string()))
    return pc.if_else(numbers.is_valid(), texts, None) if numbers.null_count else texts


def distinct_texts(texts: pa.StringArray, write: Callable[[str], str]) -> pa.LargeStringArray:
    """Return what ``write`` makes of each text, which it is given once; null stays null."""
    import pyarrow as pa

    found = texts.dictionary_encode()
    return pa.array(map(write, found.dictionary.to_pylist()), pa.large_string()).take(found.indices)


def joined(parts: Sequence[pa.LargeStringArray | str], missing: str = "") -> pa.LargeStringArray:
    """Return the texts of each row one after the other; a string is that of every row, ``missing`` stands for null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    given = [pa.scalar(part, pa.large_string()) if isinstance(part, str) else part for part in (*parts, "")]
    return pc.binary_join_element_wise(*given, null_handling="replace", null_replacement=missing)
