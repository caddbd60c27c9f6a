"""Settings of prepared clips and shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ...ranges import Checked, FrameRate, Positive, Range, Seed


@dataclass(frozen=True)
class PrepareSettings(Checked):
    """Settings of prepared clips."""

    short_side: Annotated[int, Range(16, 8192)] = 256
    """Pixels of the short side, even; smaller videos keep their size."""
    gop: Annotated[int, Range(1, 12)] = 4
    """Largest distance between key frames, in frames."""
    crf: Annotated[float, Range(0, 51)] = 20.0
    """x264's constant quality, 0 is lossless; 6 more halve the size, roughly."""
    preset: Literal[
        "ultrafast",
        "superfast",
        "veryfast",
        "faster",
        "fast",
        "medium",
        "slow",
        "slower",
        "veryslow",
    ] = "veryfast"
    """x264's preset: effort against size."""
    max_fps: Positive | None = None
    """Most frames a second; faster videos are thinned out to it. Without it all frames are kept."""
    frame_rate: FrameRate = 30.0
    """Frames a second of folders of pictures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("short_side", self.short_side % 2 == 0, "an even number of pixels from 16 on")


@dataclass(frozen=True)
class ShardSettings(Checked):
    """How clips are divided among shards."""

    max_mb: Positive = 512.0
    """Most megabytes (10⁶ bytes) of one shard; a single larger clip still makes one."""
    clips_per_shard: Annotated[int, Range(1)] | None = None
    """Most clips of one shard; without it as many as `max_mb` allows."""
    seed: Seed = 0
    """Of the order of the clips."""
