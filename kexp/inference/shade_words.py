"""What the words of mistakes add to predictions, asked of the trained models of a run folder within a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.errors import KexpError
from kexp.evaluate.attributions import attribute_words
from kexp.inference.loading import LoadOptions, load_places
from kexp.inference.model_folders import find
from kexp.inference.trained_model import TrainedModel
from kexp.report.run_folder import write_json
from kexp.report.stored import read_result, read_summary
from kexp.report.words import WORDS, Shadable, shadable, texts_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK = 16
"""Texts that are predicted before the time is looked at: a fraction of a second, seconds with long texts on a CPU."""

Json = dict[str, Any]


class _TimeIsUp(Exception):
    pass


def shading(*, allow_local_code: bool) -> Callable[[Path, float], None]:
    """Return what ``kexp.experiment.run`` asks for words, after the runs that it has just done."""
    return partial(shade_words, options=LoadOptions(allow_local_code=allow_local_code))


def shade_words(folder: Path, seconds: float, options: LoadOptions = LoadOptions()) -> None:  # noqa: B008
    """Write ``words.json`` of the first finished run of each variant, for ``kexp.report`` to shade words by.

    After ``seconds`` no further text is begun; what was not asked by then is told in the file, as is a model that
    cannot be loaded. Raises ``KexpError`` for a damaged summary or damaged predictions.
    """
    end = time.monotonic() + seconds
    for run in shadable(folder, read_summary(folder / "summary.json")):
        write_json(run.folder / WORDS, _words(run, end, f"{seconds:g} s", options))


def _words(run: Shadable, end: float, limit: str, options: LoadOptions) -> Json:
    found: Json = {"split": run.split, "rows": {}, "remark": ""}
    if not run.rows:
        return found
    if time.monotonic() > end:
        return {**found, "remark": f"its words are not shaded: the time limit of {limit} was reached"}
    if not (run.folder / "model").is_dir():
        return {**found, "remark": "its words are not shaded: its weights are gone"}
    try:
        # Who trained on a CPU may have left the GPU to others.
        on_cpu = read_result(run.folder / "result.json").get("device") == "cpu"
        model = load_places([find(run.folder)], replace(options, device="cpu") if on_cpu else options)
        if not model.task.classes:
            return {
                **found,
                "remark": "its words are not shaded: a row has no single label whose probability they add to",
            }
        found["rows"] = _rows(run, model, end)
    except KexpError as error:
        return {**found, "remark": f"its words are not shaded: {str(error).splitlines()[0]}"}
    # Every run is done by now; a model that breaks here must not cost their report.
    except Exception as error:  # noqa: BLE001
        return {**found, "remark": f"its words are not shaded: {type(error).__name__}: {error}"}
    known = len(found["rows"])
    if time.monotonic() > end and known < len(run.rows):
        found["remark"] = f"words of {known} of {len(run.rows)} texts are shaded: the time limit of {limit} was reached"
    elif known < len(run.rows):
        other = len(run.rows) - known
        found["remark"] = f"words of {other} texts are not shaded: the loaded model predicts another label for them"
    return found


def _rows(run: Shadable, model: TrainedModel, end: float) -> Json:
    found: Json = {}
    for row in run.rows:
        try:
            texts, label = _attributed(row, model, end)
        except _TimeIsUp:
            break
        if label == row["predicted"]:
            found[str(row["row"])] = {"label": label, "texts": texts}
    return found


def _attributed(row: Mapping[str, Any], model: TrainedModel, end: float) -> tuple[list[list[tuple[str, float]]], str]:
    """Return the words of each text of a row with what they add, and the label to whose probability they add it."""
    texts = texts_of(row)
    parts = [attribute_words(texts[0], _predict(model, end, lambda text: (text, *texts[1:])))]
    if len(texts) > 1:
        parts.append(attribute_words(texts[1], _predict(model, end, lambda text: (texts[0], text))))
    return [part.words for part in parts], model.labels[int(parts[0].probabilities.argmax())]


def _predict(
    model: TrainedModel, end: float, place: Callable[[str], tuple[str, ...]]
) -> Callable[[Sequence[str]], NDArray[np.float64]]:
    """Return a function that predicts texts in their place in a row, and raises ``_TimeIsUp`` once the time is up."""

    def predict(texts: Sequence[str]) -> NDArray[np.float64]:
        import numpy as np

        found = []
        for start in range(0, len(texts), CHUNK):
            if time.monotonic() > end:
                raise _TimeIsUp
            rows = [place(text) for text in texts[start : start + CHUNK]]
            pairs = [row[1] for row in rows] if len(rows[0]) > 1 else None
            # The stored texts are joined and cleaned; to clean them again changes nothing.
            found.append(model.answer_joined([row[0] for row in rows], pairs).probabilities)
        return np.concatenate(found)

    return predict
