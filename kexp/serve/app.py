"""The prediction endpoint as a FastAPI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import Annotated, Any, Self

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

import kexp
from kexp.contracts import TaskOptions
from kexp.contracts.task import NOTHING
from kexp.data.cleaning import normal_text
from kexp.errors import KexpError
from kexp.names import is_utf8
from kexp.redaction import without_passwords
from kexp.serve.batcher import Batcher, Busy, Model
from kexp.ui.guard import Guard

Row = Annotated[
    str | list[str] | dict[str, str],
    Field(description="A text; of a model of pairs or of several columns, a list of its texts or an object by column."),
]


class Texts(BaseModel):
    """Texts to predict: one, or several."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"texts": ["정말 재미있다", "별로였다"]}]}
    )

    text: Row | None = Field(None, description="One text.")
    texts: list[Row] | None = Field(None, description="Several texts, instead of text.")

    @model_validator(mode="after")
    def _need_one(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise ValueError("give either text, or texts")
        return self

    @property
    def rows(self) -> list[Any]:
        """The texts as a list."""
        return [self.text] if self.texts is None else self.texts


class Problem(BaseModel):
    """What is wrong with a request, or why it is not answered."""

    detail: str


class Health(BaseModel):
    """That requests are answered, by which model, and how many tokens wait."""

    status: str
    model: str
    labels: list[str]
    columns: list[str]
    max_texts: int
    waiting_tokens: int
    kexp: str


def answer_models(task: TaskOptions, count: int) -> type[BaseModel]:
    """Return the schema of answers of a task with ``count`` labels: what is decided, and the numbers that it has."""
    sure = task.confidence(np.empty((0, count)), NOTHING) is not None
    fields: dict[str, Any] = {"label": (task.value_type, ...)}
    fields |= {"confidence": (float, ...)} if sure else {}
    fields |= {"probabilities": (dict[str, float], ...)} if task.probabilities else {}
    parts = ["The label of one text", *([", its probability"] if sure else [])]
    parts += [", and those of all labels." if sure else ", and the probabilities of all labels."]
    doc = "".join(parts) if task.probabilities else f"What is decided for one text: {task.decision}."
    one = create_model("Prediction", __doc__=doc, **fields)
    several = "One prediction for each text, in their order."
    return create_model("Predictions", __doc__=several, predictions=(list[one], ...))


def answers(model: Model, predictions: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return what is answered for predictions of shape (rows, labels), as ``answer_models`` states it."""
    sure = model.task.confidence(predictions, model.chosen)
    found: list[dict[str, Any]] = [{"label": value} for value in model.decided(predictions)]
    if sure is not None:
        found = [{**one, "confidence": value} for one, value in zip(found, sure.tolist(), strict=True)]
    if not model.task.probabilities:
        return found
    rows = zip(found, predictions.tolist(), strict=True)
    return [{**one, "probabilities": dict(zip(model.labels, row, strict=True))} for one, row in rows]


REFUSED: Mapping[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body is no JSON."},
    403: {"model": Problem, "description": "The request comes from a page of another origin."},
    413: {"model": Problem, "description": "The body is too long."},
    415: {"model": Problem, "description": "The body is not said to be JSON."},
    422: {"model": Problem, "description": "The texts are not as the model reads them."},
    500: {"model": Problem, "description": "The model failed."},
    503: {"model": Problem, "description": "Too many texts are waiting; Retry-After says how many seconds to wait."},
}


def make_app(model: Model, name: str, batcher: Batcher, hosts: Sequence[str], *, max_texts: int = 1000) -> FastAPI:
    """Return the application; ``hosts`` are the names under which it answers, ``name`` is what the model is called."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Ended after the last request was answered.
        worker = asyncio.create_task(batcher.run())
        yield
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker

    app = FastAPI(
        title="kexp serve",
        version=kexp.__version__,
        description=f"Labels of Korean texts: {', '.join(model.labels)}.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(Guard)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    _report_errors(app)
    page = files("kexp.serve").joinpath("docs.html").read_text("utf-8")

    @app.post("/predict", responses=dict(REFUSED), response_model=answer_models(model.task, len(model.labels)))
    async def predict(asked: Texts) -> Any:
        """Return the label and the probabilities of every text."""
        texts, pairs = _readable(model, asked.rows, max_texts)
        return {"predictions": answers(model, await batcher.predict(texts, pairs))}

    @app.get("/health")
    async def health() -> Health:
        """Say that the model is loaded, and how many tokens wait."""
        return Health(
            status="ok",
            model=name,
            labels=list(model.labels),
            columns=list(model.columns.names),
            max_texts=max_texts,
            waiting_tokens=batcher.waiting,
            kexp=kexp.__version__,
        )

    @app.get("/", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page)

    return app


def _readable(model: Model, rows: Sequence[Any], max_texts: int) -> tuple[list[str], list[str] | None]:
    """Return texts, and second texts of pairs; raises ``HTTPException`` for what the model cannot read."""
    if not rows:
        raise HTTPException(422, "texts: expected one text at least, found none")
    if len(rows) > max_texts:
        raise HTTPException(
            422, f"texts: expected at most {max_texts:,} texts, found {len(rows):,}; send several requests"
        )
    try:
        found, others = model.columns.texts_of(rows, None)
        texts = [normal_text(text, trim=False) for text in found]
        pairs = None if others is None else [normal_text(text, trim=False) for text in others]
    except (KexpError, ValueError) as error:
        raise HTTPException(422, f"texts: {error}") from None
    for number, row in enumerate(zip(texts, pairs or texts, strict=True)):
        if not all(map(str.strip, row)):
            raise HTTPException(422, f"texts[{number}]: it has no text")
        if not all(map(is_utf8, row)):
            raise HTTPException(422, f"texts[{number}]: it has half of a surrogate pair, which is no character")
    return texts, pairs


def _report_errors(app: FastAPI) -> None:
    """Let every error be an object with ``detail``."""

    @app.exception_handler(RequestValidationError)
    async def not_understood(request: Request, error: RequestValidationError) -> Response:
        kind = request.headers.get("content-type", "")
        if "json" not in kind.lower():
            expected = "expected a body in JSON with the header Content-Type: application/json"
            return JSONResponse({"detail": f"{expected}, found {kind[:100] or 'none'}"}, 415)
        found = error.errors()
        if any(one["type"] == "json_invalid" for one in found):
            return JSONResponse({"detail": f"the body is no JSON: {found[0].get('ctx', {}).get('error', '')}"}, 400)
        # Without the input, which may be no valid text and is long.
        problems = dict.fromkeys(f"{_place(one['loc'])}{one['msg'].removeprefix('Value error, ')}" for one in found[:5])
        return JSONResponse({"detail": "; ".join(problems)}, 422)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> Response:
        return JSONResponse({"detail": str(error)}, 503, {"Retry-After": str(error.seconds)})

    @app.exception_handler(KexpError)
    async def failed(request: Request, error: KexpError) -> Response:
        return JSONResponse({"detail": without_passwords(str(error))}, 500)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        return JSONResponse({"detail": without_passwords(f"{type(error).__name__}: {error}")}, 500)


def _place(location: Sequence[str | int]) -> str:
    """Return where in the body a problem is, without the branches of a union that pydantic adds."""
    keys = [key for key in location[1:] if isinstance(key, int) or key in ("text", "texts")]
    place = "".join(f"[{key}]" if isinstance(key, int) else str(key) for key in keys)
    return f"{place}: " if place else ""
