"""In which proportions rows are divided: by one class each, or by all labels that a row has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from kexp.data.iterative_stratification import stratified_parts

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Strata: TypeAlias = Callable[[Sequence[str], int], NDArray[np.integer[Any]]]
    """``TaskOptions.strata``: labels and the fewest rows of a stratum in, the stratum of each row out."""


def codes(labels: pd.Series[str], names: Sequence[str]) -> NDArray[np.int32]:
    """Return the place of every label among ``names``, -1 for others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    held = pa.array(labels, pa.large_string(), from_pandas=True)
    found: NDArray[np.int32] = pc.index_in(held, value_set=pa.array(names, pa.large_string())).fill_null(-1).to_numpy()
    return found


def class_strata(labels: pd.Series[str] | Sequence[str], parts: int = 1) -> NDArray[np.int32]:
    """Return a number for every label, which sort as the labels do."""
    import pandas as pd

    return codes(labels, sorted(pd.unique(pd.Series(labels))))


def parts_of_label_sets(
    numbers: NDArray[np.integer[Any]], groups: pd.Series[str] | None, shares: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """Return the part of every row, where a row may be of several strata; rows of one group are in one part."""
    import numpy as np
    import pandas as pd

    if groups is None:
        return stratified_parts(numbers, np.ones(len(numbers), np.int64), shares, seed)
    units, _ = pd.factorize(groups, sort=True)
    counts = pd.DataFrame(numbers).groupby(units).sum().to_numpy()
    parts: NDArray[np.int64] = stratified_parts(counts, np.bincount(units), shares, seed)[units]
    return parts
