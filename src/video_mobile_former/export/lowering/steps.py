"""One step of a streaming model as a graph: frames and states in, logits and states out.

The convolutions and bridges are those of the clip graphs; what a stream adds is here: the memory
of the tokens and the head's running mean. States stand in the order of ``init_state`` and start at
zero. Buffers of frames may hold their channels in another order than the model's own.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ...layers.past import Past
from ...models.streaming import Memory, StreamingVideoMobileFormer
from .frames import FramesNet
from .frames_tokens import TokenNorm, make_linear
from .volume import VolumeGraph


class StepNet(nn.Module):
    """A step of ``frames_per_update`` frames.

    Args:
        model: Result of ``fuse()``; it is not changed.
        form: ``"volume"`` takes (B, 3, P, H, W), ``"frames"`` takes (B·P, 3, H, W).
    """

    def __init__(self, model: StreamingVideoMobileFormer, form: str):
        super().__init__()
        assert model.fused, "fuse the model first"
        self.update, self.kept = model.frames_per_update, model.kept_share
        self.states = tuple(model.state_shapes(1, model.clip.crop_size))
        self.network: FramesNet | VolumeGraph = (
            VolumeGraph(model) if form == "volume" else FramesNet(model, self.update)
        )
        self.memory: StepMemory | None = None
        if model.memory is not None and model.tokens is not None:
            self.memory = StepMemory(model.memory, model.tokens)
        self.eval().requires_grad_(False)

    def forward(self, frames: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, K) and the next states, of frames and states (B, …)."""
        before = dict(zip(self.states, states, strict=True))
        past, tokens = Past(before), None
        if self.memory is not None:
            tokens = self.memory.enter(before["memory"])
        x, tokens = self.network.trunk(frames, tokens, past)
        mean, weight = before["pooled"], before["frames"] * self.kept + self.update
        mean = mean + (self.network.pool(x) - mean) * self.update / weight
        after = past.after | {"pooled": mean, "frames": weight}
        if self.memory is not None:
            assert tokens is not None
            after["memory"] = self.memory.leave(before["memory"], tokens)
        if tokens is not None and tokens.shape[0] != mean.shape[0]:  # the same of every stream
            tokens = tokens.expand(mean.shape[0], -1, -1)
        return self.network.head(mean, tokens), *(after[name] for name in self.states)


class StepMemory(nn.Module):
    """:class:`~video_mobile_former.models.streaming.Memory` of operators that all runtimes have.

    Args:
        source: Its weights are used.
        start: The learned tokens (M, D).
    """

    start: Tensor
    gate: Tensor | None

    def __init__(self, source: Memory, start: Tensor):
        super().__init__()
        self.register_buffer("start", start.detach().clone().unsqueeze(0))
        gate = None if source.gate is None else source.gate.detach().clone().unsqueeze(0)
        self.register_buffer("gate", gate)
        self.norm = None if source.norm is None else TokenNorm(source.norm)
        self.given = self.kept = None
        if source.update is not None:
            self.given = _thirds(source.update.weight_ih, source.update.bias_ih)
            self.kept = _thirds(source.update.weight_hh, source.update.bias_hh)

    def enter(self, memory: Tensor) -> Tensor:
        """Tokens (B, M, D) that enter, of the memory (B, M, D)."""
        return self.start + (memory if self.gate is None else memory * self.gate)

    def leave(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """The next memory (B, M, D), of tokens (B, M, D) that leave."""
        if self.norm is not None:
            return self.norm(tokens.flatten(0, 1)).reshape(memory.shape)
        if self.given is None or self.kept is None:
            return tokens - self.start
        rows, old = tokens.flatten(0, 1), memory.flatten(0, 1)
        reset, keep, new = (layer(rows) for layer in self.given)
        reset_old, keep_old, new_old = (layer(old) for layer in self.kept)
        keep = torch.sigmoid(keep + keep_old)
        new = torch.tanh(new + torch.sigmoid(reset + reset_old) * new_old)
        return (new + keep * (old - new)).reshape(memory.shape)


class OwnStep(nn.Module):
    """A step of any other streaming model, in the graph of its own ``step``.

    Args:
        model: In eval mode, changed to the form.
        form: As for :class:`StepNet`.
    """

    def __init__(self, model: Any, form: str):
        super().__init__()
        self.model, self.update = copy.deepcopy(model), model.frames_per_update
        self.as_frames = form == "frames"
        self.states = tuple(model.init_state(1, model.clip.crop_size, device="meta"))
        if hasattr(self.model, "set_form"):
            self.model.set_form(form)
        self.eval().requires_grad_(False)

    def forward(self, frames: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, K) and the next states, of frames and states (B, …)."""
        if self.as_frames:
            frames = frames.unflatten(0, (-1, self.update)).transpose(1, 2)
        logits, after = self.model.step(frames, dict(zip(self.states, states, strict=True)))
        return logits, *(after[name] for name in self.states)


def _thirds(weight: Tensor, bias: Tensor) -> nn.ModuleList:
    """The three layers that a GRU holds in one."""
    parts = zip(weight.chunk(3), bias.chunk(3), strict=True)
    return nn.ModuleList([make_linear(one, shift) for one, shift in parts])
