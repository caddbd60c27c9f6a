"""Bridges and dynamic ReLU of the ``volume`` form as matrix products on rows (B, L, C).

L counts the T·H·W places. Channels-last convolutions hold their results as such rows already, so a
runtime that computes channels-last passes between both without a copy. Heads stand on the diagonal
of one product instead of being split off: at two heads the zeros cost less than moving the rows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.activation import DynamicReLU
from ...layers.bridge import FormerToMobile, MobileToFormer, head_mask
from .convolution import constant


class Gather(nn.Module):
    """Tokens gather from all places, take up what they found and are normalised.

    Args:
        source: The bridge.
        fixed_tokens: (M, D) where the tokens are the same for every clip; what depends on them
            alone is then computed here, once.
    """

    mask: Tensor
    query: Tensor | None
    gate: Tensor | None

    def __init__(self, source: MobileToFormer, fixed_tokens: Tensor | None = None):
        super().__init__()
        self.channels = source.query.out_features
        self.num_heads = source.num_heads
        scale = (self.channels // self.num_heads) ** -0.5
        self.asks = joined([source.query, source.gate], [scale, 1.0])
        self.output, self.norm = source.output, source.norm
        self.register_buffer("mask", head_mask(self.channels, self.num_heads), persistent=False)
        fixed = (None, None) if fixed_tokens is None else self._ask(fixed_tokens.unsqueeze(0))
        self.register_buffer("query", fixed[0], persistent=False)
        self.register_buffer("gate", fixed[1], persistent=False)

    def forward(self, tokens: Tensor, rows: Tensor) -> Tensor:
        """Map tokens (B, M, D) or fixed ones (1, M, D), and rows (B, L, C), to tokens (B, M, D)."""
        query, gate = self.query, self.gate
        if query is None or gate is None:
            query, gate = self._ask(tokens)
        scores = query @ rows.transpose(1, 2)  # (B, h·M, L)
        # Softmax taken apart: its division falls on h·M sums instead of on all places, and OpenVINO
        # would replace product, softmax and product by one slower attention kernel.
        weights = (scores - scores.amax(dim=-1, keepdim=True)).exp()
        found = (weights @ rows) / weights.sum(dim=-1, keepdim=True)  # (B, h·M, C)
        found = found.unflatten(1, (self.num_heads, -1)) * self.mask.unsqueeze(1)
        found = found.sum(dim=1)  # (B, M, C)
        return self.norm(tokens + self.output(found * gate))

    def _ask(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        query, gate = self.asks(tokens).split(self.channels, dim=-1)
        return spread(query, self.mask), 2 * F.hardsigmoid(gate)


class Read(nn.Module):
    """Places read from the tokens, and what they read is added to them."""

    mask: Tensor

    def __init__(self, source: FormerToMobile):
        super().__init__()
        self.channels, self.num_heads = source.key.out_features, source.num_heads
        scale = (self.channels // self.num_heads) ** -0.5
        self.tells = joined([source.key, source.value], [scale, 1.0])
        self.register_buffer("mask", head_mask(self.channels, self.num_heads), persistent=False)

    def forward(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """Map rows (B, L, C) and tokens (B, M, D) to rows (B, L, C)."""
        key, value = self.tells(tokens).split(self.channels, dim=-1)
        scores = spread(key, self.mask) @ rows.transpose(1, 2)  # (B, h·M, L)
        weights = scores.unflatten(1, (self.num_heads, -1)).softmax(dim=2).flatten(1, 2)
        return rows + weights.transpose(1, 2) @ spread(value, self.mask)


class Slopes(nn.Module):
    """Dynamic ReLU, ``max(a·x, b·x)``, for channels that stand in ``order``."""

    def __init__(self, source: DynamicReLU, order: Tensor):
        super().__init__()
        self.channels = len(order)
        both = torch.cat([order, order + self.channels])
        self.reduce = source.reduce
        self.slopes = nn.Linear(source.slopes.in_features, len(both))
        self.slopes.weight = constant(source.slopes.weight[both])
        self.slopes.bias = constant(source.slopes.bias[both])

    def forward(self, parts: list[Tensor], tokens: Tensor) -> list[Tensor]:
        """Apply to consecutive channels (B, C/n, T, H, W), steered by the first token of each clip.

        Args:
            parts: n tensors that hold the channels one after another.
            tokens: (B, M, D).
        """
        theta = F.hardsigmoid(self.slopes(F.relu(self.reduce(tokens[:, 0]))))
        a, b = theta[:, :, None, None, None].split(self.channels, dim=1)
        slopes = zip((2 * a).chunk(len(parts), 1), (2 * b - 1).chunk(len(parts), 1), strict=True)
        return [torch.maximum(a * x, b * x) for x, (a, b) in zip(parts, slopes, strict=True)]


class Clamp(nn.Module):
    """ReLU6 with the signature of :class:`Slopes`: the light 3-D CNN without tokens."""

    def forward(self, parts: list[Tensor], tokens: Tensor | None) -> list[Tensor]:
        """Clamp every part to [0, 6]."""
        return [F.relu6(x) for x in parts]


def joined(layers: list[nn.Linear], scales: list[float]) -> nn.Linear:
    """One linear layer that computes several, each times its scale."""
    weights = [layer.weight * scale for layer, scale in zip(layers, scales, strict=True)]
    biases = [layer.bias * scale for layer, scale in zip(layers, scales, strict=True)]
    result = nn.Linear(layers[0].in_features, sum(len(weight) for weight in weights))
    result.weight, result.bias = constant(torch.cat(weights)), constant(torch.cat(biases))
    return result


def spread(vectors: Tensor, mask: Tensor) -> Tensor:
    """Put per-token vectors (B, M, C) on a block diagonal (B, h·M, C), one block a head."""
    # Joined, not reshaped: onnxscript 0.7 drops a Reshape before a product and the one after it as
    # needless where B happens to equal h or M, and the product is then another one.
    return torch.cat([vectors * head for head in mask], dim=1)
