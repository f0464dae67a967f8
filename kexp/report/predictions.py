"""``predictions.parquet``: a row per text of validation and test, written after a run and read by whoever compares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


def table(
    split: str,
    names: Sequence[str],
    numbers: NDArray[np.int64],
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
) -> pd.DataFrame:
    """Return the rows of a split: what the model read, the true and the predicted label, and every probability."""
    import pandas as pd

    columns: dict[str, Any] = {"split": split, "row": numbers, "text": texts}
    if pairs is not None:
        columns["text_pair"] = pairs
    columns |= {
        "label": [names[number] for number in labels],
        "predicted": [names[number] for number in probabilities.argmax(1)],
        "confidence": probabilities.max(1),
    }
    columns |= {f"probability:{name}": probabilities[:, number] for number, name in enumerate(names)}
    return pd.DataFrame(columns)


def write(path: Path, tables: Sequence[pd.DataFrame]) -> None:
    """Write the splits one below the other."""
    import pandas as pd

    part = path.with_name(f".{path.name}.part")
    pd.concat(tables, ignore_index=True).to_parquet(part, index=False)
    part.replace(path)


def read(path: Path, split: str, names: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the label ids and probabilities of a split, in the order of its rows."""
    import pandas as pd

    frame = pd.read_parquet(path, filters=[("split", "==", split)])
    ids = frame["label"].map({name: number for number, name in enumerate(names)})
    return ids.to_numpy("int64"), frame[[f"probability:{name}" for name in names]].to_numpy("float64")
