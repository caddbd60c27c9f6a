"""What a model makes of a video before it names a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Embedding:
    """A video as a point among others: near ones look alike to the model."""

    path: str
    """As it was given; empty for a tensor."""
    features: np.ndarray
    """``(D,)`` float32: the input of the model's last linear layer, averaged over views."""
    tokens: np.ndarray | None
    """``(M, D')`` float32: the global tokens after the head's bridge, averaged over views; None of
    a model without tokens."""
    num_frames: int
    """Frames seen by the model, all views together."""
    padded: bool = False
    """The video is shorter than one clip of the model, so its last frame was repeated."""
