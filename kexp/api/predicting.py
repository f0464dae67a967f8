"""``kexp.load`` and ``kexp.predict``: trained models, and labels for texts in one call."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kexp.api.arguments import path_of
from kexp.api.caller_state import as_exceptions, of_the_caller, unchanged
from kexp.errors import KexpError
from kexp.evaluate.selective import check_threshold
from kexp.files.cells import is_missing
from kexp.inference import loading
from kexp.inference.trained_model import TrainedModel

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

load = of_the_caller(loading.load)


def predict(
    model: TrainedModel | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    texts: Any,
    pairs: Sequence[Any] | None = None,
    *,
    abstain: float | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Return a table with the label, the largest probability and every probability of each text, in their order.

    ``model`` is what ``kexp.load`` has returned, or one or several folders or results, which are loaded with the
    ``options`` of ``kexp.load``; their mean is predicted. ``texts`` is a list or column of texts, or a table with the
    columns that the model was trained on; ``pairs`` are the second texts. A table or column of pandas keeps its index.
    A row without text has no label and no probabilities, and is warned of. With ``abstain`` a row whose largest
    probability is below it has no label. What a user should know of models that are loaded, such as that several seeds
    are averaged, is a warning. Raises ``KexpError`` for what is no model, and for texts of another form.
    """
    with as_exceptions(), unchanged():
        import numpy as np
        import pandas as pd

        if not isinstance(model, TrainedModel):
            folders = [model] if isinstance(model, str | os.PathLike) else list(model)
            model = loading.load(*(path_of(one, "a model") for one in folders), **options)
            for note in model.notes:
                warnings.warn(note, stacklevel=2)
        elif options:
            raise KexpError(f"the model is loaded already; {', '.join(options)} belong to kexp.load")
        if isinstance(texts, str):
            raise KexpError("expected a list of texts, found one text; put it in square brackets")
        rows: Any = texts if hasattr(texts, "columns") else list(texts)
        added = ["predicted", "confidence", *(f"probability:{label}" for label in model.labels)]
        if taken := [name for name in added if name in getattr(rows, "columns", ())]:
            raise KexpError(f"the table has a column {', '.join(taken)}, which the predictions have too; rename it")
        if abstain is not None and (warning := check_threshold(abstain, len(model.labels))):
            warnings.warn(warning, stacklevel=2)
        probabilities = _probabilities(model, rows, pairs)
        if blank := int(np.isnan(probabilities[:, 0]).sum()):
            said = f"{blank:,} of {len(probabilities):,} rows without text, left without a label"
            warnings.warn(said, stacklevel=2)
        confidence = probabilities.max(1) if len(probabilities) else probabilities.sum(1)
        least = 0.0 if abstain is None else abstain
        labels = [
            model.labels[number] if sure >= least else None
            for number, sure in zip(np.nan_to_num(probabilities).argmax(1), confidence, strict=True)
        ]
        index = texts.index if isinstance(texts, pd.Series | pd.DataFrame) else None
        found = rows.copy() if index is not None and rows is texts else pd.DataFrame({"text": rows}, index=index)
        return found.assign(**dict(zip(added, [labels, confidence, *probabilities.T], strict=True)))


def _probabilities(model: TrainedModel, rows: Any, pairs: Sequence[Any] | None) -> NDArray[np.float64]:
    """Return probabilities of shape (rows, labels), NaN for a row without text or second text."""
    import numpy as np

    texts, others = model.columns.texts_of(rows, pairs)
    both = list(zip(texts, texts if others is None else others, strict=True))
    known = [number for number, row in enumerate(both) if not any(map(_is_blank, row))]
    found = np.full((len(texts), len(model.labels)), np.nan)
    second = None if others is None else [others[number] for number in known]
    if known:
        found[known] = model.answer_joined([texts[number] for number in known], second).probabilities
    return found


def _is_blank(text: Any) -> bool:
    return is_missing(text) or not str(text).strip()
