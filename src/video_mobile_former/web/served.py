"""The models of a service: their names, and what callers are told of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError, known_names
from ..inference.attention import check_tokens
from ..inference.find import thresholds_of
from ..inference.scorer import Precision
from ..inference.stream import StreamPredictor
from ..profiling.cost import known_cost
from ..text import encodable

_NAMED = re.compile(r"([\w.-]{1,64})=(.+)", re.DOTALL)
_COMMON = ("best", "last", "model", "checkpoint")
"""Names of folders that say nothing of the model in them."""


@dataclass(frozen=True)
class ServedModel:
    """A model that callers may ask for."""

    name: str
    predictor: StreamPredictor
    """Scores windows, and by its ``scorer`` clips; used by the model thread alone."""
    parameters: int
    macs_per_view: int
    thresholds: Mapping[str, tuple[float, float]]
    """Of classes, that the checkpoint brings along."""
    has_attention: bool

    @property
    def num_classes(self) -> int:
        """Scores of a clip."""
        return self.predictor.num_classes

    def label(self, number: int) -> str:
        """The name of a class."""
        return encodable(self.predictor.label(number))

    def to_dict(self) -> dict[str, Any]:
        """What ``/v1/models`` says of it."""
        clip = self.predictor.clip
        return {
            "name": self.name,
            "classes": [self.label(number) for number in range(self.num_classes)],
            "multi_label": self.predictor.multi_label,
            "streaming": self.predictor.is_streaming,
            "attention": self.has_attention,
            "clip": {
                "frames": clip.num_frames,
                "size": clip.crop_size,
                "seconds": round(self.predictor.window_seconds, 6),
                "crop": clip.crop_size / clip.resize_size,
            },
            "parameters": self.parameters,
            "macs_per_view": self.macs_per_view,
        }


def serve_model(
    name: str,
    model: Any,
    *,
    device: str = "auto",
    precision: Precision = "32",
    window_seconds: float | None = None,
    stride_seconds: float | None = None,
    batch_size: int | None = None,
) -> ServedModel:
    """Make a loaded model ready.

    Args:
        name: What callers call it.
        model: See :class:`~..inference.scorer.Scorer`.
        device: ``"auto"`` or a name torch knows.
        precision: ``"32"`` or ``"bf16"``.
        window_seconds: See :class:`~..inference.stream.StreamPredictor`.
        stride_seconds: Likewise.
        batch_size: Likewise.

    Raises:
        UserError: If it cannot run as asked.
    """
    predictor = StreamPredictor(
        model,
        device=device,
        precision=precision,
        window_seconds=window_seconds,
        stride_seconds=stride_seconds,
        batch_size=batch_size,
    )
    clip = predictor.clip
    shape = (1, 3, clip.num_frames, clip.crop_size, clip.crop_size)
    parameters, macs = known_cost(model, shape)
    try:
        check_tokens(predictor.scorer.model)
        has_attention = True
    except UserError:
        has_attention = False
    thresholds = thresholds_of(model.info, model.class_names, name)
    return ServedModel(name, predictor, parameters, macs, thresholds, has_attention)


def split_names(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Names and places of models as typed: ``runs/fight/best``, or ``fight=runs/7/best``.

    Returns:
        Distinct names, each with what is to be loaded.

    Raises:
        UserError: If a name stands twice.
    """
    found: list[tuple[str, str]] = []
    for text in texts:
        match = _NAMED.fullmatch(text)
        name, place = ("", text) if match is None or Path(text).exists() else (match[1], match[2])
        taken = {other for other, _ in found}
        if name in taken:
            raise UserError(f"two models have the name {name}")
        found.append((name or _distinct(_usual_name(place), taken), place))
    return found


def choose(models: Sequence[ServedModel], name: str | None) -> ServedModel:
    """The model of a name; the first one where none is given.

    Raises:
        UserError: If there is none of that name.
    """
    if name is None or name == "":
        return models[0]
    for model in models:
        if model.name == name:
            return model
    known = known_names(name, [model.name for model in models])
    raise UserError(f"model: there is no {name[:100]!r} here{known}")


def _usual_name(place: str) -> str:
    path = Path(place)
    parts = (path.stem if path.is_file() else path.name, path.parent.name)
    best = next((part for part in parts if part and part not in _COMMON), parts[0])
    return re.sub(r"[^\w.-]+", "-", best).strip("-.")[:64] or "model"


def _distinct(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found
