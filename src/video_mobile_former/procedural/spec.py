"""What procedural video shows: plain data that goes into a recipe or a file as JSON."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import UserError, known_names

FAMILIES: tuple[str, ...] = (
    "motion",
    "camera",
    "periodic",
    "order",
    "interaction",
    "limbs",
    "long_range",
)
"""The families of classes, in the order in which their classes are numbered."""

GENERATOR = 2
"""Raised whenever the same spec and seed would give other pictures: part of the name of a cache."""

FRAMES_OF_EVENTS = {"order": 8, "long_range": 8}
"""Frames without which an event may fall between two of them; some classes are then alike to the
pixel."""

_LATER = ("classes", "actor_size", "background_contrast")
"""Fields that came later: not written at their defaults, so that older folders and runs go on."""
_SHARES = ("motion_blur", "clutter", "occluders", "blips", "background_motion", "illumination")
_STRENGTHS = ("contrast", "background_contrast")


@dataclass(frozen=True)
class Target:
    """A dense target: something true of a clip beside its class."""

    kind: Literal["regression", "classification"]
    width: int
    """Numbers a clip (regression) or classes (classification)."""


@dataclass(frozen=True)
class ProceduralSpec:
    """What is shown and how hard it is.

    Args:
        families: Names out of :data:`FAMILIES`; their classes are those of the clips.
        num_frames: Frames T, at least 4. Motions cover the same way whatever T is; events need 8,
            see :data:`FRAMES_OF_EVENTS`.
        size: Height and width in pixels, 32 or more, even.
        motion_blur: Share of clips with an open shutter, 0 to 1. A blurred frame shows the axis of
            its motion: take 0 where single frames shall say nothing of the class.
        clutter: Chance of each of two small objects that go ways of their own, 0 to 1.
        occluders: Share of clips with a still object in front, 0 to 1.
        blips: Share of clips in which something unrelated shows up for a single frame, 0 to 1.
        background_motion: How much the background moves of itself where the camera is not the
            class, 0 to 1.
        illumination: How much the light changes, 0 to 1.
        contrast: How much objects differ from the background in brightness, 0 to 1.
        speed: Factor on how far things go, 0.25 to 2; less is harder.
        body_size: Stick bodies are so large or larger, as part of their full size, 0.25 to 1.
        classes: Only these classes of the families; () for all.
        actor_size: Factor on the size of what moves, 0.5 to 2.5; stick bodies have their own.
        background_contrast: How strong the pattern of the background is, 0 for one dark colour to
            1.

    Raises:
        UserError: If a value is out of its range.
    """

    families: tuple[str, ...] = FAMILIES
    num_frames: int = 8
    size: int = 112
    motion_blur: float = 0.15
    clutter: float = 0.5
    occluders: float = 0.2
    blips: float = 0.5
    background_motion: float = 0.5
    illumination: float = 0.5
    contrast: float = 0.6
    speed: float = 1.0
    body_size: float = 1.0
    classes: tuple[str, ...] = ()
    actor_size: float = 1.0
    background_contrast: float = 1.0

    def __post_init__(self) -> None:
        names = tuple(self.families)
        object.__setattr__(self, "families", names)  # a list, as JSON gives it, will do
        object.__setattr__(self, "classes", tuple(self.classes))
        for name in names:
            if name not in FAMILIES:
                raise UserError(f"family {name!r} is unknown{known_names(name, FAMILIES)}")
        if not names or len(set(names)) != len(names):
            raise UserError(f"families must name each family once, not {list(names)}")
        if self.num_frames < 4:
            raise UserError(f"num_frames must be >= 4 for motion to be seen, not {self.num_frames}")
        if self.size < 32 or self.size % 2:
            raise UserError(f"size must be even and >= 32, not {self.size}")
        for name in (*_SHARES, *_STRENGTHS):
            _check_range(name, getattr(self, name), 0.0, 1.0)
        _check_range("speed", self.speed, 0.25, 2.0)
        _check_range("body_size", self.body_size, 0.25, 1.0)
        _check_range("actor_size", self.actor_size, 0.5, 2.5)

    def to_dict(self) -> dict[str, Any]:
        """The values as JSON has them; of those that came later, only what is no default."""
        lists = {"families": list(self.families), "classes": list(self.classes)}
        values = {**dataclasses.asdict(self), **lists}
        later = {f.name: f.default for f in dataclasses.fields(self) if f.name in _LATER}
        return {k: v for k, v in values.items() if k not in later or v not in (later[k], [])}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ProceduralSpec:
        """Rebuild what :meth:`to_dict` gave.

        Raises:
            UserError: If a key is unknown or a value out of range.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise UserError(f"procedural video has no {key!r}; it has {', '.join(known)}")
        return cls(**values)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not (isinstance(value, (int, float)) and math.isfinite(value) and low <= value <= high):
        raise UserError(f"{name} must be between {low:g} and {high:g}, not {value!r}")
