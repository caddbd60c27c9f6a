"""Clips ready for a model: decode, sample, transform."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...clip_spec import ClipSpec
from ...errors import VideoError
from ..index.clip import Clip
from ..index.index import ClipIndex
from ..limits import Limits, limited
from ..transforms import (
    AugmentParameters,
    EvalTransform,
    TrainTransform,
    Transform,
    augment,
    stack_parameters,
)
from ..video.backend import Reading
from ..video.crops import Crops
from ..video.reader import VideoReader
from . import sampling

EXCLUDED = "in quarantine"
"""Reason given for a clip that is no longer read."""


class ToAugment(TypedDict, total=False):
    """Augmentation that a sample or batch still needs."""

    parameters: AugmentParameters
    """Parameters of ``augment`` for the clips, with one more axis: ``(V, …)`` of a sample,
    ``(B, V, …)`` of a batch; absent where there is none."""


class PartOfSample(TypedDict, total=False):
    """The video that a sample is a part of."""

    of_views: int
    """Views of the whole video, where ``clip`` may have a part of them."""


class RecordOfSample(TypedDict, total=False):
    """The clip of a sample as its data has it."""

    record: Clip[int]
    """The clip of the index."""
    frame_seconds: Tensor
    """``(V, T)`` float64: when each frame appears, on the clock of the file, as events have it."""


class RecordsOfBatch(TypedDict, total=False):
    """The clips of a batch as their data has them; absent where they are generated."""

    records: list[Clip[int]]
    """The ``B`` clips of the index."""
    frame_seconds: Tensor
    """``(B, V, T)`` float64: when each frame appears, on the clock of its file."""


class PartsOfBatch(TypedDict, total=False):
    """The videos that a batch has parts of."""

    of_views: dict[int, int]
    """Views of whole videos by position, where ``clips`` may have a part of them."""


class ClipSample(ToAugment, PartOfSample, RecordOfSample):
    """One item of a data set."""

    clip: Tensor
    """``(V, 3, T, H, W)`` uint8; V is the number of repeats in training, else views × crops, view
    by view."""
    label: int | Tensor
    """The class; of a multi-label index ``(K,)`` float32 with a 1 for every class of the clip."""
    index: int
    """Position in ``ClipIndex.clips``."""
    padded: bool
    """The video is shorter than the clip, so its last frame is repeated."""


@dataclass(frozen=True)
class ClipFailure:
    """A clip that cannot be read; a value, so that worker processes continue."""

    index: int
    """Position in ``ClipIndex.clips``."""
    path: str
    """The file as written in the data."""
    reason: str
    """One phrase."""
    of_file: bool = True
    """The file is the cause, not the part that was requested or an earlier failure."""

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class BesideBatch(TypedDict, total=False):
    """What some kinds of training learn from beside a batch."""

    unlabelled: Batch
    """Clips without labels."""


class Batch(ToAugment, PartsOfBatch, RecordsOfBatch, BesideBatch):
    """Several items of a data set, without those that failed."""

    clips: Tensor
    """``(B, V, 3, T, H, W)`` uint8; B is 0 where every clip failed."""
    labels: Tensor
    """``(B,)`` int64; of a multi-label index ``(B, K)`` float32, where B is not 0."""
    indices: Tensor
    """``(B,)`` int64 positions in ``ClipIndex.clips``."""
    failures: list[ClipFailure]
    padded: list[int]
    """Positions of the clips whose last frame is repeated."""


class ClipDataset(Dataset[ClipSample | ClipFailure]):
    """The clips of an index as uint8 tensors.

    ``dataset[i]`` is ``dataset[0, i]``; ``dataset[epoch, i]`` depends on (seed, epoch, i) alone,
    whichever process asks.

    Args:
        index: Clips and labels.
        spec: What the model takes.
        train: Random sampling and transform; otherwise centred views.
        transform: In place of ``TrainTransform(spec)`` or ``EvalTransform(spec, num_crops)``.
        seed: Of all random choices.
        num_views: Clips per video when not training, at least 1.
        num_crops: Crops per view when not training, at least 1, see :class:`..EvalTransform`.
        repeats: Differently changed clips of the same frames in training, at least 1: a video is
            decoded once for all of them (repeated augmentation, arXiv 1901.09335).
        augment_later: Crop and flip only, and return the parameters of the rest.
        limits: Limits on reading one clip; None takes the defaults.
        reading: Decode backend, and frame rate of folders of pictures; None takes the defaults.

    Raises:
        UserError: If the backend is not installed.
    """

    def __init__(
        self,
        index: ClipIndex,
        spec: ClipSpec,
        *,
        train: bool,
        transform: Transform | TrainTransform | None = None,
        seed: int = 0,
        num_views: int = 1,
        num_crops: int = 1,
        repeats: int = 1,
        augment_later: bool = False,
        limits: Limits | None = None,
        reading: Reading | None = None,
    ):
        if num_views < 1 or num_crops < 1:
            raise ValueError(f"num_views ({num_views}) and num_crops ({num_crops}) start at 1")
        if train and (num_views, num_crops) != (1, 1):
            raise ValueError("training takes one view and one crop of each clip")
        if transform is None:
            transform = TrainTransform(spec) if train else EvalTransform(spec, num_crops)
        if repeats < 1 or (repeats > 1 and not train):
            raise ValueError(f"repeats must be at least 1, and 1 when not training, not {repeats}")
        if augment_later and not isinstance(transform, TrainTransform):
            raise ValueError("augment_later needs a TrainTransform, which tells what is left to do")
        self.index = index
        self.spec = spec
        self.train = train
        self.transform: Transform | TrainTransform = transform
        self.seed = seed
        self.num_views, self.num_crops = num_views, num_crops
        self.repeats = repeats
        self.augment_later = augment_later
        self.limits = limits or Limits()
        self.excluded = torch.zeros(len(index), dtype=torch.uint8)
        """``(N,)`` uint8: 1 for clips not to be read; shared with worker processes."""
        self.reading = reading or Reading()
        self.reading.check()  # not in the worker processes, whose errors come as tracebacks

    @property
    def clip_bytes(self) -> int:
        """Bytes of the clips of one item."""
        views = self.repeats if self.train else self.num_views * self.num_crops
        return views * 3 * self.spec.num_frames * self.spec.crop_size**2

    def __len__(self) -> int:
        return len(self.index)

    @property
    def labels(self) -> np.ndarray:
        """``(N,)`` int64 label of every clip, see ``Clip.label``."""
        return self.index.table.label.astype(np.int64)

    @property
    def targets(self) -> np.ndarray:
        """``(N, K)`` uint8: 1 for every class of a clip."""
        return self.index.table.targets(len(self.index.class_names))

    def __getitem__(self, key: int | tuple[int, int]) -> ClipSample | ClipFailure:
        epoch, i = key if isinstance(key, tuple) else (0, key)
        if not 0 <= i < len(self):
            raise IndexError(f"clip {i} of {len(self)}")
        clip = self.index.clips[i]
        if self.excluded[i]:
            return ClipFailure(i, clip_name(clip), EXCLUDED, of_file=False)
        generators = [self._generator(epoch, i, repeat) for repeat in range(self.repeats)]
        try:
            with limited(clip.path, self.limits, epoch=epoch, clip=i):
                views, seconds, padded, part = self._read(clip, i, generators)
        except VideoError as error:
            of_file = not isinstance(error, _EmptyPartError)
            return ClipFailure(i, clip_name(clip), error.reason, of_file=of_file)
        frames, later = self._transformed(views, generators)
        crops = len(frames) // (len(seconds) * self.repeats)
        return ClipSample(
            clip=frames,
            label=self._label(clip),
            index=i,
            padded=padded,
            record=clip,
            frame_seconds=seconds.repeat_interleave(crops, 0).repeat(self.repeats, 1),
            **later,
            **part,
        )

    def _label(self, clip: Clip[int]) -> int | Tensor:
        if not self.index.multi_label:
            return clip.label
        target = torch.zeros(len(self.index.class_names))
        target[list(clip.labels)] = 1.0
        return target

    def _read(
        self, clip: Clip[int], i: int, generators: Sequence[torch.Generator]
    ) -> tuple[list[list[Tensor]], Tensor, bool, PartOfSample]:
        """For each generator the views, each ``(T, 3, H, W)``; the times of the views
        ``(views, T)``; whether the end is padded."""
        with VideoReader(
            clip.path, offset=clip.offset, size=clip.size, reading=self.reading
        ) as reader:
            times = reader.timestamps(clip.start_seconds, clip.end_seconds)
            if len(times) == 0:
                raise _EmptyPartError(clip.path, _empty_part(clip, reader))
            if self.index.window_seconds is not None:
                chance = generators[0] if self.train else None
                times = sampling.window(times, self.index.window_seconds, chance)
            views, part = self._views(i, times, generators[0])
            seconds = times[np.stack(views)]
            clips = self._frames(reader, seconds.ravel(), generators)
        split = [list(frames.split(self.spec.num_frames)) for frames in clips]
        return split, torch.from_numpy(seconds), sampling.is_short(times, self.spec), part

    def _views(
        self, i: int, times: np.ndarray, generator: torch.Generator
    ) -> tuple[list[np.ndarray], PartOfSample]:
        if self.train:
            return [sampling.sample(times, self.spec, generator)], {}
        return sampling.views(times, self.spec, self.num_views), {}

    def _frames(
        self, reader: VideoReader, times: np.ndarray, generators: Sequence[torch.Generator]
    ) -> Sequence[Tensor]:
        """The frames for each generator: cropped, or whole and the same for all."""
        transform = self.transform
        if isinstance(transform, TrainTransform):
            boxes = [functools.partial(transform.sample_crop, generator=g) for g in generators]
            return reader.frames(times, crops=Crops(transform.spec.crop_size, boxes)).unbind()
        whole = reader.frames(times, transform.decode_size, enlarge=transform.enlarge)
        return [whole] * len(generators)

    def _transformed(
        self, clips: Sequence[Sequence[Tensor]], generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, ToAugment]:
        """Clips ``(V, 3, T, S, S)`` of all views of all generators."""
        transform = self.transform
        pairs = [
            (view, generator)
            for views, generator in zip(clips, generators, strict=True)
            for view in views
        ]
        later: ToAugment = {}
        if not isinstance(transform, TrainTransform):
            out = [transform(view, generator) for view, generator in pairs]
        else:
            changed = [transform.change(view, generator) for view, generator in pairs]
            if self.augment_later:
                out = [clip for clip, _ in changed]
                later["parameters"] = stack_parameters([parameters for _, parameters in changed])
            else:
                out = [augment(clip, parameters) for clip, parameters in changed]
        # Each is (T, 3, S, S) or (crops, T, 3, S, S).
        crops = [view if view.dim() == 5 else view[None] for view in out]
        return torch.cat([clip.transpose(1, 2) for clip in crops]).contiguous(), later

    def _generator(self, epoch: int, i: int, repeat: int = 0) -> torch.Generator:
        # SeedSequence mixes the numbers well; neighbouring seeds give unrelated streams. The first
        # repeat has the stream of a run without repeats.
        place = [self.seed, epoch, i] + [repeat] * (repeat > 0)
        state = np.random.SeedSequence(place).generate_state(2, np.uint32)
        return torch.Generator().manual_seed(int(state[0]) << 31 ^ int(state[1]))


class _EmptyPartError(VideoError):
    """The file can be read, but the requested part holds no frame."""


def clip_name(clip: Clip[int]) -> str:
    """The name of a clip in messages and in lists of clips to exclude."""
    return clip.name or clip.path


def _empty_part(clip: Clip[int], reader: VideoReader) -> str:
    begin = clip.start_seconds or 0.0
    end = "its end" if clip.end_seconds is None else f"{clip.end_seconds:g} s"
    times = reader.timestamps()
    return f"no frames from {begin:g} s to {end}; the last one appears at {times[-1]:.2f} s"
