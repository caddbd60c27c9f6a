"""The specification of procedural video: plain data for recipes and JSON files."""

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
"""The families of classes that clips are of unless others are named, in the order of class
numbers."""

STREAM_FAMILIES: tuple[str, ...] = ("recall", "background")
"""Families for streams, to be named: what is asked at the end of a long clip, and nothing at all.
Their classes follow those of :data:`FAMILIES`."""

ALL_FAMILIES: tuple[str, ...] = (*FAMILIES, *STREAM_FAMILIES)

GENERATOR = 2
"""Raised whenever the same spec and seed would give other pictures; part of a cache's name."""

FRAMES_OF_EVENTS = {"order": 8, "long_range": 8, "recall": 24}
"""Fewest frames at which no event falls between two of them; with fewer, some classes can be
identical to the pixel."""

_LATER = ("classes", "actor_size", "background_contrast")
"""Fields added later: not written at their defaults, so that older folders and runs stay valid."""
_SHARES = ("motion_blur", "clutter", "occluders", "blips", "background_motion", "illumination")
_STRENGTHS = ("contrast", "background_contrast")


@dataclass(frozen=True)
class Target:
    """A dense target: a property of a clip besides its class."""

    kind: Literal["regression", "classification"]
    width: int
    """Numbers per clip (regression) or classes (classification)."""


@dataclass(frozen=True)
class ProceduralSpec:
    """What the clips show and how hard they are.

    Args:
        families: Names from :data:`ALL_FAMILIES`; their classes are those of the clips.
        num_frames: Frames T, at least 4. Motions cover the same distance for any T; events need 8,
            see :data:`FRAMES_OF_EVENTS`.
        size: Height and width in pixels, 32 or more, even.
        motion_blur: Share of clips with motion blur, 0 to 1. A blurred frame shows the axis of its
            motion: use 0 where single frames must not reveal the class.
        clutter: Probability of each of two small objects with unrelated motion, 0 to 1.
        occluders: Share of clips with a still object in front, 0 to 1.
        blips: Share of clips in which something unrelated appears for a single frame, 0 to 1.
        background_motion: Strength of background motion where the camera is not the class, 0 to 1.
        illumination: Strength of light changes, 0 to 1.
        contrast: Difference in brightness of objects and background, 0 to 1.
        speed: Factor on distances moved, 0.25 to 2; less is harder.
        body_size: Smallest size of stick bodies, as a share of their full size, 0.25 to 1.
        classes: Only these classes of the families; () for all.
        actor_size: Factor on the size of actors, 0.5 to 2.5; not of stick bodies.
        background_contrast: Strength of the background's pattern, from 0 (one dark colour) to 1.

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
        object.__setattr__(self, "families", names)  # JSON gives a list
        object.__setattr__(self, "classes", tuple(self.classes))
        for name in names:
            if name not in ALL_FAMILIES:
                raise UserError(f"family {name!r} is unknown{known_names(name, ALL_FAMILIES)}")
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
        """The values as JSON data; fields added later only where they are not at their default."""
        lists = {"families": list(self.families), "classes": list(self.classes)}
        values = {**dataclasses.asdict(self), **lists}
        later = {f.name: f.default for f in dataclasses.fields(self) if f.name in _LATER}
        return {k: v for k, v in values.items() if k not in later or v not in (later[k], [])}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ProceduralSpec:
        """Rebuild from :meth:`to_dict`.

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
