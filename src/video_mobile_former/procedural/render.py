"""From a scene to pixels: background, objects in small patches, bodies, light, shutter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .bodies import body_depth
from .camera import looked_up
from .cast import SUBSTEPS

_SHUTTER = 3
"""Moments of SUBSTEPS in a frame over which an open shutter is averaged."""


@dataclass
class Bodies:
    """Stick bodies of the clips that have one."""

    clips: Tensor
    """(n,) int64 positions of the clips."""
    bones: Tensor
    """(n, F, BONES, 4)."""
    thickness: Tensor
    """(n, BONES) in widths."""
    colours: Tensor
    """(n, BONES, 3)."""


@dataclass
class Scene:
    """Everything visible in B clips with O slots for objects, at F moments."""

    tile: Tensor
    """(B, 3, side, side) background, periodic."""
    start: Tensor
    """(B, 4) view of the background at rest, see :func:`.camera.looked_up`."""
    view: Tensor
    """(B, F, 4)."""
    sprites: Tensor
    """(B, O, 4, side, side)."""
    xy: Tensor
    """(B, O, F, 2)."""
    angle: Tensor
    size: Tensor
    opacity: Tensor
    glow: Tensor
    """(B, O, F) each."""
    wraps: Tensor
    """(B,) bool: the picture is a torus for objects."""
    shows_bodies_before: int
    """Bodies are painted before the object with this number."""
    bodies: Bodies | None
    light: Tensor
    """(B, F, 3) factors."""


def render(scene: Scene, size: int, blurred: Tensor) -> Tensor:
    """Paint all clips.

    Args:
        scene: Of B clips at F = T · SUBSTEPS moments.
        size: Height and width S in pixels.
        blurred: (B,) bool, clips with motion blur (an open shutter).

    Returns:
        uint8 (B, 3, T, S, S).
    """
    moments = scene.view.shape[1]
    device = scene.view.device
    sharp = torch.arange(0, moments, SUBSTEPS, device=device)
    out = torch.empty(len(blurred), 3, len(sharp), size, size, dtype=torch.uint8, device=device)
    open_shutter = (sharp[:, None] + torch.arange(_SHUTTER, device=device)).flatten()
    for chosen, when in ((~blurred, sharp), (blurred, open_shutter)):
        rows = chosen.nonzero()[:, 0]
        if len(rows):
            clips = _paint(scene, rows, when, size)
            if len(when) > len(sharp):
                clips = clips.unflatten(1, (len(sharp), _SHUTTER)).mean(2)
            clips = clips.mul_(255).round_().clamp_(0, 255).to(torch.uint8)
            out[rows] = clips.permute(0, 4, 1, 2, 3)
    return out


def _paint(scene: Scene, rows: Tensor, when: Tensor, size: int) -> Tensor:
    """(n, T, S, S, 3) in [0, 1]."""
    canvas = _background(scene, rows, when, size)
    for place in range(scene.sprites.shape[1]):
        if place == scene.shows_bodies_before:
            _paint_bodies(canvas, scene, rows, when)
        there = (scene.opacity[rows, place][:, when] > 0).any(1).nonzero()[:, 0]
        if len(there):
            _paint_object(canvas, scene, rows[there], there, when, place)
    return canvas.mul_(scene.light[rows][:, when, None, None])


def _background(scene: Scene, rows: Tensor, when: Tensor, size: int) -> Tensor:
    axis = (torch.arange(size, device=rows.device) + 0.5) / size - 0.5
    grid = looked_up(scene.view[rows][:, when], scene.start[rows], axis)
    grid = grid.remainder_(1.0).mul_(2).sub_(1)
    # One row and column more than a period, so that sampling is smooth across the seam.
    tile = F.pad(scene.tile[rows], (0, 1, 0, 1), mode="circular")
    n, frames = grid.shape[:2]
    picture = F.grid_sample(tile, grid.view(n, frames * size, size, 2), align_corners=True)
    return picture.permute(0, 2, 3, 1).reshape(n, frames, size, size, 3).contiguous()


def _paint_object(
    canvas: Tensor, scene: Scene, clips: Tensor, rows: Tensor, when: Tensor, place: int
) -> None:
    """Paint one object of each of some clips into a patch around it."""
    n, frames, side = len(clips), len(when), canvas.shape[2]
    xy = (scene.xy[clips, place][:, when] + 0.5) * side  # (n, T, 2) in pixels
    radius = scene.size[clips, place][:, when] * side
    width = min(2 * math.ceil(float(radius.max())) + 3, side)
    corner = (xy - width / 2).floor()
    step = torch.arange(width, device=canvas.device)
    pixel = corner[..., None] + step  # (n, T, 2, P) columns and rows, maybe outside
    away = (pixel + 0.5 - xy[..., None]) / radius[..., None, None]
    angle = scene.angle[clips, place][:, when, None, None]
    cos, sin = angle.cos(), angle.sin()
    across, down = away[:, :, 0, None, :], away[:, :, 1, :, None]
    grid = torch.stack([cos * across + sin * down, cos * down - sin * across], -1)
    grid = grid.view(n, frames * width, width, 2)
    patch = F.grid_sample(scene.sprites[clips, place], grid, align_corners=False)
    patch = patch.permute(0, 2, 3, 1).reshape(n, frames, width, width, 4)
    opacity = patch[..., 3:] * scene.opacity[clips, place][:, when, None, None, None]
    pixel = pixel.long()
    if not bool(scene.wraps[clips].all()):
        inside = ((pixel >= 0) & (pixel < side)) | scene.wraps[clips, None, None, None]
        seen = inside[:, :, 1, :, None] & inside[:, :, 0, None, :]
        opacity = opacity * seen[..., None]
    glow = scene.glow[clips, place][:, when, None, None, None]
    colour = patch[..., :3] + (1 - patch[..., :3]) * (0.9 * glow)
    _blend(canvas, rows, pixel % side, colour, opacity)


def _blend(canvas: Tensor, rows: Tensor, pixel: Tensor, colour: Tensor, opacity: Tensor) -> None:
    """Lay patches (n, T, P, P, 3) over the pixels (n, T, 2, P) of the canvas."""
    frames, side = canvas.shape[1], canvas.shape[2]
    frame = rows[:, None] * frames + torch.arange(frames, device=canvas.device)
    where = (frame[..., None] * side + pixel[:, :, 1])[..., None] * side + pixel[:, :, 0, None, :]
    flat, where = canvas.view(-1, 3), where.flatten()
    under = flat[where]
    flat[where] = under.lerp_(colour.reshape(-1, 3), opacity.reshape(-1, 1))


def _paint_bodies(canvas: Tensor, scene: Scene, rows: Tensor, when: Tensor) -> None:
    bodies = scene.bodies
    if bodies is None:
        return
    clip, mine = (rows[:, None] == bodies.clips).nonzero().unbind(1)  # on the canvas, among bodies
    if len(clip) == 0:
        return
    side, frames = canvas.shape[2], len(when)
    bones = bodies.bones[mine][:, when]
    ends = bones.unflatten(-1, (2, 2))
    thickness = bodies.thickness[mine]
    low = (ends.amin((2, 3)) - thickness.amax(1)[:, None, None] + 0.5) * side  # (n, T, 2)
    high = (ends.amax((2, 3)) + thickness.amax(1)[:, None, None] + 0.5) * side
    width = min(math.ceil(float((high - low).max())) + 3, side)
    corner = ((low + high - width) / 2).floor()
    pixel = corner[..., None] + torch.arange(width, device=canvas.device)  # (n, T, 2, P)
    places = (pixel + 0.5) / side - 0.5
    across = places[:, :, 0, None, :].expand(-1, -1, width, -1)
    down = places[:, :, 1, :, None].expand(-1, -1, -1, width)
    depth, nearest = body_depth(
        bones.flatten(0, 1),
        torch.stack([across, down], -1).flatten(0, 1),
        thickness.repeat_interleave(frames, 0),
    )
    owner = torch.arange(len(mine), device=canvas.device).repeat_interleave(frames)
    colour = bodies.colours[mine][owner[:, None, None], nearest]
    # Shaded to look round: bright along the middle of each bone, dark towards its rim.
    shade = 0.5 + 0.5 * (depth / thickness.amax(1)[owner][:, None, None] * 1.6).clamp(0, 1)
    opacity = (depth * side + 0.5).clamp(0, 1)
    shape = (len(mine), frames, width, width)
    _blend(
        canvas,
        clip,
        pixel.long() % side,
        (colour * shade[..., None]).view(*shape, 3),
        opacity.view(*shape, 1),
    )
