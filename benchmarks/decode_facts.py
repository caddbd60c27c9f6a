"""Whether the reader yields what the ffmpeg command yields: frames, time stamps, turns, pixels.

    python benchmarks/decode_facts.py ../shared/data/samples --write

decodes every file of a folder as a whole, once with the reader and once with ``ffmpeg`` and
``ffprobe``, which must be installed, and compares; where torchcodec is there, with it as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from timing import write_result

from video_mobile_former.data.video.backend import Reading
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import UserError, VideoError

BLOCK = 32
"""Frames compared at once."""


@dataclass
class Facts:
    """What is the same for a file and what is not."""

    file: str
    codec: str = ""
    frames: int = 0
    frames_of_ffmpeg: int = 0
    width: int = 0
    height: int = 0
    size_of_ffmpeg: str = ""
    largest_time_difference_ms: float | None = None
    """Of the time stamps as they stand in the file; None where there are not as many."""
    clocks_apart_ms: float = 0.0
    """Between the instants at which the two let a player's clock show 0."""
    largest_pixel_difference: int | None = None
    mean_pixel_difference: float | None = None
    share_of_equal_frames: float = 0.0
    torchcodec_largest_difference: int | None = None
    error: str = ""
    """Why the reader refuses the file."""
    frames_before_error_of_ffmpeg: int | None = None


def probe(path: Path) -> tuple[np.ndarray, float, tuple[int, int], tuple[int, int]]:
    """What ffprobe says of a file.

    Returns:
        Times of the frames (NaN: it knows none), begin of its clock, width and height as shown, and
        those without regard to the shape of pixels.
    """
    command = ["ffprobe", "-v", "error", "-of", "json", "-select_streams", "V:0"]
    entries = (
        "format=start_time:frame=best_effort_timestamp_time:stream=width,height"
        ",sample_aspect_ratio:stream_side_data=rotation"
    )
    out = subprocess.run(
        [*command, "-show_entries", entries, str(path)], capture_output=True, check=False
    ).stdout
    found = json.loads(out or "{}")
    begin = float(found.get("format", {}).get("start_time", 0.0))
    times = [
        float(frame.get("best_effort_timestamp_time", "nan")) for frame in found.get("frames", [])
    ]
    stream: dict[str, Any] = (found.get("streams") or [{"width": 0, "height": 0}])[0]
    turn = next((s["rotation"] for s in stream.get("side_data_list", []) if "rotation" in s), 0)
    ratio = stream.get("sample_aspect_ratio", "1:1").split(":")
    across, down = (int(value) for value in ratio) if "0" not in ratio else (1, 1)
    stored = stream["width"], stream["height"]
    size = round(stored[0] * across / down), stored[1]
    if turn % 180:
        size, stored = size[::-1], stored[::-1]
    return np.array(times), begin, size, stored


def ffmpeg_pictures(path: Path, size: tuple[int, int], stored: tuple[int, int]) -> np.ndarray:
    """All frames ``(N, H, W, 3)`` of a size as the ffmpeg command converts and turns them."""
    width, height = size
    if not width * height:
        return np.zeros((0, 1, 1, 3), np.uint8)
    command = ["ffmpeg", "-v", "quiet", "-threads", "1", "-i", str(path), "-map", "0:V:0"]
    to_pixels = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    if size != stored:  # pixels are not square
        command += ["-vf", f"scale={width}:{height}"]
    raw = subprocess.run(
        [*command, "-fps_mode", "passthrough", "-sws_flags", "bilinear", *to_pixels],
        capture_output=True,
        check=False,
    ).stdout
    count = len(raw) // (width * height * 3)
    return np.frombuffer(raw, np.uint8)[: count * width * height * 3].reshape(-1, height, width, 3)


def compare(path: Path, *, with_torchcodec: bool = False) -> Facts:
    """Decode a file both ways."""
    facts = Facts(path.name)
    times, begin, size, stored = probe(path)
    expected = ffmpeg_pictures(path, size, stored)
    facts.frames_of_ffmpeg, facts.size_of_ffmpeg = len(expected), f"{size[0]}x{size[1]}"
    try:
        with VideoReader(path) as reader:
            stamps = reader.timestamps()
            info = reader.info
            facts.codec, facts.frames = info.codec, len(stamps)
            facts.width, facts.height = info.width, info.height
            clock = reader.clock_start_seconds
            facts.clocks_apart_ms = round((clock - begin) * 1000, 2)
            if len(times) == len(stamps):
                difference = np.nanmax(np.abs(times - (stamps + clock)))
                facts.largest_time_difference_ms = round(float(difference) * 1000, 3)
            if (len(stamps), info.height, info.width) == expected.shape[:3]:
                _compare_pixels(facts, expected, lambda which: _rgb(reader, which))
            else:
                for which in _blocks(len(stamps)):
                    reader.frames(which)  # says what is wrong with it
            if with_torchcodec:
                with VideoReader(path, reading=Reading(backend="torchcodec")) as other:
                    facts.torchcodec_largest_difference = max(
                        int(np.abs(_rgb(reader, which) - _rgb(other, which)).max())
                        for which in _blocks(len(stamps))
                    )
    except VideoError as error:
        facts.error = error.reason
        facts.frames_before_error_of_ffmpeg = len(expected)
    return facts


def _blocks(count: int) -> list[np.ndarray]:
    return [np.arange(i, min(i + BLOCK, count)) for i in range(0, count, BLOCK)]


def _rgb(reader: VideoReader, which: np.ndarray) -> np.ndarray:
    return reader.frames(which).permute(0, 2, 3, 1).numpy().astype(np.int16)


def _compare_pixels(
    facts: Facts, expected: np.ndarray, read: Callable[[np.ndarray], np.ndarray]
) -> None:
    largest, total, equal = 0, 0.0, 0
    for which in _blocks(len(expected)):
        difference = np.abs(read(which) - expected[which].astype(np.int16))
        largest = max(largest, int(difference.max()))
        total += float(difference.mean()) * len(which)
        equal += int((difference.reshape(len(which), -1).max(1) == 0).sum())
    facts.largest_pixel_difference = largest
    facts.mean_pixel_difference = round(total / len(expected), 3)
    facts.share_of_equal_frames = round(equal / len(expected), 3)


def table(rows: list[Facts]) -> str:
    """The facts as a Markdown table."""
    lines = [
        "| file | codec | frames | times differ | size | pixels differ: most, mean |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row.error:
            lines.append(f"| {row.file} | | | | | {row.error} |")
            continue
        same = row.frames == row.frames_of_ffmpeg
        count = f"{row.frames}" if same else f"{row.frames} (ffmpeg {row.frames_of_ffmpeg})"
        pixels = f"{row.largest_pixel_difference}, {row.mean_pixel_difference}"
        time = f"{row.largest_time_difference_ms} ms"
        lines.append(
            f"| {row.file} | {row.codec} | {count} | {time} | {row.width}×{row.height} | {pixels} |"
        )
    return "\n".join(lines)


def version(command: str) -> str:
    out = subprocess.run([command, "-version"], capture_output=True, text=True, check=True).stdout
    return out.split("\n")[0].split(" Copyright")[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true", help="keep the result in results/")
    args = parser.parse_args()
    try:
        Reading(backend="torchcodec").check()
        with_torchcodec = True
    except UserError as error:
        print(f"without torchcodec: {error}", file=sys.stderr)
        with_torchcodec = False
    rows = []
    for path in sorted(args.folder.iterdir()):
        print(path.name, file=sys.stderr)
        rows.append(compare(path, with_torchcodec=with_torchcodec))
    print(table(rows))
    if args.write:
        scaler = ".".join(map(str, av.library_versions["libswscale"]))
        write_result(
            "decode_facts",
            [asdict(row) for row in rows],
            ffmpeg=version("ffmpeg"),
            av=av.__version__,
            libswscale_of_av=scaler,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
