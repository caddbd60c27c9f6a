"""Mobile-Former tokens on EfficientNet-Lite: a light CNN that comes pre-trained on ImageNet.

What is whose:

- From EfficientNet-Lite (tensorflow/tpu, ``models/official/efficientnet/lite``, after arXiv
  1905.11946), exactly: the tables, no squeeze-and-excitation, ReLU6, a stem and a head of the same
  width in all sizes, TensorFlow's SAME padding, pixels minus 127 over 128. Its public weights load,
  see ``imagenet_weights.py``.
- From Mobile-Former (arXiv 2108.05895) and its video form (arXiv 2208.12257): a few tokens for the
  whole clip beside the CNN, Former, and bridges both ways; the order of a block: tokens first, then
  pixels.
- Decided here: a temporal depthwise kernel after the spatial one of every stride-1 depthwise
  convolution, starting as a delta; tokens in the last block of every stage but the first
  (``bridge_every``); what features and head read from the tokens passes gates that start at zero.
  So at the start this is the 2-D network on every frame, and its logits are the mean over frames.

Axes: B clips, T frames, C channels, H, W pixels, M tokens, D token width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..clip_spec import ClipSpec
from ..errors import UserError
from ..layers.activation import DynamicReLU, StaticReLU6
from ..layers.bridge import FormerToMobile, MobileToFormer
from ..layers.conv import ConvNorm
from ..layers.former import Former
from ..layers.forms import drop_path
from ..layers.past import Past
from .video_model import (
    Form,
    VideoModel,
    check_arguments,
    check_choice,
    check_counts,
    recomputed,
)

EPS = 1e-3
"""Added to the variance by every BatchNorm, as in TensorFlow's networks."""

BridgeEvery = Literal["stage", "block"]
Activation = Literal["relu6", "dynamic"]


class StageRow(NamedTuple):
    """One stage of the table; rows are plain data so that they can be stored as JSON."""

    expand: int
    """Expansion of the input channels."""
    kernel: int
    """Height and width of the depthwise kernels, odd."""
    channels: int
    """Output channels, even where there are tokens."""
    blocks: int
    """Number of blocks."""
    stride: int
    """Spatial stride of the first block."""
    tokens: bool
    """Whether the stage has Former and bridges."""


class MobileFormerLite(VideoModel):
    """Video classifier: EfficientNet-Lite over frames, kernels in time, and tokens for the clip.

    Args:
        stages: Rows of the table, see :class:`StageRow`; sequences of six values will do.
        stem_channels: Output channels of the stem.
        head_dim: Width of the last features, which are pooled and classified.
        num_classes: Number of logits.
        num_tokens: Global tokens M for the whole clip; 0 leaves the CNN with its kernels in time.
        token_dim: Token width D, a multiple of 4.
        bridge_every: ``"stage"``: Former and both bridges in the last block of a stage that has
            tokens; ``"block"``: in every block of it.
        activation: Of blocks with bridges: ``"relu6"``, or ``"dynamic"``, slopes that the first
            token steers, limited to 6; these start as ReLU6.
        temporal_kernel: Odd length of the depthwise kernels in time; 1 leaves them out.
        num_frames: T of the native clip. Any T runs; this one is what the cost is stated for.
        crop_size: Height and width in pixels of the native clip; any of at least 32 run.
        form: Graph form: ``"volume"``, ``"frames"`` or ``"auto"``.
        drop_rate: Dropout before the classifier, in [0, 1).
        drop_path_rate: Stochastic depth of the last block, in [0, 1), rising linearly from 0.

    Raises:
        UserError: If an argument is out of range; the message names it.
    """

    method = "EfficientNet-Lite with kernels in time and global tokens (arXiv 2208.12257)."

    def __init__(
        self,
        *,
        stages: Sequence[Sequence[Any]],
        stem_channels: int = 32,
        head_dim: int = 1280,
        num_classes: int = 400,
        num_tokens: int = 6,
        token_dim: int = 128,
        bridge_every: BridgeEvery = "stage",
        activation: Activation = "relu6",
        temporal_kernel: int = 3,
        num_frames: int = 8,
        crop_size: int = 160,
        form: Form = "auto",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        nn.Module.__init__(self)
        architecture: dict[str, Any] = {
            "stages": [list(stage) for stage in stages],
            "stem_channels": stem_channels,
            "head_dim": head_dim,
            "num_classes": num_classes,
            "num_tokens": num_tokens,
            "token_dim": token_dim,
            "bridge_every": bridge_every,
            "activation": activation,
            "temporal_kernel": temporal_kernel,
            "num_frames": num_frames,
            "crop_size": crop_size,
            "form": form,
            "drop_rate": drop_rate,
            "drop_path_rate": drop_path_rate,
        }
        _check_arguments(architecture)
        rows = [StageRow(*stage) for stage in stages]
        clip = ClipSpec(
            num_frames=num_frames,
            crop_size=crop_size,
            resize_size=round(crop_size * 8 / 7),
            mean=(127 / 255, 127 / 255, 127 / 255),
            std=(128 / 255, 128 / 255, 128 / 255),
        )
        self._describe(architecture, clip, form=form, drop_rate=drop_rate)
        self.num_tokens = num_tokens

        self.tokens = nn.Parameter(torch.empty(num_tokens, token_dim)) if num_tokens else None
        self.stem = ConvNorm(3, stem_channels, 3, stride=2, padding_kind="same", eps=EPS)
        self.blocks = nn.ModuleList()
        channels, count = stem_channels, sum(row.blocks for row in rows)
        for row in rows:
            for i in range(row.blocks):
                bridged = row.tokens and (bridge_every == "block" or i == row.blocks - 1)
                self.blocks.append(
                    Block(
                        channels,
                        row.expand,
                        row.channels,
                        kernel=row.kernel,
                        stride=row.stride if i == 0 else 1,
                        temporal_kernel=temporal_kernel,
                        token_dim=token_dim if num_tokens and bridged else None,
                        activation=activation,
                        drop_path_rate=drop_path_rate * len(self.blocks) / max(count - 1, 1),
                    )
                )
                channels = row.channels
        self.head_conv = ConvNorm(channels, head_dim, eps=EPS)
        self.head_gather = Gather(token_dim, channels) if num_tokens else None
        self.head_read = GatedLinear(token_dim, head_dim) if num_tokens else None
        self.classifier = nn.Linear(head_dim, num_classes)
        self._reset_parameters()

    def forward_features(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute what the head takes.

        Args:
            x: Normalised RGB, (B, 3, T, H, W).

        Returns:
            Features (B, C, T, H', W') and the tokens (B, M, D), None without tokens.
        """
        x, num_frames = self._in_form(x)
        local, tokens = self._run_trunk(x, num_frames)
        if local.dim() == 4:
            local = local.unflatten(0, (-1, num_frames)).transpose(1, 2)
        return local, tokens

    def forward_head(
        self, features: Tensor, tokens: Tensor | None = None, *, pre_logits: bool = False
    ) -> Tensor:
        """Compute what follows :meth:`forward_features`.

        Args:
            features: (B, C, T, H', W').
            tokens: (B, M, D), or None without tokens.
            pre_logits: Stop before dropout and the classifier.

        Returns:
            Logits (B, num_classes), or what the classifier takes, (B, F).
        """
        hidden = self._hidden(features, tokens, features.shape[2])
        return hidden if pre_logits else self._classify(hidden)

    def no_weight_decay(self) -> set[str]:
        """Names of matrices that weight decay should leave alone (norms and biases aside)."""
        return {"tokens"} if self.num_tokens else set()

    def _logits(self, x: Tensor, num_frames: int) -> Tensor:
        local, tokens = self._run_trunk(x, num_frames)
        return self._classify(self._hidden(local, tokens, num_frames))

    def _run_trunk(
        self, x: Tensor, num_frames: int, *, tokens: Tensor | None = None, past: Past | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Run stem, blocks and the head's gathering.

        Args:
            x: Frames in either form.
            num_frames: T.
            tokens: Tokens that enter; None for the learned ones.
            past: Of a stream, whose convolutions look back only.
        """
        batch = x.shape[0] if x.dim() == 5 else x.shape[0] // num_frames
        if tokens is None and self.tokens is not None:
            tokens = self.tokens.unsqueeze(0).expand(batch, -1, -1)
        x = F.relu6(self.stem(x, num_frames))
        recompute = self.gradient_checkpointing and self.training and torch.is_grad_enabled()
        for block in self._rows():
            if recompute and past is None:
                x, tokens = _recomputed(block, x, tokens, num_frames)
            else:
                x, tokens = block(x, tokens, num_frames, past)
        if self.head_gather is not None:
            assert tokens is not None
            tokens = self.head_gather(tokens, x, num_frames)
        return x, tokens

    def _hidden(self, x: Tensor, tokens: Tensor | None, num_frames: int) -> Tensor:
        x = F.relu6(self.head_conv(x, num_frames))
        if x.dim() == 5:
            pooled = x.mean(dim=(2, 3, 4))
        else:
            pooled = x.mean(dim=(2, 3)).unflatten(0, (-1, num_frames)).mean(dim=1)
        if self.head_read is not None:
            assert tokens is not None
            pooled = pooled + self.head_read(tokens[:, 0])
        return pooled

    def _fold_rest(self) -> None:
        for module in self.modules():
            if isinstance(module, (Read, GatedLinear)):
                module.fold_gate()

    def _rows(self) -> Iterator[Block]:
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block

    @torch.no_grad()
    def _reset_parameters(self) -> None:
        """Kernels in time start as a delta; what enters tokens or gates keeps its variance."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.start_temporal_delta()
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Gather):
                _keep_variance(module.bridge.output)
            elif isinstance(module, Read):
                _keep_variance(module.bridge.value)
            elif isinstance(module, GatedLinear):
                _keep_variance(module.linear)
            elif isinstance(module, DynamicReLU):
                nn.init.zeros_(module.slopes.weight)
        if self.tokens is not None:
            nn.init.normal_(self.tokens)


class Block(nn.Module):
    """Expand, depthwise in space and then in time, project; where there are tokens, the bridges.

    The identity is added where the shape stays.

    Args:
        in_channels: Input channels.
        expand: Expansion of the hidden channels; 1 has no expanding convolution.
        out_channels: Output channels.
        kernel: Height and width of the depthwise kernel.
        stride: Spatial stride; with 2 there is no kernel in time.
        temporal_kernel: Length of the kernel in time.
        token_dim: Token width D, None for a block without Former and bridges.
        activation: ``"relu6"`` or ``"dynamic"``, of a block with tokens.
        drop_path_rate: Stochastic depth on the residuals.
    """

    def __init__(
        self,
        in_channels: int,
        expand: int,
        out_channels: int,
        *,
        kernel: int,
        stride: int,
        temporal_kernel: int,
        token_dim: int | None,
        activation: Activation,
        drop_path_rate: float = 0.0,
    ):
        super().__init__()
        self.drop_path_rate = drop_path_rate
        hidden = in_channels * expand
        steered_by = token_dim if activation == "dynamic" else None
        self.gather: Gather | None = None
        self.former: Former | None = None
        self.read: Read | None = None
        if token_dim is not None:
            self.gather = Gather(token_dim, in_channels)
            self.former = Former(token_dim, drop_path_rate=drop_path_rate)
            self.read = Read(token_dim, out_channels)
        self.expand: ConvNorm | None = None
        self.expand_act: StaticReLU6 | DynamicReLU6 | None = None
        if expand > 1:
            self.expand = ConvNorm(in_channels, hidden, eps=EPS)
            self.expand_act = make_activation(steered_by, hidden)
        self.depthwise = ConvNorm(
            hidden,
            hidden,
            kernel,
            stride=stride,
            groups=hidden,
            temporal_kernel=temporal_kernel if stride == 1 else 1,
            temporal_conv="2plus1d",
            padding_kind="same",
            eps=EPS,
        )
        self.depthwise_act = make_activation(steered_by, hidden)
        self.project = ConvNorm(hidden, out_channels, eps=EPS)
        self.has_identity = stride == 1 and in_channels == out_channels

    def forward(
        self, x: Tensor, tokens: Tensor | None, num_frames: int, past: Past | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Map features (B, C, T, H, W) or (B·T, C, H, W) and tokens (B, M, D) to the next ones.

        With the past of a stream, the convolutions look back only.
        """
        rate, training = self.drop_path_rate, self.training
        if self.gather is not None and self.former is not None:
            assert tokens is not None, "a block with a Former needs tokens"
            tokens = self.former(self.gather(tokens, x, num_frames))
        y = x
        if self.expand is not None and self.expand_act is not None:
            y = self.expand_act(self.expand(y, num_frames), tokens, num_frames)
        y = self.depthwise_act(self.depthwise(y, num_frames, past), tokens, num_frames)
        y = self.project(y, num_frames)
        if self.has_identity:
            y = x + drop_path(y, rate, training, num_frames)
        if self.read is not None:
            assert tokens is not None
            y = y + drop_path(self.read(y, tokens, num_frames), rate, training, num_frames)
        return y, tokens


class Gather(nn.Module):
    """Mobile→Former: tokens take up what they gather from all places, and are normalised."""

    def __init__(self, token_dim: int, channels: int):
        super().__init__()
        self.bridge = MobileToFormer(token_dim, channels)

    def forward(self, tokens: Tensor, x: Tensor, num_frames: int) -> Tensor:
        """Map tokens (B, M, D) to tokens, given features in either form."""
        gathered, _ = self.bridge(tokens, x, num_frames)
        return self.bridge.norm(tokens + gathered)


class Read(nn.Module):
    """Former→Mobile: what every place reads from the tokens, times a gate of each channel."""

    def __init__(self, token_dim: int, channels: int):
        super().__init__()
        self.bridge = FormerToMobile(token_dim, channels)
        self.gate: nn.Parameter | None = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, tokens: Tensor, num_frames: int) -> Tensor:
        """Residual of features in either form, from tokens (B, M, D)."""
        residual, _ = self.bridge(x, tokens, num_frames)
        if self.gate is None:
            return residual
        return residual * self.gate.view(-1, *[1] * (x.dim() - 2))

    def fold_gate(self) -> None:
        """Multiply the values by the gate, which is then left out."""
        if self.gate is not None:
            _scale_outputs(self.bridge.value, self.gate)
            self.gate = None


class GatedLinear(nn.Module):
    """A linear layer, (B, D) to (B, F), times a gate of each output that starts at zero."""

    def __init__(self, token_dim: int, out_features: int):
        super().__init__()
        self.linear = nn.Linear(token_dim, out_features)
        self.gate: nn.Parameter | None = nn.Parameter(torch.zeros(out_features))

    def forward(self, token: Tensor) -> Tensor:
        """Map (B, D) to (B, F)."""
        found = self.linear(token)
        return found if self.gate is None else found * self.gate

    def fold_gate(self) -> None:
        """Multiply the weights by the gate, which is then left out."""
        if self.gate is not None:
            _scale_outputs(self.linear, self.gate)
            self.gate = None


class DynamicReLU6(DynamicReLU):
    """Dynamic ReLU limited to 6: a ReLU6 while the slopes are those of a plain ReLU."""

    def forward(self, x: Tensor, tokens: Tensor | None, num_frames: int) -> Tensor:
        """Apply to (B, C, T, H, W) or (B·T, C, H, W), steered by tokens (B, M, D)."""
        return super().forward(x, tokens, num_frames).clamp(max=6.0)


def make_activation(token_dim: int | None, channels: int) -> StaticReLU6 | DynamicReLU6:
    """Slopes steered by tokens of width ``token_dim``, or ReLU6 where it is None."""
    return StaticReLU6() if token_dim is None else DynamicReLU6(token_dim, channels)


def _recomputed(
    block: Block, x: Tensor, tokens: Tensor | None, num_frames: int
) -> tuple[Tensor, Tensor | None]:
    def run(x: Tensor, tokens: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return block(x, tokens, num_frames)

    return recomputed(run, [block], x, tokens)


def _scale_outputs(linear: nn.Linear, factor: Tensor) -> None:
    linear.weight.copy_(linear.weight.double() * factor.double()[:, None])
    linear.bias.copy_(linear.bias.double() * factor.double())


def _keep_variance(linear: nn.Linear) -> None:
    nn.init.normal_(linear.weight, std=linear.in_features**-0.5)


def _check_arguments(values: dict[str, Any]) -> None:
    """Name the first argument that is out of range."""
    check_counts(values, "stem_channels", "head_dim", "token_dim")
    if not isinstance(values["num_tokens"], int) or values["num_tokens"] < 0:
        raise UserError(f"num_tokens must be 0 or more, not {values['num_tokens']!r}")
    if values["token_dim"] % 4:
        raise UserError(f"token_dim must be a multiple of 4, not {values['token_dim']!r}")
    if not values["stages"]:
        raise UserError("stages must have at least one row")
    for i, row in enumerate(values["stages"]):
        numbers = row[:5]
        if len(row) != 6 or not all(isinstance(v, int) and v > 0 for v in numbers):
            raise UserError(
                f"stages[{i}] must be expand, kernel, channels, blocks, stride, all above 0, and "
                f"whether it has tokens, not {row!r}"
            )
        if numbers[1] % 2 == 0 or numbers[2] % 2 or numbers[4] > 2:
            raise UserError(
                f"stages[{i}] must have an odd kernel, even channels and stride 1 or 2, not {row!r}"
            )
    kernel = values["temporal_kernel"]
    if not isinstance(kernel, int) or kernel < 1 or kernel % 2 == 0:
        raise UserError(f"temporal_kernel must be an odd number of at least 1, not {kernel!r}")
    check_choice(values, "bridge_every", get_args(BridgeEvery))
    check_choice(values, "activation", get_args(Activation))
    check_arguments(values)


# fmt: off
LITE0 = (
    #        expand kernel channels blocks stride tokens
    StageRow(1,     3,      16,     1,     1,     False),
    StageRow(6,     3,      24,     2,     2,     True),
    StageRow(6,     5,      40,     2,     2,     True),
    StageRow(6,     3,      80,     3,     2,     True),
    StageRow(6,     5,     112,     3,     1,     True),
    StageRow(6,     5,     192,     4,     2,     True),
    StageRow(6,     3,     320,     1,     1,     True),
)
LITE1 = (
    StageRow(1,     3,      16,     1,     1,     False),
    StageRow(6,     3,      24,     3,     2,     True),
    StageRow(6,     5,      40,     3,     2,     True),
    StageRow(6,     3,      80,     4,     2,     True),
    StageRow(6,     5,     112,     4,     1,     True),
    StageRow(6,     5,     192,     5,     2,     True),
    StageRow(6,     3,     320,     1,     1,     True),
)
LITE2 = (
    StageRow(1,     3,      16,     1,     1,     False),
    StageRow(6,     3,      24,     3,     2,     True),
    StageRow(6,     5,      48,     3,     2,     True),
    StageRow(6,     3,      88,     4,     2,     True),
    StageRow(6,     5,     120,     4,     1,     True),
    StageRow(6,     5,     208,     5,     2,     True),
    StageRow(6,     3,     352,     1,     1,     True),
)
# fmt: on

SIZES: dict[str, tuple[StageRow, ...]] = {"lite0": LITE0, "lite1": LITE1, "lite2": LITE2}
"""Sizes of EfficientNet-Lite by name."""

LITES: dict[str, dict[str, Any]] = {
    "vmf_lite0": {"stages": LITE0, "num_frames": 8, "crop_size": 160},
    "vmf_lite0_128": {"stages": LITE0, "num_frames": 8, "crop_size": 128},
    "vmf_lite0_192": {"stages": LITE0, "num_frames": 8, "crop_size": 192},
    "vmf_lite0_224": {"stages": LITE0, "num_frames": 14, "crop_size": 224},
    "vmf_lite1": {"stages": LITE1, "num_frames": 8, "crop_size": 192},
    "vmf_lite2": {"stages": LITE2, "num_frames": 8, "crop_size": 208},
}
"""Constructor arguments by name: a size and a native clip."""


def lite_size(name: str) -> str | None:
    """The size of EfficientNet-Lite that a model of this name has, None for other names.

    Args:
        name: For example ``"vmf_lite0_128"`` or ``"vmf_lite0_cnn"``.
    """
    arguments = LITES.get(name.removesuffix("_cnn"))
    if arguments is None:
        return None
    return next(size for size, stages in SIZES.items() if stages == arguments["stages"])
