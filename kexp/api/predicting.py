"""``kexp.load`` and ``kexp.predict``: trained models, and labels for texts in one call."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kexp.api.arguments import path_of
from kexp.api.caller_state import as_exceptions, of_the_caller, unchanged
from kexp.errors import KexpError
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
    """Return a table with the columns of ``kexp predict`` for each text, in their order.

    With one label per row: the label, its probability and that of every label; with several, the labels joined by "|"
    and the probability of every label; of a regression, the number.

    ``model`` is what ``kexp.load`` has returned, or one or several folders or results, which are loaded with the
    ``options`` of ``kexp.load``; their mean is predicted. ``texts`` is a list or column of texts, or a table with the
    columns that the model was trained on; ``pairs`` are the second texts. A table or column of pandas keeps its index.
    A row without text has no label and no probabilities, and is warned of. With ``abstain`` a row whose label has a
    lower probability has none. What a user should know of models that are loaded, such as that several seeds
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
        nothing = model.task.answers(np.empty((0, len(model.labels))), model.labels, model.chosen)
        if taken := [name for name in nothing if name in getattr(rows, "columns", ())]:
            raise KexpError(f"the table has a column {', '.join(taken)}, which the predictions have too; rename it")
        if warning := model.check_abstain(abstain):
            warnings.warn(warning, stacklevel=2)
        count, known, predictions = _predicted(model, rows, pairs)
        if blank := count - len(known):
            said = f"{blank:,} of {count:,} rows without text, left without a label"
            warnings.warn(said, stacklevel=2)
        index = texts.index if isinstance(texts, pd.Series | pd.DataFrame) else None
        found = rows.copy() if index is not None and rows is texts else pd.DataFrame({"text": rows}, index=index)
        return found.assign(**_columns(model, count, known, predictions, abstain))


def _columns(
    model: TrainedModel, count: int, known: Sequence[int], predictions: NDArray[np.float64], abstain: float | None
) -> dict[str, Any]:
    """Return the added columns of ``count`` rows, of which ``known`` are predicted; what is missing is None or NaN."""
    import numpy as np

    sure = None if abstain is None else model.task.confidence(predictions, model.chosen)
    made: dict[str, Any] = {}
    for name, values in model.task.answers(predictions, model.labels, model.chosen).items():
        if isinstance(values, np.ndarray):
            made[name] = np.full(count, np.nan)
            made[name][known] = values
            continue
        made[name] = [None] * count
        for place, row in enumerate(known):
            if sure is None or abstain is None or sure[place] >= abstain:
                made[name][row] = values[place]
    return made


def _predicted(
    model: TrainedModel, rows: Any, pairs: Sequence[Any] | None
) -> tuple[int, list[int], NDArray[np.float64]]:
    """Return how many rows there are, which of them have text and second text, and the predictions for these."""
    import numpy as np

    texts, others = model.columns.texts_of(rows, pairs)
    both = list(zip(texts, texts if others is None else others, strict=True))
    known = [number for number, row in enumerate(both) if not any(map(_is_blank, row))]
    second = None if others is None else [others[number] for number in known]
    found = np.empty((0, len(model.labels)))
    if known:
        found = model.answer_joined([texts[number] for number in known], second).probabilities
    return len(texts), known, found


def _is_blank(text: Any) -> bool:
    return is_missing(text) or not str(text).strip()
