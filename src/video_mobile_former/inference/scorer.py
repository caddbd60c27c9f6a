"""From uint8 clips to class probabilities: the one path that evaluation and prediction share."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ..console import say
from ..data.transforms import normalize
from ..errors import UserError, check_at_least
from ..memory import keep_memory_of_tensors
from ..models.runnable import RunnableModel, runnable, untrained_head
from ..models.video_model import VideoModel
from ..profiling.machine import processor_name

Precision = Literal["32", "bf16"]
Average = Literal["probabilities", "logits"]


class Scorer:
    """A model ready for inference: fused, on its device, averaging over the views of a video.

    The model that was passed in is not changed.

    Args:
        model: See :class:`~..models.runnable.RunnableModel`; any module with a ``clip`` will do.
        device: ``"auto"`` (CUDA, then Apple's MPS, then the CPU) or a name torch knows.
        precision: ``"32"``, or ``"bf16"`` for bfloat16 autocast.
        average: What is averaged over views: ``"probabilities"`` (softmax, or sigmoid of a
            multi-label model, before the mean) or ``"logits"`` (after it).
        views_at_once: Largest number of views in one forward pass, which bounds memory.

    Raises:
        UserError: If an argument is unknown or the device is absent.
    """

    def __init__(
        self,
        model: nn.Module | RunnableModel,
        *,
        device: str | torch.device = "auto",
        precision: Precision = "32",
        average: Average = "probabilities",
        views_at_once: int = 8,
    ):
        _one_of("precision", precision, get_args(Precision))
        _one_of("average", average, get_args(Average))
        at_least_one("views_at_once", views_at_once)
        model = runnable(model)
        self.device = device_for(model, device)
        _check_precision(model, precision)
        self.clip, self.multi_label = model.clip, model.multi_label
        self.precision: Precision = precision
        self.average: Average = average
        self.views_at_once = views_at_once
        self.model = _inference_copy(model).to(self.device)
        if self.device.type == "cpu":
            keep_memory_of_tensors()
        untrained = untrained_head(model)
        if untrained is not None:
            say(untrained)

    @torch.inference_mode()
    def __call__(self, clips: Tensor) -> Tensor:
        """Score the views of several videos.

        Args:
            clips: ``(B, V, 3, T, H, W)`` uint8.

        Returns:
            ``(B, K)`` float32 probabilities on the CPU, averaged over the V views. They sum to 1,
            except for a multi-label model, where each class has an independent probability.
        """
        return self.finished(self.mean_of_views(clips))

    @torch.inference_mode()
    def mean_of_views(self, clips: Tensor) -> Tensor:
        """Mean over views before the final activation, so that a video may come in parts.

        Args:
            clips: ``(B, V, 3, T, H, W)`` uint8.

        Returns:
            ``(B, K)`` float32 on the CPU; :meth:`finished` turns it into probabilities.
        """
        batch, num_views = clips.shape[:2]
        logits = torch.cat(
            [self._forward(part) for part in clips.flatten(0, 1).split(self.views_at_once)]
        )
        per_view = logits.unflatten(0, (batch, num_views))
        if self.average == "probabilities":
            per_view = probabilities(per_view, multi_label=self.multi_label)
        return per_view.mean(dim=1).cpu()

    def finished(self, mean: Tensor) -> Tensor:
        """Probabilities ``(B, K)`` of a mean over all views, ``(B, K)``."""
        if self.average == "probabilities":
            return mean
        return probabilities(mean, multi_label=self.multi_label)

    @torch.inference_mode()
    def embed(self, clips: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the last linear layer takes, and the global tokens, averaged over views.

        That layer is linear: applied to the mean over views it gives the mean of the logits.

        Args:
            clips: ``(B, V, 3, T, H, W)`` uint8.

        Returns:
            Features ``(B, D)`` and tokens ``(B, M, D')``, float32 on the CPU. Tokens of each frame
            are averaged over the frames; None of a model without tokens.

        Raises:
            UserError: If the model does not show its features, as artefacts do not.
        """
        model = self.check_embeds()
        batch, num_views = clips.shape[:2]
        features: list[Tensor] = []
        tokens: list[Tensor] = []
        for part in clips.flatten(0, 1).split(self.views_at_once):
            with self._autocast():
                found = model.forward_features(self._inputs(part))
                parts = found if isinstance(found, tuple) else (found,)
                features.append(model.forward_head(*parts, pre_logits=True).float())
            if len(parts) > 1 and parts[1] is not None:
                # (B, M, D'), or (B·T, M, D') of a model with tokens of each frame.
                sets = parts[1].float().unflatten(0, (len(part), -1))
                tokens.append(sets.mean(dim=1))
        means = [
            torch.cat(each).unflatten(0, (batch, num_views)).mean(dim=1).cpu() if each else None
            for each in (features, tokens)
        ]
        assert means[0] is not None
        return means[0], means[1]

    def check_embeds(self) -> VideoModel:
        """The model, if it shows what its last layer takes.

        Raises:
            UserError: If it does not.
        """
        if not isinstance(self.model, VideoModel):
            where = getattr(self.model, "path", None) or type(self.model).__name__
            raise UserError(
                f"{where} gives scores only: embeddings need the checkpoint it was made from"
            )
        return self.model

    @torch.inference_mode()
    def step(self, frames: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Score the next frames of several streams with a streaming model.

        Args:
            frames: ``(B, 3, S, H, W)`` uint8.
            state: Of B streams, on the device; see :class:`~..models.runnable.StreamingModel`.

        Returns:
            ``(B, K)`` float32 probabilities on the CPU, and the state for the next step.
        """
        with self._autocast():
            logits, state = self.model.step(self._inputs(frames), state)
        return probabilities(logits.float(), multi_label=self.multi_label).cpu(), state

    def _forward(self, clips: Tensor) -> Tensor:
        with self._autocast():
            logits = self.model(self._inputs(clips))
        return logits.float()

    def _inputs(self, clips: Tensor) -> Tensor:
        inputs = clips.to(self.device, non_blocking=True)
        return inputs if self.model.takes_uint8 else normalize(inputs, self.clip)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()


def probabilities(logits: Tensor, *, multi_label: bool) -> Tensor:
    """Probabilities of ``(..., K)`` logits: softmax, or sigmoid where several classes may hold."""
    return logits.sigmoid() if multi_label else logits.softmax(dim=-1)


def resolve_device(device: str | torch.device) -> torch.device:
    """The device that ``"auto"`` or a name stands for.

    Raises:
        UserError: If torch knows no such device or it is not available.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"device must be 'auto', 'cpu', 'cuda', …, not {device!r}") from error
    absent = found.type == "cuda" and (
        not torch.cuda.is_available() or (found.index or 0) >= torch.cuda.device_count()
    )
    if absent or (found.type == "mps" and not torch.backends.mps.is_available()):
        raise UserError(f"device {str(device)!r} is not available here; use 'auto' or 'cpu'")
    return found


def device_for(model: RunnableModel, device: str | torch.device) -> torch.device:
    """The device to run ``model`` on.

    Raises:
        UserError: If torch knows no such device, it is absent, or the model cannot run on it.
    """
    only = model.only_device
    if only is None:
        return resolve_device(device)
    if device != "auto" and resolve_device(device) != only:
        raise UserError(
            f"{model.path or 'the model'} runs on the {only.type.upper()} only; "
            f"leave out --device {device}"
        )
    return only


def describe_device(device: torch.device, threads: int | None = None) -> str:
    """Name the hardware behind a device, for reports.

    Args:
        device: Where a model runs.
        threads: Of the CPU; None takes as many as torch uses.
    """
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    name = processor_name()
    if device.type == "cpu":
        threads = torch.get_num_threads() if threads is None else threads
        return f"{name}, {threads} thread{'s' if threads > 1 else ''}"
    return f"{name} ({device})"


def at_least_one(name: str, value: int) -> None:
    """Check that a named count is at least 1.

    Raises:
        UserError: If it is below.
    """
    check_at_least(name, value, 1)


def _inference_copy(model: RunnableModel) -> Any:
    if not model.fused:
        return model.fuse()
    twin = copy.deepcopy(model)
    assert isinstance(twin, nn.Module)
    return twin.eval().requires_grad_(False)


def _check_precision(model: RunnableModel, precision: str) -> None:
    """Check that an artefact can compute in ``precision``."""
    allowed = model.runs_precisions
    if allowed is not None and precision not in allowed:
        raise UserError(
            f"{model.path or 'the model'} cannot compute in {precision}; "
            f"it computes in {' or '.join(allowed)}"
        )


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UserError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
