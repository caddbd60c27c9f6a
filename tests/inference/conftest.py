"""A small model whose answers are known beforehand, and videos it can tell apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from video_mobile_former.clip_spec import ClipSpec


class BrightnessModel(nn.Module):
    """Class i of K is the one whose brightness (i + 0.5) / K is nearest to the clip's."""

    def __init__(self, class_names: tuple[str, ...] | None, num_classes: int, clip: ClipSpec):
        super().__init__()
        self.class_names = class_names
        self.clip = clip
        centres = (torch.arange(num_classes) + 0.5) / num_classes
        self.linear = nn.Linear(3, num_classes)
        # −(b − c)² up to a term all classes share.
        self.linear.weight.data = (100 * 2 * centres / 3)[:, None].expand(-1, 3).contiguous()
        self.linear.bias.data = -100 * centres**2

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        return self.linear(x.mean(dim=(2, 3, 4)))


@pytest.fixture
def brightness_model() -> Callable[..., BrightnessModel]:
    def make(*names: str, num_classes: int | None = None, **clip: object) -> BrightnessModel:
        spec = ClipSpec.from_dict(
            {
                "num_frames": 4,
                "resize_size": 32,
                "crop_size": 32,
                "mean": (0.0, 0.0, 0.0),
                "std": (1.0, 1.0, 1.0),
                **clip,
            }
        )
        model = BrightnessModel(names or None, num_classes or len(names), spec)
        return model.train()

    return make


def write_grey_video(path: Path, levels: list[int], size: int = 48) -> Path:
    """One frame of each grey level (0 to 255), 10 frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 2 * size, size, "yuv420p"
        stream.options = {"threads": "1"}
        for level in levels:
            picture = np.full((size, 2 * size, 3), level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def grey_video() -> Callable[..., Path]:
    return write_grey_video
