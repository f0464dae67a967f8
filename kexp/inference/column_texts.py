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
    values = numbers.fill_null(0).to_numpy()
    return _texts(numbers, values, _common(values), ".0", repr)


def six_digits(numbers: pa.DoubleArray) -> pa.LargeStringArray:
    """Return what the format ``.6g`` makes of each number: six digits, without zeros at the end; null stays null."""
    values = numbers.fill_null(0).to_numpy()
    common = _common(values) & (values < 999_999)
    positive = np.where(common & (values > 0), values, 1)
    powers = _POWERS[np.clip(5 - np.floor(np.log10(positive)).astype(np.int64), 0, 22)]
    scaled = positive * powers
    digits = np.rint(scaled)
    # The product is rounded too: where that could decide between two neighbours, Python does.
    sure = (np.abs(np.abs(scaled - digits) - 0.5) > 1e-6) & (digits >= 1e5) & (digits <= 1e6)
    rounded = np.where(values > 0, digits / powers, 0)
    return _texts(numbers, rounded, common & (sure | (values == 0)), "", "{:.6g}".format)


def _common(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which numbers Arrow may write: no negative ones and none that are not finite, very large or very small."""
    return ~np.signbit(values) & (values < 1e9) & ((values >= 1e-17) | (values == 0))  # type: ignore[no-any-return]


def _texts(
    numbers: pa.DoubleArray,
    values: NDArray[np.float64],
    common: NDArray[np.bool_],
    end: str,
    python: Callable[[float], str],
) -> pa.LargeStringArray:
    """Return the shortest texts of common ``values``, whole ones with ``end``, and those of ``python`` for others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = np.where(common, values, 0.5)
    texts = pa.array(values).cast(pa.large_string())
    for least, most, pattern, replacement in _EXPONENTS:
        if (places := (values >= least) & (values < most)).any():
            made = pc.replace_substring_regex(texts.filter(pa.array(places)), pattern, replacement)
            texts = pc.replace_with_mask(texts, pa.array(places), pc.replace_substring(made, ".e", "e"))
    if (places := values == np.rint(values)).any():
        made = pa.array(values[places].astype(np.int64)).cast(pa.large_string())
        texts = pc.replace_with_mask(texts, pa.array(places), joined([made, end]))
    if not common.all():
        made = map(python, numbers.fill_null(0).filter(pa.array(~common)).to_pylist())
        texts = pc.replace_with_mask(texts, pa.array(~common), pa.array(made, pa.large_string()))
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
