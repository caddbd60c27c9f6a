"""A small model that ends its process when it sees a white video; for tests of what survives."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mobile_models import small_model
from video_mobile_former.inference.batch.job import BatchJob
from video_mobile_former.inference.batch.model_files import ModelFiles

_WHITE = 1.5
"""Mean of a normalised clip above which it is white."""


class Deadly(nn.Module):
    """The small model, but for white clips.

    Args:
        marks: A folder in which each death leaves a file.
        deaths: After so many the model is tame.
    """

    def __init__(self, marks: Path, deaths: int):
        super().__init__()
        self.model = small_model()
        self.clip, self.class_names = self.model.clip, self.model.class_names
        self.marks, self.deaths = marks, deaths

    def forward(self, x: Tensor) -> Tensor:
        if float(x.mean()) > _WHITE and len(list(self.marks.iterdir())) < self.deaths:
            (self.marks / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.model(x)


def load(path: Path, precision: str, *, marks: str, deaths: int) -> Any:
    """What a job loads its model with."""
    return Deadly(Path(marks), deaths).eval()


def deadly_job(checkpoint: Path, marks: Path, deaths: int) -> BatchJob:
    """A job over that model; the files of the checkpoint are only carried along."""
    marks.mkdir()
    return BatchJob(
        model=ModelFiles.read(str(checkpoint)),
        load=partial(load, marks=str(marks), deaths=deaths),
        device="cpu",
    )
