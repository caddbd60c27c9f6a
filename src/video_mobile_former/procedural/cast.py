"""What moves in a group of clips, before rendering: poses of actors, the view, targets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .keyed_random import KeyedRandom
from .spec import ProceduralSpec

ACTORS = 4
"""Most actors per clip."""
SUBSTEPS = 4
"""Moments per frame at which poses are known; motion blur needs those between frames."""


@dataclass
class Cast:
    """Actors of n clips of one class at F moments; families change the poses in place.

    Positions are in widths of the picture, from its centre, y downwards. The picture is a torus
    where ``wraps``: what leaves on one side enters on the other.
    """

    time: Tensor
    """(F,) from 0 to 1."""
    speed: float
    xy: Tensor
    """(n, A, F, 2)."""
    angle: Tensor
    """(n, A, F) radians clockwise."""
    size: Tensor
    """(n, A, F) radius in widths."""
    opacity: Tensor
    """(n, A, F)."""
    glow: Tensor
    """(n, A, F) from 0 to 1, towards white."""
    count: Tensor
    """(n,) number of actors present."""
    view: Tensor
    """(n, F, 4): shift x, y of the view, log zoom, roll clockwise in radians."""
    body_scale: Tensor
    """(n,) size of a stick body, at most 1."""
    wraps: bool = True
    bodies: Tensor | None = None
    """(n, F, J, 2) joints of a stick body, or None."""
    family_targets: dict[str, Tensor] = field(default_factory=dict)
    """Targets set by the family."""

    @property
    def clips(self) -> int:
        """Number of clips n."""
        return len(self.count)

    def rows(self, chosen: Tensor) -> Cast:
        """The cast of some of the clips, before a family has moved it."""
        names = ("xy", "angle", "size", "opacity", "glow", "count", "view", "body_scale")
        return dataclasses.replace(
            self, family_targets={}, **{name: getattr(self, name)[chosen] for name in names}
        )

    def at_least(self, number: int) -> None:
        """Set the count to ``number`` actors, plus one bystander where there were more."""
        self.count = self.count.clamp(number, number + 1)

    def only(self, number: int) -> None:
        """Set the count to ``number`` actors in every clip."""
        self.count = torch.full_like(self.count, number)

    def set_target(self, name: str, value: Tensor | float) -> None:
        """Set the target ``name`` of all clips: one number, or one per clip."""
        value = torch.as_tensor(value, device=self.time.device)
        self.family_targets[name] = value.expand(self.clips) if value.dim() == 0 else value

    def shift(self, way: Tensor, step: Tensor) -> None:
        """Move all actors alike.

        Args:
            way: (n or 1, F) fraction of the step taken.
            step: (n, 2) in widths.
        """
        self.xy += (way[:, :, None] * step[:, None])[:, None]


def sample_cast(random: KeyedRandom, spec: ProceduralSpec) -> Cast:
    """Actors at rest, independent of the class.

    Args:
        random: n rows.
        spec: Frames per clip, and the distances and sizes of things.
    """
    n, moments = len(random), spec.num_frames * SUBSTEPS
    places = random.uniform(ACTORS, 2, low=-0.5, high=0.5)
    time = torch.arange(moments, device=places.device) / moments

    def still(values: Tensor) -> Tensor:
        return values[:, :, None].expand(-1, -1, moments).clone()

    zeros = torch.zeros(n, ACTORS, device=places.device)
    return Cast(
        time=time,
        speed=spec.speed,
        xy=places[:, :, None].expand(-1, -1, moments, -1).clone(),
        angle=still(random.uniform(ACTORS) * 2 * torch.pi),
        size=still(random.uniform(ACTORS, low=0.10, high=0.16) * spec.actor_size),
        opacity=still(zeros + 1),
        glow=still(zeros),
        count=random.whole(low=1, high=4),
        view=torch.zeros(n, moments, 4, device=places.device),
        body_scale=random.fork("bodies").uniform(low=spec.body_size, high=1.0),
    )
