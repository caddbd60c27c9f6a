"""Random numbers that are a function of where they are used, for many clips at once.

The numbers of a sequential generator depend on the clips before. Here each number is a hash of
(seed, batch, position in the batch, purpose, count): the same on every device and in batches of any
size, independent of other calls. The hash is the finaliser of SplitMix64 (Steele, Lea and Flood,
"Fast splittable pseudorandom number generators", OOPSLA 2014).
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

# SplitMix64's constants as signed integers, since torch has no unsigned arithmetic.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)


class KeyedRandom:
    """Random numbers of several clips, one row each.

    Args:
        keys: int64 (B,), one unique number per clip.
    """

    def __init__(self, keys: Tensor):
        self._keys = keys
        self._used = 0

    @classmethod
    def of(cls, seed: int, index: int, places: Tensor) -> KeyedRandom:
        """The numbers of the clips at ``places`` (B,) of batch ``index``."""
        root = _number(f"{seed}/{index}")
        return cls(_mixed(places.to(torch.int64) * _GOLDEN + root))

    def fork(self, purpose: str) -> KeyedRandom:
        """Numbers of the same clips for another purpose, unrelated to these."""
        return KeyedRandom(_mixed(self._keys + _number(purpose)))

    def rows(self, chosen: Tensor) -> KeyedRandom:
        """Numbers of some of the clips, from the start."""
        return KeyedRandom(self._keys[chosen])

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Numbers in [low, high), shape (B, *shape)."""
        count = math.prod(shape)
        column = torch.arange(self._used, self._used + count, device=self._keys.device)
        self._used += count
        bits = _mixed(self._keys[:, None] + (column + 1) * _GOLDEN)
        # A float32 in [0, 1) holds the upper 24 bits.
        unit = _shifted(bits, 40).to(torch.float32) * 2.0**-24
        return (low + (high - low) * unit).view(len(self._keys), *shape)

    def normal(self, *shape: int) -> Tensor:
        """Normally distributed numbers, mean 0 and variance 1, shape (B, *shape)."""
        radius = (-2 * (1 - self.uniform(*shape)).log()).sqrt()
        return radius * (2 * math.pi * self.uniform(*shape)).cos()

    def whole(self, *shape: int, low: int = 0, high: int) -> Tensor:
        """Whole numbers from ``low`` to ``high - 1``, int64 (B, *shape)."""
        return low + (self.uniform(*shape) * (high - low)).long().clamp_(max=high - low - 1)

    def chance(self, share: float, *shape: int) -> Tensor:
        """True with the given probability, bool (B, *shape)."""
        return self.uniform(*shape) < share

    def sign(self, *shape: int) -> Tensor:
        """-1 or 1, shape (B, *shape)."""
        return self.chance(0.5, *shape).float() * 2 - 1

    def order(self, count: int) -> Tensor:
        """A random order of the numbers below ``count``, int64 (B, count)."""
        return self.uniform(count).argsort(dim=1)

    def __len__(self) -> int:
        return len(self._keys)


def _number(text: str) -> int:
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _shifted(bits: Tensor, by: int) -> Tensor:
    """Logical right shift; torch's shift of signed integers copies the sign."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _mixed(bits: Tensor) -> Tensor:
    bits = (bits ^ _shifted(bits, 30)) * _FIRST
    bits = (bits ^ _shifted(bits, 27)) * _SECOND
    return bits ^ _shifted(bits, 31)
