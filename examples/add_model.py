"""A network of your own, trained, measured and exported by the same code as all others.

    python examples/add_model.py clips/ runs/mine

It is a light 3-D CNN of separable convolutions with a mean over the clip. Built of `ConvNorm`, it
has both graph forms (3-D convolutions, and frames in a row for phones) and can be fused. After
`register_model` its name stands wherever a model is asked for.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from video_mobile_former import ClipSpec, VideoModel, fit, load_model, register_model
from video_mobile_former.layers.conv import ConvNorm
from video_mobile_former.models.video_model import Form, check_arguments, check_counts
from video_mobile_former.training.recipe.read import recipe_from_dict


class SeparableNet(VideoModel):
    """Stem, stages that halve the picture, mean over time and space, classifier.

    Args:
        channels: Output channels of each stage.
        num_classes: Number of logits.
        num_frames: T of the native clip. Any T runs.
        crop_size: Height and width of the native clip.
        form: Graph form.
        drop_rate: Dropout before the classifier, 0 to below 1.
        drop_path_rate: Not used: there are no residuals.
    """

    method = "A light 3-D CNN of separable convolutions."

    def __init__(
        self,
        *,
        channels: tuple[int, ...] = (16, 32, 64),
        num_classes: int = 400,
        num_frames: int = 8,
        crop_size: int = 112,
        form: Form = "auto",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        nn.Module.__init__(self)
        # All arguments, as JSON data: a checkpoint rebuilds the network from them.
        architecture: dict[str, Any] = {
            "channels": list(channels),
            "num_classes": num_classes,
            "num_frames": num_frames,
            "crop_size": crop_size,
            "form": form,
            "drop_rate": drop_rate,
            "drop_path_rate": drop_path_rate,
        }
        check_arguments(architecture)
        for i, width in enumerate(channels):
            check_counts({f"channels[{i}]": width}, f"channels[{i}]")
        clip = ClipSpec(num_frames=num_frames, crop_size=crop_size, resize_size=crop_size * 8 // 7)
        self._describe(architecture, clip, form=form, drop_rate=drop_rate)

        self.stem = ConvNorm(3, channels[0], 3, stride=2)
        self.depthwise, self.pointwise = nn.ModuleList(), nn.ModuleList()
        for before, width in itertools.pairwise(channels):
            self.depthwise.append(
                ConvNorm(before, before, 3, stride=2, groups=before, temporal_kernel=3)
            )
            self.pointwise.append(ConvNorm(before, width))
        self.classifier = nn.Linear(channels[-1], num_classes)

    def _trunk(self, x: Tensor, num_frames: int) -> Tensor:
        x = F.relu6(self.stem(x, num_frames))
        for depthwise, pointwise in zip(self.depthwise, self.pointwise, strict=True):
            x = F.relu6(pointwise(F.relu6(depthwise(x, num_frames)), num_frames))
        return x

    def _logits(self, x: Tensor, num_frames: int) -> Tensor:
        """Logits of clips (B, 3, T, H, W), or of their frames (B·T, 3, H, W)."""
        x = self._trunk(x, num_frames)
        pooled = x.mean(dim=tuple(range(2, x.dim())))
        if x.dim() == 4:  # frames in a row: the T of a clip follow one another
            pooled = pooled.unflatten(0, (-1, num_frames)).mean(dim=1)
        return self.classifier(F.dropout(pooled, self.drop_rate, self.training))


def main(data: str, out: str, *, epochs: int = 10) -> VideoModel:
    """Register the network, train it as `vmf train --model separable` would, and load it."""
    register_model("separable", SeparableNet, {}, source="examples/add_model.py")
    fit(
        recipe_from_dict(
            {
                "out": out,
                "data": {"path": data},
                "model": {"name": "separable"},
                "train": {"epochs": epochs},
            }
        )
    )
    model = load_model(out)
    assert isinstance(model, VideoModel)
    return model


if __name__ == "__main__":  # the processes that decode import this file
    if len(sys.argv) != 3:
        sys.exit((__doc__ or "").strip())
    main(*sys.argv[1:])
