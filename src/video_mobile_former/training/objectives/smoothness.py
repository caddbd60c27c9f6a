"""Temporal smoothness: features of consecutive frames are to move smoothly.

Source: *Smooth Regularization for Efficient Video Recognition* (arXiv 2511.20928) and its release
(cmusatyalab/grw-smoothing): a Gaussian random walk whose steps, the accelerations of the features,
are small makes the true order of the frames the most probable one. A loss of training alone; the
network stays as it is.

Decided here: the features are those before the head, pooled over space; each channel is normalised
over the batch without learned parameters, as the release advises for intermediate layers, and a
frame's features are divided by the square root of their number, so that the loss does not depend
on the width of the network.
"""

from __future__ import annotations

import functools
import itertools

import torch
from torch import Tensor

from ...clip_spec import ClipSpec
from ...errors import RecipeError
from ..recipe.fields import Recipe
from .objective import Beside, Pass

VELOCITY_SHARE = 0.5
"""Weight α of the squared velocities, as in the release."""
_EPS = 1e-5


class Smoothness(Beside):
    """Keeps the features of consecutive frames on a smooth path.

    Args:
        weight: Of the loss.
        window: Frames whose orders are compared, 3 to 7.
    """

    field = "optim.temporal_smoothness"
    wants_local = True

    def __init__(self, weight: float, window: int):
        super().__init__()
        self.weight, self.window = weight, window

    def forward(self, seen: Pass) -> Tensor:
        """See :class:`~.objective.Beside`."""
        assert seen.local is not None
        return self.weight * smoothness_loss(seen.local.mean(dim=(3, 4)), self.window)


def smoothness_loss(features: Tensor, window: int) -> Tensor:
    """How far features are from a smooth walk in the order of their frames.

    For windows z of L normalised frames, with accelerations
    ``a_t(π) = z_π(t) − 2 z_π(t+1) + z_π(t+2)`` under an order π that begins with the first frame::

        −log( exp(−½ Σ‖a(identity)‖²) / Σ_π exp(−½ Σ‖a(π)‖²) ) + α · ½ Σ‖z_t+1 − z_t‖²

    Args:
        features: (B, T, C), T at least 3.
        window: L, 3 to 7: orders are (L − 1)!. Shorter clips are one window.

    Returns:
        The mean over all windows, a scalar.
    """
    with torch.autocast(features.device.type, enabled=False):
        z = _normalized(features.float())
        windows = _windows(z, min(window, z.shape[1]))  # (N, L, C)
        # Sums of squares of differences are linear in the products of frames: (N, L·L).
        products = (windows @ windows.transpose(1, 2)).flatten(1)
        orders, steps = (m.to(z) for m in _quadratic_forms(windows.shape[1]))
        energies = products @ orders.T / 2  # (N, orders), the true order first
        order = torch.logsumexp(-energies, dim=1) + energies[:, 0]
        velocity = products @ steps / 2
        return (order + VELOCITY_SHARE * velocity).mean()


def check_smoothness(recipe: Recipe, clip: ClipSpec) -> None:
    """Refuse clips without accelerations.

    Raises:
        RecipeError: If a recipe wants smooth features of fewer than three frames.
    """
    if recipe.optim.temporal_smoothness > 0 and clip.num_frames < 3:
        raise RecipeError(
            f"optim.temporal_smoothness needs clips of at least 3 frames, not {clip.num_frames}"
        )


def _normalized(features: Tensor) -> Tensor:
    centred = features - features.mean(dim=(0, 1))
    variance = centred.square().mean(dim=(0, 1))
    return centred / (variance + _EPS).sqrt() / features.shape[2] ** 0.5


def _windows(z: Tensor, length: int) -> Tensor:
    """As few windows as cover all frames, evenly placed: (N, L, C)."""
    frames = z.shape[1]
    count = -(-frames // length)
    starts = [round(i * (frames - length) / max(count - 1, 1)) for i in range(count)]
    return torch.cat([z[:, start : start + length] for start in starts])


@functools.cache
def _quadratic_forms(length: int) -> tuple[Tensor, Tensor]:
    """Matrices (orders, L·L) of ``Σ‖a(π)‖²`` and (L·L,) of ``Σ‖v‖²`` as forms of the products."""
    eye = torch.eye(length, dtype=torch.float64)
    orders = []
    for rest in itertools.permutations(range(1, length)):
        walk = eye[[0, *rest]]
        accelerations = walk[:-2] - 2 * walk[1:-1] + walk[2:]
        orders.append((accelerations.T @ accelerations).flatten())
    velocities = eye[1:] - eye[:-1]
    return torch.stack(orders), (velocities.T @ velocities).flatten()
