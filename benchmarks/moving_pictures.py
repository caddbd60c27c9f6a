"""Generated videos to measure on, as hard to encode and decode as camera footage of their size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import torch
import torch.nn.functional as F
from torch import Tensor

FPS = 30
SECONDS = 10


def write_video(path: Path, width: int, height: int, seed: int) -> None:
    """Write ten seconds of H.264 as x264 makes it by itself: 250 frames a group, B-frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p"
        stream.options = {"sc_threshold": "0"}  # no key frames at cuts; there are none
        for number, picture in enumerate(_pictures(width, height, seed)):
            frame = av.VideoFrame.from_ndarray(picture.numpy(), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _pictures(width: int, height: int, seed: int) -> Iterator[Tensor]:
    """Yield ``(H, W, 3)`` uint8: a camera that pans, turns and zooms over a scene with bodies that
    move on their own, some film grain."""
    generator = torch.Generator().manual_seed(seed)
    scene = _texture(2 * height, 2 * width, generator)
    bodies = [_texture(height // 3, height // 4, generator) for _ in range(4)]
    paths = torch.rand(4, 6, generator=generator)
    camera = torch.rand(8, generator=generator)
    grain = [torch.randn(3, height, width, generator=generator) * 3.0 for _ in range(5)]
    for number in range(FPS * SECONDS):
        t = number / FPS
        picture = _view(scene, width, height, camera, t)
        for body, path in zip(bodies, paths, strict=True):
            _paste(picture, body, path, t)
        picture = (picture + grain[number % 5].roll(37 * number, -1)).clamp(0, 255)
        yield picture.to(torch.uint8).permute(1, 2, 0).contiguous()


def _texture(height: int, width: int, generator: torch.Generator) -> Tensor:
    """``(3, H, W)`` float in 0…255 whose detail falls off with its fineness as in photographs."""
    out = torch.zeros(3, height, width)
    for octave in range(2, 9):
        if 2**octave > min(height, width):
            break
        noise = torch.randn(1, 3, 2**octave, 2**octave, generator=generator)
        out += F.interpolate(noise, (height, width), mode="bicubic")[0] / 2 ** (0.9 * octave)
    out = (out - out.mean()) / out.std()
    return (128 + 50 * out).clamp(0, 255)


def _view(scene: Tensor, width: int, height: int, camera: Tensor, t: float) -> Tensor:
    wave = [math.sin(2 * math.pi * (t / (5 + 5 * camera[i]) + camera[i + 1])) for i in range(4)]
    zoom, turn = 0.45 + 0.06 * wave[0], 0.06 * wave[1]
    cos, sin = zoom * math.cos(turn), zoom * math.sin(turn)
    shape = height / width
    theta = torch.tensor(
        [[[cos, -sin * shape, 0.4 * wave[2]], [sin / shape, cos, 0.4 * wave[3]]]],
        dtype=torch.float32,
    )
    grid = F.affine_grid(theta, [1, 3, height, width], align_corners=False)
    return F.grid_sample(scene[None], grid, padding_mode="reflection", align_corners=False)[0]


def _paste(picture: Tensor, body: Tensor, path: Tensor, t: float) -> None:
    _, height, width = picture.shape
    _, h, w = body.shape
    x, y = (
        0.5 + 0.5 * math.sin(2 * math.pi * (t / (2 + 4 * path[i]) + path[i + 1])) for i in (0, 3)
    )
    top, left = int(y * (height - h)), int(x * (width - w))
    picture[:, top : top + h, left : left + w] = body
