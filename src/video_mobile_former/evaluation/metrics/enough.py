"""How many clips a figure takes before it says more than chance does."""

from __future__ import annotations

import math

from .calibration import Calibration
from .single_label import wilson_interval

FEWEST_OF_A_CLASS = 20
"""Clips of a class from which it is measured by itself: the 95 % interval of its accuracy is then
at most 40 points wide, and a curve has 20 steps."""
_BY_CHANCE = 0.05
"""Calibration error by chance alone up to which a calibration error is shown."""
_FEWEST_SCORES = 100


def clips_for_calibration(found: Calibration) -> int | None:
    """How many scores a calibration error would take; None where there are enough.

    The error that a perfectly calibrated model shows by chance falls with the square root of their
    number. There are enough where it is at most 5 points, with 100 scores at least.

    Returns:
        A round number.
    """
    count = sum(one.count for one in found.bins)
    if count >= _FEWEST_SCORES and found.ece_by_chance <= _BY_CHANCE:
        return None
    needed = max(_FEWEST_SCORES, count * (found.ece_by_chance / _BY_CHANCE) ** 2)
    unit = 10 ** max(0, math.floor(math.log10(needed)) - 1)
    return math.ceil(needed / unit) * unit


def clips_for_width(width: float) -> int:
    """Clips of a class from which the 95 % interval (Wilson) of a share is at most this wide.

    Args:
        width: In (0, 1), of the widest interval: half of the clips right.
    """
    count = 2
    while True:
        low, high = wilson_interval(count // 2, count)
        if high - low <= width:
            return count
        count += 2
