"""Dense targets: motion quantities of a clip, measured on the rendered poses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .cast import ACTORS, SUBSTEPS, Cast
from .families import EVENTS
from .spec import Target

TARGETS: dict[str, Target] = {
    # Mean speed of the actors, in widths of the picture per clip.
    "speed": Target("regression", 1),
    # Unit vector of the way from the first frame to the last, y downwards.
    "direction": Target("regression", 2),
    # Log of the speed in the second half over that in the first.
    "acceleration": Target("regression", 1),
    # Turns of the actors, clockwise.
    "rotation": Target("regression", 1),
    # Log of the size at the end over that at the start.
    "growth": Target("regression", 1),
    # Motion of the background: shift to the right and down in widths, log zoom, roll in radians.
    "view": Target("regression", 4),
    # Actors and bodies.
    "count": Target("classification", ACTORS + 1),
    # Cycles of periodic motion per clip.
    "cycles": Target("regression", 1),
    # 1: a swing that decays, as when time runs forward; 0: one that grows.
    "arrow": Target("classification", 2),
    "first_event": Target("classification", len(EVENTS)),
    "last_event": Target("classification", len(EVENTS)),
}
"""All targets; each is valid where its mask is True."""

_OF_FAMILIES = ("cycles", "arrow", "first_event", "last_event")
_MOVING = ("motion", "periodic", "order", "interaction", "long_range")
_ONE_WAY = ("motion", "order", "long_range")
_LEAST_WAY = 0.1


def target_values(
    casts: Sequence[tuple[Tensor, Cast, str]], view: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Measure every target.

    Args:
        casts: Positions in the batch (n,), the cast there, and its family.
        view: (B, F, 4) as rendered.

    Returns:
        Values by name, float32 (B, width) or int64 (B,), and bool masks (B,). Where the mask is
        False the value is 0.
    """
    batch, device = len(view), view.device
    values = {
        name: torch.zeros(batch, target.width, device=device)
        if target.kind == "regression"
        else torch.zeros(batch, dtype=torch.long, device=device)
        for name, target in TARGETS.items()
    }
    masks = {name: torch.zeros(batch, dtype=torch.bool, device=device) for name in TARGETS}
    values["view"] = view[:, _last(view)] - view[:, 0]
    masks["view"][:] = True
    for places, cast, family in casts:
        for name, (value, valid) in _of(cast, family).items():
            value = torch.where(valid.view(-1, *[1] * (value.dim() - 1)), value, 0)
            values[name][places] = value.to(values[name].dtype)
            masks[name][places] = valid
    return values, masks


def _of(cast: Cast, family: str) -> dict[str, tuple[Tensor, Tensor]]:
    n = cast.clips
    always = torch.ones(n, dtype=torch.bool, device=cast.time.device)
    out: dict[str, tuple[Tensor, Tensor]] = {}
    for name in _OF_FAMILIES:
        if name in cast.family_targets:
            value = cast.family_targets[name]
            out[name] = (value[:, None] if TARGETS[name].kind == "regression" else value, always)
    if family != "camera":  # whose actors may be out of sight
        out["count"] = (cast.count + (cast.bodies is not None), always)
    if family not in _MOVING:
        return out
    there = (torch.arange(ACTORS, device=cast.time.device) < cast.count[:, None]).float()
    share = there / there.sum(1, keepdim=True)
    frames = cast.xy[:, :, ::SUBSTEPS]
    steps = frames.diff(dim=2)  # (n, A, T - 1, 2)
    pace = (steps.norm(dim=-1) * share[..., None]).sum(1) * frames.shape[2]  # (n, T - 1)
    out["speed"] = (pace.mean(1, keepdim=True), always)
    turned = cast.angle[..., _last(cast.view)] - cast.angle[..., 0]
    out["rotation"] = ((turned * share).sum(1, keepdim=True) / (2 * torch.pi), always)
    grown = (cast.size[..., _last(cast.view)] / cast.size[..., 0]).log()
    out["growth"] = ((grown * share).sum(1, keepdim=True), always)
    if family in _ONE_WAY:
        way = (steps.sum(2) * share[..., None]).sum(1)
        length = way.norm(dim=1, keepdim=True)
        out["direction"] = (way / length.clamp_min(1e-6), length[:, 0] > _LEAST_WAY)
    if family == "motion":
        half = pace.shape[1] // 2
        before, after = pace[:, :half].mean(1), pace[:, -half:].mean(1)
        change = (after.clamp_min(1e-6) / before.clamp_min(1e-6)).log()
        out["acceleration"] = (change[:, None], pace.mean(1) > _LEAST_WAY)
    return out


def _last(view: Tensor) -> int:
    """The moment of the last frame."""
    return view.shape[1] - SUBSTEPS
