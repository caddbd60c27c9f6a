"""The fields of a training recipe that concern clips: where they are and how they are read.

See :mod:`.recipe_fields` for the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .require import require


@dataclass(frozen=True)
class DataRecipe:
    """Where clips and labels come from."""

    path: str | None = None
    """A folder of class folders, a CSV/TSV file with the columns path and label, or for a `format`
    of its own the folder of the videos or the list."""
    format: str = "auto"
    """How the data names its clips and labels: folder, list, prepared, shards, frames,
    slowfast, mmaction, kinetics400, kinetics600, kinetics700, something_something_v2, jester,
    ucf101, hmdb51, diving48 or charades; unlabelled (any folder of videos, for pretrain.task
    masked_features) or procedural (clips drawn while training); auto = one of the first four."""
    annotations: str | None = None
    """The list file of the format, or the folder in which its list files lie; null = `path`."""
    root: str | None = None
    """The folder that the paths of a list are relative to; null = `path` if that is a folder, else
    the folder of the list."""
    fold: int = 1
    """Which of the official divisions into splits, from 1 (ucf101, hmdb51)."""
    quarantine: str | None = None
    """A text file of clips to leave out, one path a line, as `vmf data check` writes it; null = the
    one that it left for this data in the current folder, if there is one."""
    frame_rate: float = 30.0
    """Frames per second of clips that are folders of pictures; Something-Something: 12."""
    val_path: str | None = None
    """Validation clips in a place of their own, in the same form; null = part of `path`."""
    label_file: str | None = None
    """Class names in order, one a line, or the name of a known set such as kinetics400; null = the
    order of the format, or where it has none the names found, sorted."""
    multi_label: bool = False
    """A clip may have several classes or none: a CSV/TSV then divides those of its label column by
    `|`. Multi-label formats do not need it."""
    train_split: str = "train"
    """Split to train on, where the index has splits."""
    val_split: str = "val"
    """Split to validate on, where the index has it."""
    val_fraction: float = 0.15
    """Share held out for validation where the index has no such split, stratified by class, groups
    kept together; 0 = train without validation."""
    num_workers: int = 2
    """Processes that read video; 0 = read in the training process."""
    class_balanced: bool = False
    """Draw every class equally often, however many clips it has; in multi-label data every class
    gives equally many of the draws, and clips without a class keep their share."""
    shuffle: Literal["auto", "full", "shards"] = "auto"
    """full: every epoch in a new order of all clips; shards: in a new order of the shards, the
    clips of `shard_window` of them mixed, for storage that is slow at random; auto = shards where
    the data is shards behind URLs."""
    shard_window: int = 8
    """Shards whose clips are mixed by the shuffle `shards`."""

    def __post_init__(self) -> None:
        ok = math.isfinite(self.val_fraction) and 0 <= self.val_fraction <= 0.9
        require(self, "data", "val_fraction", ok, "0 to 0.9")
        ok = 0 < self.frame_rate < math.inf
        require(self, "data", "frame_rate", ok, "above 0")
        require(self, "data", "num_workers", self.num_workers >= 0, "at least 0")
        require(self, "data", "fold", self.fold >= 1, "at least 1")
        require(self, "data", "shard_window", self.shard_window >= 1, "at least 1")
        ok = not (self.class_balanced and self.shuffle == "shards")
        require(self, "data", "shuffle", ok, "auto or full beside data.class_balanced")


@dataclass(frozen=True)
class DecodeRecipe:
    """How video files are read, and when one is given up."""

    backend: Literal["pyav", "torchcodec"] = "pyav"
    """Library that decodes; torchcodec is an extra and needs FFmpeg on the system."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where torchcodec decodes; on cuda every worker process takes GPU memory of its own."""
    timeout_seconds: float = 30.0
    """Longest time for one clip; a file that takes longer counts as unreadable."""
    memory_limit_mb: float = 2048.0
    """Most memory that reading one clip may take; a file that needs more counts as unreadable."""

    def __post_init__(self) -> None:
        ok = self.device == "cpu" or self.backend == "torchcodec"
        require(self, "decode", "device", ok, "cpu, unless decode.backend is torchcodec")
        for name in ("timeout_seconds", "memory_limit_mb"):
            value = getattr(self, name)
            require(self, "decode", name, 0 < value < math.inf, "above 0")


@dataclass(frozen=True)
class ClipRecipe:
    """What is cut from a video for the model; null = as the model was made for."""

    num_frames: int | None = None
    """Frames in one clip."""
    sampling: Literal["uniform", "dense"] | None = None
    """uniform: one frame from each of T equal segments of the whole clip (trimmed actions);
    dense: T frames in a row, `stride` apart (long videos)."""
    stride: int | None = None
    """Dense only: step between frames, counted in frames of a 30 fps video."""
    resize_size: int | None = None
    """Short side in pixels before the test-time crop; null beside a crop_size = 8/7 of it."""
    crop_size: int | None = None
    """Height and width in pixels that the model sees."""

    def __post_init__(self) -> None:
        for name in ("num_frames", "stride", "resize_size", "crop_size"):
            value = getattr(self, name)
            require(self, "clip", name, value is None or value >= 1, "at least 1")
