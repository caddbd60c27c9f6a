"""What the global tokens of a model look at: the attention of each over space and time.

In the bridges from features to tokens (Mobile→Former, arXiv 2108.05895 section 3.1) each token
weighs all places of a clip. These weights are what is shown here; nothing is estimated, and
inference without it runs no slower. A weight says where a token gathers from. It is no proof of why
a class was given.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..clip_spec import ClipSpec
from ..data.loading.sampling import sample
from ..data.transforms import EvalTransform, normalize
from ..data.video.backend import Reading
from ..data.video.reader import VideoReader
from ..errors import UserError, VideoError
from ..models.video_mobile_former import VideoMobileFormer

HEAD = -1
"""The bridge before the classifier."""


@dataclass(frozen=True)
class SeenClip:
    """The frames that a model sees of a video: the clip in its middle, cropped at the centre."""

    frames: Tensor
    """``(T, 3, S, S)`` uint8 RGB."""
    times: np.ndarray
    """``(T,)`` seconds of the file at which they appear; those of padding repeat the last."""


@dataclass(frozen=True)
class Attention:
    """A clip, and where each token looks in it."""

    clip: SeenClip
    weights: Tensor
    """``(M, T, h, w)`` float32 on the CPU; each token's weights sum to 1."""


@torch.inference_mode()
def token_attention(model: Any, clip: Tensor, *, block: int | None = None) -> Tensor:
    """Where the global tokens of a model look in a clip.

    Args:
        model: A :class:`~..models.video_mobile_former.VideoMobileFormer`, streaming ones included;
            not changed, computed in eval mode on its own device.
        clip: ``(3, T, H, W)``: uint8 RGB, or float that is normalised already.
        block: Position of the block in the model's table whose bridge is shown, from 0; −1 is the
            bridge of the head, the last one before the classifier. None takes the mean over all
            bridges, on the finest of their grids: the weight of a coarse place is shared equally by
            the fine ones in it.

    Returns:
        ``(M, T, h, w)`` float32 on the CPU: the mean over the heads of softmax(Q·Kᵀ) of each token,
        over places; the weights of a token sum to 1. Where a softmax spans less than the clip (a
        streaming model: one update; ``tokens_per="frame"``: one frame), each span has an equal
        share of the sum.

    Raises:
        UserError: If the model has no tokens that gather, the block has no bridge, or the clip does
            not fit.
    """
    network = _with_tokens(model)
    check_tokens(network, block)
    if clip.dim() != 4 or clip.shape[0] != 3:
        raise UserError(f"a clip must be (3, T, H, W), not {tuple(clip.shape)}")
    weight = network.classifier.weight
    batch = clip[None].to(weight.device)
    batch = normalize(batch, network.clip) if clip.dtype == torch.uint8 else batch
    was_training = network.training
    network.train(False)
    try:
        found = network.forward_features(batch.to(weight.dtype), return_attention=True)
    finally:
        if was_training:
            network.train(True)
    maps = {int(one["block"]): one["mobile_to_former"] for one in found[2]}
    if block is None:
        height, width = next(iter(maps.values())).shape[-2:]
        every = [spread(_of_tokens(one), height, width) for one in maps.values()]
        return torch.stack(every).mean(dim=0).cpu()
    return _of_tokens(maps[block]).cpu()


def _of_tokens(attention: Tensor) -> Tensor:
    """Weights (M, T, h, w) that sum to 1, of attention (1, heads, M, T, h, w)."""
    weights = attention[0].float().mean(dim=0)
    return weights / weights.sum(dim=(1, 2, 3), keepdim=True)


def spread(weights: Tensor, height: int, width: int) -> Tensor:
    """Weights on a finer grid: those of a coarse place are shared equally by the fine ones in it.

    Args:
        weights: ``(…, h, w)``.
        height: Rows of the result, at least h.
        width: Columns of the result, at least w.

    Returns:
        ``(…, height, width)`` with the same sums.
    """
    for dim, size in ((-2, height), (-1, width)):
        coarse = weights.shape[dim]
        inside = ((torch.arange(size, device=weights.device) + 0.5) * coarse / size).long()
        shares = inside.bincount(minlength=coarse).to(weights.dtype)
        shares = shares.view(-1, 1) if dim == -2 else shares
        weights = (weights / shares).index_select(dim, inside)
    return weights


def overlap(weights: Tensor) -> float:
    """Share of their attention that two tokens have in common, the mean over all pairs.

    Args:
        weights: ``(M, T, h, w)``, those of a token summing to 1.

    Returns:
        From 0, no place in common, to 1, all tokens alike; 1 for a single token.
    """
    flat = weights.flatten(1)
    pairs = torch.combinations(torch.arange(len(flat)))
    if not len(pairs):
        return 1.0
    return float(torch.minimum(flat[pairs[:, 0]], flat[pairs[:, 1]]).sum(dim=1).mean())


def check_tokens(model: Any, block: int | None = None) -> None:
    """Refuse a model whose attention cannot be shown, before work starts.

    Args:
        model: As for :func:`token_attention`.
        block: Likewise.

    Raises:
        UserError: It says why.
    """
    network = _with_tokens(model)
    having = [
        number
        for number, one in enumerate(network.blocks)
        if getattr(one, "mobile_to_former", None) is not None
    ]
    if block is not None and block not in (HEAD, *having):
        known = ", ".join(str(number) for number in (HEAD, *having))
        raise UserError(f"block {block} has no bridge to the tokens; those that have: {known}")


def attention_of(
    model: Any,
    path: str | os.PathLike[str],
    *,
    spec: ClipSpec | None = None,
    reading: Reading | None = None,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    offset: int | None = None,
    size: int | None = None,
    block: int | None = None,
) -> Attention:
    """Where the tokens look in a video.

    Args:
        model: As for :func:`token_attention`.
        path: A file, a folder of pictures, or a URL.
        spec: How frames are sampled; None takes the model's own.
        reading: How videos are read.
        start_seconds: Begin of the part that is looked at; None is the begin of the file.
        end_seconds: Its end.
        offset: First byte of the video inside the file, of a tar shard.
        size: Bytes of the video inside the file.
        block: As for :func:`token_attention`.

    Raises:
        VideoError: If the video cannot be read.
        UserError: As :func:`token_attention`.
    """
    network = _with_tokens(model)
    spec = spec or network.clip
    with VideoReader(os.fspath(path), offset=offset, size=size, reading=reading) as reader:
        times = reader.timestamps(start_seconds, end_seconds)
        if not len(times):
            raise VideoError(reader.path, "no frames between its start and end times")
        times = times[sample(times, spec)]
        transform = EvalTransform(spec)
        frames = reader.frames(times, transform.decode_size, enlarge=transform.enlarge)
    frames = transform(frames.cpu())[0].contiguous()
    weights = token_attention(network, frames.transpose(0, 1), block=block)
    return Attention(SeenClip(frames, times), weights)


def _with_tokens(model: Any) -> VideoMobileFormer:
    """The model, if its tokens gather from features."""
    path = getattr(model, "path", None)
    if getattr(model, "facts", None) is not None:
        raise UserError(
            f"{path or 'the model'} is an artefact, which gives scores only: attention needs the "
            "checkpoint it was made from"
        )
    if not isinstance(model, VideoMobileFormer):
        inner = getattr(model, "model", None)
        name = type(model if inner is None else inner).__name__
        has = getattr(model, "num_tokens", 0)
        why = "whose tokens cannot be shown yet" if has else "which has no tokens to show"
        raise UserError(f"{path or 'the model'} is a {name}, {why}")
    if model.tokens is None:
        raise UserError("the model was built with num_tokens 0: there are no tokens to show")
    if model.head_bridge is None:
        raise UserError(
            "the model was built with bridges to_features: its tokens gather from no place"
        )
    return model
