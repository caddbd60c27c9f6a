"""A model that tells rising from falling brightness, clips of both, and a finished evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.evaluation.evaluate import evaluate
from video_mobile_former.evaluation.result import Evaluation

MOTIONS = ("falling", "rising")


class MotionModel(nn.Module):
    """Class 1 where the last frame is brighter than the first; further classes never win."""

    def __init__(self, class_names: Sequence[str] | None, num_classes: int = 2, **clip: object):
        super().__init__()
        self.class_names = class_names
        self.clip = ClipSpec.from_dict(
            {"num_frames": 4, "resize_size": 32, "crop_size": 32, **clip}
        )
        self.linear = nn.Linear(1, num_classes)
        self.linear.weight.data.fill_(0)
        self.linear.weight.data[:2, 0] = torch.tensor([-1.0, 1.0])
        self.linear.bias.data.fill_(-9)
        self.linear.bias.data[:2] = torch.tensor([1e-3, 0.0])

    def forward(self, x: Tensor) -> Tensor:
        change = (x[:, :, -1] - x[:, :, 0]).mean(dim=(1, 2, 3))
        return self.linear(change[:, None])


@pytest.fixture
def motion_model() -> Callable[..., MotionModel]:
    return MotionModel


def write_ramp(path: Path, levels: Sequence[int]) -> Path:
    """A grey video with one frame of each level, 10 frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"threads": "1"}
        for level in levels:
            picture = np.full((48, 64, 3), level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def motion_index(tmp_path_factory: pytest.TempPathFactory) -> ClipIndex:
    """Six test clips (four falling, two rising) of which one falling one is labelled wrongly."""
    folder = tmp_path_factory.mktemp("motions")
    clips = []
    for i, (rises, label) in enumerate([(0, 0), (0, 0), (0, 0), (1, 1), (1, 1), (0, 1)]):
        levels = [40 + 8 * i + 30 * step for step in range(5)]
        path = write_ramp(folder / f"{i}.mp4", levels if rises else levels[::-1])
        clips.append(Clip(path=str(path), labels=(label,), split="test", name=path.name))
    return ClipIndex(clips=tuple(clips), class_names=MOTIONS, source="motions.csv")


@pytest.fixture(scope="session")
def evaluation(motion_index: ClipIndex) -> Evaluation:
    return evaluate(
        MotionModel(MOTIONS), motion_index, num_workers=0, device="cpu", model_name="runs/x/best"
    )
