"""Outlines and colours of objects: masks from radial functions, contrasting palettes."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .keyed_random import KeyedRandom

SPRITE = 40
"""Height and width of a sprite in texels; its shape touches the unit circle."""


def sample_masks(random: KeyedRandom) -> Tensor:
    """Sample one outline per row: polygons, stars, discs, rings, blobs and crescents.

    Args:
        random: K rows.

    Returns:
        float32 (K, 2, SPRITE, SPRITE) in [0, 1]: opacity, soft at the edge, and brightness, darker
        at the rim. No outline looks the same after half a turn or less, so rotation is visible.
    """
    axis = (torch.arange(SPRITE, device=random.uniform(1).device) + 0.5) / SPRITE * 2 - 1
    x, y = axis.view(1, 1, -1) * 1.08, axis.view(1, -1, 1) * 1.08
    radius, angle = torch.hypot(x, y), torch.atan2(y, x)
    corners = random.whole(1, 1, low=3, high=8).float()
    part = (angle % (2 * math.pi / corners)) - math.pi / corners
    polygon = (math.pi / corners).cos() / part.cos()
    star = 0.55 + 0.45 * (1 - (part.abs() * corners / math.pi)) ** 1.0
    waves = torch.arange(1, 6, device=axis.device).view(1, 5, 1, 1)
    turns = random.uniform(5, 1, 1) * 2 * math.pi
    ripple = (random.uniform(5, 1, 1) / waves * (waves * angle[:, None] + turns).cos()).sum(1)
    blob = (0.72 + 0.3 * ripple).clamp(0.3, 1.0)
    disc = torch.ones_like(blob)
    kind = random.whole(high=4).view(-1, 1, 1)
    edge = torch.where(kind == 0, polygon, torch.where(kind == 1, star, disc))
    edge = torch.where(kind == 3, blob, edge)
    mask = ((edge - radius) * SPRITE / 2.16 + 0.5).clamp(0, 1)
    # A notch in the side turns discs into crescents and shows the orientation of a shape.
    far = torch.hypot(x - 0.62, y)
    bite = ((far - random.uniform(1, 1, low=0.18, high=0.42)) * SPRITE / 2.16 + 0.5).clamp(0, 1)
    mask = mask * bite
    inner = F.avg_pool2d(mask[:, None], 5, 1, 2)[:, 0]
    return torch.stack([mask, 0.45 + 0.55 * ((inner - 0.6) * 4).clamp(0, 1)], 1)


def sample_colours(
    random: KeyedRandom, count: int, away_from: Tensor | None, contrast: float
) -> Tensor:
    """Sample three colours for each of ``count`` things.

    Args:
        random: B rows.
        count: Things N per clip.
        away_from: Brightness (B,) to contrast with; None for the background.
        contrast: Strength of the contrast, 0 to 1.

    Returns:
        (B, N, 3, 3): base colour, and the colours that the two fields of a pattern add to it.
    """
    first = random.uniform(count, 3)
    other = random.uniform(count, 2, 3)
    if away_from is None:
        level = random.uniform(count, 1, low=0.15, high=0.85)
    else:
        # Towards the other half of the brightness range, further with more contrast.
        shift = random.uniform(count, 1, low=0.35, high=0.65) * contrast
        sign = torch.where(away_from > 0.5, -1.0, 1.0).view(-1, 1, 1)
        level = (away_from.view(-1, 1, 1) + sign * shift).clamp(0.05, 0.95)
    # From nearly grey to saturated, the same for all things of one kind in a clip.
    strength = random.uniform(1, 1, low=0.1, high=0.75)
    tinted = (first - first.mean(-1, keepdim=True)) * strength
    middle = (level + tinted).clamp(0, 1)  # (B, N, 3)
    ends = (other - 0.5) * torch.tensor([1.2, 0.6], device=other.device).view(1, 1, 2, 1)
    return torch.cat([(middle - ends.sum(2) / 2)[:, :, None], ends], 2)


def make_sprites(fields: Tensor, masks: Tensor, colours: Tensor) -> Tensor:
    """Colour patterns and cut them out.

    Args:
        fields: (N, 2, SPRITE, SPRITE) pieces of patterns.
        masks: (N, 2, SPRITE, SPRITE) of :func:`sample_masks`.
        colours: (N, 3, 3) of :func:`sample_colours`.

    Returns:
        (N, 4, SPRITE, SPRITE): red, green, blue and opacity.
    """
    painted = colours[:, 0, :, None, None] + torch.einsum("nkc,nkyx->ncyx", colours[:, 1:], fields)
    return torch.cat([(painted * masks[:, 1:]).clamp_(0, 1), masks[:, :1]], 1)
