"""Problems of clips that follow from the facts of their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np

from ..index.clip import Clip
from ..index.listing import is_utf8
from ..suffixes import VIDEO_SUFFIXES
from .content import MOMENTS, unpack_signature
from .facts import FileFacts
from .problems import Problem, problem

_LONGEST_SECONDS = 12 * 3600.0
_FRAME_RATES = (1.0, 480.0)
"""Plausible range for films of people."""
_FEW_IRREGULAR = 0.01
"""Largest share of irregular steps of a constant frame rate: dropped frames are common."""
_BLANK, _STILL = 2.0, 2
"""Levels of brightness, of 255: largest spread over a video of one colour, and largest change at
any position of a still video. Compression alone changes less."""

_USUAL_CONTAINERS = {
    ".mp4": "mov", ".m4v": "mov", ".mov": "mov", ".qt": "mov", ".3gp": "mov", ".3g2": "mov",
    ".mkv": "matroska", ".webm": "matroska", ".avi": "avi", ".divx": "avi", ".flv": "flv",
    ".wmv": "asf", ".asf": "asf", ".gif": "gif", ".ts": "mpegts", ".m2ts": "mpegts",
    ".mts": "mpegts", ".mpg": "mpeg", ".mpeg": "mpeg", ".vob": "mpeg", ".ogv": "ogg",
    ".ogg": "ogg", ".ogm": "ogg",
}  # fmt: skip
"""Prefix of FFmpeg's name of the container."""


def problems_of(clip: Clip, facts: FileFacts) -> Iterator[Problem]:
    """Yield the problems of a clip.

    Args:
        clip: The clip.
        facts: The facts of its file.
    """
    name = clip.name or clip.path
    if facts.fault:
        yield problem(facts.fault, name, facts.reason)
        return
    if facts.frames < 2 or facts.duration_seconds <= 0:
        what = "a single frame" if facts.frames < 2 else "all frames at the same time"
        yield problem("zero duration", name, what)
        return
    empty = _empty_part(clip, facts)
    if empty:
        yield problem("empty part", name, empty)
    for kind, text in (
        ("damaged pictures", _damage(facts)),
        ("fewer frames", _fewer_frames(facts)),
        ("time stamps", facts.clock),
        ("absurd duration", _absurdity(facts)),
        ("wrong extension", _other_container(name, facts)),
        ("high dynamic range", _dynamic_range(facts)),
        ("size changes", f"{facts.picture_sizes} sizes" if facts.picture_sizes > 1 else ""),
        ("more than 8 bits", f"{facts.bits} bits, {facts.pixel_format}" * (facts.bits > 8)),
        ("variable frame rate", _variable_rate(facts)),
        ("pixel shape", _pixels(facts)),
        ("rotated", f"turned by {abs(facts.rotation)}°" if facts.rotation else ""),
    ):
        if text:
            yield problem(kind, name, text)
    yield from _looks(name, facts)


def odd_name(name: str) -> str:
    """What is unusual about a name; empty if nothing is."""
    if not is_utf8(name):
        return "the name is not UTF-8"
    if not name.isprintable():
        return "the name has unprintable characters"
    return ""


def is_video_name(name: str) -> bool:
    """Whether a name has the suffix of a video."""
    return PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def _empty_part(clip: Clip, facts: FileFacts) -> str:
    start, end = clip.start_seconds or 0.0, clip.end_seconds
    last = facts.first_seconds + facts.duration_seconds - facts.step_seconds
    tick = 1e-3
    if start > last + tick:
        return f"starts at {start:g} s, but the last frame is at {last:.2f} s"
    if end is not None and end <= facts.first_seconds + tick:
        return f"ends at {end:g} s, before the first frame at {facts.first_seconds:.2f} s"
    return ""


def _damage(facts: FileFacts) -> str:
    if facts.unreadable:
        return f"{facts.unreadable} cannot be decoded; the one before stands for each"
    return f"{facts.corrupt} of {facts.decoded} are damaged" if facts.corrupt else ""


def _pixels(facts: FileFacts) -> str:
    shape = facts.pixel_shape
    return "" if shape == 1 else f"pixels {shape:.3g} times as wide as high"


def _fewer_frames(facts: FileFacts) -> str:
    announced = max(facts.header_frames, facts.frames)
    present = min(facts.frames, facts.decoded) if facts.full else facts.frames
    return f"{announced} announced, {present} decoded" if present < announced else ""


def _absurdity(facts: FileFacts) -> str:
    length, rate = facts.duration_seconds, facts.frame_rate
    if length > _LONGEST_SECONDS:
        return f"{length / 3600:.1f} hours"
    low, high = _FRAME_RATES
    if not low <= rate <= high:
        return f"{rate:.3g} frames a second"
    # Sound may go on after the pictures, but hardly ten times as long.
    if facts.header_seconds > max(10 * length, length + 10):
        return f"its header says {facts.header_seconds:.0f} s, its frames take {length:.2f} s"
    return ""


def _other_container(name: str, facts: FileFacts) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    usual = _USUAL_CONTAINERS.get(suffix)
    found = facts.container.split(",")[0]
    if not found:
        return ""
    if suffix and not is_video_name(name):
        return f"a {found} video, but its name ends in {suffix}"
    names = facts.container.split(",")
    if usual is not None and not any(other.startswith(usual) for other in names):
        return f"its content is {found}, but its name ends in {suffix}"
    return ""


def _dynamic_range(facts: FileFacts) -> str:
    if facts.transfer:
        return f"{facts.transfer}{', BT.2020 colours' if facts.wide_gamut else ''}"
    return "BT.2020 colours" if facts.wide_gamut else ""


def _variable_rate(facts: FileFacts) -> str:
    if facts.irregular_steps <= max(1, _FEW_IRREGULAR * facts.frames):
        return ""
    return (
        f"{facts.irregular_steps} of {facts.frames - 1} steps differ from the usual "
        f"{1000 * facts.step_seconds:.0f} ms, the longest is {facts.longest_step_seconds:.2f} s"
    )


def _looks(name: str, facts: FileFacts) -> Iterator[Problem]:
    if not facts.signature:
        return
    cells = unpack_signature(facts.signature).astype(np.float32)
    pictures = cells.reshape(MOMENTS, -1)
    if pictures.std() < _BLANK:
        yield problem("blank", name, f"one brightness all over, {cells.mean():.0f} of 255")
    elif np.ptp(pictures, axis=0).max() <= _STILL:
        text = f"no place changes its brightness by more than {_STILL} of 255"
        yield problem("still", name, text)
