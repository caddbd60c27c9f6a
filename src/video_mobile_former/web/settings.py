"""What the service allows: every limit, with its range and default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..ranges import Checked, Range

Seconds = Annotated[float, Range(above=0, most=86400)]


@dataclass(frozen=True)
class ServeSettings(Checked):
    """Limits of the service; those of one request unless they say otherwise.

    Raises:
        UserError: If a field has another type or is out of range.
    """

    section: ClassVar[str] = ""

    max_mb: Annotated[float, Range(above=0, most=100_000)] = 200.0
    """Size of an upload in MB."""
    folder_mb: Annotated[float, Range(above=0, most=10_000_000)] = 2000.0
    """Size of all uploads together in MB."""
    max_seconds: Seconds = 3600.0
    """Length of a video in seconds."""
    max_pixels: Annotated[int, Range(1, 2**30)] = 7680 * 4320
    """Pixels of one picture of a video."""
    max_frames: Annotated[int, Range(1, 10**8)] = 250_000
    """Frames of a video."""
    max_views: Annotated[int, Range(1, 1000)] = 10
    """Views that a caller may ask for."""
    memory_mb: Annotated[float, Range(64, 10**6)] = 2048.0
    """Memory in MiB that reading one video may take (Linux)."""
    upload_seconds: Seconds = 120.0
    """Time in seconds that an upload may take."""
    idle_seconds: Seconds = 10.0
    """Time in seconds without a byte of an upload, or a frame of a stream."""
    read_seconds: Seconds = 30.0
    """Time in seconds that reading a video of a prediction may take."""
    wall_seconds: Seconds = 60.0
    """Time in seconds from the end of an upload to the prediction, waiting included."""
    job_seconds: Seconds = 3600.0
    """Time in seconds that a job may run."""
    keep_seconds: Seconds = 600.0
    """Time in seconds for which the result of a job is kept."""
    workers: Annotated[int, Range(0, 256)] = 0
    """Processes that read videos of predictions; 0: one for each core."""
    waiting: Annotated[int, Range(1, 10_000)] = 64
    """Requests with a body at once, those that wait included."""
    per_caller: Annotated[int, Range(1, 10_000)] = 32
    """Requests of one address among them."""
    jobs: Annotated[int, Range(1, 64)] = 1
    """Jobs that run at once."""
    jobs_waiting: Annotated[int, Range(0, 1000)] = 8
    """Jobs that wait for their turn."""
    streams: Annotated[int, Range(1, 256)] = 4
    """Live streams at once."""
    stream_rate: Annotated[float, Range(above=0, most=240)] = 60.0
    """Frames per second of a live stream; more are passed over."""
    stream_pixels: Annotated[int, Range(1, 2**26)] = 1920 * 1080
    """Pixels of a frame of a live stream."""
    connections: Annotated[int, Range(8, 100_000)] = 512
    """Open connections at once."""
    batch_ms: Annotated[float, Range(0, 1000)] = 5.0
    """Milliseconds for which a clip waits for others that are being read, to go through the model
    with them."""
    batch_size: Annotated[int, Range(0, 1024)] = 0
    """Clips in one pass of the model, at most; 0: what was quickest at the start."""
    stop_seconds: Seconds = 30.0
    """Time in seconds for what runs to finish when the service is ended."""

    @property
    def max_bytes(self) -> int:
        """Of an upload."""
        return round(self.max_mb * 1e6)

    @property
    def frame_bytes(self) -> int:
        """Of one message of a live stream: raw RGB of the largest frame and its time."""
        return 3 * self.stream_pixels + 8
