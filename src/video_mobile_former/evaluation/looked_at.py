"""Pictures of what the tokens look at in some clips of an evaluation."""

from __future__ import annotations

import base64
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..clip_spec import ClipSpec
from ..data.index.index import ClipIndex
from ..data.video.backend import Reading
from ..errors import UserError, VideoError
from ..inference.attention import attention_of, check_tokens
from ..inference.attention_pictures import attention_sheet
from .clip_results import ClipResult

OF_EACH = 2
"""Clips that were recognised, and clips that were not."""


@dataclass(frozen=True)
class LookedAt:
    """A clip with the attention of each token over it."""

    name: str
    true: str
    predicted: str
    score: float
    picture: str
    """Base64 of a JPEG file, some 30 kB."""


def looked_at(
    model: Any,
    spec: ClipSpec,
    clips: Sequence[ClipResult],
    index: ClipIndex,
    reading: Reading | None,
) -> tuple[LookedAt, ...]:
    """What the tokens look at in the most confident errors and the most confident right answers.

    Args:
        model: The model that was measured; none without tokens gives any.
        spec: How frames were sampled.
        clips: Result of every clip of ``index``.
        index: The clips.
        reading: As for the evaluation.

    Returns:
        At most :data:`OF_EACH` of each, errors first; a clip that cannot be read is omitted.
    """
    if importlib.util.find_spec("PIL") is None:
        return ()
    try:
        check_tokens(model)
    except UserError:
        return ()
    found: list[LookedAt] = []
    for right in (False, True):
        places = [i for i, one in enumerate(clips) if (one.true == one.predicted) == right]
        places.sort(key=lambda i: -clips[i].score)
        for i in places[:OF_EACH]:
            picture = _picture(model, spec, index, i, reading)
            if picture is not None:
                one = clips[i]
                found.append(LookedAt(one.name, one.true, one.predicted, one.score, picture))
    return tuple(found)


def _picture(
    model: Any, spec: ClipSpec, index: ClipIndex, i: int, reading: Reading | None
) -> str | None:
    clip = index.clips[i]
    try:
        seen = attention_of(
            model,
            clip.path,
            spec=spec,
            reading=reading,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            offset=clip.offset,
            size=clip.size,
        )
    except VideoError:
        return None
    content = io.BytesIO()
    attention_sheet(seen, side=96).save(content, "JPEG", quality=80)
    return base64.b64encode(content.getvalue()).decode("ascii")
