"""The routes of the service."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import APIRouter, Query, Request, Response, WebSocket
from fastapi.responses import JSONResponse

from ..inference.events import EventSettings
from . import schemas
from .failures import GoneError
from .folder import Upload
from .jobs import Job
from .live import answer_stream
from .problems import ProblemError
from .receiving import Timing, json_of, receive_file
from .served import ServedModel, choose
from .service import Predicted, Service

T = TypeVar("T")
Model = Annotated[
    str | None, Query(description="Name of a model; the first of /v1/models without it.")
]
Share = Annotated[float | None, Query(ge=0, le=1)]
Seconds = Annotated[float | None, Query(ge=0, le=86400)]


def routes(service: Service) -> APIRouter:
    """The routes of one service."""
    router = APIRouter()
    limits = service.settings
    timing = Timing(limits.idle_seconds, limits.upload_seconds)

    @router.get("/health", tags=["state"])
    async def health() -> schemas.Status:
        """Whether the process lives."""
        return schemas.Status(status="ok")

    @router.get("/ready", tags=["state"], responses=schemas.problems(503))
    async def ready() -> schemas.Status:
        """Whether requests are taken."""
        if not service.is_ready:
            raise ProblemError(503, "the service is ending", name="ending", retry_seconds=10)
        return schemas.Status(status="ok")

    @router.get("/metrics", tags=["state"], response_class=Response)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        service.metrics.folder_bytes.set(service.folder.taken)
        return Response(service.metrics.text(), media_type=service.metrics.content_type)

    @router.get("/v1/models", tags=["models"], responses=schemas.problems(401))
    async def models() -> schemas.Models:
        """What can be asked."""
        found = [model.to_dict() for model in service.models]
        most = {"bytes": limits.max_bytes, "seconds": limits.max_seconds}
        return schemas.Models.model_validate({"models": found, "limits": most})

    @router.post(
        "/v1/predict",
        tags=["videos"],
        response_model=schemas.Prediction,
        responses=schemas.problems(400, 401, 408, 413, 415, 422, 429, 503),
        openapi_extra=schemas.with_address(),
    )
    async def predict(
        request: Request,
        model: Model = None,
        top_k: Annotated[int, Query(ge=1, le=100_000, description="Classes to return.")] = 5,
        num_views: Annotated[int, Query(ge=1, description="Clips spread over the video.")] = 1,
    ) -> Response:
        """Name the action in a video."""
        chosen = choose(service.models, model)
        if num_views > limits.max_views:
            raise ProblemError(422, f"num_views: at most {limits.max_views} here, not {num_views}")
        with service.places.take(_caller(request)), service.folder.upload() as upload:
            name = await _receive(service, request, timing, upload)
            work = service.predict(chosen, upload.path, name, num_views)
            found = await _while_there(request, work)
        total = time.monotonic() - request.scope["vmf_begun"]
        return JSONResponse(_prediction(chosen, found, top_k, num_views, total))

    @router.post(
        "/v1/events",
        tags=["videos"],
        status_code=202,
        response_model=schemas.JobState,
        responses=schemas.problems(400, 401, 408, 413, 415, 422, 429, 503),
        openapi_extra=schemas.with_address(),
    )
    async def events(
        request: Request,
        model: Model = None,
        on: Share = None,
        off: Share = None,
        min_seconds: Seconds = None,
        merge_seconds: Seconds = None,
        attention: bool = False,
    ) -> Response:
        """Find what happens when in a video: a job, to be asked for at its address."""
        chosen = choose(service.models, model)
        given: dict[str, Any] = {
            "on": on,
            "off": off,
            "min_seconds": min_seconds,
            "merge_seconds": merge_seconds,
        }
        settings = EventSettings(**{name: v for name, v in given.items() if v is not None})
        if attention and not chosen.has_attention:
            text = f"attention: the model {chosen.name} has no tokens that can be shown"
            raise ProblemError(422, text)
        with (
            service.places.take(_caller(request)),
            service.jobs.room(),
            contextlib.ExitStack() as kept,
        ):
            upload = kept.enter_context(service.folder.upload())
            name = await _receive(service, request, timing, upload)
            thresholds = {} if on is not None or off is not None else chosen.thresholds
            path = str(upload.path)
            job = Job(chosen, settings, thresholds, attention, name, path, kept.pop_all())
            service.jobs.add(job, service.bounds(limits.job_seconds))
        told = service.jobs.seen(job)
        return JSONResponse(told, 202, {"Location": f"/v1/jobs/{job.id}"})

    @router.get(
        "/v1/jobs/{number}",
        tags=["videos"],
        response_model=schemas.JobState,
        responses=schemas.problems(401, 404),
    )
    async def job(number: str) -> Response:
        """How far a job is, and its result."""
        return JSONResponse(service.jobs.seen(service.jobs.get(number)))

    @router.delete(
        "/v1/jobs/{number}", tags=["videos"], status_code=204, responses=schemas.problems(401, 404)
    )
    async def cancel(number: str) -> Response:
        """Cancel a job, or forget one that is done."""
        service.jobs.delete(number)
        return Response(status_code=204)

    @router.websocket("/v1/stream")
    async def stream(websocket: WebSocket, model: str | None = None) -> None:
        await answer_stream(websocket, service, lambda: choose(service.models, model))

    return router


async def _receive(service: Service, request: Request, timing: Timing, upload: Upload) -> str:
    """Write the video in a request, or at the address in it, to a file; its name."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        name = await receive_file(request, timing, upload)
    else:
        body = await json_of(request, timing)
        if not isinstance(body, dict) or set(body) != {"url"} or not isinstance(body["url"], str):
            raise ProblemError(422, 'the body must be {"url": "https://…"}', name="wrong-input")
        name = await _while_there(request, _fetch(service, body["url"], timing, upload))
    service.metrics.upload_bytes.inc(upload.size)
    return name


async def _fetch(service: Service, url: str, timing: Timing, upload: Upload) -> str:
    stop = threading.Event()
    fetching = service.fetch_threads.submit(service.fetcher.fetch, url, timing, upload, stop)
    try:
        return await asyncio.wrap_future(fetching)
    finally:
        stop.set()
        # The file is deleted next: whoever writes it must have ended.
        while not fetching.done():
            await asyncio.sleep(0.05)


async def _while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, which is given up when the caller hangs up."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise GoneError
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _caller(request: Request) -> str:
    return request.client.host if request.client else ""


def _prediction(
    model: ServedModel, found: Predicted, top_k: int, num_views: int, total: float
) -> dict[str, Any]:
    scores = found.probabilities
    best = np.argsort(-scores, kind="stable")[:top_k]
    return {
        "model": model.name,
        "duration_seconds": round(found.duration_seconds, 3),
        "predictions": [
            {"label": model.label(int(n)), "score": round(float(scores[n]), 6)} for n in best
        ],
        "cost": {
            "macs_per_view": model.macs_per_view,
            "views": num_views,
            "macs_total": model.macs_per_view * num_views,
        },
        "timings": {
            "waiting_ms": round(found.waiting_seconds * 1000, 2),
            "decode_ms": round(found.decode_seconds * 1000, 2),
            "model_ms": round(found.model_seconds * 1000, 2),
            "total_ms": round(total * 1000, 2),
        },
    }
