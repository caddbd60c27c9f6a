"""The graph that a target writes: a lowered model, with its input as the artefact takes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..clip import ClipSpec
from .artifact import InputDtype
from .lowering import GraphForm


class ExportGraph(nn.Module):
    """A lowered model behind the input that was asked for.

    Args:
        lowered: What :func:`.lowering.lower` returned.
        clip: Mean and standard deviation, and the native size of the example input.
        form: ``"volume"`` takes (B, 3, T, H, W), ``"frames"`` takes (B·T, 3, H, W).
        dtype: ``"float32"`` takes normalised clips, ``"uint8"`` normalises inside.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, lowered: nn.Module, clip: ClipSpec, *, form: GraphForm, dtype: InputDtype):
        super().__init__()
        self.lowered, self.clip, self.form, self.dtype = lowered, clip, form, dtype
        shape = (1, 3, 1, 1, 1) if form == "volume" else (1, 3, 1, 1)
        std = torch.tensor(clip.std).view(shape)
        # The same two steps as data.transforms.normalize, so that both round alike. They cannot be
        # folded into the first convolution: its padding is zero after them, not before.
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", torch.tensor(clip.mean).view(shape) / std)
        self.eval().requires_grad_(False)

    def forward(self, clip: Tensor) -> Tensor:
        """Logits (B, K) of an input as :meth:`example` shows it."""
        if self.dtype == "uint8":
            clip = clip.to(torch.float32) * self.scale - self.shift
        return self.lowered(clip)

    def example(self, batch: int = 1) -> Tensor:
        """A fixed random input for ``batch`` clips.

        Returns:
            (B, 3, T, H, W) or (B·T, 3, H, W), normal for float32, 0 to 255 for uint8.
        """
        generator = torch.Generator().manual_seed(0)
        num_frames, size = self.clip.num_frames, self.clip.crop_size
        if self.form == "volume":
            shape = (batch, 3, num_frames, size, size)
        else:
            shape = (batch * num_frames, 3, size, size)
        if self.dtype == "uint8":
            return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        return torch.randn(shape, generator=generator)
