"""Errors as RFC 9457 problems, with the sentence that the command line would print."""

from __future__ import annotations

import contextlib
import http
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from ..errors import UserError, VideoError
from ..text import encodable, printable
from .failures import StoppedError, WorkerDiedError

MEDIA_TYPE = "application/problem+json"
_LOG = logging.getLogger(__name__)


class ProblemError(Exception):
    """An answer that is no success.

    Args:
        status: Of HTTP.
        detail: One sentence: what was wrong, and what to do.
        name: Of the kind of problem, the end of its ``type``; empty where the status says it all.
        retry_seconds: When to try again, if that helps.
        headers: Further ones.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        name: str = "",
        retry_seconds: int | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(detail)
        self.status, self.name = status, name
        self.detail = encodable(printable(detail))
        self.headers = dict(headers or {})
        if retry_seconds is not None:
            self.headers["Retry-After"] = str(retry_seconds)

    def to_dict(self) -> dict[str, Any]:
        """The members of RFC 9457."""
        return {
            "type": f"urn:video-mobile-former:{self.name}" if self.name else "about:blank",
            "title": title(self.status),
            "status": self.status,
            "detail": self.detail,
        }

    def response(self) -> Response:
        """The answer."""
        return Response(
            json.dumps(self.to_dict(), ensure_ascii=False),
            self.status,
            self.headers,
            media_type=MEDIA_TYPE,
        )


def title(status: int) -> str:
    """What a status means, in the words of HTTP."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def of_error(error: Exception, name: str = "the video") -> ProblemError:
    """The problem that an error is; what nobody foresaw is logged and not shown.

    Args:
        error: Whatever was raised.
        name: Of the video, by the caller.
    """
    match error:
        case ProblemError():
            return error
        case VideoError():
            return ProblemError(422, f"{name}: {error.reason}", name="unreadable-video")
        case WorkerDiedError(timed_out=True):
            return ProblemError(422, f"{name}: {error}", name="unreadable-video")
        case WorkerDiedError():
            return ProblemError(500, f"{name}: {error}", name="worker-died")
        case StoppedError():
            return ProblemError(503, str(error), name="ending", retry_seconds=10)
        case UserError():
            return ProblemError(422, str(error), name="wrong-input")
    _LOG.error("an error that is a bug", exc_info=error)
    return ProblemError(500, "the service has a fault here; its log says more", name="fault")


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Turn what reading and scoring a video raise into problems that name it."""
    try:
        yield
    except Exception as error:  # what is no error of a video is logged by `of_error`
        raise of_error(error, name) from error


def answer_with_problems(app: FastAPI) -> None:
    """Turn every error of an application into a problem."""

    async def known(request: Request, error: Exception) -> Response:
        return of_error(error).response()

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = {404: "there is nothing here", 405: "this address takes another method"}
        text = detail.get(error.status_code, str(error.detail))
        return ProblemError(error.status_code, text, headers=error.headers).response()

    async def of_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return ProblemError(422, _first(error), name="wrong-input").response()

    app.add_exception_handler(ProblemError, known)
    app.add_exception_handler(UserError, known)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(Exception, known)


def _first(error: RequestValidationError) -> str:
    found = error.errors()[0]
    place = [str(part) for part in found["loc"] if part not in ("query", "path", "body")]
    message = str(found["msg"])
    return f"{'.'.join(place)}: {message[:1].lower()}{message[1:]}" if place else message
