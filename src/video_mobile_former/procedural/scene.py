"""Appearance: background, objects and light of clips, sampled independently of the class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .bodies import BONES
from .camera import wandering
from .cast import ACTORS, SUBSTEPS, Cast
from .keyed_random import KeyedRandom
from .render import Bodies, Scene
from .shapes import SPRITE, make_sprites, sample_colours, sample_masks
from .spec import ProceduralSpec
from .textures import SIDE, sample_bank

CLUTTER = 2
"""Small objects behind the actors."""
_OBJECTS = CLUTTER + ACTORS + 2
_OCCLUDER, _BLIP = _OBJECTS - 2, _OBJECTS - 1


@dataclass(frozen=True)
class Bank:
    """Patterns and outlines that many clips share."""

    patterns: Tensor
    """(K, 2, SIDE, SIDE)."""
    masks: Tensor
    """(M, 2, SPRITE, SPRITE)."""

    @classmethod
    def sample(cls, seed: int, number: int, device: torch.device) -> Bank:
        """Sample the bank of this number."""
        random = KeyedRandom.of(seed, number, torch.arange(48, device=device)).fork("bank")
        return cls(sample_bank(random.fork("patterns")), sample_masks(random.fork("masks")))


def make_scene(
    casts: Sequence[tuple[Tensor, Cast]], random: KeyedRandom, bank: Bank, spec: ProceduralSpec
) -> Scene:
    """Sample the appearance of casts.

    Args:
        casts: Positions in the batch (n,) and the cast there; together the whole batch.
        random: B rows.
        bank: Patterns and outlines.
        spec: Amounts of clutter, occluders, blips, light and contrast.
    """
    tile, brightness = _background(random.fork("background"), bank, spec.background_contrast)
    moments = spec.num_frames * SUBSTEPS
    time = torch.arange(moments, device=tile.device) / moments
    scene = Scene(
        tile=tile,
        start=_start(random.fork("start")),
        view=wandering(random.fork("view"), time, spec.background_motion),
        sprites=tile[:, :0],
        xy=tile.new_zeros(len(random), _OBJECTS, moments, 2),
        angle=tile.new_zeros(len(random), _OBJECTS, moments),
        size=tile.new_full((len(random), _OBJECTS, moments), 0.05),
        opacity=tile.new_zeros(len(random), _OBJECTS, moments),
        glow=tile.new_zeros(len(random), _OBJECTS, moments),
        wraps=torch.ones(len(random), dtype=torch.bool, device=tile.device),
        shows_bodies_before=CLUTTER,
        bodies=None,
        light=_light(random.fork("light"), time, spec.illumination),
    )
    _add_clutter(scene, random.fork("clutter"), time, spec)
    _add_occluder(scene, random.fork("occluder"), spec)
    _add_blip(scene, random.fork("blip"), spec)
    bodies = []
    for places, cast in casts:
        _add_actors(scene, places, cast)
        if cast.bodies is not None:
            bodies.append((places, cast.bodies, cast.body_scale))
    there = (scene.opacity > 0).any(2)
    scene.sprites = _sprites(random.fork("sprites"), bank, brightness, there, spec.contrast)
    if bodies:
        clips, bones, scales = (torch.cat(parts) for parts in zip(*bodies, strict=True))
        scene.bodies = _dressed(clips, bones, scales, random, brightness, spec)
    return scene


_DARK = 0.4  # brightness of a background without contrast, as a share of its mean colour


def _background(random: KeyedRandom, bank: Bank, contrast: float) -> tuple[Tensor, Tensor]:
    """Coloured tile (B, 3, SIDE, SIDE) and its mean brightness (B,)."""
    fields = bank.patterns[random.whole(high=len(bank.patterns))]
    colours = sample_colours(random, 1, None, 0.0)[:, 0]
    tile = colours[:, 0, :, None, None] + torch.einsum("bkc,bkyx->bcyx", colours[:, 1:], fields)
    tile = tile.clamp(0, 1)
    tile = torch.lerp(_DARK * tile.mean((2, 3), keepdim=True), tile, contrast)
    return tile, tile.mean((1, 2, 3))


def _start(random: KeyedRandom) -> Tensor:
    """A random view of the tile: any position and turn, sizes over three octaves."""
    place = random.uniform(2)
    scale = random.uniform(1, low=-1.0, high=0.6)
    return torch.cat([place, scale, random.uniform(1, high=2 * torch.pi)], 1)


def _sprites(
    random: KeyedRandom, bank: Bank, brightness: Tensor, there: Tensor, contrast: float
) -> Tensor:
    """Sprites (B, O, 4, SPRITE, SPRITE) of the objects present, ``there`` (B, O)."""
    which = random.whole(_OBJECTS, high=len(bank.patterns))[there]
    corner = random.whole(_OBJECTS, 2, high=SIDE)[there]
    step = torch.arange(SPRITE, device=which.device)
    row, column = ((corner[:, i, None] + step) % SIDE for i in range(2))
    flat = bank.patterns.flatten(2)
    texel = (row[:, :, None] * SIDE + column[:, None, :]).flatten(1)
    fields = flat[which[:, None], :, texel].transpose(1, 2).unflatten(2, (SPRITE, SPRITE))
    masks = bank.masks[random.whole(_OBJECTS, high=len(bank.masks))[there]]
    colours = sample_colours(random, _OBJECTS, brightness, contrast)[there]
    sprites = flat.new_zeros(*there.shape, 4, SPRITE, SPRITE)
    sprites[there] = make_sprites(fields, masks, colours)
    return sprites


def _light(random: KeyedRandom, time: Tensor, strength: float) -> Tensor:
    """Light that drifts or flickers, slightly different per colour channel: (B, F, 3)."""
    drift = random.uniform(1, 1, low=-0.35, high=0.35) * (time[None, :, None] - 0.5)
    cycles, phase = random.uniform(1, 1, low=0.5, high=2.5), random.uniform(1, 1)
    turns = 2 * torch.pi * (cycles * time[None, :, None] + phase)
    flicker = random.uniform(1, 1, high=0.2) * turns.sin() * random.chance(0.4, 1, 1)
    tint = 1 + random.uniform(1, 3, low=-0.15, high=0.15) * time[None, :, None]
    return 1 + strength * ((1 + drift + flicker) * tint - 1)


def _add_actors(scene: Scene, places: Tensor, cast: Cast) -> None:
    there = torch.arange(ACTORS, device=places.device) < cast.count[:, None]
    span = slice(CLUTTER, CLUTTER + ACTORS)
    scene.xy[places, span] = cast.xy
    scene.angle[places, span] = cast.angle
    scene.size[places, span] = cast.size
    scene.opacity[places, span] = cast.opacity * there[..., None]
    scene.glow[places, span] = cast.glow
    scene.wraps[places] = cast.wraps
    scene.view[places] = torch.where(
        (cast.view != 0).any(-1).any(-1)[:, None, None], cast.view, scene.view[places]
    )


def _add_clutter(scene: Scene, random: KeyedRandom, time: Tensor, spec: ProceduralSpec) -> None:
    start = random.uniform(CLUTTER, 1, 2, low=-0.5, high=0.5)
    rate = random.uniform(CLUTTER, 1, 2, low=-0.5, high=0.5)
    scene.xy[:, :CLUTTER] = start + rate * time[None, None, :, None]
    turn = random.uniform(CLUTTER, 2, 1) * 2 * torch.pi
    scene.angle[:, :CLUTTER] = turn[:, :, 0] + (turn[:, :, 1] - torch.pi) * 0.5 * time
    scene.size[:, :CLUTTER] = random.uniform(CLUTTER, 1, low=0.035, high=0.065)
    scene.opacity[:, :CLUTTER] = random.chance(spec.clutter, CLUTTER, 1).float()


def _add_occluder(scene: Scene, random: KeyedRandom, spec: ProceduralSpec) -> None:
    scene.xy[:, _OCCLUDER] = random.uniform(1, 2, low=-0.5, high=0.5)
    scene.angle[:, _OCCLUDER] = random.uniform(1) * 2 * torch.pi
    scene.size[:, _OCCLUDER] = random.uniform(1, low=0.1, high=0.18)
    scene.opacity[:, _OCCLUDER] = random.chance(spec.occluders, 1).float()


def _add_blip(scene: Scene, random: KeyedRandom, spec: ProceduralSpec) -> None:
    """An object in one frame only: salient, but unrelated to the class."""
    frame = torch.arange(scene.xy.shape[2], device=scene.xy.device) // SUBSTEPS
    when = random.whole(1, high=spec.num_frames)
    scene.xy[:, _BLIP] = random.uniform(1, 2, low=-0.5, high=0.5)
    scene.angle[:, _BLIP] = random.uniform(1) * 2 * torch.pi
    scene.size[:, _BLIP] = random.uniform(1, low=0.06, high=0.14)
    shown = (frame == when) & random.chance(spec.blips, 1)
    scene.opacity[:, _BLIP] = shown.float()
    scene.glow[:, _BLIP] = random.chance(0.5, 1).float().expand_as(shown)


def _dressed(
    clips: Tensor,
    bones: Tensor,
    scales: Tensor,
    random: KeyedRandom,
    brightness: Tensor,
    spec: ProceduralSpec,
) -> Bodies:
    """Bodies with colours and thickness; the torso is thicker, the head round."""
    mine = random.rows(clips).fork("bodies")
    colours = sample_colours(mine, BONES, brightness[clips], spec.contrast)[:, :, 0]
    shared = sample_colours(mine, 1, brightness[clips], spec.contrast)[:, :, 0]
    colours = torch.lerp(shared, colours, mine.uniform(1, 1)).clamp(0, 1)
    build = F.pad(torch.tensor([1.6, 2.3], device=clips.device), (0, BONES - 2), value=1.0)
    thickness = mine.uniform(1, low=0.02, high=0.03) * build * scales[:, None]
    return Bodies(clips, bones, thickness, colours)
