"""Video-FocalNets: modulation by context of space and of time in the place of self-attention.

Paper: *Video-FocalNets: Spatio-Temporal Focal Modulation for Video Action Recognition* (ICCV 2023,
arXiv 2307.06947); the modulation of single pictures is that of *Focal Modulation Networks*
(arXiv 2203.11926).

What is whose:

- From the papers: every place's query is multiplied by two modulators, which are computed from
  context of growing reach. One sees the place's frame (depthwise kernels of 3 and 5, then the mean
  of the frame), one the same place in all frames (kernels of 3 and 5 in time, then the mean of the
  clip); gates, which are not squashed, say how much each reach counts.
- Decided here: the small sizes ``video_focalnet_n16``, ``n24`` and ``n32``, with kernels in time
  that are depthwise, at the costs of this package's models; frames are sampled evenly.

Axes: B clips, T frames, H, W places, C channels; channels are last, as in the papers' code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...clip_spec import ClipSpec
from ...errors import UserError
from ...layers.forms import drop_path
from ..video_model import Form, VideoModel, check_arguments, check_choice, check_counts, recomputed
from .parts import mean_over_clip


class VideoFocalNet(VideoModel):
    """Video-FocalNet classifier.

    Args:
        channels: Channels of the first stage; each later one has twice those of the one before.
        depths: Blocks of each stage.
        kernels: Sizes, odd, of the kernels of context, in space and in time.
        temporal: Kernels in time between all channels, ``"dense"``, as in the paper, or of each
            channel alone, ``"depthwise"``.
        mlp_ratio: Hidden channels of the perceptrons as a multiple.
        num_classes: Number of logits.
        num_frames: T of the native clip. Any T runs.
        crop_size: Height and width in pixels of the native clip. Any H, W of at least 32 run.
        form: Graph form, see :class:`VideoMobileFormer`.
        drop_rate: Dropout before the last linear layer, in [0, 1).
        drop_path_rate: Stochastic depth of the last block, in [0, 1), rising linearly from 0.

    Raises:
        UserError: If an argument is out of range; the message names it.
    """

    classifier_std = 0.02
    last_features_into = "pool"
    method = "Focal modulation in space and time: Video-FocalNet (arXiv 2307.06947)."

    def __init__(
        self,
        *,
        channels: int,
        depths: Sequence[int],
        kernels: Sequence[int] = (3, 5),
        temporal: str = "dense",
        mlp_ratio: int = 4,
        num_classes: int = 400,
        num_frames: int = 8,
        crop_size: int = 224,
        form: Form = "auto",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        architecture = {name: value for name, value in locals().items() if name != "self"}
        nn.Module.__init__(self)
        architecture |= {"depths": list(depths), "kernels": list(kernels)}
        _check_arguments(architecture)
        clip = ClipSpec(num_frames=num_frames, resize_size=crop_size * 8 // 7, crop_size=crop_size)
        self._describe(architecture, clip, form=form, drop_rate=drop_rate)
        self.stem = Shrink(3, channels, 4)
        self.blocks = nn.ModuleList()
        count = sum(depths)
        for stage, depth in enumerate(depths):
            if stage:
                channels *= 2
            for i in range(depth):
                self.blocks.append(
                    FocalBlock(
                        channels,
                        tuple(kernels),
                        depthwise=temporal == "depthwise",
                        mlp_ratio=mlp_ratio,
                        shrink=stage > 0 and i == 0,
                        drop_path_rate=drop_path_rate * len(self.blocks) / max(count - 1, 1),
                    )
                )
        self.norm = nn.LayerNorm(channels)
        self.pool = MeanOverClip()
        self.classifier = nn.Linear(channels, num_classes)
        self.apply(_start)
        nn.init.normal_(self.classifier.weight, std=self.classifier_std)

    def forward_features(self, x: Tensor) -> Tensor:
        """Compute what the head sees.

        Args:
            x: Normalised RGB, (B, 3, T, H, W).

        Returns:
            Features (B, C, T, H', W').
        """
        x, num_frames = self._in_form(x)
        return self._trunk(x, num_frames).unflatten(0, (-1, num_frames)).transpose(1, 2)

    def forward_head(self, features: Tensor, *, pre_logits: bool = False) -> Tensor:
        """Compute what follows :meth:`forward_features`; see the base class."""
        hidden = self.pool(features, features.shape[2])
        return hidden if pre_logits else self._classify(hidden)

    def _logits(self, x: Tensor, num_frames: int) -> Tensor:
        return self._classify(self.pool(self._trunk(x, num_frames), num_frames))

    def _trunk(self, x: Tensor, num_frames: int) -> Tensor:
        """Features (B·T, C, H', W') of clips (B, 3, T, H, W) or frames (B·T, 3, H, W)."""
        if x.dim() == 5:
            x = x.transpose(1, 2).flatten(0, 1)
        x = self.stem(x.permute(0, 2, 3, 1))
        recompute = self.gradient_checkpointing and self.training and torch.is_grad_enabled()
        for block in self.blocks:
            x = recomputed(block, [block], x, num_frames) if recompute else block(x, num_frames)
        return self.norm(x).permute(0, 3, 1, 2)


class Shrink(nn.Module):
    """Make one place of ``size`` × ``size``, and normalise it."""

    def __init__(self, in_channels: int, out_channels: int, size: int):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, out_channels, size, stride=size)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, ⌊H/size⌋, ⌊W/size⌋, C_out)."""
        return self.norm(self.proj(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class FocalBlock(nn.Module):
    """Modulation and a perceptron, each beside an identity and after a norm.

    Args:
        channels: Channels, after shrinking.
        kernels: Sizes of the kernels of context.
        depthwise: Whether kernels in time are of each channel alone.
        mlp_ratio: Hidden channels of the perceptron as a multiple.
        shrink: Halve the picture first, from half as many channels.
        drop_path_rate: Stochastic depth on both residuals.
    """

    def __init__(
        self,
        channels: int,
        kernels: Sequence[int],
        *,
        depthwise: bool,
        mlp_ratio: int = 4,
        shrink: bool = False,
        drop_path_rate: float = 0.0,
    ):
        super().__init__()
        self.drop_path_rate = drop_path_rate
        self.shrink = Shrink(channels // 2, channels, 2) if shrink else None
        self.norm1 = nn.LayerNorm(channels)
        self.modulation = FocalModulation(channels, kernels, depthwise=depthwise)
        self.norm2 = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, channels * mlp_ratio)
        self.fc2 = nn.Linear(channels * mlp_ratio, channels)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Map (B·T, H, W, C) to the same shape; halved first where the block shrinks."""
        if self.shrink is not None:
            x = self.shrink(x)
        y = self.modulation(self.norm1(x), num_frames)
        x = x + drop_path(y, self.drop_path_rate, self.training, num_frames)
        y = self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return x + drop_path(y, self.drop_path_rate, self.training, num_frames)


class FocalModulation(nn.Module):
    """Multiply queries by context of their frame and of their place in time.

    ``Linear(q ⊙ h(Σ g_l s_l) ⊙ h_t(Σ g_l t_l))``, s_l = GELU(k_l ∗ s_{l−1}), the last term of each
    sum the GELU of a mean over the frame, or over time.

    Args:
        channels: C.
        kernels: Sizes k_l.
        depthwise: Whether kernels in time are of each channel alone.
    """

    def __init__(self, channels: int, kernels: Sequence[int], *, depthwise: bool):
        super().__init__()
        gates = len(kernels) + 1
        self.widths = (channels, channels, gates)
        self.f = nn.Linear(channels, 2 * channels + gates)
        self.h = nn.Linear(channels, channels)
        self.proj = nn.Linear(channels, channels)
        self.f_temporal = nn.Linear(channels, channels + gates)
        self.h_temporal = nn.Linear(channels, channels)
        self.focal_layers = nn.ModuleList(
            nn.Conv2d(channels, channels, k, padding=k // 2, groups=channels, bias=False)
            for k in kernels
        )
        groups = channels if depthwise else 1
        self.focal_layers_temporal = nn.ModuleList(
            nn.Conv2d(channels, channels, (k, 1), padding=(k // 2, 0), groups=groups, bias=False)
            for k in kernels
        )

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Map (B·T, H, W, C) to the same shape."""
        query, context, gates = self.f(x).split(self.widths, dim=-1)
        summed = self._summed(context.permute(0, 3, 1, 2), gates, self.focal_layers, (2, 3))
        query = query * self.h(summed)
        # In time every place is a column: no tensor has more than four axes.
        rows = self.f_temporal(x).reshape(
            -1, num_frames, x.shape[1] * x.shape[2], sum(self.widths[1:])
        )
        context, gates = rows.split(self.widths[1:], dim=-1)
        summed = self._summed(context.permute(0, 3, 1, 2), gates, self.focal_layers_temporal, (2,))
        return self.proj(query * self.h_temporal(summed).view_as(query))

    def _summed(
        self, context: Tensor, gates: Tensor, layers: nn.ModuleList, over: tuple[int, ...]
    ) -> Tensor:
        """Gated sum (N, ·, ·, C) of what the kernels make of (N, C, ·, ·), and of its mean."""
        total: Tensor | None = None
        for level, layer in enumerate(layers):
            context = F.gelu(layer(context))
            part = context.permute(0, 2, 3, 1) * gates[..., level : level + 1]
            total = part if total is None else total + part
        everywhere = F.gelu(context.mean(dim=over, keepdim=True)).permute(0, 2, 3, 1)
        assert total is not None
        return total + everywhere * gates[..., len(layers) :]


class MeanOverClip(nn.Module):
    """What the classifier takes: the mean over places and frames."""

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Mean (B, C) of (B, C, T, H, W) or (B·T, C, H, W)."""
        return mean_over_clip(x, num_frames)


def _start(module: nn.Module) -> None:
    """Normal weights of 0.02, biases 0."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _check_arguments(values: dict[str, Any]) -> None:
    """Name the first argument that is out of range."""
    check_counts(values, "channels", "mlp_ratio")
    for name in ("depths", "kernels"):
        for i, value in enumerate(values[name]):
            if not isinstance(value, int) or value < 1 or (name == "kernels" and value % 2 == 0):
                raise UserError(f"{name}[{i}] is out of range: {value!r}")
        if not 1 <= len(values[name]) <= 4:
            raise UserError(f"{name} must have one to four values, not {len(values[name])}")
    check_choice(values, "temporal", ("dense", "depthwise"))
    check_arguments(values)


def _nano(channels: int) -> dict[str, Any]:
    return {"channels": channels, "depths": (1, 1, 2, 1), "temporal": "depthwise"}


FOCALNETS: dict[str, dict[str, Any]] = {
    "video_focalnet_t": {"channels": 96, "depths": (2, 2, 6, 2)},
    "video_focalnet_s": {"channels": 96, "depths": (2, 2, 18, 2)},
    "video_focalnet_b": {"channels": 128, "depths": (2, 2, 18, 2)},
    "video_focalnet_n16": _nano(16),
    "video_focalnet_n24": _nano(24),
    "video_focalnet_n32": _nano(32),
}
"""The members of the paper, and small ones of the same kind."""
