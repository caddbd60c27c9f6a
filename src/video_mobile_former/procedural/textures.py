"""Tileable patterns: spectra of natural pictures, noise octaves, gratings, cells, fractals, spots.

A bank of patterns serves many batches: clips differ in pattern, part, size, rotation and colours.
All patterns are periodic, so a view may leave the tile on any side.

Sources: amplitude spectra that fall with 1/f are those of natural pictures (Field, "Relations
between the statistics of natural images and the response properties of cortical cells", 1987); sums
of noise octaves, Perlin, "An image synthesizer", 1985; cells, Worley, "A cellular texture basis
function", 1996.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .keyed_random import KeyedRandom

SIDE = 128
"""Height and width of a pattern in texels."""


def sample_bank(random: KeyedRandom) -> Tensor:
    """Sample one pattern per row.

    Args:
        random: K rows.

    Returns:
        float32 (K, 2, SIDE, SIDE) in [0, 1]: two fields per pattern, to be coloured.
    """
    makers = list(PATTERNS.values())
    count = len(random)
    bank = torch.empty(count, 2, SIDE, SIDE, device=random.uniform(1).device)
    for number, make in enumerate(makers):
        chosen = torch.arange(number, count, len(makers), device=bank.device)
        if len(chosen):
            fork = random.rows(chosen).fork("pattern")
            bank[chosen] = torch.stack([_levelled(make(fork)) for _ in range(2)], 1)
    # The second field is mostly smooth, for broad changes of colour.
    smooth = _levelled(_spectrum(random.fork("smooth"), random.uniform(1)[:, 0] * 0.8 + 1.6))
    bank[:, 1] = torch.lerp(bank[:, 1], smooth, 0.7)
    return bank


def natural(random: KeyedRandom) -> Tensor:
    """Noise with the spectrum of natural pictures, (K, SIDE, SIDE)."""
    return _spectrum(random, random.uniform(low=0.8, high=1.6))


def octaves(random: KeyedRandom) -> Tensor:
    """Ridges: octaves of absolute noise."""
    total = 0.0
    for octave in range(2, 6):
        cells = 2**octave
        noise = random.uniform(1, cells, cells, low=-1.0)
        noise = F.pad(noise, (2, 2, 2, 2), mode="circular")
        scale = SIDE // cells
        fine = F.interpolate(noise, scale_factor=scale, mode="bicubic", align_corners=False)
        fine = fine[:, 0, 2 * scale : -2 * scale, 2 * scale : -2 * scale]
        total = total + fine.abs() * 0.6 ** (octave - 2)
    return torch.as_tensor(total)


def gratings(random: KeyedRandom) -> Tensor:
    """Stripes and plaids, some with sharp edges."""
    down, across = _axes(random)
    waves = random.whole(2, 2, low=-6, high=7).float()
    waves[:, 0, 0] += (waves[:, 0] == 0).all(1).float() * 3
    phase = random.uniform(2, 1, 1) * 2 * math.pi
    angle = 2 * math.pi * (waves[:, :, :1, None] * across + waves[:, :, 1:, None] * down) + phase
    plaid = angle.sin()
    second = random.chance(0.5).float()[:, None, None]
    mixed = plaid[:, 0] + second * plaid[:, 1]
    return (mixed * (1 + 6 * random.chance(0.4).float()[:, None, None])).tanh()


def cells(random: KeyedRandom) -> Tensor:
    """Polygons around scattered points, each with its own shade and a dark seam."""
    down, across = _axes(random)
    points = random.uniform(20, 2)
    shade = random.uniform(20)
    across_gap = (across.view(1, 1, 1, -1) - points[:, :, :1, None] + 0.5) % 1.0 - 0.5
    down_gap = (down.view(1, 1, -1, 1) - points[:, :, 1:, None] + 0.5) % 1.0 - 0.5
    near, which = (across_gap**2 + down_gap**2).topk(2, dim=1, largest=False)
    seam = ((near[:, 1].sqrt() - near[:, 0].sqrt()) * 40).clamp(0, 1)
    return shade.gather(1, which[:, 0].flatten(1)).view_as(seam) * seam


def fractals(random: KeyedRandom) -> Tensor:
    """Julia sets: escape times of z² + c, mirrored so that the edges meet."""
    half = SIDE // 2
    axis = torch.linspace(-1.35, 1.35, half, device=random.uniform(1).device)
    turn = random.uniform(1, 1) * 2 * math.pi
    # Around the rim of the main cardioid the sets are richest.
    real = 0.5 * turn.cos() - 0.25 * (2 * turn).cos() + random.normal(1, 1) * 0.05
    imaginary = 0.5 * turn.sin() - 0.25 * (2 * turn).sin() + random.normal(1, 1) * 0.05
    x = axis.view(1, 1, -1).expand(len(random), half, -1)
    y = axis.view(1, -1, 1).expand(len(random), -1, half)
    total = torch.zeros_like(x)
    for _ in range(24):
        x, y = (x * x - y * y + real).clamp(-3, 3), (2 * x * y + imaginary).clamp(-3, 3)
        total = total + torch.exp(-(x * x + y * y))
    total = torch.cat([total, total.flip(1)], 1)
    return torch.cat([total, total.flip(2)], 2)


def spots(random: KeyedRandom) -> Tensor:
    """Smooth noise cut at a threshold: spots, as on animal hides."""
    noise = _levelled(_spectrum(random, random.uniform(low=1.6, high=2.2)))
    return ((noise - 0.5) * 16).tanh()


PATTERNS: dict[str, Callable[[KeyedRandom], Tensor]] = {
    "natural": natural,
    "octaves": octaves,
    "gratings": gratings,
    "cells": cells,
    "fractals": fractals,
    "spots": spots,
}
"""From K rows of random numbers to (K, SIDE, SIDE), in the order in which a bank cycles."""


def _axes(random: KeyedRandom) -> tuple[Tensor, Tensor]:
    axis = torch.arange(SIDE, device=random.uniform(1).device) / SIDE
    return axis.view(-1, 1), axis.view(1, -1)


def _spectrum(random: KeyedRandom, exponent: Tensor) -> Tensor:
    """Noise whose amplitudes fall with frequency to the given power (K,)."""
    white = torch.fft.rfft2(random.uniform(SIDE, SIDE, low=-1.0))
    down = torch.fft.fftfreq(SIDE, 1 / SIDE, device=white.device)[:, None]
    across = torch.fft.rfftfreq(SIDE, 1 / SIDE, device=white.device)[None]
    frequency = torch.hypot(down, across)
    frequency[0, 0] = 1.0
    shaped = white / frequency ** exponent[:, None, None]
    shaped[:, 0, 0] = 0
    return torch.fft.irfft2(shaped, s=(SIDE, SIDE))


def _levelled(field: Tensor) -> Tensor:
    """Normalise to mean 1/2 with two standard deviations reaching 0 and 1."""
    mean = field.mean((1, 2), keepdim=True)
    spread = field.std((1, 2), keepdim=True).clamp_min(1e-4)
    return ((field - mean) / spread * 0.25 + 0.5).clamp(0, 1)
