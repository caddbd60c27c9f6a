"""Small data sets for tests: empty files where videos would be, and what a format makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.formats import FORMATS
from video_mobile_former.data.index.source import DataSource, Faults


def touch(root: Path, *names: str) -> Path:
    """Make empty files, and the folders they lie in."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def write(path: Path, text: str, *, encoding: str = "utf-8") -> Path:
    """Write a list, its line ends as given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def write_video(path: Path, seconds: float) -> Path:
    """A small grey video, four frames a second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=4)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        picture = np.full((32, 32, 3), 128, dtype=np.uint8)
        for _ in range(round(4 * seconds)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def rows_of(
    form: str,
    root: Path,
    annotations: Path | None = None,
    faults: Faults | None = None,
    **more: Any,
) -> list[Clip[str]]:
    """The rows that a format yields, those of missing files among them."""
    listing = None if annotations is None else str(annotations)
    source = DataSource(form and str(root), format=form, annotations=listing, **more)
    return list(FORMATS[form].rows(source, faults or Faults()))
