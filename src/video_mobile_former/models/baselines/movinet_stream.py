"""MoViNet stream: causal bottlenecks in space, then time, that take a stream frame by frame.

Paper: *MoViNets: Mobile Video Networks for Efficient Video Recognition* (arXiv 2103.11511), section
3.2. Its tables are those of the base models (``movinet_tables.py``); the network is another one.

What is whose:

- From the paper: convolutions in time that look back only and keep the last frames of their inputs
  (the stream buffer), running means in place of means over the clip.
- From the authors' release and its PyTorch port (Atze00/MoViNet-pytorch, ``causal=True``): a
  depthwise kernel in space and one in time, each with its norm and activation; hard swish but for
  the last hidden layer; gates ``clip(0.2 x + 0.5, 0, 1)`` that see the running mean beside the mean
  of the frame itself, with twice the hidden channels; TensorFlow's SAME padding.
- Decided here: ``pool="ema"``, running means that forget, for streams without end. The release
  knows ``"mean"`` alone, to be reset with each video.

Axes: B streams, T frames, C channels, H, W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import UserError
from ...layers.conv import BatchNorm, ConvNorm, norm_as_affine
from ...layers.forms import drop_path
from ...layers.past import Past, past_names
from ..streaming import reset_streams
from ..video_model import Form, check_choice, recomputed
from .movinet import EPS, BottleneckRow, MoViNet, halve_by_average
from .parts import StackedModel, multiple_of_eight

State = dict[str, Tensor]
PoolKind = Literal["mean", "ema"]


class MoViNetStream(StackedModel):
    """MoViNet stream classifier; a :class:`~..runnable.StreamingModel` with an update every frame.

    Args:
        blocks: Rows of the table, see :class:`~.movinet.BottleneckRow`.
        stem_channels: Output channels of the stem.
        head_channels: Channels of the convolution before the pooling.
        hidden_dim: Width of the last hidden layer.
        num_classes: Number of logits.
        num_frames: T of the native clip. Any T runs.
        crop_size: Height and width in pixels of the native clip. Any H, W of at least 32 run.
        resize_ratio: Short side of the frame before the test-time crop, as a multiple of
            ``crop_size``, at least 1.
        pool: Running means over all frames since the start (``"mean"``), or ones whose weights fall
            with age (``"ema"``).
        pool_seconds: ``"ema"`` only: age in seconds at which a frame's weight has fallen to 1/e.
        form: Kept for the other networks' sake; there is one graph, of rank 4.
        drop_rate: Dropout before the last linear layer, in [0, 1).
        drop_path_rate: Stochastic depth of the last block, in [0, 1), rising linearly from the
            first.

    Raises:
        UserError: If an argument is out of range; the message names it.
    """

    method = "Causal searched bottlenecks, frame by frame: MoViNet stream (arXiv 2103.11511)."
    frames_per_update = 1

    def __init__(
        self,
        *,
        blocks: Sequence[Sequence[int]],
        stem_channels: int,
        head_channels: int,
        hidden_dim: int = 2048,
        num_classes: int = 400,
        num_frames: int = 50,
        crop_size: int = 172,
        resize_ratio: float = 256 / 224,
        pool: PoolKind = "mean",
        pool_seconds: float = 2.0,
        form: Form = "auto",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        nn.Module.__init__(self)
        check_choice({"pool": pool}, "pool", ("mean", "ema"))
        if not 0 < pool_seconds < math.inf:
            raise UserError(f"pool_seconds must be above 0, not {pool_seconds!r}")
        base: dict[str, Any] = {
            "blocks": blocks,
            "stem_channels": stem_channels,
            "head_channels": head_channels,
            "hidden_dim": hidden_dim,
            "num_classes": num_classes,
            "num_frames": num_frames,
            "crop_size": crop_size,
            "resize_ratio": resize_ratio,
            "form": form,
            "drop_rate": drop_rate,
            "drop_path_rate": drop_path_rate,
        }
        with torch.device("meta"):
            model = MoViNet(**base)  # its checks, its table as JSON data and its clip
        architecture = {**model.architecture, "pool": pool, "pool_seconds": pool_seconds}
        self._describe(architecture, model.clip, form=form, drop_rate=drop_rate)
        self.pool: PoolKind = pool
        self.pool_seconds = float(pool_seconds)
        rows = tuple(BottleneckRow(*row) for row in blocks)
        self.stem = ConvNorm(3, stem_channels, 3, stride=2, padding_kind="same", eps=EPS)
        self.blocks = nn.ModuleList()
        channels = stem_channels
        for i, row in enumerate(rows):
            rate = drop_path_rate * (i + 1) / len(rows)
            self.blocks.append(
                StreamBottleneck(channels, row, name=f"blocks.{i}", drop_path_rate=rate)
            )
            channels = row.channels
        self.head_conv = ConvNorm(channels, head_channels, eps=EPS)
        self.head_linear = nn.Linear(head_channels, hidden_dim)
        self.classifier = nn.Linear(hidden_dim, num_classes)
        self._reset_parameters()

    # --- streams --------------------------------------------------------------------------------

    def init_state(
        self,
        batch: int,
        size: int | tuple[int, int],
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> State:
        """The state of B streams of which nothing was seen yet: zeros.

        Args:
            batch: Streams B.
            size: Height and width of the frames in pixels, or one number for both.
            device: By default that of the parameters.
            dtype: Likewise.
        """
        like = self.classifier.weight
        return {
            name: torch.zeros(shape, device=device or like.device, dtype=dtype or like.dtype)
            for name, shape in self.state_shapes(batch, size).items()
        }

    def state_shapes(self, batch: int, size: int | tuple[int, int]) -> dict[str, tuple[int, ...]]:
        """Shapes of the state by name, in a fixed order.

        Returns:
            ``….past1`` … (B, C, H, W), the last frames of a convolution in time; ``….squeeze``
            (B, C) and ``pooled`` (B, C), running means; ``frames`` (B, 1), their weight in frames.
        """
        height, width = (size, size) if isinstance(size, int) else size
        height, width = -(-height // 2), -(-width // 2)
        shapes: dict[str, tuple[int, ...]] = {}
        for block in self._rows():
            height, width = -(-height // block.stride), -(-width // block.stride)
            channels = block.squeeze.expand.out_features
            if block.time is not None:
                for name in past_names(f"{block.name}.time", block.time.length):
                    shapes[name] = (batch, channels, height, width)
            shapes[f"{block.name}.squeeze"] = (batch, channels)
        shapes["pooled"] = (batch, self.head_linear.in_features)
        shapes["frames"] = (batch, 1)
        return shapes

    def step(self, frames: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Take in the next frames of each stream.

        Args:
            frames: Normalised RGB, (B, 3, S, H, W).
            state: What :meth:`init_state` or the step before returned; it is not changed.

        Returns:
            Logits (B, num_classes) after the last frame, and the state for the next step.

        Raises:
            UserError: If frames or state do not fit.
        """
        logits, state = self._steps(frames, state)
        return logits[:, -1], state

    def reset(self, state: Mapping[str, Tensor], which: Tensor | Sequence[int]) -> State:
        """Start some streams anew: their numbers, or (B,) of bool; the others are left alone."""
        return reset_streams(state, which)

    def forward(self, x: Tensor) -> Tensor:
        """Classify clips (B, 3, T, H, W): the logits after their last frame."""
        return self.forward_steps(x)[:, -1]

    def forward_steps(self, clip: Tensor) -> Tensor:
        """Logits after each frame of clips (B, 3, T, H, W), as (B, T, num_classes)."""
        return self._steps(clip, self._start(clip))[0]

    def _steps(self, frames: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        x, num_frames = self._in_form(frames)
        self._check(frames, state)
        past = StreamPast(state, num_frames, self._kept())
        hidden = self._hidden_frames(self._run(x, num_frames, past), num_frames, past)
        return self._classify(hidden), {**state, **past.leave()}

    def _kept(self) -> float:
        """Share of its weight that a frame keeps from one frame to the next."""
        if self.pool == "mean":
            return 1.0
        return math.exp(-self.clip.stride_seconds / self.pool_seconds)

    def _start(self, clip: Tensor) -> State:
        if clip.dim() != 5:
            self._in_form(clip)  # refuses it
        size = (clip.shape[3], clip.shape[4])
        return self.init_state(len(clip), size, device=clip.device, dtype=clip.dtype)

    def _check(self, frames: Tensor, state: Mapping[str, Tensor]) -> None:
        if torch.compiler.is_compiling():
            return
        expected = self.state_shapes(len(frames), (frames.shape[3], frames.shape[4]))
        found = {name: tuple(value.shape) for name, value in state.items()}
        for name in sorted(found.keys() | expected.keys()):
            if found.get(name) != expected.get(name):
                raise UserError(
                    f"state {name!r} is {found.get(name, 'missing')}, but frames "
                    f"{tuple(frames.shape)} need {expected.get(name, 'none of that name')}: call "
                    "init_state for this batch and size"
                )

    # --- the network ----------------------------------------------------------------------------

    def _in_form(self, x: Tensor) -> tuple[Tensor, int]:
        x, num_frames = super()._in_form(x)
        if x.dim() == 5:  # a stream has one form
            x = x.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return x, num_frames

    def _run(self, x: Tensor, num_frames: int, past: StreamPast) -> Tensor:
        """Features (B·T, C, H', W') of frames (B·T, 3, H, W)."""
        x = self._activate(self.stem(x, num_frames))
        recompute = self.gradient_checkpointing and self.training and torch.is_grad_enabled()
        for block in self._rows():
            if recompute:
                x = recomputed(block, [block], x, num_frames, past)
            else:
                x = block(x, num_frames, past)
        return x

    def _trunk(self, x: Tensor, num_frames: int) -> Tensor:
        start = self.init_state(len(x) // num_frames, (x.shape[2], x.shape[3]))
        start = {name: value.to(x) for name, value in start.items()}
        return self._run(x, num_frames, StreamPast(start, num_frames, self._kept()))

    def _hidden_frames(self, x: Tensor, num_frames: int, past: StreamPast) -> Tensor:
        """What the classifier takes after each frame, (B, T, D)."""
        x = F.hardswish(self.head_conv(x, num_frames))
        frames = x.mean(dim=(2, 3)).unflatten(0, (-1, num_frames))
        return F.silu(self.head_linear(past.running_mean("pooled", frames)))

    def _hidden(self, x: Tensor, num_frames: int) -> Tensor:
        if x.dim() == 5:
            x = x.transpose(1, 2).flatten(0, 1)
        batch = len(x) // num_frames
        start = {
            "pooled": x.new_zeros(batch, self.head_linear.in_features),
            "frames": x.new_zeros(batch, 1),
        }
        return self._hidden_frames(x, num_frames, StreamPast(start, num_frames, self._kept()))[
            :, -1
        ]

    def _activate(self, x: Tensor) -> Tensor:
        return F.hardswish(x)

    def _rows(self) -> Iterator[StreamBottleneck]:
        for block in self.blocks:
            assert isinstance(block, StreamBottleneck)
            yield block

    @torch.no_grad()
    def _fold_rest(self) -> None:
        for block in self._rows():
            block.fold_scale()
            if block.time is not None:
                block.time.fold_norm()

    def _reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.classifier.weight, std=0.01)


class StreamPast(Past):
    """What a step of a stream starts from, and what it leaves: frames, and running means.

    Args:
        before: The state.
        num_frames: T of the step.
        kept: Share of its weight that a frame keeps from one frame to the next, in (0, 1].
    """

    def __init__(self, before: Mapping[str, Tensor], num_frames: int, kept: float):
        super().__init__(before)
        self.kept = kept
        ones = before["frames"].new_ones(1, num_frames, 1)
        self.weights = self._running_sum(ones, before["frames"])
        """(B, T, 1): the weight of all frames up to each one."""

    def running_mean(self, name: str, x: Tensor) -> Tensor:
        """Mean (B, T, C) of all frames up to each one of x (B, T, C)."""
        mean = self._running_sum(x, self.before[name] * self.before["frames"]) / self.weights
        self.after[name] = mean[:, -1]
        return mean

    def _running_sum(self, x: Tensor, total: Tensor) -> Tensor:
        """Weighted sums (B, T, C) of frames (B, T, C), after a sum (B, C) of those before."""
        if self.kept == 1:
            return x.cumsum(dim=1) + total.unsqueeze(1)
        found = list[Tensor]()
        for frame in x.unbind(1):
            total = self.kept * total + frame
            found.append(total)
        return torch.stack(found, dim=1)

    def leave(self) -> State:
        """Entries of the state for the next step."""
        return {**self.after, "frames": self.weights[:, -1]}


class StreamBottleneck(nn.Module):
    """Pointwise expand, depthwise in space, depthwise in time, gate, pointwise project.

    ``y = shortcut(x) + scale · residual(x)`` with a trained scale that starts at 0, see
    :class:`~.movinet.Bottleneck`.

    Args:
        in_channels: Input channels.
        row: The row of the table.
        name: Its entries in the state begin with this.
        drop_path_rate: Stochastic depth on the residual.
    """

    def __init__(
        self, in_channels: int, row: BottleneckRow, *, name: str, drop_path_rate: float = 0.0
    ):
        super().__init__()
        self.stride, self.name, self.drop_path_rate = row.stride, name, drop_path_rate
        self.expand = ConvNorm(in_channels, row.expand, eps=EPS)
        self.depthwise = ConvNorm(
            row.expand,
            row.expand,
            row.kernel_size,
            stride=row.stride,
            groups=row.expand,
            padding_kind="same",
            eps=EPS,
        )
        self.time: CausalTime | None = None
        if row.temporal_kernel > 1:
            self.time = CausalTime(row.expand, row.temporal_kernel)
        self.squeeze = RunningExcitation(row.expand, multiple_of_eight(row.expand // 4 * 2))
        self.project = ConvNorm(row.expand, row.channels, eps=EPS)
        self.scale: nn.Parameter | None = nn.Parameter(torch.zeros(()))
        self.shortcut: ConvNorm | None = None
        if row.stride > 1 or in_channels != row.channels:
            self.shortcut = ConvNorm(in_channels, row.channels, eps=EPS)

    def forward(self, x: Tensor, num_frames: int, past: StreamPast) -> Tensor:
        """Map (B·T, C, H, W) to (B·T, C_out, ⌈H/stride⌉, ⌈W/stride⌉)."""
        y = F.hardswish(self.expand(x, num_frames))
        y = F.hardswish(self.depthwise(y, num_frames))
        if self.time is not None:
            joined = past.join(f"{self.name}.time", y, num_frames, self.time.length)
            y = F.hardswish(self.time(joined, num_frames))
        y = self.squeeze(y, num_frames, f"{self.name}.squeeze", past)
        y = self.project(y, num_frames)
        if self.scale is not None:
            y = y * self.scale
        if self.shortcut is not None:
            x = halve_by_average(x) if self.stride > 1 else x
            x = self.shortcut(x, num_frames)
        return x + drop_path(y, self.drop_path_rate, self.training, num_frames)

    @torch.no_grad()
    def fold_scale(self) -> None:
        """Multiply the scale into a projection whose norm is folded already."""
        last = self.project.conv
        if self.scale is None or last.bias is None:
            return
        for parameter in (last.weight, last.bias):
            parameter.copy_(parameter.double() * self.scale.double())
        self.scale = None


class CausalTime(nn.Module):
    """Depthwise ``kt×1×1`` convolution that looks back only, and its BatchNorm.

    Args:
        channels: Channels C.
        length: Length kt of the kernel in time.
    """

    def __init__(self, channels: int, length: int):
        super().__init__()
        self.length = length
        self.weight = nn.Parameter(torch.empty(channels, 1, length, 1))
        self.bias: nn.Parameter | None = None
        self.norm: nn.Module = BatchNorm(channels, eps=EPS)
        nn.init.normal_(self.weight, std=length**-0.5)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Map kt − 1 + T frames of each stream, (B·(kt−1+T), C, H, W), to T of them."""
        n, c, h, w = x.shape
        joined = num_frames + self.length - 1
        # The same memory seen as pictures of time × places: a 2-D depthwise convolution.
        rows = x.permute(0, 2, 3, 1).reshape(n // joined, joined, h * w, c).permute(0, 3, 1, 2)
        y = F.conv2d(rows, self.weight, self.bias, groups=c)
        return self.norm(y.permute(0, 2, 3, 1).reshape(-1, h, w, c).permute(0, 3, 1, 2))

    @torch.no_grad()
    def fold_norm(self) -> None:
        """Fold the inference-mode BatchNorm into the convolution."""
        if not isinstance(self.norm, BatchNorm):
            return
        scale, shift = norm_as_affine(self.norm)
        self.weight.copy_(self.weight.double() * scale.view(-1, 1, 1, 1))
        self.bias = nn.Parameter(shift.to(self.weight.dtype), requires_grad=False)
        self.norm = nn.Identity()


class RunningExcitation(nn.Module):
    """A gate in [0, 1] of every channel and frame, from the running mean and the frame's own.

    Args:
        channels: Channels C.
        squeezed: Channels of the hidden layer.
    """

    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.reduce = nn.Linear(2 * channels, squeezed)
        self.expand = nn.Linear(squeezed, channels)

    def forward(self, x: Tensor, num_frames: int, name: str, past: StreamPast) -> Tensor:
        """Apply to (B·T, C, H, W); ``name`` is that of the running mean in the state."""
        own = x.mean(dim=(2, 3)).unflatten(0, (-1, num_frames))
        seen = torch.cat([past.running_mean(name, own), own], dim=2)
        gate = self.expand(F.hardswish(self.reduce(seen)))
        gate = (0.2 * gate + 0.5).clamp(0, 1)
        return x * gate.flatten(0, 1)[:, :, None, None]
