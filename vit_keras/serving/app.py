"""The FastAPI application of a service."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

import vit_keras
from vit_keras.predict.predictor import Prediction
from vit_keras.predict.reader import Unreadable
from vit_keras.serving.admission import Admission
from vit_keras.serving.answers import Answer, Card, answer_of
from vit_keras.serving.bodies import read_uploads
from vit_keras.serving.errors import RequestError
from vit_keras.serving.middleware import RequestMiddleware
from vit_keras.serving.openapi import BODY, NO_TOKEN, PROBLEMS
from vit_keras.serving.options import ServiceOptions
from vit_keras.serving.refresh import CurrentModel, Newer
from vit_keras.serving.served_model import ServedModel
from vit_keras.serving.service_metrics import CONTENT_TYPE, ServiceMetrics

PAGE = Path(__file__).with_name("page.html")
# The page has its style and its script in it, and asks nobody else.
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def create_app(
    model: ServedModel,
    options: ServiceOptions,
    token: str | None = None,
    newer: Newer | None = None,
) -> FastAPI:
    """The application that serves `model`.

    Args:
        model: to serve.
        options: what is accepted.
        token: which requests have to bring; None for none.
        newer: opens the model that is to replace it; None where it stays.
    """
    current = CurrentModel(model)
    admission = Admission(options.workers, options.queue, options.timeout, options.max_bytes)
    metrics = ServiceMetrics(admission, model.predictor.class_names)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        refresh = None
        if newer is not None:
            looking = current.refresh(newer, options.refresh, metrics)
            refresh = asyncio.create_task(looking)
        with ThreadPoolExecutor(options.workers, thread_name_prefix="serve") as app.state.pool:
            yield
        if refresh is not None:
            refresh.cancel()

    app = FastAPI(
        title="vit_keras",
        summary="Classifies images.",
        version=vit_keras.__version__,
        lifespan=lifespan,
        redirect_slashes=False,  # it would redirect to whatever host the client names
        docs_url=None,  # its script would come from another server
        redoc_url=None,
    )
    _add_problems(app)
    guarded: dict[str, Any] = {}  # of routes that ask for the token
    if token is not None:  # which the middleware checks; these are for the description
        guarded["dependencies"] = [Security(HTTPBearer(auto_error=False))]
        guarded["responses"] = {401: NO_TOKEN}

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> HTMLResponse:
        headers = {"Content-Security-Policy": PAGE_POLICY, "Referrer-Policy": "no-referrer"}
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers=headers)

    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """Whether the process is alive."""
        return "ok"

    @app.get("/readyz", response_class=PlainTextResponse)
    async def readyz() -> str:
        """Whether requests are answered: the model was loaded, and has predicted an image."""
        return "ok"

    @app.get("/metrics", response_class=PlainTextResponse, **guarded)
    async def prometheus() -> Response:
        """Metrics for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/model", **guarded)
    async def card() -> Card:
        """What is served."""
        return current.model.card

    @app.post("/predict", **{**guarded, "responses": PROBLEMS}, openapi_extra=BODY)
    async def predict(request: Request, top_k: Annotated[int, Query(ge=1, le=1000)] = 3) -> Answer:
        """Classify the images of a form, of one file as it is, or of JSON with base64.

        An image that cannot be read has an `error` among the others; if none can be read, the
        status is 422.
        """
        with admission.body() as take:
            uploads = await read_uploads(request, options, take)
            async with admission.worker():
                loop = asyncio.get_running_loop()
                results = await loop.run_in_executor(
                    request.app.state.pool, current.model.classify, uploads, top_k
                )
        request.state.images = len(results)
        for result in results:
            metrics.images.labels(_outcome(result)).inc()
        if all(isinstance(result, Unreadable) for result in results):
            raise RequestError(422, _unreadable(results))
        return Answer(predictions=[answer_of(result) for result in results])

    paths = frozenset(getattr(route, "path", "") for route in app.routes)
    app.add_middleware(RequestMiddleware, metrics=metrics, paths=paths, token=token)
    return app


def _outcome(result: Prediction | Unreadable) -> str:
    if isinstance(result, Unreadable):
        return "unreadable"
    if result.decision is not None and result.decision.abstain:
        return "abstained"
    return f"class {result.label}"


def _unreadable(results: list[Any]) -> str:
    first = f"{results[0].source}: {results[0].reason}"
    return first if len(results) == 1 else f"none of {len(results)} images can be read ({first})"


def _add_problems(app: FastAPI) -> None:
    """Answer every error by `Problem`: one sentence, without a traceback or a path."""

    @app.exception_handler(RequestError)
    async def refused(request: Request, error: RequestError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, 422)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        message = f"an error of the service; its log has it as {request.state.request_id}"
        return JSONResponse({"error": message}, 500)
