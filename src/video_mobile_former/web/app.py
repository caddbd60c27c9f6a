"""The ASGI application: routes, page, problems and what stands before them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from ..version import __version__
from . import schemas
from .api import routes
from .failures import GoneError
from .guards import Guard
from .problems import ProblemError, answer_with_problems
from .service import Service

STATIC = Path(__file__).with_name("static")
_FORM_BYTES = 64 << 10
"""Of a form around a video."""


def make_app(
    service: Service, *, token: str | None = None, host_names: Sequence[str] | None = None
) -> Guard:
    """The application of a service.

    Args:
        service: Has been started.
        token: What callers must know; None lets everybody ask.
        host_names: Names by which it may be called, beside addresses; None allows any.
    """
    app = FastAPI(
        title="Video Mobile-Former",
        summary="Recognises actions in video.",
        version=__version__,
        # Their pages load scripts of other hosts.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    answer_with_problems(app)
    app.include_router(routes(service))

    async def hung_up(request: Request, error: Exception) -> Response:
        return Response(status_code=499)

    app.add_exception_handler(GoneError, hung_up)

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        if not (STATIC / "index.html").is_file():
            raise ProblemError(404, "this installation has no page")
        return FileResponse(STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")
    _describe(app)
    return Guard(
        app,
        metrics=service.metrics,
        token=token,
        host_names=host_names,
        max_bytes=service.settings.max_bytes + _FORM_BYTES,
    )


def _describe(app: FastAPI) -> None:
    """Add what routes only refer to to the OpenAPI description."""
    plain = app.openapi

    def openapi() -> dict[str, object]:
        if app.openapi_schema is None:
            description = plain()
            known = description.setdefault("components", {}).setdefault("schemas", {})
            for schema in (schemas.ProblemDetails, schemas.Address):
                found = schema.model_json_schema()
                known.setdefault(schema.__name__, found)
            for name in ("HTTPValidationError", "ValidationError"):
                known.pop(name, None)
            for route in description["paths"].values():
                for method in route.values():
                    answer = method["responses"].get("422", {}).get("content", {})
                    if "application/json" in answer:  # FastAPI's own, which is never given
                        del method["responses"]["422"]
        return app.openapi_schema or {}

    app.openapi = openapi
