"""The two-way bridge: cross-attention between local features and global tokens.

Source: Mobile-Former (arXiv 2108.05895, section 3.1). The heavy side, the local features, is never
projected, which keeps the bridges cheap. One set of tokens serves the whole clip and attends over
all T·H·W positions.

Both bridges are plain matrix products without a transposed copy of the features. In the ``volume``
form, and in ``frames`` with a contiguous layout, the heads are batched products. In ``frames`` with
a channels-last layout the features already are rows (B, T·H·W, C), and the heads form a block
diagonal of one product: with two heads and few tokens the zeros cost less than splitting the rows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MobileToFormer(nn.Module):
    """Tokens attend to all positions: tokens are queries, features are keys and values.

    Args:
        token_dim: Token width D.
        channels: Feature channels C, a multiple of ``num_heads``.
        num_heads: Heads h; the scale is ``(C/h)^-1/2``.
    """

    mask: Tensor

    def __init__(self, token_dim: int, channels: int, num_heads: int = 2):
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(token_dim, channels)
        self.gate = nn.Linear(token_dim, channels)
        self.output = nn.Linear(channels, token_dim)
        self.norm = nn.LayerNorm(token_dim)
        self.register_buffer("mask", head_mask(channels, num_heads), persistent=False)

    def forward(self, tokens: Tensor, x: Tensor, num_frames: int) -> tuple[Tensor, Tensor]:
        """Attend from tokens to features.

        Args:
            tokens: (B, M, D).
            x: Local features, (B, C, T, H, W) or (B·T, C, H, W).
            num_frames: T.

        Returns:
            The residual for the tokens (B, M, D), to be added and normalised with ``norm``, and
            the attention (B, h, M, T·H·W), which sums to one over positions.
        """
        gate = 2 * F.hardsigmoid(self.gate(tokens))
        channels = gate.shape[-1]
        scale = (channels // self.num_heads) ** -0.5
        query = self.query(tokens) * scale
        if as_rows(x):
            rows = features_to_rows(x, num_frames)  # (B, L, C)
            scores = spread_heads(query, self.mask) @ rows.transpose(1, 2)  # (B, h·M, L)
            attention = scores.softmax(dim=-1)
            gathered = collect_heads(attention @ rows, self.num_heads)  # (B, M, C)
            attention = attention.unflatten(1, (self.num_heads, -1))
        else:
            heads = features_to_heads(x, num_frames, self.num_heads)  # (B, h, C/h, L)
            query = query.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, h, M, C/h)
            attention = (query @ heads).softmax(dim=-1)  # (B, h, M, L)
            gathered = attention @ heads.transpose(2, 3)  # (B, h, M, C/h)
            gathered = gathered.transpose(1, 2).flatten(2)  # (B, M, C)
        return self.output(gathered * gate), attention


class FormerToMobile(nn.Module):
    """Positions attend to the tokens: features are queries, keys and values come from tokens.

    Args:
        token_dim: Token width D.
        channels: Feature channels C, a multiple of ``num_heads``.
        num_heads: Heads h; the scale is ``(C/h)^-1/2``.
    """

    mask: Tensor

    def __init__(self, token_dim: int, channels: int, num_heads: int = 2):
        super().__init__()
        self.num_heads = num_heads
        self.key = nn.Linear(token_dim, channels)
        self.value = nn.Linear(token_dim, channels)
        self.register_buffer("mask", head_mask(channels, num_heads), persistent=False)

    def forward(self, x: Tensor, tokens: Tensor, num_frames: int) -> tuple[Tensor, Tensor]:
        """Attend from features to tokens.

        Args:
            x: Local features, (B, C, T, H, W) or (B·T, C, H, W).
            tokens: (B, M, D).
            num_frames: T.

        Returns:
            The residual for the features, in the shape of ``x``, and the attention
            (B, h, M, T·H·W), which sums to one over tokens.
        """
        key, value = self.key(tokens), self.value(tokens)
        key = key * (key.shape[-1] // self.num_heads) ** -0.5
        h = self.num_heads
        if as_rows(x):
            rows = features_to_rows(x, num_frames)  # (B, L, C)
            scores = spread_heads(key, self.mask) @ rows.transpose(1, 2)  # (B, h·M, L)
            attention = scores.unflatten(1, (h, -1)).softmax(dim=2)  # (B, h, M, L)
            read = attention.flatten(1, 2).transpose(1, 2) @ spread_heads(
                value, self.mask
            )  # (B, L, C)
            residual = read.view(x.shape[0], x.shape[2], x.shape[3], -1).permute(0, 3, 1, 2)
            return residual, attention
        heads = features_to_heads(x, num_frames, h)  # (B, h, C/h, L)
        key = key.unflatten(-1, (h, -1)).transpose(1, 2)  # (B, h, M, C/h)
        value = value.unflatten(-1, (h, -1)).permute(0, 2, 3, 1)  # (B, h, C/h, M)
        attention = (key @ heads).softmax(dim=2)  # (B, h, M, L)
        return heads_to_features(value @ attention, x, num_frames), attention


def as_rows(x: Tensor) -> bool:
    """Whether ``x`` is stored channels-last, (B·T, C, H, W) with C innermost."""
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)


def features_to_rows(x: Tensor, num_frames: int) -> Tensor:
    """View channels-last (B·T, C, H, W) as rows (B, T·H·W, C) without a copy."""
    n, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(n // num_frames, num_frames * h * w, c)


def features_to_heads(x: Tensor, num_frames: int, num_heads: int) -> Tensor:
    """Bring features to (B, h, C/h, L), L = T·H·W: a view for (B, C, T, H, W)."""
    if x.dim() == 4:
        n, c = x.shape[:2]
        x = x.reshape(n // num_frames, num_frames, c, -1).transpose(1, 2)
    return x.reshape(x.shape[0], num_heads, x.shape[1] // num_heads, -1)


def heads_to_features(heads: Tensor, like: Tensor, num_frames: int) -> Tensor:
    """Undo :func:`features_to_heads` for a tensor shaped as ``like``."""
    if like.dim() == 5:
        return heads.reshape(like.shape)
    n, c = like.shape[:2]
    frames_last = heads.reshape(n // num_frames, c, num_frames, -1)
    return frames_last.transpose(1, 2).reshape(like.shape)


def head_mask(channels: int, num_heads: int) -> Tensor:
    """Mask (h, C): 1 where a channel belongs to a head, else 0."""
    return torch.eye(num_heads).repeat_interleave(channels // num_heads, dim=1)


def spread_heads(tokens: Tensor, mask: Tensor) -> Tensor:
    """Put per-token vectors (B, M, C) on a block diagonal (B, h·M, C), one block per head."""
    return (tokens.unsqueeze(1) * mask.to(tokens.dtype).unsqueeze(1)).flatten(1, 2)


def collect_heads(blocks: Tensor, num_heads: int) -> Tensor:
    """Take the diagonal blocks of (B, h·M, C) and join them to (B, M, C)."""
    b, hm, c = blocks.shape
    size = c // num_heads
    split = blocks.view(b, num_heads, hm // num_heads, c)
    parts = [split[:, i, :, i * size : (i + 1) * size] for i in range(num_heads)]
    return torch.cat(parts, dim=-1)
