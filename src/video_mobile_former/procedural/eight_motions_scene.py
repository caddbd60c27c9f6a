"""What is in a synthetic clip: shapes, textures, colours, clutter – everything but the motion.

Nothing in this file knows which motion a scene will show; :mod:`.eight_motions` sets it moving.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SHAPES = 2
"""Shapes in a scene; evenly spaced on the size circle, so that one is always in full view."""
_SPRITE = 56  # pixels across the picture of one shape, before it is placed
_CLUTTER = 5
_SPEEDS = (0.8, 1.2)
_DRIFT = 0.12  # greatest way of background and clutter along either axis, in widths a clip


@dataclass(frozen=True)
class Scene:
    """Everything random in a clip; lengths are in widths of the picture."""

    speed: float
    start: Tensor  # (SHAPES, 4) x, y, angle, size; every circle has length 1
    sprites: Tensor  # (SHAPES, 4, P, P) RGB and opacity in [0, 1]
    backdrop: Tensor  # (B, B) periodic pattern in [0, 1]
    backdrop_colours: Tensor  # (2, 3)
    backdrop_travel: Tensor  # (2,) x, y in widths a clip
    clutter: Tensor  # (_CLUTTER, 5) x, y, travel x, travel y, radius
    clutter_colours: Tensor  # (_CLUTTER, 3)


def draw_scene(generator: torch.Generator) -> Scene:
    """Draw the lots of one scene; ``generator`` is the only source of randomness."""
    # The first shape is uniform on all four circles. The others keep away from it and differ in
    # size; a shift common to all shapes changes neither.
    start = torch.rand(SHAPES, 4, generator=generator)
    apart = torch.arange(SHAPES)[:, None] / SHAPES
    jitter = 0.2 * (torch.rand(SHAPES, 2, generator=generator) - 0.5)
    start[:, :2] = start[0, :2] + apart + jitter
    start[:, 3:] = start[0, 3] + apart
    lots = torch.rand(_CLUTTER, 5, generator=generator)
    lots[:, 2:4] = (2 * lots[:, 2:4] - 1) * _DRIFT
    lots[:, 4] = 0.03 + 0.04 * lots[:, 4]
    return Scene(
        speed=_uniform(*_SPEEDS, generator),
        start=start,
        sprites=torch.stack([_draw_sprite(generator) for _ in range(SHAPES)]),
        backdrop=_noise(64, generator),
        backdrop_colours=0.3 * torch.rand(2, 3, generator=generator),
        backdrop_travel=(2 * torch.rand(2, generator=generator) - 1) * _DRIFT,
        clutter=lots,
        clutter_colours=0.15 + 0.35 * torch.rand(_CLUTTER, 3, generator=generator),
    )


def _draw_sprite(generator: torch.Generator) -> Tensor:
    """Draw the picture of one shape: (4, P, P), RGB and opacity."""
    axis = (torch.arange(_SPRITE) + 0.5) / _SPRITE * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    # Squashed and bladed, so that outlines have sides and corners that are seen to move.
    x = x / _uniform(0.6, 0.8, generator)
    radius, angle = torch.hypot(x, y), torch.atan2(y, x)
    edge = _outline(angle, generator)
    blades = int(torch.randint(2, 5, (1,), generator=generator))
    edge = edge * (
        1
        - _uniform(0.35, 0.6, generator)
        * ((angle / (2 * math.pi) * blades + torch.rand(1, generator=generator)) % 1.0)
    )
    opacity = ((edge - radius) * _SPRITE / 4 + 0.5).clamp(0, 1)
    pattern = _texture(x, y, generator)
    first = 0.7 + 0.3 * torch.rand(3, generator=generator)
    second = 0.4 + 0.25 * torch.rand(3, generator=generator)
    rim = 0.7 + 0.3 * torch.rand(3, generator=generator)
    colour = first[:, None, None].lerp(second[:, None, None], pattern)
    colour = colour.lerp(rim[:, None, None], ((radius - edge + 0.14) * 14).clamp(0, 1))
    return torch.cat([colour, opacity[None]])


def _outline(angle: Tensor, generator: torch.Generator) -> Tensor:
    """Distance of a random closed outline from its centre at each angle, in (0, 1]."""
    kind = int(torch.randint(4, (1,), generator=generator))
    if kind == 0:  # ellipse
        ratio = _uniform(0.9, 1.4, generator)
        return (ratio / torch.hypot(ratio * angle.cos(), angle.sin()) * 0.97).clamp(max=0.97)
    corners = int(torch.randint(3, 7, (1,), generator=generator))
    sector = 2 * math.pi / corners
    inside = (angle % sector) - sector / 2
    if kind == 1:  # regular polygon
        return math.cos(sector / 2) / inside.cos() * 0.97
    if kind == 2:  # star
        depth = _uniform(0.35, 0.6, generator)
        return 0.97 - depth * (1 - (inside / (sector / 2)).abs())
    waves = torch.rand(2, 4, generator=generator)  # blob: a few random harmonics
    order = torch.arange(1, 5)[:, None, None]
    ripple = waves[0, :, None, None] * (order * angle + 2 * math.pi * waves[1, :, None, None]).cos()
    return (0.68 + 0.13 * ripple.sum(0)).clamp(0.25, 0.97)


def _texture(x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """A random pattern in [0, 1] over coordinates in [-1, 1]."""
    turn, phase = (2 * math.pi * torch.rand(2, generator=generator)).tolist()
    pitch = _uniform(4.0, 8.0, generator)
    along = pitch * (x * math.cos(turn) + y * math.sin(turn)) + phase
    across = pitch * (y * math.cos(turn) - x * math.sin(turn))
    kind = int(torch.randint(6, (1,), generator=generator))
    if kind == 0:  # stripes
        return (2 * along.sin() + 0.5).clamp(0, 1)
    if kind == 1:  # checks
        return (3 * along.sin() * across.sin() + 0.5).clamp(0, 1)
    if kind == 2:  # dots
        return (3 * (along.cos() + across.cos()) - 1.5).clamp(0, 1)
    if kind == 3:  # spokes
        spokes = int(torch.randint(1, 4, (1,), generator=generator))
        return (2 * (spokes * torch.atan2(y, x) + phase).sin() + 0.5).clamp(0, 1)
    if kind == 4:  # two halves
        return (4 * (along - phase) / pitch + 0.5).clamp(0, 1)
    cells = int(torch.randint(3, 7, (1,), generator=generator))  # cloudy patches
    grid = torch.rand(1, 1, cells, cells, generator=generator)
    cloud = F.interpolate(grid, size=x.shape, mode="bilinear", align_corners=True)[0, 0]
    return (2.5 * (cloud - 0.5) + 0.5).clamp(0, 1)


def _noise(size: int, generator: torch.Generator) -> Tensor:
    """Cloudy noise in [0, 1] that repeats without a seam: (size, size)."""
    frequency = torch.hypot(
        torch.fft.fftfreq(size)[:, None] * size, torch.fft.rfftfreq(size)[None] * size
    )
    falloff = _uniform(1.2, 2.2, generator)
    envelope = frequency.clamp(min=1) ** -falloff * (frequency > 0)
    spectrum = torch.fft.rfft2(torch.randn(size, size, generator=generator)) * envelope
    noise = torch.fft.irfft2(spectrum, s=(size, size))
    return (0.5 + noise / (4 * noise.std())).clamp(0, 1)


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand(1, generator=generator))
