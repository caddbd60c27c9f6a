"""Labelled clips in memory, decoded or generated once, so that training is all that is timed.

Of each clip ``FRAMES_KEPT`` frames are kept, evenly spread over it, with the short side at 5/4 of
the size that the family sees. A network that takes T frames samples one of each of T equal segments
of them in training and takes the middle of each in testing, as ``clip.sampling: uniform`` does.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from video_mobile_former.console import track
from video_mobile_former.data.index.index import ClipIndex, load_index
from video_mobile_former.data.loading.sampling import uniform
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.files import atomic_path
from video_mobile_former.procedural import GENERATOR, ProceduralSpec, ProceduralVideo

FRAMES_KEPT = {48: 32, 64: 16, 112: 16}
"""By the size that the family sees: at least as many as any network of its table takes."""
TRAIN_SEED, TEST_SEED = 1000, 2000
"""Procedural clips to learn from and to test on come from generators with different seeds."""
_DRAWN_AT_ONCE = 64


@dataclass(frozen=True)
class ClipSet:
    """Clips with labels."""

    clips: Sequence[Tensor] | Tensor
    """Each (K, 3, H, W) uint8; real ones may differ in width."""
    labels: Tensor
    """(N,) int64."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Task:
    """What is learned and what is tested on."""

    name: str
    class_names: tuple[str, ...]
    families: tuple[str, ...] | None
    """Of procedural classes: the family of each."""
    train: ClipSet
    test: ClipSet
    flips: bool
    """Whether a mirrored clip keeps its label."""


def real_task(csv: Path, size: int, *, flips: bool) -> Task:
    """Decode a list with train and test splits."""
    index = load_index(csv)
    short, kept = size * 5 // 4, FRAMES_KEPT[size]
    train, test = (
        ClipSet(_decoded(part, short, kept), torch.from_numpy(part.table.label.astype(np.int64)))
        for part in (index.split("train"), index.split("test"))
    )
    return Task(csv.parent.name, index.class_names, None, train, test, flips)


def _decoded(index: ClipIndex, short: int, kept: int) -> list[Tensor]:
    out = []
    for clip in track(index.clips, description="decoding", total=len(index)):
        with VideoReader(clip.path, offset=clip.offset, size=clip.size) as reader:
            times = reader.timestamps(clip.start_seconds, clip.end_seconds)
            out.append(reader.frames(times[uniform(times, kept)], short).contiguous())
    return out


def procedural_task(
    size: int, work: Path, *, families: tuple[str, ...], num_train: int, num_test: int
) -> Task:
    """Draw clips of some families, or of all; they are kept in ``work`` for the next run."""
    spec = ProceduralSpec(num_frames=FRAMES_KEPT[size], size=size * 5 // 4)
    if families:
        spec = dataclasses.replace(spec, families=families)
    video = ProceduralVideo(spec, seed=TRAIN_SEED)
    train = _drawn(spec, TRAIN_SEED, num_train, work)
    test = _drawn(spec, TEST_SEED, num_test, work)
    name = "procedural" + "".join(f"-{family}" for family in families)
    return Task(name, video.class_names, tuple(video.class_family), train, test, flips=False)


def _drawn(spec: ProceduralSpec, seed: int, count: int, work: Path) -> ClipSet:
    about = json.dumps([GENERATOR, spec.to_dict(), seed, count], sort_keys=True)
    stem = work / "clips" / hashlib.sha256(about.encode()).hexdigest()[:16]
    clips_file, labels_file = stem.with_suffix(".clips.npy"), stem.with_suffix(".labels.npy")
    if not labels_file.exists():
        with atomic_path(clips_file) as path:
            labels = _draw(spec, seed, count, path)
        with atomic_path(labels_file) as path, path.open("wb") as stream:
            np.save(stream, labels, allow_pickle=False)
    # Mapped, not read: a set of which each clip is seen once may be larger than memory.
    clips = np.load(clips_file, mmap_mode="c", allow_pickle=False)
    labels = np.load(labels_file, allow_pickle=False)
    return ClipSet(torch.from_numpy(clips), torch.from_numpy(labels))


def _draw(spec: ProceduralSpec, seed: int, count: int, path: Path) -> np.ndarray:
    """Write clips (N, K, 3, H, W) to a file of numpy's and give their labels (N,)."""
    video = ProceduralVideo(spec, seed=seed)
    shape = (count, spec.num_frames, 3, spec.size, spec.size)
    clips = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    labels = np.empty(count, np.int64)
    starts = range(0, count, _DRAWN_AT_ONCE)
    for i, start in enumerate(track(starts, description="writing clips", total=len(starts))):
        # Batches keep their size, since a clip is a function of its place in one.
        batch = video.batch(i, _DRAWN_AT_ONCE)
        some = slice(start, min(start + _DRAWN_AT_ONCE, count))
        wanted = some.stop - some.start
        clips[some] = batch.clips[:wanted].transpose(1, 2).numpy()
        labels[some] = batch.labels[:wanted].numpy()
    clips.flush()
    return labels
