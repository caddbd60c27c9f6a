"""Facts gathered while the frames of a video are decoded one by one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from av.video.frame import VideoFrame

from ..video.moving import moving_places, moving_webp
from ..video.picture import displayed_width, jpeg
from . import content
from .facts import FileFacts, FileTask

SHORT_SIDE = 96
"""Size in pixels to which frames are scaled before they are compared or shown."""


class UnusableFile(Exception):  # noqa: N818 - an outcome, not a defect
    """The file is unusable; carries the facts known so far."""

    def __init__(self, kind: str, reason: str, facts: FileFacts | None = None):
        self.kind, self.reason, self.facts = kind, reason, facts
        super().__init__(reason)


@dataclass
class Pictures:
    """Facts gathered while a file is decoded from its start."""

    packets: int = 0
    decoded: int = 0
    corrupt: int = 0
    rotation: int = 0
    """Rotation of the first frame in degrees."""
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Distinct sizes, in order of appearance."""
    kept: dict[int, np.ndarray] = field(default_factory=dict)
    """``(H, W, 3)`` uint8 of the requested frames, by position."""
    unreadable: int = 0
    """Packets that the decoder refused."""
    failed: bool = False
    """The container broke off."""

    def add(self, frame: VideoFrame) -> None:
        """Count one more frame."""
        if not self.sizes:
            self.rotation = frame.rotation
        if (frame.width, frame.height) not in self.sizes:
            self.sizes.append((frame.width, frame.height))
        self.decoded += 1
        self.corrupt += frame.is_corrupt

    def thumbnail(self, num_frames: int) -> str:
        """Base64 of a JPEG file of the middle frame, or of the last frame before it."""
        return jpeg(self.kept.get(num_frames // 2, self.kept[max(self.kept)]))

    def moving(self, num_frames: int, seconds: float) -> str:
        """Base64 of an animated WebP file; empty where only one of its frames decoded."""
        places = [k for k in moving_places(num_frames, seconds).tolist() if k in self.kept]
        return moving_webp([self.kept[place] for place in places], seconds)


def places_to_keep(num_frames: int, seconds: float | None = None) -> set[int]:
    """Positions of the frames for comparing and showing a video.

    Args:
        num_frames: Of the video.
        seconds: Its length, where a small clip is made of it.
    """
    places = {*content.moments(num_frames).tolist(), num_frames // 2}
    return places if seconds is None else {*places, *moving_places(num_frames, seconds).tolist()}


def shown(facts: FileFacts, task: FileTask, seen: Pictures) -> FileFacts:
    """The facts with the pictures that the task asks for."""
    if task.thumbnail and seen.kept:
        facts = dataclasses.replace(facts, thumbnail=seen.thumbnail(facts.frames))
        if task.moving:
            moving = seen.moving(facts.frames, facts.duration_seconds)
            facts = dataclasses.replace(facts, moving=moving)
    return facts


def pictured(facts: FileFacts, seen: Pictures) -> FileFacts:
    """The facts with those of the decoded frames."""
    if not seen.sizes:
        return facts
    width, height = seen.sizes[0]
    width = displayed_width(width, facts.pixel_shape)
    if abs(seen.rotation) == 90:
        width, height = height, width
    return dataclasses.replace(
        facts,
        decoded=seen.decoded,
        corrupt=seen.corrupt,
        unreadable=seen.unreadable,
        width=width,
        height=height,
        rotation=seen.rotation,
        picture_sizes=len(seen.sizes),
    )


def seen_through(facts: FileFacts, seen: Pictures) -> FileFacts:
    """The facts with a signature, if every frame that it needs was decoded."""
    places = content.moments(facts.frames).tolist()
    if not seen.kept.keys() >= set(places):
        return facts  # fewer frames than packets: positions are uncertain, so do not compare
    grids = [content.brightness_grid(seen.kept[place]) for place in places]
    return dataclasses.replace(facts, signature=content.pack_signature(grids))
