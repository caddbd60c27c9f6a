"""Articulated bodies as line segments: a stick person bent at its joints, and a chain."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .keyed_random import KeyedRandom

BONES = 10
"""Segments per body."""
_TORSO, _HEAD, _UPPER_ARM, _FOREARM, _THIGH, _SHIN = 0.18, 0.085, 0.1, 0.1, 0.12, 0.12
_LINK = 0.062

Two = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Pose:
    """Angles in radians over time, (n, F) each, from hanging straight down; positive is forward.

    Limbs come in pairs, left and right; knees and elbows are measured from the thigh and upper arm.
    """

    hips: Two | None = None
    knees: Two | None = None
    arms: Two | None = None
    elbows: Two | None = None
    lean: Tensor | None = None
    x: Tensor | None = None
    y: Tensor | None = None
    """Position of the body, in widths to the right and downwards."""
    stands: bool = False
    """Keep the feet on the ground: the body sinks as the knees bend."""


def person(pose: Pose, scale: Tensor) -> Tensor:
    """Segments of a stick person.

    Args:
        pose: Angles (n, F); limbs without one hang straight down.
        scale: (n, 1, 1, 1) factor on all lengths.

    Returns:
        (n, F, BONES, 4): x, y of either end of torso, head, arms and legs, in widths.
    """
    given = [*(pose.hips or ()), *(pose.arms or ())]
    given += [pose.lean] if pose.lean is not None else []
    still = torch.zeros_like(torch.broadcast_tensors(*given)[0])
    none = (still, still)
    hips, knees = pose.hips or none, pose.knees or none
    arms, elbows = pose.arms or none, pose.elbows or none
    lean = still if pose.lean is None else pose.lean
    pelvis = torch.stack([still, still], -1)
    if pose.stands:
        drop = _THIGH * (1 - hips[0].cos()) + _SHIN * (1 - (hips[0] + knees[0]).cos())
        pelvis = pelvis + torch.stack([still, drop], -1)
    neck = pelvis - _TORSO * _down(-lean)
    bones = [(pelvis, neck), (neck - 0.7 * _HEAD * _down(-lean), neck - _HEAD * _down(-lean))]
    for root, upper, lower, long, short in (
        (neck, arms, elbows, _UPPER_ARM, _FOREARM),
        (pelvis, hips, knees, _THIGH, _SHIN),
    ):
        for first, second in zip(upper, lower, strict=True):
            joint = root + long * _down(first)
            bones += [(root, joint), (joint, joint + short * _down(first + second))]
    body = torch.stack([torch.cat(ends, -1) for ends in bones], 2) * scale
    shift = torch.stack([still if v is None else v + still for v in (pose.x, pose.y)], -1)
    return body + shift.repeat(1, 1, 2)[:, :, None]


def chain(phase: Tensor | None, random: KeyedRandom, *, bend: Tensor | None = None) -> Tensor:
    """Segments of a chain that carries a wave or curls up.

    Args:
        phase: (n, F) of the wave in radians, or None.
        random: n rows.
        bend: (n, F) radians from link to link, or None.

    Returns:
        (n, F, BONES, 4) as :func:`person`, around the centre of the chain.
    """
    link = torch.arange(BONES, device=random.uniform(1).device).float()
    heading = random.uniform(1, 1) * 2 * torch.pi
    angle = heading + random.uniform(1, 1, low=-0.08, high=0.08) * link
    if bend is not None:
        angle = angle + bend[..., None] * link
    if phase is not None:
        reach = random.uniform(1, 1, low=0.7, high=1.0)
        angle = angle + reach * (phase[..., None] - 0.75 * link).sin()
    steps = _LINK * torch.stack([angle.cos(), angle.sin()], -1)
    ends = steps.cumsum(2)
    body = torch.cat([ends - steps, ends], -1)
    middle = ends.mean(2, keepdim=True)
    return body - middle.repeat(1, 1, 1, 2)


def _down(angle: Tensor) -> Tensor:
    return torch.stack([angle.sin(), angle.cos()], -1)


def body_depth(bones: Tensor, pixels: Tensor, thickness: Tensor) -> tuple[Tensor, Tensor]:
    """Depth of pixels inside a body, and the bone they belong to.

    Args:
        bones: (N, BONES, 4).
        pixels: (N, P, P, 2) positions in widths.
        thickness: (N, BONES) radius of each bone in widths.

    Returns:
        Depth (N, P, P), positive inside, in widths; number of the nearest bone (N, P, P).
    """
    start, along = bones[..., :2], bones[..., 2:] - bones[..., :2]
    length = (along**2).sum(-1).clamp_min(1e-8)
    best = nearest = None
    for bone in range(bones.shape[1]):
        x = pixels[..., 0] - start[:, bone, 0, None, None]
        y = pixels[..., 1] - start[:, bone, 1, None, None]
        dx, dy = along[:, bone, 0, None, None], along[:, bone, 1, None, None]
        part = ((x * dx + y * dy) / length[:, bone, None, None]).clamp_(0, 1)
        depth = thickness[:, bone, None, None] - torch.hypot(x - part * dx, y - part * dy)
        if best is None or nearest is None:
            best, nearest = depth, torch.zeros_like(depth, dtype=torch.long)
        else:
            closer = depth > best
            best = torch.where(closer, depth, best)
            nearest.masked_fill_(closer, bone)
    assert best is not None
    assert nearest is not None
    return best, nearest
