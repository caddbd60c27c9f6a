"""What answers look like, with examples, for the OpenAPI description."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Status(BaseModel):
    """Whether the service lives, or takes requests."""

    status: Literal["ok", "starting", "ending"]


class Clip(BaseModel):
    """What a model takes."""

    frames: int
    size: int
    """Height and width in pixels."""
    seconds: float
    """Length of a window of a longer video."""
    crop: float
    """Side of the square in the middle that it sees, as a share of the picture's short side."""


class Model(BaseModel):
    """A model."""

    name: str
    classes: list[str]
    multi_label: bool
    """Several classes may hold at once: scores need not sum to 1."""
    streaming: bool
    """It keeps a state from frame to frame."""
    attention: bool
    """What its tokens look at can be shown."""
    clip: Clip
    parameters: int
    macs_per_view: int
    """Multiply-accumulates of one clip."""


class Limits(BaseModel):
    """What an upload may be."""

    bytes: int
    seconds: float
    """Length of the video."""


class Models(BaseModel):
    """All models; the first is the default."""

    models: list[Model]
    limits: Limits


class Label(BaseModel):
    """A class and its score in [0, 1]."""

    label: str
    score: float


class Cost(BaseModel):
    """Multiply-accumulates."""

    macs_per_view: int
    views: int
    macs_total: int


class Timings(BaseModel):
    """Milliseconds."""

    waiting_ms: float
    """For a process that reads and for the model."""
    decode_ms: float
    model_ms: float
    """Of the pass in which its clips were, perhaps with others."""
    total_ms: float
    """From the head of the request, the upload included."""


class Prediction(BaseModel):
    """What is in a video."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": "fight",
                "duration_seconds": 4.96,
                "predictions": [
                    {"label": "fight", "score": 0.914203},
                    {"label": "no fight", "score": 0.085797},
                ],
                "cost": {"macs_per_view": 21000000, "views": 1, "macs_total": 21000000},
                "timings": {
                    "waiting_ms": 1.2,
                    "decode_ms": 18.4,
                    "model_ms": 9.7,
                    "total_ms": 33.1,
                },
            }
        }
    )

    model: str
    duration_seconds: float
    predictions: list[Label]
    cost: Cost
    timings: Timings


class Address(BaseModel):
    """A video that the service fetches, from a host that its operator allows."""

    model_config = ConfigDict(json_schema_extra={"example": {"url": "https://media.lan/clip.mp4"}})

    url: str


class Window(BaseModel):
    """Scores of a part of a video, one for each of ``labels``."""

    start_seconds: float
    end_seconds: float
    scores: list[float]


class FoundEvent(BaseModel):
    """Something that happens."""

    label: str
    start_seconds: float
    end_seconds: float
    score: float


class Attention(BaseModel):
    """Where the tokens of the model look."""

    tokens: int
    rows: int
    columns: int
    times: list[float]
    """Seconds."""
    crop: float
    """Side of the square in the middle that the maps cover, as a share of the short side."""
    maps: str
    """Base64 of uint8 ``[times][tokens][rows][columns]``, each map scaled to its own maximum."""


class Result(BaseModel):
    """What happens when in a video."""

    model: str
    duration_seconds: float
    labels: list[str]
    """Those that score highest in any window, 20 at most."""
    windows: list[Window]
    predictions: list[Label]
    """By the mean over windows."""
    events: list[FoundEvent]
    attention: Attention | None


class ProblemDetails(BaseModel):
    """An error, RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:video-mobile-former:unreadable-video",
                "title": "Unprocessable Content",
                "status": 422,
                "detail": "clip.mp4: not a video file but text",
            }
        }
    )

    type: str
    title: str
    status: int
    detail: str


class JobState(BaseModel):
    """How far a job is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "mWKw9cGqeSsr2QXAB0vYhQ",
                "state": "running",
                "progress": 0.42,
                "seconds_left": 3.1,
                "result": None,
                "problem": None,
            }
        }
    )

    id: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    progress: float
    """From 0 to 1."""
    seconds_left: float | None
    result: Result | None
    problem: ProblemDetails | None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The entries of errors in the description of a route."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    words = {
        400: "The form cannot be read",
        401: "The token is missing or wrong",
        404: "There is no such job",
        408: "The upload came too slowly",
        413: "The upload is too large",
        415: "The body is of another type",
        422: "The video cannot be read, or a value is wrong",
        429: "This address has too many requests at once; see Retry-After",
        503: "The service has too much to do or is ending; see Retry-After",
    }
    return {
        status: {
            "description": words[status],
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in statuses
    }


UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
"""Of a route that takes a video."""


def with_address() -> dict[str, Any]:
    """:data:`UPLOAD_BODY` of a route that takes an address as well."""
    content = dict(UPLOAD_BODY["requestBody"]["content"])
    content["application/json"] = {"schema": {"$ref": "#/components/schemas/Address"}}
    return {"requestBody": {"required": True, "content": content}}
