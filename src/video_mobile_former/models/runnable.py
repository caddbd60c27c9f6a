"""What the rest of the package needs of a model in order to run it, whatever it is."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..clip_spec import ClipSpec
from ..errors import UserError


@runtime_checkable
class RunnableModel(Protocol):
    """A model that scorers, evaluation, teachers and benchmarks take.

    Networks of this package and artefacts of ``vmf export`` are such models; :func:`runnable` makes
    one of any module with a ``clip``.
    """

    clip: ClipSpec
    """What it takes."""
    class_names: tuple[str, ...] | None
    """Names of the logits in order; None where they are not known."""
    multi_label: bool
    """Each logit is a yes or no of its own (sigmoid); otherwise they compete (softmax)."""
    info: dict[str, Any]
    """How it was made and measured, JSON data."""
    fused: bool
    """Nothing is left to fold into other layers."""
    only_device: torch.device | None
    """The device it runs on, whatever else there is; None for any."""
    runs_precisions: tuple[str, ...] | None
    """Precisions it computes in; None for any."""
    takes_uint8: bool
    """It takes uint8 RGB and normalises that itself."""
    known_cost: tuple[int, int] | None
    """Parameters and MACs of one view; None where they can be counted."""
    facts: dict[str, Any] | None
    """What reports state of an artefact, JSON data."""
    threads: int | None
    """Threads of its runtime; None for those of torch."""
    path: Path | None
    """Its file, for messages."""

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (B, K) of clips (B, 3, T, H, W)."""
        ...

    def fuse(self) -> Any:
        """A copy for inference."""
        ...


@runtime_checkable
class StreamingModel(RunnableModel, Protocol):
    """A model that also takes a stream step by step and carries a state between steps.

    Called with clips, it runs their steps from the start and returns the last logits. A state is a
    flat dict of tensors (B, …) of at most four axes; steps return a new one and leave theirs alone.
    """

    frames_per_update: int
    """A step has a multiple of so many frames. Frames are ``clip.stride_seconds`` apart."""

    def init_state(
        self,
        batch: int,
        size: int | tuple[int, int],
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> dict[str, Tensor]:
        """The state of B streams of which nothing was seen, for frames of a height and width."""
        ...

    def step(self, frames: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits (B, K) after frames (B, 3, S, H, W), and the state for the next step."""
        ...

    def reset(
        self, state: Mapping[str, Tensor], which: Tensor | Sequence[int]
    ) -> dict[str, Tensor]:
        """Start some streams anew: their numbers, or (B,) of bool. Others are left as they are."""
        ...

    def forward_steps(self, clip: Tensor) -> Tensor:
        """Logits after each update of clips (B, 3, T, H, W), as (B, updates, K)."""
        ...


class RunsAnywhere:
    """Defaults of :class:`RunnableModel` for a module that runs in torch like any other."""

    fused: bool = False
    only_device: torch.device | None = None
    runs_precisions: tuple[str, ...] | None = None
    takes_uint8: bool = False
    known_cost: tuple[int, int] | None = None
    facts: dict[str, Any] | None = None
    threads: int | None = None
    path: Path | None = None


class PlainModel(RunsAnywhere, nn.Module):
    """Any module with a ``clip``, and with names of classes where it has them.

    Args:
        model: Maps normalised clips (B, 3, T, H, W) to logits (B, K).

    Raises:
        UserError: If it has no clip spec.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        given = vars(model)
        if not isinstance(given.get("clip"), ClipSpec):
            raise UserError(f"{type(model).__name__} has no ClipSpec in its attribute 'clip'")
        self.model = model
        self.clip: ClipSpec = given["clip"]
        names = given.get("class_names")
        self.class_names: tuple[str, ...] | None = None if names is None else tuple(names)
        self.fused = bool(given.get("fused", False))
        self.multi_label = bool(given.get("multi_label", False))
        self.info: dict[str, Any] = given.get("info") or {}

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        return self.model(x)

    def fuse(self) -> PlainModel:
        """A copy in eval mode that needs no gradients, of the module's own ``fuse()`` if any."""
        fuse = getattr(self.model, "fuse", None)
        twin = PlainModel(self.model)
        twin.model = fuse() if callable(fuse) else copy.deepcopy(self.model)
        return twin.eval().requires_grad_(False)


def runnable(model: nn.Module | RunnableModel) -> RunnableModel:
    """The model itself where it says all that is needed, else as a :class:`PlainModel`.

    Raises:
        UserError: If it has no clip spec.
    """
    if isinstance(model, RunnableModel):
        return model
    return PlainModel(model)


def untrained_head(model: RunnableModel) -> str | None:
    """A warning if a checkpoint was trained without classes, else None."""
    found: Any = model.info
    for key in ("training", "recipe", "pretrain", "task"):
        found = found.get(key) if isinstance(found, dict) else None
    if found != "masked_features":
        return None
    return (
        "The model was pre-trained without labels (masked features): its head is untrained and "
        "its predictions are chance. Fine-tune it first: "
        "vmf train --data DATA --model FOLDER."
    )
