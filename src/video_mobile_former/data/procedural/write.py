"""Procedural video as files: H.264 clips in class folders and an index of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...console import track
from ...errors import DataError, UserError
from ...files import atomic_path, check_folder, write_json, write_text
from ..synthetic import write_video
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
    _make_room(folder, parameters)
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
    return _write_index(folder / "clips.csv", rows)


def _checked(
    spec: ProceduralSpec, clips_per_class: Mapping[str, int], seed: int, fps: int
) -> dict[str, Any]:
    if not clips_per_class or any(count < 1 for count in clips_per_class.values()):
        raise UserError(f"clips_per_class must name splits with >= 1 clips, not {clips_per_class}")
    for split in clips_per_class:
        if not split.replace("-", "").replace("_", "").isalnum():
            raise UserError(f"split {split!r} must be made of letters, digits, '-' and '_'")
    if fps < 1:
        raise UserError(f"fps must be >= 1, not {fps}")
    return {
        "generator": GENERATOR,
        "spec": spec.to_dict(),
        "clips_per_class": dict(clips_per_class),
        "seed": seed,
        "fps": fps,
    }


def _make_room(folder: Path, parameters: dict[str, Any]) -> None:
    """Remove the clips of an earlier call with other parameters, and note the present ones."""
    manifest = folder / _MANIFEST
    check_folder(folder)
    if manifest.exists():
        try:
            old = json.loads(manifest.read_text(encoding="utf-8"))
            names = ProceduralVideo(ProceduralSpec.from_dict(old["spec"])).class_names
            splits = list(old["clips_per_class"])
        except (ValueError, KeyError, TypeError, UserError) as error:
            raise DataError(f"{manifest} is damaged: delete the folder and try again") from error
        if old == parameters:
            return
        # The index goes first and the note of the old parameters last: wherever this is
        # interrupted, the next call takes it up again.
        (folder / "clips.csv").unlink(missing_ok=True)
        for split in splits:
            for name in names:
                for clip in (folder / split / name).glob("*.mp4"):
                    clip.unlink()
    elif folder.exists() and any(not path.match("sheet-*.png") for path in folder.iterdir()):
        raise DataError(f"{folder} holds other things: name an empty or new folder")
    write_json(manifest, parameters)


def _write_index(path: Path, rows: list[tuple[str, str, str, str]]) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label", "split", "group"))
    writer.writerows(rows)
    if not path.exists() or path.read_text(encoding="utf-8") != text.getvalue():
        write_text(path, text.getvalue())
    return path
