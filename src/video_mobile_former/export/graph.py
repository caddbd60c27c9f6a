"""The graph that a target writes: a lowered model, with its input as the artefact takes it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..clip_spec import ClipSpec
from .artefact import Channels, InputDtype, lay_out, layout_of
from .lowering import GraphForm


class ExportGraph(nn.Module):
    """A lowered model behind the input that was asked for.

    Args:
        lowered: What :func:`.lowering.lower` returned.
        clip: Mean and standard deviation, and the native size of the example input.
        form: ``"volume"`` takes (B, 3, T, H, W), ``"frames"`` takes (B·T, 3, H, W).
        dtype: ``"float32"`` takes normalised clips, ``"uint8"`` normalises inside.
        channels: ``"last"`` takes (B, T, H, W, 3) or (B·T, H, W, 3) instead, as decoders give it.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        lowered: nn.Module,
        clip: ClipSpec,
        *,
        form: GraphForm,
        dtype: InputDtype,
        channels: Channels = "first",
    ):
        super().__init__()
        self.lowered, self.clip, self.dtype = lowered, clip, dtype
        self.form: GraphForm = form
        self.channels: Channels = channels
        rank = 5 if form == "volume" else 4
        shape = (3,) if channels == "last" else (3,) + (1,) * (rank - 2)
        std = torch.tensor(clip.std).view(shape)
        # The same two steps as data.transforms.normalize, so that both round alike. They cannot be
        # folded into the first convolution: its padding is zero after them, not before.
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", torch.tensor(clip.mean).view(shape) / std)
        self.eval().requires_grad_(False)

    def forward(self, clip: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Logits (B, K) of an input as :meth:`example` shows it."""
        return self.lowered(self.prepared(clip))

    def prepared(self, clip: Tensor) -> Tensor:
        """An input as the lowered model takes it: normalised, channels before height and width."""
        if self.dtype == "uint8":
            clip = clip.to(torch.float32) * self.scale - self.shift
        if self.channels == "last":
            clip = clip.permute((0, 4, 1, 2, 3) if self.form == "volume" else (0, 3, 1, 2))
        return clip

    def examples(self, batch: int = 1) -> tuple[Tensor, ...]:
        """A fixed random value of each input, the frames first."""
        return (self.example(batch),)

    def example(self, batch: int = 1) -> Tensor:
        """A fixed random input for ``batch`` clips.

        Returns:
            In the order and of the type that it takes, normal for float32, 0 to 255 for uint8.
        """
        generator = torch.Generator().manual_seed(0)
        shape = (batch, 3, self.clip.num_frames, self.clip.crop_size, self.clip.crop_size)
        if self.dtype == "uint8":
            clips = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        else:
            clips = torch.randn(shape, generator=generator)
        return lay_out(clips, layout_of(self.form, self.channels)).contiguous()


class StepGraph(ExportGraph):
    """A lowered step of a streaming model behind the input that was asked for.

    Args:
        lowered: Maps frames and states to logits and the next states.
        clip: Its ``num_frames`` are those of a step.
        shapes: Of the states, in order, for one stream.
        form: As for :class:`ExportGraph`.
        dtype: Likewise.
        channels: Likewise.
    """

    def __init__(
        self,
        lowered: nn.Module,
        clip: ClipSpec,
        shapes: Sequence[tuple[int, ...]],
        *,
        form: GraphForm,
        dtype: InputDtype,
        channels: Channels = "first",
    ):
        super().__init__(lowered, clip, form=form, dtype=dtype, channels=channels)
        self.shapes = tuple(shapes)

    def forward(self, clip: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, K) and the next states, of the frames of a step and the states (B, …)."""
        return self.lowered(self.prepared(clip), *states)

    def examples(self, batch: int = 1) -> tuple[Tensor, ...]:
        """As in the base class; states are those of streams that went on for a while."""
        generator = torch.Generator().manual_seed(1)
        shapes = [(batch, *shape[1:]) for shape in self.shapes]
        states = (torch.randn(shape, generator=generator) for shape in shapes)
        # The last one counts frames, which never are below 0.
        *others, frames = states
        return (self.example(batch), *others, frames.abs() + 1)
