"""Batches of procedural video: a pure function of seed, batch number and position in the batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UserError, known_names
from .cast import Cast, sample_cast
from .families import TABLE
from .keyed_random import KeyedRandom
from .render import render
from .scene import Bank, make_scene
from .spec import ALL_FAMILIES, ProceduralSpec, Target
from .targets import TARGETS, target_values

BATCHES_A_BANK = 32
"""Batches that share patterns and outlines, which makes their cost negligible."""


@dataclass(frozen=True)
class ProceduralBatch:
    """Clips with labels and targets."""

    clips: Tensor
    """uint8 RGB (B, 3, T, H, W)."""
    labels: Tensor
    """int64 (B,), positions in ``class_names``."""
    targets: dict[str, Tensor]
    """float32 (B, width) for a regression, int64 (B,) for a classification."""
    masks: dict[str, Tensor]
    """bool (B,): where the target of that name is valid."""


class ProceduralVideo:
    """An endless supply of clips whose class is in their motion.

    Args:
        spec: What the clips show.
        seed: Any integer; other seeds give other clips.
        device: Where clips are rendered and returned.

    Raises:
        UserError: If the spec names a class that its families do not have, or only one class.

    Source: pre-training on procedural clips, arXiv 2411.17584.
    """

    def __init__(
        self, spec: ProceduralSpec, *, seed: int = 0, device: str | torch.device = "cpu"
    ) -> None:
        self.spec = spec
        self.seed = seed
        self.device = torch.device(device)
        pairs = _classes(spec)
        self.class_names: tuple[str, ...] = tuple(name for name, _ in pairs)
        self.class_family: tuple[str, ...] = tuple(family for _, family in pairs)
        self.targets: dict[str, Target] = dict(TARGETS)
        self._bank: tuple[int, Bank] | None = None

    def batch(self, index: int, size: int, *, frozen: bool = False) -> ProceduralBatch:
        """Render one batch.

        Args:
            index: Number of the batch, 0 or more.
            size: Clips B. The first clips of a batch do not depend on how many follow.
            frozen: Repeat one frame of each clip, to test recognition without motion.

        Returns:
            Clips, labels, targets and masks, on the device. Classes take turns in random order:
            each run of K clips from the start of a batch has each of the K classes once.

        Raises:
            UserError: If ``index`` or ``size`` is out of range.
        """
        if index < 0 or size < 1:
            raise UserError(
                f"a batch needs an index >= 0 and a size >= 1, not index={index}, size={size}"
            )
        places = torch.arange(size, device=self.device)
        return self.draw(index, places, self.labels(index, places), frozen=frozen)

    def draw(
        self, index: int, places: Tensor, labels: Tensor, *, frozen: bool = False
    ) -> ProceduralBatch:
        """Render clips of given classes: equal places give equal scenes whatever the class.

        Args:
            index: Number of the batch.
            places: int64 (B,) scene numbers in the batch.
            labels: int64 (B,), the class of each.
            frozen: As in :meth:`batch`.
        """
        random = KeyedRandom.of(self.seed, index, places)
        spec = self.spec
        still = sample_cast(random.fork("cast"), spec)
        casts = [
            (rows, self._cast(label, still.rows(rows), random.rows(rows)), self.class_family[label])
            for label in labels.unique().tolist()
            for rows in [(labels == label).nonzero()[:, 0]]
        ]
        scene = make_scene(
            [(rows, cast) for rows, cast, _ in casts],
            random.fork("scene"),
            self._bank_of(index // BATCHES_A_BANK),
            self.spec,
        )
        blurred = random.fork("shutter").chance(self.spec.motion_blur)
        clips = render(scene, self.spec.size, blurred)
        if frozen:
            shown = random.fork("frozen").whole(high=self.spec.num_frames)
            picture = clips[torch.arange(len(labels), device=clips.device), :, shown]
            clips = picture[:, :, None].expand_as(clips).contiguous()
        targets, masks = target_values(casts, scene.view)
        return ProceduralBatch(clips, labels, targets, masks)

    def _cast(self, label: int, cast: Cast, random: KeyedRandom) -> Cast:
        family = self.class_family[label]
        # Classes of a family use the same random numbers: equal starts are equal to the pixel.
        TABLE[family][self.class_names[label]](cast, random.fork(family))
        return cast

    def labels(self, index: int, places: Tensor) -> Tensor:
        """Classes (B,) that have their turn at places (B,) of a batch, see :meth:`batch`."""
        count = len(self.class_names)
        turn = torch.div(places, count, rounding_mode="floor")
        orders = KeyedRandom.of(self.seed, index, turn).fork("labels").order(count)
        return orders.gather(1, (places % count)[:, None])[:, 0]

    def _bank_of(self, number: int) -> Bank:
        if self._bank is None or self._bank[0] != number:
            self._bank = (number, Bank.sample(self.seed, number, self.device))
        return self._bank[1]


def _classes(spec: ProceduralSpec) -> list[tuple[str, str]]:
    """The classes of a spec, each with its family, in class order."""
    pairs = [(name, f) for f in ALL_FAMILIES if f in spec.families for name in TABLE[f]]
    if not spec.classes:
        return pairs
    known = [name for name, _ in pairs]
    for name in spec.classes:
        if name not in known:
            families = ", ".join(spec.families)
            raise UserError(f"no class {name!r} in {families}{known_names(name, known)}")
    if len(set(spec.classes)) < 2:
        raise UserError(f"classes must name at least two, not {list(spec.classes)}")
    return [pair for pair in pairs if pair[0] in spec.classes]
