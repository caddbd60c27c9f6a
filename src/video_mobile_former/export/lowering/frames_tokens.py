"""Tokens, bridges and dynamic ReLU of the ``frames`` form.

Tokens are rows (B·M, D), places are rows (B, L, C), L = T·H·W. Heads are kept apart by zeros in the
weights, token by token and head by head within (M·h). No operator is used that XNNPACK leaves to
slower code: no ``layer_norm``, no ``softmax`` but over the last axis, no ``expand``, no selection.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.bridge import FormerToMobile, MobileToFormer
from ...layers.former import Former


def make_linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer with these weights (out, in)."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        linear.weight.copy_(weight)
        if linear.bias is not None and bias is not None:
            linear.bias.copy_(bias)
    return linear.eval().requires_grad_(False)


class Slopes(nn.Module):
    """Both slopes of a dynamic ReLU from the first token, (B, D) to twice (B, C).

    ``2·hard_sigmoid(z)`` is ``clamp(z/3 + 1, 0, 2)``; the affine part is folded into the weights,
    so that what is left is a linear layer with limits.

    Args:
        source: ``reduce`` and ``slopes`` of a dynamic ReLU.
        order: Channel of the source at each place; None: as they are.
    """

    def __init__(self, source: nn.Module, order: Tensor | None):
        super().__init__()
        reduce, slopes = source.reduce, source.slopes
        assert isinstance(reduce, nn.Linear)
        assert isinstance(slopes, nn.Linear)
        self.reduce = make_linear(reduce.weight, reduce.bias)
        weights, biases = slopes.weight.chunk(2), slopes.bias.chunk(2)
        if order is not None:
            weights, biases = [w[order] for w in weights], [b[order] for b in biases]
        self.a = make_linear(weights[0] / 3, biases[0] / 3 + 1)
        self.b = make_linear(weights[1] / 3, biases[1] / 3)

    def forward(self, first: Tensor) -> tuple[Tensor, Tensor]:
        """Slopes a in [0, 2] and b in [−1, 1]."""
        hidden = F.relu(self.reduce(first))
        return F.hardtanh(self.a(hidden), 0.0, 2.0), F.hardtanh(self.b(hidden), -1.0, 1.0)


class Activation(nn.Module):
    """Dynamic ReLU, or ReLU6 where the source has no tokens."""

    def __init__(self, source: nn.Module, order: Tensor | None):
        super().__init__()
        self.slopes = Slopes(source, order) if hasattr(source, "slopes") else None

    def forward(self, x: Tensor, first: Tensor | None, num_frames: int) -> Tensor:
        """Apply to (B·T, C, H, W), steered by the first token (B, D) of every clip."""
        if self.slopes is None or first is None:
            return F.relu6(x)
        a, b = self.slopes(first)
        if first.shape[0] > 1:
            a, b = (s.repeat_interleave(num_frames, dim=0) for s in (a, b))
        return torch.maximum(x * a[:, :, None, None], x * b[:, :, None, None])


class TokenNorm(nn.Module):
    """LayerNorm of rows (N, D) by products with constant matrices."""

    centre: Tensor
    mean: Tensor
    eps: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, source: nn.LayerNorm):
        super().__init__()
        width = source.normalized_shape[0]
        self.register_buffer("eps", torch.tensor([source.eps]))
        self.register_buffer("centre", torch.eye(width) - 1 / width)
        self.register_buffer("mean", torch.full((1, width), 1 / width))
        self.register_buffer("weight", source.weight.detach().clone().view(1, -1))
        self.register_buffer("bias", source.bias.detach().clone().view(1, -1))

    def forward(self, rows: Tensor) -> Tensor:
        """Normalise rows (N, D)."""
        rows = F.linear(rows, self.centre)
        variance = F.linear(rows * rows, self.mean, self.eps)  # (N, 1)
        return rows * torch.rsqrt(variance) * self.weight + self.bias


def heads_apart(weight: Tensor, bias: Tensor, num_heads: int) -> tuple[Tensor, Tensor]:
    """Weights (C, D) as (h·C, D): block i keeps the channels of head i and is zero elsewhere."""
    keep = torch.eye(num_heads).repeat_interleave(weight.shape[0] // num_heads, dim=1)  # (h, C)
    spread = keep[:, :, None] * weight
    return spread.flatten(0, 1), (keep * bias).flatten()


class Gather(nn.Module):
    """Mobile→Former: what the tokens gather from all places, heads kept apart by zeros.

    Args:
        source: The bridge.
        num_tokens: M.
        tokens: Where the tokens are the same for every clip, (M, D): what depends on them alone is
            then a constant.
    """

    def __init__(self, source: MobileToFormer, num_tokens: int, tokens: Tensor | None):
        super().__init__()
        self.num_heads, self.num_tokens = source.num_heads, num_tokens
        query, gate, output = source.query, source.gate, source.output
        self.channels = query.weight.shape[0]
        scale = (self.channels // self.num_heads) ** -0.5
        self.query = make_linear(
            *heads_apart(query.weight * scale, query.bias * scale, self.num_heads)
        )
        # Twice a hard sigmoid, as in Slopes; every head has its own copy of the gate.
        repeat = self.num_heads
        self.gate = make_linear(
            (gate.weight / 3).repeat(repeat, 1), (gate.bias / 3 + 1).repeat(repeat)
        )
        keep = torch.eye(repeat).repeat_interleave(self.channels // repeat, dim=1)
        spread = output.weight[:, None, :] * keep  # (D, h, C)
        self.output = make_linear(spread.flatten(1), output.bias)
        self.norm = TokenNorm(source.norm)
        self.fixed = tokens is not None
        if tokens is not None:
            with torch.no_grad():
                queries, gates = self._from_tokens(tokens, 1)
            del self.query, self.gate
            self.register_buffer("fixed_queries", queries)
            self.register_buffer("fixed_gates", gates)

    def forward(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Update tokens (B·M, D) from places (B, L, C)."""
        b, h, m = places.shape[0], self.num_heads, self.num_tokens
        if self.fixed:
            queries, gates = self.fixed_queries, self.fixed_gates
            assert isinstance(queries, Tensor)
            assert isinstance(gates, Tensor)
            if b > 1:
                queries, gates = queries.repeat(b, 1, 1), gates.repeat(b, 1)
        else:
            queries, gates = self._from_tokens(tokens, b)
        scores = torch.bmm(places, queries)  # (B, L, M·h)
        attention = scores.permute(0, 2, 1).softmax(dim=-1)  # (B, M·h, L)
        gathered = torch.bmm(attention, places)  # (B, M·h, C)
        gathered = gathered.reshape(b * m, h * self.channels) * gates
        return self.norm(tokens + self.output(gathered))

    def _from_tokens(self, tokens: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        h, m, c = self.num_heads, self.num_tokens, self.channels
        queries = self.query(tokens).reshape(batch, m * h, c).permute(0, 2, 1)
        gates = F.hardtanh(self.gate(tokens), 0.0, 2.0)  # (B·M, h·C)
        return queries.contiguous(), gates


class Read(nn.Module):
    """Former→Mobile: what every place reads from the tokens.

    Args:
        source: The bridge.
        num_tokens: M.
    """

    def __init__(self, source: FormerToMobile, num_tokens: int):
        super().__init__()
        self.num_heads, self.num_tokens = source.num_heads, num_tokens
        key, value = source.key, source.value
        self.channels = key.weight.shape[0]
        scale = (self.channels // self.num_heads) ** -0.5
        self.key = make_linear(*heads_apart(key.weight * scale, key.bias * scale, self.num_heads))
        self.value = make_linear(*heads_apart(value.weight, value.bias, self.num_heads))

    def forward(self, places: Tensor, tokens: Tensor) -> Tensor:
        """What places (B, L, C) read from tokens (B·M, D), as places."""
        b, length = places.shape[:2]
        h, m, c = self.num_heads, self.num_tokens, self.channels
        keys = self.key(tokens).reshape(b, m * h, c).permute(0, 2, 1)
        values = self.value(tokens).reshape(b, m * h, c)
        scores = torch.bmm(places, keys).permute(0, 2, 1)  # (B, M·h, L)
        attention = softmax_over_tokens(scores.reshape(b, m, h * length))
        return torch.bmm(attention.reshape(b, m * h, length).permute(0, 2, 1), values)


def softmax_over_tokens(scores: Tensor) -> Tensor:
    """Softmax over the few tokens of scores (B, M, N), written out along the many places.

    A softmax over the last axis costs a call per place, each for a handful of numbers.
    """
    rows = [scores[:, m : m + 1] for m in range(scores.shape[1])]
    highest = rows[0]
    for row in rows[1:]:
        highest = torch.maximum(highest, row)
    weights = torch.exp(scores - highest)
    rows = [weights[:, m : m + 1] for m in range(scores.shape[1])]
    total = rows[0]
    for row in rows[1:]:
        total = total + row
    return weights / total


class TokenMixer(nn.Module):
    """Former on rows (B·M, D).

    Args:
        source: The Former.
        num_tokens: M.
    """

    def __init__(self, source: Former, num_tokens: int):
        super().__init__()
        self.num_heads, self.num_tokens = source.num_heads, num_tokens
        query = source.query
        scale = (query.weight.shape[0] // self.num_heads) ** -0.5
        self.query = make_linear(query.weight * scale, query.bias * scale)
        self.output = make_linear(source.output.weight, source.output.bias)
        self.expand = make_linear(source.ffn_expand.weight, source.ffn_expand.bias)
        self.project = make_linear(source.ffn_project.weight, source.ffn_project.bias)
        self.norm, self.ffn_norm = TokenNorm(source.norm), TokenNorm(source.ffn_norm)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B·M, D) to tokens (B·M, D)."""
        rows, width = tokens.shape
        h, m, d = self.num_heads, self.num_tokens, width // self.num_heads
        b = rows // m
        own = tokens.reshape(b, m, h, d)
        keys = own.permute(0, 2, 3, 1).reshape(b * h, d, m)
        values = own.permute(0, 2, 1, 3).reshape(b * h, m, d)
        queries = self.query(tokens).reshape(b, m, h, d).permute(0, 2, 1, 3).reshape(b * h, m, d)
        mixed = torch.bmm(torch.bmm(queries, keys).softmax(dim=-1), values)
        mixed = mixed.reshape(b, h, m, d).permute(0, 2, 1, 3).reshape(rows, width)
        tokens = self.norm(tokens + self.output(mixed))
        return self.ffn_norm(tokens + self.project(F.gelu(self.expand(tokens))))
