"""Procedural video as files: H.264 clips in class folders with an index."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..console import track
from ..errors import UserError
from ..files import atomic_path
from .folder import check_splits, make_room, write_index
from .spec import GENERATOR, ProceduralSpec
from .stream import BATCHES_A_BANK, ProceduralVideo

_MANIFEST = "procedural.json"
_NUMBERING = 2  # raised whenever scenes get other numbers, and so other pictures


def write_procedural(
    folder: str | Path,
    spec: ProceduralSpec,
    clips_per_class: Mapping[str, int],
    seed: int = 0,
    *,
    fps: int = 12,
) -> Path:
    """Write clips of all classes and an index of them, ``clips.csv``.

    Each class shows scene i of a split once, so appearance does not reveal the class; these clips
    share a ``group``. Splits share no scenes, patterns or outlines, and a clip depends only on
    ``spec``, ``seed``, its split and its number there. The call can be repeated and resumed:
    existing clips are kept while the arguments are the same, and replaced otherwise.

    Args:
        folder: Where to write; created. It must be empty except for contact sheets, or written by
            this function.
        spec: What the clips show.
        clips_per_class: Clips of each class, by split name, e.g. ``{"train": 40, "test": 10}``.
        seed: Any integer.
        fps: Frames per second, at least 1.

    Returns:
        Path of ``clips.csv`` with columns path, label, split, group.

    Raises:
        UserError: If an argument is out of range or the system refuses to write.
        DataError: If the folder holds other files.
    """
    folder = Path(folder)
    parameters = _checked(spec, clips_per_class, seed, fps)
    make_room(folder / _MANIFEST, parameters, _classes_of, may_hold="sheet-*.png")
    video = ProceduralVideo(spec, seed=seed)
    labels = torch.arange(len(video.class_names))
    rows = []
    scenes = [(split, i) for split, count in clips_per_class.items() for i in range(count)]
    starts = {split: _start_of(split) for split in clips_per_class}
    with _one_thread():
        for split, scene in track(scenes, description="writing clips"):
            names = [f"{split}/{name}/{scene:04d}.mp4" for name in video.class_names]
            rows += [
                (path, name, split, f"{split}-{scene:04d}")
                for path, name in zip(names, video.class_names, strict=True)
            ]
            missing = [i for i, path in enumerate(names) if not (folder / path).exists()]
            if not missing:
                continue
            # The same place for all classes: equal random numbers give equal scenes.
            places = torch.zeros_like(labels[missing])
            clips = video.draw(starts[split] + scene, places, labels[missing]).clips
            for i, clip in zip(missing, clips, strict=True):
                with atomic_path(folder / names[i]) as temporary:
                    write_video(temporary, clip.transpose(0, 1).contiguous(), fps=fps)
    # The index is written last: a folder with an index is complete.
    return write_index(folder, rows)


def write_video(path: str | Path, clip: Tensor, *, fps: int) -> None:
    """Encode a clip as H.264 with PyAV.

    Args:
        path: File to write; the suffix names the container, e.g. ``.mp4``.
        clip: uint8 RGB (T, 3, H, W), H and W even.
        fps: Frames per second.

    Raises:
        UserError: If this FFmpeg has no H.264 encoder.
    """
    import av

    if "libx264" not in av.codecs_available:
        raise UserError("writing clips needs an FFmpeg with libx264; the wheels of PyAV have it")
    with av.open(str(path), "w") as container:
        # A constant quantiser, because rate control looks ahead: the first frame would depend
        # slightly on the motion that follows.
        stream = container.add_stream(
            "libx264", rate=fps, options={"preset": "veryfast", "qp": "20"}
        )
        stream.height, stream.width = clip.shape[-2:]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for picture in clip.permute(0, 2, 3, 1).numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Render on one core: the pictures are too small for threads to help."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _start_of(split: str) -> int:
    """Number of the first scene of a split: far from those of others, and first of its bank."""
    digest = hashlib.sha256(split.encode()).digest()
    return int.from_bytes(digest[:6], "big") * BATCHES_A_BANK


def _checked(
    spec: ProceduralSpec, clips_per_class: Mapping[str, int], seed: int, fps: int
) -> dict[str, Any]:
    check_splits(clips_per_class)
    if fps < 1:
        raise UserError(f"fps must be >= 1, not {fps}")
    return {
        "generator": GENERATOR,
        "numbering": _NUMBERING,
        "spec": spec.to_dict(),
        "clips_per_class": dict(clips_per_class),
        "seed": seed,
        "fps": fps,
    }


def _classes_of(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    return ProceduralVideo(ProceduralSpec.from_dict(parameters["spec"])).class_names
