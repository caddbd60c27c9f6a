"""From a model to a graph that other runtimes take."""

from __future__ import annotations

import copy
from typing import Any, Literal

from torch import Tensor, nn

from ...errors import UserError
from ...models.runnable import StreamingModel
from ...models.streaming import StreamingVideoMobileFormer
from ...models.video_mobile_former import VideoMobileFormer, unusual_options
from ...models.video_model import VideoModel
from .frames import FramesNet
from .frames_parts import exchange_parts
from .steps import OwnStep, StepNet
from .volume import VolumeGraph

GraphForm = Literal["volume", "frames"]


def lower(model: nn.Module, *, form: GraphForm, num_frames: int) -> nn.Module:
    """Rewrite a model as an inference graph that gives the same logits.

    Args:
        model: A model of this package; it is not changed.
        form: ``"volume"`` takes clips (B, 3, T, H, W); ``"frames"`` takes the frames of clips in a
            row (B·T, 3, H, W) and holds nothing above rank 4.
        num_frames: T of ``frames``.

    Returns:
        A module in eval mode without gradients, from normalised float32 to logits (B, K).

    Raises:
        UserError: If the form is unknown or the model does not have it, it takes streams, or it is
            one of the family's ablations, which have no graphs.
    """
    if form not in ("volume", "frames"):
        raise UserError(f"form must be 'volume' or 'frames', not {form!r}")
    if form == "frames" and not hasattr(model, "forward_frames"):
        raise UserError(
            f"{type(model).__name__} has no 'frames' form; use a target that takes 'volume'"
        )
    if isinstance(model, StreamingModel):
        raise UserError("a streaming model is exported as a graph of one step: add --streaming")
    _check_usual(model)
    if isinstance(model, VideoModel) and not model.fused:
        fused = model.fuse()
    else:
        fused = copy.deepcopy(model).eval().requires_grad_(False)
    if isinstance(fused, VideoMobileFormer):
        return VolumeGraph(fused) if form == "volume" else FramesNet(fused, num_frames)
    if isinstance(fused, VideoModel):
        fused.set_form(form)
        if form == "frames":
            exchange_parts(fused, num_frames)
    return FramesGraph(fused, num_frames) if form == "frames" else fused


def lower_step(model: Any, *, form: GraphForm) -> nn.Module:
    """Make the graph of one step of a streaming model.

    Args:
        model: See :class:`~..models.runnable.StreamingModel`; not changed.
        form: ``"volume"`` takes frames (B, 3, P, H, W); ``"frames"`` takes (B·P, 3, H, W), and
            nothing that it computes with is above rank 4.

    Returns:
        A module in eval mode without gradients, from frames and states to logits (B, K) and the
        next states, float32, in the order of ``init_state``.

    Raises:
        UserError: If it takes no streams, or is one of the family's ablations.
    """
    if not isinstance(model, StreamingModel):
        raise not_streaming(model)
    _check_usual(model)
    if isinstance(model, StreamingVideoMobileFormer):
        return StepNet(model if model.fused else model.fuse(), form)
    return OwnStep(model.fuse(), form)


def not_streaming(model: Any) -> UserError:
    """That a model takes no streams."""
    return UserError(
        f"--streaming: a {type(model).__name__} is no streaming model; `vmf models stream` lists "
        "those of the package"
    )


def _check_usual(model: Any) -> None:
    if isinstance(model, VideoMobileFormer) and (unusual := unusual_options(model.architecture)):
        name, value = next(iter(unusual.items()))
        raise UserError(
            f"a network with {name} {value!r} cannot be exported: graphs are written for the "
            "family's own bridges, activations and tokens"
        )


class FramesGraph(nn.Module):
    """A model with a ``frames`` form of its own, fed with frames (B·T, 3, H, W)."""

    def __init__(self, model: nn.Module, num_frames: int):
        super().__init__()
        self.model, self.num_frames = model, num_frames

    def forward(self, frames: Tensor) -> Tensor:
        """Logits (B, K) of frames (B·T, 3, H, W), T frames a clip."""
        return self.model.forward_frames(frames, self.num_frames)  # pyright: ignore[reportCallIssue]
