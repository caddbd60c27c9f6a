"""Checking a video stored as a folder of numbered pictures."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame

from ...errors import VideoError
from ..video.backend import Reading
from ..video.picture import Converter
from ..video.picture_folder import FrameFolder, picture_names
from .facts import FileFacts, FileTask
from .pictures import (
    SHORT_SIDE,
    Pictures,
    UnusableFile,
    pictured,
    places_to_keep,
    seen_through,
    shown,
)


class _Noting(Converter):
    """Converts frames to pixels, and records facts about them."""

    def __init__(self, seen: Pictures):
        super().__init__(SHORT_SIDE, enlarge=False)
        self._seen = seen

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        self._seen.add(frame)
        return super().__call__(frame)


def inspect_folder(task: FileTask, facts: FileFacts, alive: Callable[[], None]) -> FileFacts:
    """Decode the pictures of a folder and return its facts.

    Args:
        task: The folder; without ``full`` only its first and middle picture are decoded.
        facts: The facts known so far.
        alive: Called whenever the work has made progress.

    Raises:
        UnusableFile: If a picture cannot be read, or there is none.
    """
    path = task.key.path
    try:
        source = FrameFolder(path, Reading().frame_rate)
    except VideoError as error:
        raise UnusableFile("unreadable", error.reason, facts) from error
    table = source.read_table()
    num_frames = len(table.pts)
    rate = float(1 / source.base)
    facts = dataclasses.replace(
        facts,
        frames=num_frames,
        header_frames=_numbered(picture_names(path)),
        duration_seconds=num_frames / rate,
        step_seconds=1 / rate,
        longest_step_seconds=1 / rate,
    )
    seen = Pictures()
    convert = _Noting(seen)
    moving = task.moving and task.full
    kept = places_to_keep(num_frames, num_frames / rate if moving else None)
    for rank in range(num_frames) if task.full else sorted({0, num_frames // 2}):
        try:
            picture = source.pictures(np.array([rank]), table, convert)[0]
        except VideoError as error:
            which = Path(error.path).name
            raise UnusableFile(
                "truncated", f"{which}: {error.reason}", pictured(facts, seen)
            ) from error
        if rank in kept:
            seen.kept[rank] = picture
        alive()
    facts = dataclasses.replace(pictured(facts, seen), codec=source.codec, bits=8)
    facts = shown(facts, task, seen)
    return seen_through(facts, seen) if task.full else facts


def _numbered(names: list[str]) -> int:
    """Number of pictures if the numbers in the names had no gaps; 0 if unknown."""
    found = [re.findall(r"\d+", Path(name).stem) for name in names]
    if not all(found):
        return 0
    numbers = sorted(int(digits[-1]) for digits in found)
    if len(set(numbers)) < len(numbers):
        return 0
    return numbers[-1] - numbers[0] + 1
