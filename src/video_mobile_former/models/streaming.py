"""Video Mobile-Former for streams: the same network step by step, its tokens as memory.

A clip model in a sliding window computes every frame several times and sees nothing beyond the
window. This one computes every frame once. Its parameters have the names and shapes of the clip
model's, so weights load across; the memory adds a few.

What is whose:

- Causal convolutions that keep the last frames of their inputs are those of MoViNet's stream
  buffers (arXiv 2103.11511, section 3.2).
- Decided here: the few global tokens, which see every place of a step, are carried from step to
  step. They are a memory of the whole past at a constant cost.

One update, every ``frames_per_update`` frames P: tokens enter, made of the learned start tokens
and of what left the update before (:class:`Memory`); they run through the blocks as in the clip
model, seeing the places of these P frames; temporal kernels look back only; the head pools what it
saw since the start. With P the whole clip this is the clip model with causal convolutions.

State is a flat dict of tensors, rows of a batch first, nothing above rank 4, all zero at the start:

- ``….past1``, ``….past2`` (B, C, H, W): the last frames of a temporal convolution's input, the
  newest first (``layers/past.py``);
- ``memory`` (B, M, D): what is added to the start tokens;
- ``pooled`` (B, 6C) and ``frames`` (B, 1): the head's running mean, and the weight it has, in
  frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..layers.conv import ConvNorm
from ..layers.forms import channel_shuffle
from ..layers.past import Past, past_names
from .checkpoint import load_weights
from .video_mobile_former import VideoMobileFormer
from .video_model import check_choice, check_counts, recomputed

State = dict[str, Tensor]
MemoryKind = Literal["gated", "gru", "residual", "replace", "none"]
PoolKind = Literal["mean", "ema"]


class Memory(nn.Module):
    """From the tokens that leave one update to what is added to the start tokens of the next.

    The tokens that enter are ``z_0 + g ⊙ m``, of the start tokens z_0 and the memory m, which is
    zero at the start of a stream. Of the tokens z that leave:

    - ``gated``: ``m = LayerNorm(z)``; g starts at 0, so that nothing is remembered at first;
    - ``gru``: m is the state of a gated recurrent unit (arXiv 1406.1078) whose input is z; g starts
      at 0;
    - ``residual``: ``m = LayerNorm(z)``, g = 1;
    - ``replace``: ``m = z − z_0``, g = 1: z itself enters.

    Args:
        kind: Which of them.
        num_tokens: M.
        token_dim: D.
    """

    def __init__(self, kind: MemoryKind, num_tokens: int, token_dim: int):
        super().__init__()
        self.kind: MemoryKind = kind
        self.norm = nn.LayerNorm(token_dim) if kind in ("gated", "residual") else None
        self.update = nn.GRUCell(token_dim, token_dim) if kind == "gru" else None
        self.gate: nn.Parameter | None = None
        if kind in ("gated", "gru"):
            self.gate = nn.Parameter(torch.zeros(num_tokens, token_dim))

    def enter(self, start: Tensor, memory: Tensor) -> Tensor:
        """Tokens (B, M, D) for an update, of start tokens (M, D) and memory (B, M, D)."""
        return start + (memory if self.gate is None else self.gate * memory)

    def leave(self, start: Tensor, memory: Tensor, tokens: Tensor) -> Tensor:
        """Memory (B, M, D) for the next update, of the tokens (B, M, D) that left this one."""
        if self.update is not None:
            return self.update(tokens.flatten(0, 1), memory.flatten(0, 1)).view_as(memory)
        return tokens - start if self.norm is None else self.norm(tokens)


class Update(NamedTuple):
    """What one update gives."""

    local: Tensor
    """Features (B, C, P, H', W') or (B·P, C, H', W')."""
    tokens: Tensor | None
    """(B, M, D) after the head's bridge."""
    state: State
    """For the next one, all but the head's."""


class StreamingVideoMobileFormer(VideoMobileFormer):
    """Video Mobile-Former that classifies a stream step by step.

    Args:
        frames_per_update: Frames P between two updates of the tokens; a step has a multiple.
        memory: What the tokens remember of the past, see :class:`Memory`; ``"none"`` lets every
            update start afresh.
        pool: What the head sees: ``"mean"`` of all frames since the start (trimmed clips), or
            ``"ema"``, a mean whose weights fall with age (streams without end).
        pool_seconds: ``"ema"`` only: age in seconds at which a frame's weight has fallen to 1/e;
            frames are as far apart as the clip spec says.
        stride: Step between frames, of a 30 frames a second stream; stands in the clip spec.
        architecture: The other arguments are those of :class:`VideoMobileFormer`; ``num_frames``
            is the clip it is trained on, a multiple of P.

    Raises:
        UserError: If an argument is out of range; the message names it.
    """

    method = "Causal light 3-D CNN and global tokens as memory, step by step (arXiv 2208.12257)."

    def __init__(
        self,
        *,
        blocks: Sequence[Sequence[Any]],
        stem_channels: int,
        frames_per_update: int = 4,
        memory: MemoryKind = "gated",
        pool: PoolKind = "mean",
        pool_seconds: float = 2.0,
        stride: int = 4,
        **architecture: Any,
    ):
        own: dict[str, Any] = {
            "frames_per_update": frames_per_update,
            "memory": memory,
            "pool": pool,
            "pool_seconds": pool_seconds,
            "stride": stride,
        }
        _check_arguments(own | architecture)
        super().__init__(blocks=blocks, stem_channels=stem_channels, **architecture)
        if self.clip.num_frames % frames_per_update:
            raise UserError(
                f"num_frames ({self.clip.num_frames}) must be a multiple of frames_per_update "
                f"({frames_per_update})"
            )
        self.architecture |= own
        self.clip = self.clip.sampled("dense", stride)
        self.frames_per_update = frames_per_update
        self.pool: PoolKind = pool
        self.pool_seconds = float(pool_seconds)
        self.memory: Memory | None = None
        if self.tokens is not None and memory != "none":
            self.memory = Memory(memory, *self.tokens.shape)
        for name, conv in self._convs_in_time():
            conv.name = name

    @property
    def kept_share(self) -> float:
        """Share of its weight that a frame keeps in the head's mean from one update to the next."""
        if self.pool == "mean":
            return 1.0
        return math.exp(-self.frames_per_update * self.clip.stride_seconds / self.pool_seconds)

    def init_state(
        self,
        batch: int,
        size: int | tuple[int, int],
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> State:
        """The state of streams of which nothing was seen yet: zeros.

        Args:
            batch: Streams B.
            size: Height and width of the frames in pixels, or one number for both.
            device: By default that of the parameters.
            dtype: Likewise.
        """
        like = self.classifier.weight
        shapes = self.state_shapes(batch, size)
        device, dtype = device or like.device, dtype or like.dtype
        state = {
            name: torch.zeros(shape, device=device, dtype=dtype) for name, shape in shapes.items()
        }
        if self.form == "volume":
            return state
        return {
            name: value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value
            for name, value in state.items()
        }

    def state_shapes(self, batch: int, size: int | tuple[int, int]) -> dict[str, tuple[int, ...]]:
        """Shapes of the state by name, in a fixed order.

        Args:
            batch: Streams B.
            size: As for :meth:`init_state`.
        """
        height, width = (size, size) if isinstance(size, int) else size
        shapes: dict[str, tuple[int, ...]] = {}
        for conv_norm in _conv_norms(self):
            conv = conv_norm.in_time()
            stride = conv_norm.conv.stride
            before = (height, width)
            height, width = -(-height // stride), -(-width // stride)
            if conv is None:
                continue
            inputs, at = conv_norm.conv.weight.shape[1] * conv_norm.conv.groups, before
            if conv is conv_norm.temporal:
                inputs, at = conv.weight.shape[0], (height, width)
            for key in past_names(conv.name, conv.weight.shape[2]):
                shapes[key] = (batch, inputs, *at)
        if self.memory is not None and self.tokens is not None:
            shapes["memory"] = (batch, *self.tokens.shape)
        shapes["pooled"] = (batch, self.head_conv.conv.weight.shape[0])
        shapes["frames"] = (batch, 1)
        return shapes

    def reset(self, state: Mapping[str, Tensor], which: Tensor | Sequence[int]) -> State:
        """Start some streams of a batch anew; the others are left as they are.

        Args:
            state: Of B streams; it is not changed.
            which: Their numbers, or (B,) of bool.
        """
        return reset_streams(state, which)

    def step(self, frames: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Take in the next frames of each stream.

        Args:
            frames: Normalised RGB, (B, 3, S, H, W), S a multiple of ``frames_per_update``.
            state: What :meth:`init_state` or the step before returned.

        Returns:
            Logits (B, num_classes) after the last frame, and the state for the next step.

        Raises:
            UserError: If frames or state do not fit.
        """
        logits, state = self._steps(frames, state)
        return logits[:, -1], state

    def forward(self, x: Tensor) -> Tensor:
        """Classify clips: run their steps from the start, and return the last logits.

        Args:
            x: Normalised RGB, (B, 3, T, H, W), T a multiple of ``frames_per_update``.
        """
        return self.forward_steps(x)[:, -1]

    def forward_steps(self, clip: Tensor) -> Tensor:
        """Logits after each update of clips (B, 3, T, H, W), as (B, T / P, num_classes)."""
        return self._steps(clip, self._start(clip))[0]

    def forward_frames(self, frames: Tensor, num_frames: int) -> Tensor:
        """Classify clips given as frames in a row, (B·T, 3, H, W)."""
        return self.forward(frames.unflatten(0, (-1, num_frames)).transpose(1, 2))

    def forward_features(self, x: Tensor, *, return_attention: bool = False) -> Any:
        """Compute what the classifier sees before pooling, see the base class.

        Attention to places sums to one over those of each update, not of the clip.
        """
        state, found = self._start(x), list[Tensor]()
        tokens, maps = None, list[list[dict[str, Tensor]]]()
        for frames in self._updates(x):
            if return_attention:
                maps.append([])
            update = self._update(frames, state, maps[-1] if return_attention else None)
            local = update.local
            if local.dim() == 4:
                local = local.unflatten(0, (-1, frames.shape[2])).transpose(1, 2)
            found.append(local)
            tokens, state = update.tokens, state | update.state
        local = torch.cat(found, dim=2)
        return (local, tokens, _join_maps(maps)) if return_attention else (local, tokens)

    def forward_head(
        self, features: Tensor, tokens: Tensor | None = None, *, pre_logits: bool = False
    ) -> Tensor:
        """Compute what follows :meth:`forward_features`, see the base class."""
        pooled = self._pool_updates(features, features.shape[2])
        mean, _ = self._running(pooled, pooled.new_zeros(pooled[:, 0].shape), None)
        hidden = self._mix(mean[:, -1], None if tokens is None else tokens[:, 0])
        return hidden if pre_logits else self._classify(hidden)

    def no_weight_decay(self) -> set[str]:
        """Names of matrices that weight decay should leave alone (norms and biases aside)."""
        gated = self.memory is not None and self.memory.gate is not None
        return super().no_weight_decay() | ({"memory.gate"} if gated else set())

    def _steps(self, frames: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Logits after each update (B, n, K), and the state after the last."""
        self._check(frames, state)
        locals_, firsts, new = list[Tensor](), list[Tensor](), dict(state)
        recompute = self.gradient_checkpointing and self.training and torch.is_grad_enabled()
        for part in self._updates(frames):
            update = self._recomputed(part, new) if recompute else self._update(part, new)
            new |= update.state
            locals_.append(update.local)
            if update.tokens is not None:
                firsts.append(update.tokens[:, 0])
        count = frames.shape[2]
        pooled = self._pool_updates(_join_frames(locals_, frames.shape[0]), count)
        mean, weight = self._running(pooled, new["pooled"], new["frames"])
        new |= {"pooled": mean[:, -1], "frames": weight}
        first = torch.stack(firsts, dim=1).flatten(0, 1) if firsts else None
        hidden = self._mix(mean.flatten(0, 1), first)
        return self._classify(hidden).unflatten(0, (frames.shape[0], -1)), new

    def _update(
        self,
        frames: Tensor,
        state: Mapping[str, Tensor],
        maps: list[dict[str, Tensor]] | None = None,
    ) -> Update:
        """Run the trunk on frames (B, 3, P, H, W); any number of them without tokens."""
        x, num_frames = self._in_form(frames)
        past, tokens = Past(state), None
        if self.tokens is not None:
            tokens = self.tokens.expand(frames.shape[0], -1, -1)
            if self.memory is not None:
                tokens = self.memory.enter(self.tokens, state["memory"])
        x, tokens, found = self._run_trunk(
            x, num_frames, with_attention=maps is not None, tokens=tokens, past=past
        )
        if maps is not None:
            maps.extend(found)
        new = past.after
        if self.memory is not None and self.tokens is not None:
            assert tokens is not None
            new = new | {"memory": self.memory.leave(self.tokens, state["memory"], tokens)}
        return Update(x, tokens, new)

    def _recomputed(self, frames: Tensor, state: Mapping[str, Tensor]) -> Update:
        """As :meth:`_update`, without storing what happens inside for the backward pass."""
        names = [name for name in state if name not in ("pooled", "frames")]

        def run(frames: Tensor, *values: Tensor) -> tuple[Any, ...]:
            local, tokens, new = self._update(frames, dict(zip(names, values, strict=True)))
            return local, tokens, *(new[name] for name in names)

        trunk = [self.stem, self.blocks]
        local, tokens, *values = recomputed(run, trunk, frames, *(state[name] for name in names))
        return Update(local, tokens, dict(zip(names, values, strict=True)))

    def _updates(self, frames: Tensor) -> Sequence[Tensor]:
        """Frames (B, 3, S, H, W) as they are run: P at once, or all where no token waits."""
        return [frames] if self.tokens is None else frames.split(self.frames_per_update, dim=2)

    def _pool_updates(self, x: Tensor, num_frames: int) -> Tensor:
        """Mean over places of each update, (B, n, 6C), of features in either form."""
        x = self.head_act(self.head_conv(channel_shuffle(x, self.groups), num_frames))
        if x.dim() == 5:
            frames = x.mean(dim=(3, 4)).transpose(1, 2)
        else:
            frames = x.mean(dim=(2, 3)).unflatten(0, (-1, num_frames))
        return frames.unflatten(1, (-1, self.frames_per_update)).mean(dim=2)

    def _running(
        self, pooled: Tensor, mean: Tensor, weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The head's running mean after each update, and its weight after the last.

        Args:
            pooled: Mean of each update's frames, (B, n, 6C).
            mean: Running mean before, (B, 6C).
            weight: Its weight in frames, (B, 1); None at the start.

        Returns:
            (B, n, 6C) and (B, 1).
        """
        if weight is None:
            weight = mean.new_zeros(len(mean), 1)
        kept, found = self.kept_share, list[Tensor]()
        for update in pooled.unbind(1):
            weight = kept * weight + self.frames_per_update
            mean = mean + (update - mean) * (self.frames_per_update / weight)
            found.append(mean)
        return torch.stack(found, dim=1), weight

    def _start(self, clip: Tensor) -> State:
        if clip.dim() != 5:
            self._in_form(clip)  # refuses it
        size = (clip.shape[3], clip.shape[4])
        return self.init_state(len(clip), size, device=clip.device, dtype=clip.dtype)

    def _check(self, frames: Tensor, state: Mapping[str, Tensor]) -> None:
        if frames.dim() != 5 or frames.shape[2] < 1 or frames.shape[2] % self.frames_per_update:
            raise UserError(
                f"frames of a step must be (B, 3, S, H, W) with S a multiple of "
                f"{self.frames_per_update}, not {tuple(frames.shape)}"
            )
        if torch.compiler.is_compiling():
            return
        expected = self.state_shapes(len(frames), (frames.shape[3], frames.shape[4]))
        if state.keys() != expected.keys():
            odd = sorted(state.keys() ^ expected.keys())
            raise UserError(f"state and model do not fit: {odd[0]!r} is in only one of them")
        for name, shape in expected.items():
            if tuple(state[name].shape) != shape:
                raise UserError(
                    f"state {name!r} is {tuple(state[name].shape)}, but frames "
                    f"{tuple(frames.shape)} need {shape}: call init_state for this batch and size"
                )

    def _convs_in_time(self) -> Iterator[tuple[str, Any]]:
        for name, module in self.named_modules():
            if isinstance(module, ConvNorm) and module.in_time() is not None:
                yield name, module.in_time()

    def _reset_parameters(self, temporal_init: str) -> None:
        super()._reset_parameters(temporal_init)
        if temporal_init == "delta":
            for conv_norm in _conv_norms(self):
                conv_norm.start_temporal_delta(newest=True)


def reset_streams(state: Mapping[str, Tensor], which: Tensor | Sequence[int]) -> State:
    """Zero the rows of some streams in every tensor of a state; the others keep their values.

    Args:
        state: Tensors with the B streams first; they are not changed.
        which: Numbers of streams, or (B,) of bool.
    """
    some = next(iter(state.values()))
    rows = torch.as_tensor(which, device=some.device)
    chosen = torch.zeros(len(some), dtype=torch.bool, device=some.device)
    chosen[rows if rows.dtype == torch.bool else rows.long()] = True
    return {
        name: value.masked_fill(chosen.view(-1, *[1] * (value.dim() - 1)), 0)
        for name, value in state.items()
    }


def stream_of(model: VideoMobileFormer, **overrides: Any) -> StreamingVideoMobileFormer:
    """A streaming model with the weights of a clip model, see :func:`clip_weights`.

    Args:
        model: It is not changed.
        overrides: Arguments of :class:`StreamingVideoMobileFormer`.

    Raises:
        UserError: If the overrides change the shape of a weight, or the model is fused.
    """
    if model.fused:
        raise UserError("a fused model is for inference only; take the model it came from")
    made = StreamingVideoMobileFormer(**{**model.architecture, **overrides})
    load_weights(made, clip_weights(made, model.state_dict()), "the clip model")
    made.class_names, made.multi_label = model.class_names, model.multi_label
    reference = model.classifier.weight
    return made.to(reference.device, reference.dtype).train(model.training)


def with_memory(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a clip model completed by the memory that a streaming model has, as it is."""
    own = {k: v for k, v in model.state_dict().items() if k.startswith("memory.")}
    return {**own, **state}


def clip_weights(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a clip model as those of a streaming one, whose memory stays as it is.

    Kernels in time are moved as :func:`causal_kernel` says; what does not fit is left for loading
    to refuse. A model that is no streaming one gets the weights as they are.
    """
    made = with_memory(model, state)
    if isinstance(model, StreamingVideoMobileFormer):
        for name, _ in model._convs_in_time():
            for key in (f"{name}.temporal.weight", f"{name}.conv.weight"):
                kernel = made.get(key)
                if kernel is not None and kernel.dim() == 5 and kernel.shape[2] > 1:
                    exact = torch.promote_types(kernel.dtype, torch.float32)  # half stays no half
                    made[key] = causal_kernel(kernel.to(exact))
    return made


def causal_kernel(weight: Tensor) -> Tensor:
    """A centred kernel in time as one that looks back only, without delay.

    A causal convolution reads the centred kernel's taps (k − 1) / 2 frames late, and a network of
    ten of them answers ten frames late. Here each tap of the past stays at its frame, and the
    newest one is the sum of the present tap and those of the future: as if the picture stood still
    from now on. Where nothing moves the result is that of the centred kernel.

    Args:
        weight: (O, I, k, h, w), k odd.

    Returns:
        The same shape; the oldest (k − 1) / 2 taps are 0.
    """
    length = weight.shape[2]
    centre = length // 2
    moved = torch.zeros_like(weight)
    moved[:, :, length - 1 - centre : -1] = weight[:, :, :centre]
    moved[:, :, -1] = weight[:, :, centre:].sum(dim=2)
    return moved


def _conv_norms(model: VideoMobileFormer) -> list[ConvNorm]:
    """Convolutions in the order in which frames run through them."""
    return [module for module in model.modules() if isinstance(module, ConvNorm)]


def _join_frames(parts: Sequence[Tensor], batch: int) -> Tensor:
    """Features of consecutive updates as those of one clip, in their form."""
    if len(parts) == 1:
        return parts[0]
    if parts[0].dim() == 5:
        return torch.cat(list(parts), dim=2)
    if batch == 1:
        return torch.cat(list(parts))
    return torch.cat([part.unflatten(0, (batch, -1)) for part in parts], dim=1).flatten(0, 1)


def _join_maps(maps: Sequence[Sequence[dict[str, Tensor]]]) -> list[dict[str, Tensor]]:
    """Attention (B, h, M, P, H, W) of each update as that of the clip."""
    return [
        {
            key: value if key == "block" else torch.cat([one[key] for one in same], dim=3)
            for key, value in same[0].items()
        }
        for same in zip(*maps, strict=True)
    ]


def _check_arguments(values: dict[str, Any]) -> None:
    """Name the first argument of a streaming model that is out of range."""
    check_counts(values, "frames_per_update", "stride")
    check_choice(values, "memory", get_args(MemoryKind))
    check_choice(values, "pool", get_args(PoolKind))
    if not 0 < values["pool_seconds"] < math.inf:
        raise UserError(f"pool_seconds must be above 0, not {values['pool_seconds']!r}")
    if values.get("tokens_per", "clip") != "clip":
        raise UserError("tokens_per must be clip for a stream: tokens are its memory")
