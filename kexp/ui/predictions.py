"""The page on which trained models predict a text, with what each word adds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, Field, model_validator

from kexp.errors import KexpError
from kexp.evaluate.attributions import WordAttributions, attribute_words
from kexp.inference.columns import TextColumns, columns_of
from kexp.names import plain_name
from kexp.report.run_folder import finite
from kexp.ui.folders import Run
from kexp.ui.library import Library
from kexp.ui.models import MODELS, Model, Models
from kexp.ui.streams import Event, Streams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OFFERED = 50
"""Models that the page offers, the newest; others are chosen in the table of runs."""

Keys = Annotated[list[str], Query(min_length=1, max_length=MODELS)]


class ModelsRequest(BaseModel):
    """The runs whose models will be used."""

    runs: list[str] = Field(min_length=1, max_length=MODELS)


class PredictRequest(ModelsRequest):
    """A text, or one for each column, and the runs whose models predict it; ``words`` costs a prediction for each."""

    text: str = Field("", max_length=20_000)
    columns: dict[str, Annotated[str, Field(max_length=20_000)]] = Field({}, max_length=20)
    words: bool = True

    @model_validator(mode="after")
    def _need_text(self) -> Self:
        if not self.text and not any(self.columns.values()):
            raise ValueError("a text is needed")
        return self


def routes(library: Library, models: Models, draw: Callable[..., HTMLResponse], streams: Streams) -> APIRouter:
    """Return the routes of predictions."""
    router = APIRouter()

    @router.get("/predict")
    def predict(run: Annotated[list[str] | None, Query(max_length=MODELS)] = None) -> HTMLResponse:
        """Show the page with the models of these runs chosen, or else that of the newest run."""
        return draw("predict", **_offered(library, run or ()))

    @router.post("/data/models")
    def data_models(request: ModelsRequest) -> JSONResponse:
        """Begin to load models."""
        for path in [library.path(key) for key in request.runs]:
            models.start(path)
        return JSONResponse({}, 202)

    @router.get("/events/models")
    def events_models(run: Keys) -> StreamingResponse:
        return streams.response(_Loading(models, {key: library.path(key) for key in run}))

    @router.post("/data/predict")
    async def data_predict(request: PredictRequest) -> JSONResponse:
        answers = []
        # The next one is loaded while this one predicts.
        loading = {key: models.start(library.path(key)) for key in request.runs}
        for key, future in loading.items():
            model = await streams.result(future)
            answer = await streams.result(models.begin(partial(_answer, model, request)))
            answers.append({"run": key, **answer})
        return JSONResponse(finite(answers))

    return router


@dataclass(slots=True)
class _Loading:
    """The states of some models until none is being loaded."""

    models: Models
    paths: dict[str, Path]
    known: dict[str, str] = field(default_factory=dict)
    ended: bool = False

    def changes(self) -> Sequence[Event] | None:
        """Return the states that have changed."""
        if self.ended:
            return None
        events: list[Event] = []
        states = {key: self.models.state(path) for key, path in self.paths.items()}
        for key, state in states.items():
            if self.known.get(key) != state.name:
                self.known[key] = state.name
                events.append(
                    ("state", {"run": key, "state": state.name, "seconds": state.seconds, "reason": state.reason})
                )
        self.ended = not any(state.name in ("waiting", "loading") for state in states.values())
        return events


def _offered(library: Library, chosen: Sequence[str]) -> dict[str, Any]:
    """Return the runs with a model that the page offers, those chosen first, and the columns of their texts."""
    runs = [library.run(key) for key in chosen]
    for run in runs:
        if not run.has_model:
            raise KexpError(f"the run {run.key} has no model")
    found = (run for folder in library.folders.newest_first() for run in reversed(library.folders.runs(folder)))
    newest = (run for run in found if run.has_model and run.key not in chosen)
    columns, unreadable, offered = dict[str, TextColumns](), dict[str, str](), list[Run]()
    left_out = False
    for run in itertools.chain(runs, newest):
        if len(offered) == OFFERED:
            left_out = True
            break
        try:
            columns[run.key] = columns_of(library.spec(run.key).get("dataset", {}))
            offered.append(run)
        except (KexpError, OSError) as error:
            unreadable[run.key] = str(error)
    return {
        "runs": offered,
        "chosen": list(chosen) or [run.key for run in offered[:1]],
        "columns": {key: names.names for key, names in columns.items() if not names.single},
        "unreadable": unreadable,
        "left_out": left_out,
        "most": MODELS,
    }


def _answer(model: Model, request: PredictRequest) -> dict[str, Any]:
    """Return the probabilities by label, and of every word what it adds where that is asked for."""
    row = _row(model, request)
    if not request.words:
        text = next(iter(row.values())) if model.columns.single else row
        found, words = model.predict([text])[0], None
    else:
        parts = _attributions(model, row)
        found, words = parts[0].probabilities, [word for part in parts for word in part.words]
    return {"probabilities": dict(zip(model.labels, found.tolist(), strict=True)), "words": words}


def _row(model: Model, request: PredictRequest) -> dict[str, str]:
    single = {name: request.text for name in model.columns.names if model.columns.single and request.text}
    row = single or {name: request.columns.get(name, "") for name in model.columns.names}
    if not all(map(plain_name, row.values())):
        raise KexpError(f"the model was trained on {model.columns.sentence()}; give a text for each")
    return row


def _attributions(model: Model, row: dict[str, str]) -> list[WordAttributions]:
    """Weigh the words of a text; of a model of several columns or of pairs, those of each column beside the others."""
    if model.columns.single:
        return [attribute_words(text, model.predict) for text in row.values()]

    def predict_with(name: str) -> Callable[[Sequence[str]], NDArray[np.float64]]:
        return lambda texts: model.predict([{**row, name: text} for text in texts])

    return [attribute_words(text, predict_with(name)) for name, text in row.items()]
