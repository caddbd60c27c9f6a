"""Configuration, model and video processor for Hugging Face Transformers.

The video processor decodes, samples, crops and normalises as ``vmf predict`` does, so that the
scores are the same. This file and what it imports are also written beside weights, for use where
this package is not installed; see :mod:`.hub_code`.
Source of the interface: Transformers 5, "Customizing models".
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..clip_spec import ClipSpec
from ..data.transforms import normalize
from ..data.video.backend import Reading
from ..errors import CheckpointError, UserError
from ..inference.given import views_of
from ..models.checkpoint import CONFIG_FORMAT
from ..models.locate import CONFIG_NAME
from ..models.registry import ARCHITECTURES
from ..models.video_model import VideoModel
from ..optional import require
from ..version import __version__

_PURPOSE = "the interface to Transformers"
require("transformers", extra="transformers", purpose=_PURPOSE)

from transformers import (  # noqa: E402 - after the line that says what to install
    BatchFeature,
    PreTrainedConfig,
    PreTrainedModel,
    initialization,
)
from transformers.modeling_outputs import ImageClassifierOutput  # noqa: E402
from transformers.video_processing_utils import VideoProcessorMixin  # noqa: E402

_MULTI_LABEL = "multi_label_classification"
Video = str | os.PathLike[str] | bytes | np.ndarray | Tensor
"""A path, the bytes of a file, or uint8 frames: (T, H, W, 3) as an array, (T, 3, H, W) as a
tensor."""


class VideoMobileFormerConfig(PreTrainedConfig):
    """What ``config.json`` of a checkpoint of this package holds, and what Transformers adds.

    Args:
        architecture: ``class`` and ``arguments`` of the network, JSON data.
        clip: What the model takes, see :meth:`~..clip_spec.ClipSpec.to_dict`.
        kwargs: As any configuration has them: ``id2label`` and ``problem_type``
            (``"multi_label_classification"`` for independent classes), …
    """

    model_type = "video_mobile_former"

    def __init__(
        self,
        architecture: Mapping[str, Any] | None = None,
        clip: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        # Names of their own are kept; "LABEL_0" stands where there are none.
        for key in ("format", "library", "class_names", "multi_label"):
            kwargs.pop(key, None)
        super().__init__(**kwargs)
        self.architecture = copy.deepcopy(dict(architecture or {}))
        self.clip = dict(clip or ClipSpec().to_dict())

    @property
    def num_frames(self) -> int:
        """Frames of a clip."""
        return int(self.clip["num_frames"])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with what a checkpoint of this package says of its classes."""
        values = super().to_dict()
        labels: dict[Any, str] = dict(self.id2label or {})
        names = [labels[number] for number in range(len(labels))]
        unnamed = names == [f"LABEL_{number}" for number in range(len(labels))]
        architecture = copy.deepcopy(self.architecture)
        architecture.setdefault("arguments", {})["num_classes"] = len(labels)
        return {
            **values,
            "format": CONFIG_FORMAT,
            "library": f"video-mobile-former {__version__}",
            "architecture": architecture,
            "class_names": None if unnamed else names,
            "multi_label": self.problem_type == _MULTI_LABEL,
            "clip": dict(self.clip),
        }


def config_of(model: VideoModel) -> VideoMobileFormerConfig:
    """The configuration of a network, with its class names."""
    names = model.class_names or [f"LABEL_{number}" for number in range(model.num_classes)]
    return VideoMobileFormerConfig(
        architecture={"class": type(model).__name__, "arguments": model.architecture},
        clip=model.clip.to_dict(),
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
        problem_type=_MULTI_LABEL if model.multi_label else None,
        architectures=[VideoMobileFormerForVideoClassification.__name__],
        **copy.deepcopy(model.info),
    )


def _built(config: Any) -> VideoModel:
    """The network of a configuration, with fresh weights."""
    name, arguments = (config.architecture.get(key) for key in ("class", "arguments"))
    if name not in ARCHITECTURES or not isinstance(arguments, dict):
        raise CheckpointError(
            f"{CONFIG_NAME}: unknown architecture {name!r}; this version knows "
            + ", ".join(ARCHITECTURES)
        )
    try:
        model = ARCHITECTURES[name](**{**arguments, "num_classes": config.num_labels})
    except (TypeError, ValueError, ArithmeticError) as error:
        raise CheckpointError(f"{CONFIG_NAME}: architecture.arguments: {error}") from error
    model.clip = ClipSpec.from_dict(config.clip)
    return model


class VideoMobileFormerForVideoClassification(PreTrainedModel):
    """Any network of this package, as Transformers calls one.

    Args:
        config: Says which.

    Raises:
        CheckpointError: If the configuration names no network of this package.
    """

    config_class = VideoMobileFormerConfig
    base_model_prefix = "network"
    main_input_name = "pixel_values_videos"
    supports_gradient_checkpointing = False

    def __init__(self, config: VideoMobileFormerConfig):
        super().__init__(config)
        self.network = _built(config)
        self.post_init()

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, *arguments: Any, **options: Any
    ) -> Any:
        """As of any model, and what the network computes at its start and no file holds."""
        loaded = super().from_pretrained(*arguments, **options)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        kept = model.network.state_dict().keys()
        with torch.device("cpu"):
            fresh = _built(model.config)
        own = dict(model.network.named_buffers())
        for name, value in fresh.named_buffers():
            if name not in kept:
                own[name].copy_(value)
        return loaded

    def _init_weights(self, module: Any) -> None:
        """First weights of a head for other classes; all else is read, or made with the network."""
        if module is self.network.classifier:
            initialization.normal_(module.weight, std=self.network.classifier_std)
            initialization.zeros_(module.bias)

    def save_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride] - hands options on
        self, save_directory: str | os.PathLike[str], **options: Any
    ) -> None:
        """As of any model; the weights keep the names that a checkpoint of this package gives them.

        Args:
            save_directory: A folder.
            options: Those of Transformers; ``state_dict`` stands for the model's own.
        """
        state = options.pop("state_dict", None) or self.state_dict()
        prefix = f"{self.base_model_prefix}."
        plain = {name.removeprefix(prefix): value for name, value in state.items()}
        super().save_pretrained(save_directory, state_dict=plain, **options)

    def forward(
        self,
        pixel_values_videos: Tensor,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> ImageClassifierOutput | tuple[Tensor, ...]:
        """Logits and, with labels, the loss.

        Args:
            pixel_values_videos: Normalised clips ``(B, T, 3, H, W)``, or ``(B, V, T, 3, H, W)``
                with V views, whose logits are averaged.
            labels: ``(B,)`` classes, or ``(B, K)`` of 0 and 1 where the model is multi-label.
            return_dict: False gives a tuple.
        """
        views = pixel_values_videos.flatten(0, -5).transpose(1, 2)
        logits = self.network(views)
        if pixel_values_videos.dim() == 6:
            logits = logits.view(*pixel_values_videos.shape[:2], -1).mean(1)
        loss = None
        if labels is not None and self.config.problem_type == _MULTI_LABEL:
            loss = F.binary_cross_entropy_with_logits(logits, labels.to(logits))
        elif labels is not None:
            loss = F.cross_entropy(logits, labels)
        if return_dict is False:
            return (logits,) if loss is None else (loss, logits)
        return ImageClassifierOutput(loss=loss, logits=logits)


class VideoMobileFormerVideoProcessor(VideoProcessorMixin):
    """From videos to clips, as evaluation in this package makes them.

    Args:
        clip: What the model takes, see :meth:`~..clip_spec.ClipSpec.to_dict`.
        num_views: Clips per video in time.
        num_crops: Crops per clip.
        kwargs: Those of any processor.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values_videos"]

    def __init__(
        self,
        clip: Mapping[str, Any] | None = None,
        num_views: int = 1,
        num_crops: int = 1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.clip = dict(clip or ClipSpec().to_dict())
        self.num_views, self.num_crops = num_views, num_crops

    def preprocess(  # pyright: ignore[reportIncompatibleMethodOverride] - what videos are here
        self,
        videos: Video | Sequence[Video],
        *,
        num_views: int | None = None,
        num_crops: int | None = None,
        frame_rate: float | None = None,
        return_tensors: str | None = "pt",
        **options: Any,
    ) -> BatchFeature:
        """Decode, sample, crop and normalise.

        Args:
            videos: One video or several.
            num_views: Instead of the processor's own.
            num_crops: Instead of the processor's own.
            frame_rate: Frames per second of arrays and tensors, used by dense sampling.
            return_tensors: ``"pt"`` or ``"np"``.
            options: ``num_frames`` must be that of the model; ``do_sample_frames`` is always so.

        Returns:
            ``pixel_values_videos``: float32 ``(B, T, 3, S, S)``, with several views
            ``(B, V, T, 3, S, S)``.

        Raises:
            VideoError: If a video cannot be read.
            UserError: If an argument is out of range or unknown.
        """
        spec = ClipSpec.from_dict(self.clip)
        if options.pop("num_frames", spec.num_frames) != spec.num_frames:
            raise UserError(f"num_frames: the model takes clips of {spec.num_frames} frames")
        if options.pop("do_sample_frames", True) is False:
            raise UserError("do_sample_frames: frames are always sampled as the model was trained")
        options.pop("device", None)
        if options:
            raise UserError(f"unknown options of the video processor: {', '.join(sorted(options))}")
        views = self.num_views if num_views is None else num_views
        crops = self.num_crops if num_crops is None else num_crops
        several: Any = videos if isinstance(videos, (list, tuple)) else [videos]
        clips = [self._clips(video, spec, views, crops, frame_rate) for video in several]
        values = torch.stack(clips)
        if values.shape[1] == 1:
            values = values[:, 0]
        return BatchFeature({"pixel_values_videos": values}, tensor_type=return_tensors)

    @staticmethod
    def _clips(
        video: Video, spec: ClipSpec, num_views: int, num_crops: int, frame_rate: float | None
    ) -> Tensor:
        """``(V, T, 3, S, S)`` float32, normalised."""
        clips, _ = views_of(
            video,
            spec,
            num_views=num_views,
            num_crops=num_crops,
            frame_rate=frame_rate,
            reading=Reading(),
        )
        return normalize(clips, spec).transpose(1, 2)
