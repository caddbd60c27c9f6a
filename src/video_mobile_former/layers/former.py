"""The Former: a Transformer block over a few global tokens.

Source: Mobile-Former (arXiv 2108.05895), as in its public release: queries are projected, keys and
values are the tokens themselves.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .forms import drop_path


class Former(nn.Module):
    """Self-attention among M tokens, then a feed-forward D→2D→D, each with a LayerNorm.

    Args:
        token_dim: Token width D, a multiple of ``num_heads``.
        num_heads: Heads; the scale is ``(D/h)^-1/2``.
        drop_path_rate: Stochastic depth rate of the attention's residual.
    """

    def __init__(self, token_dim: int, num_heads: int = 4, drop_path_rate: float = 0.0):
        super().__init__()
        self.num_heads, self.drop_path_rate = num_heads, drop_path_rate
        self.query = nn.Linear(token_dim, token_dim)
        self.output = nn.Linear(token_dim, token_dim)
        self.norm = nn.LayerNorm(token_dim)
        self.ffn_expand = nn.Linear(token_dim, 2 * token_dim)
        self.ffn_project = nn.Linear(2 * token_dim, token_dim)
        self.ffn_norm = nn.LayerNorm(token_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, M, D) to tokens (B, M, D)."""
        scale = (tokens.shape[-1] // self.num_heads) ** -0.5
        query = self._heads(self.query(tokens) * scale)  # (B, h, M, D/h)
        keys = self._heads(tokens)
        attention = (query @ keys.transpose(2, 3)).softmax(dim=-1)  # (B, h, M, M)
        mixed = (attention @ keys).transpose(1, 2).flatten(2)  # (B, M, D)
        residual = drop_path(self.output(mixed), self.drop_path_rate, self.training, 1)
        tokens = self.norm(tokens + residual)
        hidden = F.gelu(self.ffn_expand(tokens))
        return self.ffn_norm(tokens + self.ffn_project(hidden))

    def _heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
