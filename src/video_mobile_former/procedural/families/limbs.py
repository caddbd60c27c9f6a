"""Articulated bodies: a stick person in typical movements, and a chain that wriggles or curls.

Unlike in the other families, a single frame may reveal the class: a pose is informative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..bodies import Pose, chain, person
from ..cast import Cast
from ..keyed_random import KeyedRandom
from ..trajectories import eased
from .kinds import Act, Classes


@dataclass(frozen=True)
class _Beat:
    """Elements of the movements of a clip, (n, F) each."""

    time: Tensor
    wave: Tensor
    """From -1 to 1."""
    up: Tensor
    """From 0 to 1, once a cycle."""
    once: Tensor
    """From 0 to 1 and back, once a clip."""
    strength: Tensor
    """(n, 1) around 1."""


def _walk(beat: _Beat) -> Pose:
    swing, lift = beat.wave * 0.65 * beat.strength, (beat.up * 0.8, (1 - beat.up) * 0.8)
    return Pose(
        hips=(swing, -swing),
        knees=(lift[0], lift[1]),
        arms=(-swing, swing),
        elbows=(beat.up * 0 + 0.4, beat.up * 0 + 0.4),
        x=(beat.time - 0.5) * 0.5,
    )


def _jump(beat: _Beat) -> Pose:
    high, low = (beat.wave).clamp_min(0), (-beat.wave).clamp_min(0)
    bend = low * 1.1
    arms = 0.4 + high * 2.2
    return Pose(
        hips=(bend, -bend), knees=(-bend * 1.6, bend * 1.6), arms=(arms, -arms), y=-0.2 * high
    )


def _wave(beat: _Beat) -> Pose:
    raised = 2.3 + 0 * beat.up
    return Pose(
        arms=(raised, -0.25 + 0 * beat.up), elbows=(beat.wave * 0.9 * beat.strength, beat.up * 0)
    )


def _squat(beat: _Beat) -> Pose:
    bend = beat.up * 1.15 * beat.strength
    return Pose(
        hips=(bend, -bend),
        knees=(-bend * 1.9, bend * 1.9),
        arms=(1.4 * beat.up + 0.2, -1.4 * beat.up - 0.2),
        stands=True,
    )


def _jumping_jack(beat: _Beat) -> Pose:
    legs, arms = beat.up * 0.55, 0.25 + beat.up * 2.4
    return Pose(hips=(legs, -legs), arms=(arms, -arms), y=-0.05 * beat.up)


def _kick(beat: _Beat) -> Pose:
    arms = 0.4 + 0.8 * beat.once
    return Pose(
        hips=(beat.once * 1.7 * beat.strength, 0 * beat.up),
        knees=(-beat.once * (1 - beat.once) * 3.0, 0 * beat.up),
        arms=(arms, -arms),
        lean=-0.25 * beat.once,
    )


def _punch(beat: _Beat) -> Pose:
    reach = beat.once
    return Pose(
        hips=(0.3 + 0 * reach, -0.3 + 0 * reach),
        arms=(0.6 + reach * 0.9, -0.6 + 0 * reach),
        elbows=(2.2 * (1 - reach), -1.8 + 0 * reach),
        lean=0.2 * reach,
        x=0.05 * reach,
    )


def _bow(beat: _Beat) -> Pose:
    return Pose(
        lean=1.2 * beat.once * beat.strength, arms=(0.15 + beat.once * 0, -0.15 + beat.once * 0)
    )


def _beat(cast: Cast, random: KeyedRandom) -> _Beat:
    cycles = random.uniform(1, low=1.0, high=1.9)
    phase = random.uniform(1)
    turns = 2 * torch.pi * (cycles * cast.time + phase)
    middle = random.uniform(1, low=0.4, high=0.6)
    once = eased(cast.time, middle - 0.3, middle) - eased(cast.time, middle, middle + 0.3)
    cast.set_target("cycles", cycles[:, 0])
    strength = random.uniform(1, low=0.8, high=1.2)
    return _Beat(cast.time[None], turns.sin(), 0.5 - 0.5 * turns.cos(), once, strength)


def _person(move: Callable[[_Beat], Pose], *, once: bool = False) -> Act:
    def act(cast: Cast, random: KeyedRandom) -> None:
        cast.only(0)
        beat = _beat(cast, random)
        if once:
            del cast.family_targets["cycles"]
        bones = person(move(beat), random.uniform(1, 1, 1, low=0.85, high=1.2))
        bones[..., ::2] *= random.sign(1, 1, 1)  # facing left or right
        _place(cast, bones, random)

    return act


def _wriggle(cast: Cast, random: KeyedRandom) -> None:
    cast.only(0)
    beat = _beat(cast, random)
    turns = beat.time * random.uniform(1, low=1.0, high=1.9) * random.sign(1) + random.uniform(1)
    cast.set_target("cycles", (turns[:, -1] - turns[:, 0]).abs())
    _place(cast, chain(2 * torch.pi * turns, random), random)


def _curl(cast: Cast, random: KeyedRandom) -> None:
    cast.only(0)
    closing = eased(cast.time[None], 0.05, 0.95)
    bend = random.sign(1) * torch.lerp(torch.full_like(closing, 0.05), closing * 0 + 0.62, closing)
    _place(cast, chain(None, random, bend=bend), random)


def _place(cast: Cast, bones: Tensor, random: KeyedRandom) -> None:
    """Place a body, with its own path and size, around the centre."""
    place = random.uniform(1, 1, 2, low=-0.15, high=0.15).repeat(1, 1, 1, 2)
    cast.bodies = bones * cast.body_scale[:, None, None, None] + place


CLASSES: Classes = {
    "walk": _person(_walk),
    "jump": _person(_jump),
    "wave": _person(_wave),
    "squat": _person(_squat),
    "jumping_jack": _person(_jumping_jack),
    "kick": _person(_kick, once=True),
    "punch": _person(_punch, once=True),
    "bow": _person(_bow, once=True),
    "wriggle": _wriggle,
    "curl": _curl,
}
