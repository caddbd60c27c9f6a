"""Procedurally drawn clips whose class is *only* in the motion: data without a download.

A clip shows textured shapes over a moving background with moving clutter. The shapes all do one
of eight motions, and that motion is the class:

===========================  =====================================================
class                        what the shapes do
===========================  =====================================================
``move_left``                go to the left; leaving on one side, they enter on the other
``move_right``               go to the right
``move_up``                  go up
``move_down``                go down
``swing_horizontal``         go to the right and come back
``swing_vertical``           go down and come back
``zoom_in``                  grow; the largest fades away while a small one fades in
``zoom_out``                 shrink, the same in reverse
===========================  =====================================================

Why a single frame carries no class. A scene is drawn without knowing its motion (``scenes.py``).
What a motion may change – horizontal and vertical place, size – lives on circles: places wrap
around the edges of the picture, and sizes wrap too because a shape is invisible where the largest
size meets the smallest (the visual twin of a Shepard tone). A motion turns one of these circles as
time goes on, and the starting point on each is uniform. A uniform
point on a circle stays uniform when the circle is turned, so frame ``t`` has the same
distribution for every ``t`` and every class. Background and clutter move too, in directions drawn
with the scene. From equal random numbers even the first frames of all eight classes are equal,
pixel by pixel, and :func:`write_dataset` uses that: every scene is shown in all eight motions.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..console import track
from ..errors import UserError
from ..files import atomic_path
from .eight_motions_scene import Scene, draw_scene
from .folder import check_splits, make_room, write_index

# What one clip of speed 1 adds to (x, y, angle, size): widths of the picture to the right and
# downwards, turns clockwise as seen on the screen, and rounds of the size circle. A swing turns
# back half-way. Turning shapes were tried as classes: minutes of training do not tell the two
# directions apart (docs/lab-notes.md).
_TRAVEL: dict[str, tuple[float, float, float, float]] = {
    "move_down": (0.0, 0.6, 0.0, 0.0),
    "move_left": (-0.6, 0.0, 0.0, 0.0),
    "move_right": (0.6, 0.0, 0.0, 0.0),
    "move_up": (0.0, -0.6, 0.0, 0.0),
    "swing_horizontal": (0.8, 0.0, 0.0, 0.0),
    "swing_vertical": (0.0, 0.8, 0.0, 0.0),
    "zoom_in": (0.0, 0.0, 0.0, 0.9),
    "zoom_out": (0.0, 0.0, 0.0, -0.9),
}
MOTIONS: tuple[str, ...] = tuple(_TRAVEL)
"""The class names, in the sorted order that an index gives them too."""

_RADII = (0.18, 0.5)
_FADE = 0.15  # part of the size circle, at either end, over which a shape fades
_MANIFEST = "eight_motions.json"
_GENERATOR = 1  # raised whenever the same seed would give other pictures


def render_clip(motion: str, *, num_frames: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw one clip.

    Args:
        motion: One of :data:`MOTIONS`.
        num_frames: Frames T, at least 1. The motion covers the same way whatever T is.
        size: Height and width in pixels, at least 16.
        generator: CPU generator; the only source of randomness. The same state gives the same
            scene whatever the motion, with equal first frames.

    Returns:
        uint8 RGB of shape (T, 3, size, size).

    Raises:
        UserError: If ``motion`` is unknown or a number is too small.
    """
    if motion not in _TRAVEL:
        raise UserError(f"motion {motion!r} is unknown; known are {', '.join(MOTIONS)}")
    if num_frames < 1 or size < 16:
        raise UserError(f"a clip needs num_frames >= 1 and size >= 16, not {num_frames} and {size}")
    return _paint(draw_scene(generator), motion, num_frames, size)


def write_dataset(
    folder: str | Path,
    *,
    clips_per_class: Mapping[str, int],
    size: int = 96,
    num_frames: int = 16,
    fps: int = 12,
    seed: int = 0,
) -> Path:
    """Write H.264 clips of all eight motions and an index of them, ``clips.csv``.

    Every scene is shown once in each motion; its clips share a ``group`` and never cross a split,
    so the textures and shapes of one split do not occur in another. A clip depends only on
    ``seed``, its split and its number. The call can be repeated and resumed: clips that stand are
    kept as long as the arguments are the same, and with other arguments the old ones are
    replaced.

    Args:
        folder: Where to write; created. It must be empty or written by this function.
        clips_per_class: Clips of each class, by split name, e.g. ``{"train": 40, "test": 10}``.
        size: Height and width in pixels, even, at least 16.
        num_frames: Frames a clip, at least 1.
        fps: Frames a second, at least 1.
        seed: Any whole number.

    Returns:
        Path of ``clips.csv`` with columns path, label, split, group.

    Raises:
        UserError: If an argument is out of range or the system refuses to write.
        DataError: If the folder holds other things.
    """
    folder = Path(folder)
    parameters = _check_parameters(clips_per_class, size, num_frames, fps, seed)
    rows = [
        (f"{split}/{motion}/{number:04d}.mp4", motion, split, f"{split}-{number:04d}")
        for split, count in clips_per_class.items()
        for number in range(count)
        for motion in MOTIONS
    ]
    make_room(folder / _MANIFEST, parameters, lambda _: MOTIONS)
    missing = [row for row in rows if not (folder / row[0]).exists()]
    with _one_thread():
        for path, motion, _, group in track(missing, description="drawing clips"):
            clip = render_clip(
                motion, num_frames=num_frames, size=size, generator=_generator(seed, group)
            )
            with atomic_path(folder / path) as temporary:
                write_video(temporary, clip, fps=fps)
    # Last of all: a folder with an index is complete.
    return write_index(folder, rows)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Draw on one core: pictures are so small that threads would mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def write_video(path: str | Path, clip: Tensor, *, fps: int) -> None:
    """Encode a clip as H.264 with PyAV.

    Args:
        path: File to write; the suffix names the container, e.g. ``.mp4``.
        clip: uint8 RGB (T, 3, H, W), H and W even.
        fps: Frames a second.

    Raises:
        UserError: If this FFmpeg has no H.264 encoder.
    """
    import av

    if "libx264" not in av.codecs_available:
        raise UserError("writing clips needs an FFmpeg with libx264; the wheels of PyAV have it")
    with av.open(str(path), "w") as container:
        # A constant quantiser, because rate control looks ahead: it would make the first frame
        # depend, if ever so little, on the motion that follows.
        stream = container.add_stream(
            "libx264", rate=fps, options={"preset": "veryfast", "qp": "20"}
        )
        stream.height, stream.width = clip.shape[-2:]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for picture in clip.permute(0, 2, 3, 1).numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


# The folder ---------------------------------------------------------------------------------


def _check_parameters(
    clips_per_class: Mapping[str, int], size: int, num_frames: int, fps: int, seed: int
) -> dict[str, Any]:
    check_splits(clips_per_class)
    if size < 16 or size % 2 or num_frames < 1 or fps < 1:
        raise UserError(
            "clips need an even size >= 16, num_frames >= 1 and fps >= 1, not "
            f"size={size}, num_frames={num_frames}, fps={fps}"
        )
    return {
        "generator": _GENERATOR,
        "clips_per_class": dict(clips_per_class),
        "size": size,
        "num_frames": num_frames,
        "fps": fps,
        "seed": seed,
    }


def _generator(seed: int, group: str) -> torch.Generator:
    """The random numbers of one scene, unrelated to those of every other."""
    digest = hashlib.sha256(f"{seed}/{group}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


# Painting: the scene in motion --------------------------------------------------------------


def _paint(scene: Scene, motion: str, num_frames: int, size: int) -> Tensor:
    time = torch.arange(num_frames) / num_frames  # (T,) part of the clip that has passed
    axis = (torch.arange(size) + 0.5) / size  # (S,) pixel centres in widths of the picture
    canvas = _paint_backdrop(scene, time, axis)
    _paint_clutter(canvas, scene, time, axis)
    # (T, N, 4): the motion enters here and nowhere else.
    way = 0.5 - (time - 0.5).abs() if motion.startswith("swing") else time
    state = scene.start + scene.speed * way[:, None, None] * torch.tensor(_TRAVEL[motion])
    _paint_shapes(canvas, scene, state % 1.0, axis)
    return (canvas * 255).round_().clamp_(0, 255).to(torch.uint8)


def _paint_backdrop(scene: Scene, time: Tensor, axis: Tensor) -> Tensor:
    """Shifted pattern in two colours: (T, 3, S, S)."""
    shift = time[:, None] * scene.backdrop_travel  # (T, 2)
    # One row and column more than a period, so that grid_sample can interpolate across the seam.
    tile = F.pad(scene.backdrop[None, None], (0, 1, 0, 1), mode="circular")
    x = (axis - shift[:, :1]) % 1.0 * 2 - 1  # (T, S)
    y = (axis - shift[:, 1:]) % 1.0 * 2 - 1
    grid = torch.stack(
        [x[:, None, :].expand(-1, len(axis), -1), y[:, :, None].expand(-1, -1, len(axis))], -1
    )
    pattern = F.grid_sample(tile.expand(len(time), -1, -1, -1), grid, align_corners=True)
    first, second = scene.backdrop_colours[:, None, :, None, None]
    return torch.lerp(first, second, pattern)


def _paint_clutter(canvas: Tensor, scene: Scene, time: Tensor, axis: Tensor) -> None:
    """Small discs, each with a way of its own, painted into (T, 3, S, S)."""
    for (x, y, dx, dy, radius), colour in zip(
        scene.clutter.tolist(), scene.clutter_colours, strict=True
    ):
        across = _wrapped(axis - (x + time * dx)[:, None])  # (T, S)
        down = _wrapped(axis - (y + time * dy)[:, None])
        distance = torch.hypot(across[:, None, :], down[:, :, None])  # (T, S, S)
        opacity = ((radius - distance) * len(axis) + 0.5).clamp_(0, 1)
        canvas.lerp_(colour[None, :, None, None], opacity[:, None])


def _paint_shapes(canvas: Tensor, scene: Scene, state: Tensor, axis: Tensor) -> None:
    """The shapes at ``state`` (T, N, 4), the smaller over the larger, into (T, 3, S, S)."""
    rank = state[..., 3].argsort(dim=1, descending=True)  # (T, N) painting order
    for place in rank.unbind(1):
        now = state.gather(1, place[:, None, None].expand(-1, 1, 4))[:, 0]  # (T, 4)
        x, y, angle, size = now.unbind(1)
        low, high = _RADII
        radius = low * (high / low) ** size
        visible = (torch.minimum(size, 1 - size) / _FADE).clamp(0, 1)
        across = (_wrapped(axis - x[:, None]) / radius[:, None])[:, None, :]  # (T, 1, S)
        down = (_wrapped(axis - y[:, None]) / radius[:, None])[:, :, None]  # (T, S, 1)
        cos = (2 * math.pi * angle).cos()[:, None, None]
        sin = (2 * math.pi * angle).sin()[:, None, None]
        # With y downwards a growing angle is clockwise; the sprite is looked up, so turned back.
        grid = torch.stack([cos * across + sin * down, cos * down - sin * across], -1)
        patch = F.grid_sample(scene.sprites[place], grid, align_corners=False)  # (T, 4, S, S)
        canvas.lerp_(patch[:, :3], patch[:, 3:] * visible[:, None, None, None])


def _wrapped(distance: Tensor) -> Tensor:
    """The shortest way around the picture, in [-0.5, 0.5)."""
    return (distance + 0.5) % 1.0 - 0.5
