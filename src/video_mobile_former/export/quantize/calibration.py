"""The clips on which the ranges of activations are measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from ...clip_spec import ClipSpec
from ...console import say, track
from ...data.index.index import ClipIndex
from ...data.loading.dataset import ClipDataset
from ...data.loading.loader import make_loader
from ...data.transforms import normalize
from ...data.video.backend import Reading
from ...errors import DataError, UserError
from ..artefact import InputDtype, Layout, lay_out

NUM_CLIPS = 64
"""Clips sampled by default; above 16 the number makes no difference that shows, see
``docs/lab-notes.md``."""
MIN_CLIPS = 8
"""With fewer the ranges are those of single clips, so it is refused."""
_NAMED = 5
"""Unreadable clips that an error names."""


@dataclass(frozen=True)
class Calibration:
    """Clips sampled from a data set, and how they were sampled."""

    clips: Tensor
    """``(N, 3, T, H, W)`` uint8, decoded and cropped as in evaluation with one view."""
    data: str
    """Folder or list they come from."""
    split: str | None
    """None where the data is not divided into splits."""
    seed: int
    excluded: tuple[str, ...]
    """Sampled clips that could not be read, each with the reason."""

    def to_dict(self) -> dict[str, Any]:
        """What an artefact says of it, as JSON data."""
        return {
            "data": self.data,
            "split": self.split,
            "num_clips": len(self.clips),
            "seed": self.seed,
            "excluded": list(self.excluded),
        }

    def inputs(self, clip: ClipSpec, *, layout: Layout, dtype: InputDtype) -> GraphInputs:
        """The clips as a graph takes them, one clip an input."""
        return GraphInputs(self.clips, clip, layout=layout, dtype=dtype)


class GraphInputs(Sequence[Tensor]):
    """Inputs of a graph, made when asked for: normalised clips are four times as large as pixels.

    Args:
        clips: ``(N, 3, T, H, W)`` uint8.
        clip: Mean and standard deviation.
        layout: Order of an input's dimensions.
        dtype: ``"uint8"`` leaves pixels as they are.
    """

    def __init__(self, clips: Tensor, clip: ClipSpec, *, layout: Layout, dtype: InputDtype):
        self.clips, self.clip = clips, clip
        self.layout: Layout = layout
        self.dtype: InputDtype = dtype

    def __len__(self) -> int:
        return len(self.clips)

    @overload
    def __getitem__(self, i: int) -> Tensor: ...

    @overload
    def __getitem__(self, i: slice) -> GraphInputs: ...

    def __getitem__(self, i: int | slice) -> Tensor | GraphInputs:
        if isinstance(i, slice):
            return GraphInputs(self.clips[i], self.clip, layout=self.layout, dtype=self.dtype)
        x = self.clips[i]
        if self.dtype == "float32":
            x = normalize(x, self.clip)
        return lay_out(x[None], self.layout).contiguous()

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))


def sample_calibration(
    index: ClipIndex,
    clip: ClipSpec,
    *,
    num_clips: int = NUM_CLIPS,
    seed: int = 0,
    split: str | None = None,
    num_workers: int = 0,
    reading: Reading | None = None,
) -> Calibration:
    """Sample clips and read them as evaluation does.

    A clip that cannot be read is named and another one sampled in its place, as in training; where
    that is more than half of them it is an error. Labels are not looked at.

    Args:
        index: Where to sample from.
        clip: What the model takes.
        num_clips: How many, at least 8. Where there are fewer, all are taken.
        seed: Of the sampling.
        split: None takes ``"train"`` where the data has it, else all clips.
        num_workers: Processes that decode; 0 decodes here.
        reading: Decode backend, and frame rate of folders of pictures; None takes the defaults.

    Raises:
        DataError: If the split is not there, or there are too few clips that can be read.
        UserError: If ``num_clips`` is too small.
    """
    if num_clips < MIN_CLIPS:
        raise UserError(f"num_clips must be at least {MIN_CLIPS}, not {num_clips}")
    if split is None and "train" in index.splits():
        split = "train"
    if split is not None:
        index = index.split(split)
    if len(index) < MIN_CLIPS:
        raise DataError(
            f"{_where(index, split)}: {len(index)} clips are too few to calibrate on; "
            f"at least {MIN_CLIPS} are needed"
        )
    order = np.random.default_rng(seed).permutation(len(index))
    found, failures = _read(index, clip, order, num_clips, num_workers, reading)
    if len(failures) > len(found) or len(found) < MIN_CLIPS:
        tried = len(failures) + len(found)
        named = "; ".join(failures[:_NAMED])
        more = f"; and {len(failures) - _NAMED} more" if len(failures) > _NAMED else ""
        raise DataError(
            f"{_where(index, split)}: {len(failures)} of {tried} clips to calibrate on cannot be "
            f"read: {named}{more}"
        )
    for failure in failures:
        say(f"calibration goes on without {failure}")
    if len(found) < num_clips:
        say(f"{_where(index, split)}: calibrating on all {len(found)} clips, not on {num_clips}")
    return Calibration(torch.stack(found), index.source, split, seed, tuple(failures))


def _read(
    index: ClipIndex,
    clip: ClipSpec,
    order: np.ndarray,
    num_clips: int,
    num_workers: int,
    reading: Reading | None,
) -> tuple[list[Tensor], list[str]]:
    """The first clips of the order that can be read, and the ones before them that cannot."""
    found: list[Tensor] = []
    failures: list[str] = []
    position = 0
    while len(found) < num_clips and position < len(order) and len(failures) <= num_clips:
        rows = order[position : position + num_clips - len(found)]
        position += len(rows)
        chosen = dataclasses.replace(index, clips=index.table.take(rows))
        dataset = ClipDataset(chosen, clip, train=False, reading=reading)
        loader = make_loader(dataset, batch_size=1, num_workers=num_workers, pin_memory=False)
        for batch in track(loader, description="calibration clips", total=len(loader)):
            found.extend(batch["clips"].flatten(0, 1))  # one view a clip, none of a failed one
            failures.extend(map(str, batch["failures"]))
    return found, failures


def _where(index: ClipIndex, split: str | None) -> str:
    return index.source if split is None else f"{index.source} ({split})"
