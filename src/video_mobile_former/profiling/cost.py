"""Parameters and multiply-accumulates of a model.

MACs are counted for matrix products and convolutions, attention included; normalisation and
activations are not. These are MACs; papers in this field write "FLOPs" for the same number.
Counting runs the ``volume`` form on meta tensors: it is exact, needs no memory, and does not depend
on the speed optimisations of another graph form.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..clip_spec import ClipSpec
from ..errors import UserError
from ..models.runnable import RunnableModel


def count_parameters(model: nn.Module) -> int:
    """Number of parameters; buffers such as running statistics are not counted."""
    return sum(p.numel() for p in model.parameters())


def known_cost(model: RunnableModel, clip_shape: Sequence[int]) -> tuple[int, int]:
    """Parameters and MACs of one clip.

    Args:
        model: Maps clips to logits. Artefacts have no parameters to count and give their cost in
            ``known_cost``.
        clip_shape: (1, 3, T, H, W); for an artefact its own.
    """
    if model.known_cost is not None:
        return model.known_cost
    assert isinstance(model, nn.Module)
    return count_parameters(model), count_macs(model, clip_shape)


def count_macs(model: nn.Module, clip_shape: Sequence[int] | None = None) -> int:
    """Multiply-accumulates of one forward pass in eval mode.

    Args:
        model: Maps (B, 3, T, H, W) to logits; not changed.
        clip_shape: Input shape; by default one native clip of ``model.clip``.

    Raises:
        UserError: If no shape is given and the model has no native clip.

    Returns:
        MACs for the whole shape; divide by B for one clip.
    """
    if clip_shape is None:
        clip = getattr(model, "clip", None)
        if not isinstance(clip, ClipSpec):
            raise UserError(f"a {type(model).__name__} has no native clip; give clip_shape")
        clip_shape = (1, 3, clip.num_frames, clip.crop_size, clip.crop_size)
    twin = copy.deepcopy(model).to("meta").eval().requires_grad_(False)
    set_form = getattr(twin, "set_form", None)
    if callable(set_form):
        set_form("volume")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        twin(torch.empty(tuple(clip_shape), device="meta"))
    return counter.get_total_flops() // 2
