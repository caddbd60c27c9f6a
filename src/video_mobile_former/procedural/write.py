"""Procedural video as files: H.264 clips in class folders and an index of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..console import track
from ..errors import UserError
from ..files import atomic_path
from .eight_motions import write_video
from .folder import check_splits, make_room, write_index
from .spec import GENERATOR, ProceduralSpec
from .stream import ProceduralVideo

_MANIFEST = "procedural.json"


def write_procedural(
    folder: str | Path,
    spec: ProceduralSpec,
    clips_per_class: Mapping[str, int],
    seed: int = 0,
    *,
    fps: int = 12,
) -> Path:
    """Write clips of all classes and an index of them, ``clips.csv``.

    Scene i of a split is shown once in each class, so that looks say nothing of the class; its
    clips share a ``group``, and no scene is in two splits. The call can be repeated and resumed:
    clips that stand are kept as long as the arguments are the same, and with others the old ones
    are replaced.

    Args:
        folder: Where to write; created. It must be empty but for contact sheets, or written by
            this function.
        spec: What is drawn.
        clips_per_class: Clips of each class, by split name, e.g. ``{"train": 40, "test": 10}``.
        seed: Any whole number.
        fps: Frames a second, at least 1.

    Returns:
        Path of ``clips.csv`` with columns path, label, split, group.

    Raises:
        UserError: If an argument is out of range or the system refuses to write.
        DataError: If the folder holds other things.
    """
    folder = Path(folder)
    parameters = _checked(spec, clips_per_class, seed, fps)
    make_room(folder / _MANIFEST, parameters, _classes_of, may_hold="sheet-*.png")
    video = ProceduralVideo(spec, seed=seed)
    labels = torch.arange(len(video.class_names))
    rows = []
    scenes = [(split, i) for split, count in clips_per_class.items() for i in range(count)]
    for number, (split, scene) in enumerate(track(scenes, description="drawing clips")):
        names = [f"{split}/{name}/{scene:04d}.mp4" for name in video.class_names]
        rows += [
            (path, name, split, f"{split}-{scene:04d}")
            for path, name in zip(names, video.class_names, strict=True)
        ]
        missing = [i for i, path in enumerate(names) if not (folder / path).exists()]
        if not missing:
            continue
        # One place for all: from equal random numbers come equal scenes.
        clips = video.draw(number, torch.zeros_like(labels[missing]), labels[missing]).clips
        for i, clip in zip(missing, clips, strict=True):
            with atomic_path(folder / names[i]) as temporary:
                write_video(temporary, clip.transpose(0, 1).contiguous(), fps=fps)
    # Last of all: a folder with an index is complete.
    return write_index(folder, rows)


def _checked(
    spec: ProceduralSpec, clips_per_class: Mapping[str, int], seed: int, fps: int
) -> dict[str, Any]:
    check_splits(clips_per_class)
    if fps < 1:
        raise UserError(f"fps must be >= 1, not {fps}")
    return {
        "generator": GENERATOR,
        "spec": spec.to_dict(),
        "clips_per_class": dict(clips_per_class),
        "seed": seed,
        "fps": fps,
    }


def _classes_of(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    return ProceduralVideo(ProceduralSpec.from_dict(parameters["spec"])).class_names
