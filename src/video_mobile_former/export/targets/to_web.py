"""A folder for static servers: a page and a module that run the model in the visitor's browser.

The model is the file of the target ``onnx``, run by onnxruntime-web; everything else is copied from
``web`` beside this file. It is run here by ONNX Runtime; the page reproduces a stored answer before
it gives any.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.resources
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.transforms import normalize
from ...errors import CheckpointError
from ..artefact import ArtefactInfo, lay_out
from ..graph import ExportGraph
from . import to_onnx
from .table import Runner, WriteOptions
from .web_runtime import PACKAGE, VERSION

MODEL, RUNTIME = "model.onnx", "runtime"
CHECK_STEPS = 4
"""Steps of a stream whose last scores are stored."""
_ALLOWED = {"fp32": 0.01, "fp16": 0.01, "int8": 0.1}
"""Largest difference of a stored score that counts as reproduced, as a share of the largest one.
GPUs round otherwise than processors, by far less than that; what an adapter or compiler does wrong
is far more."""
_LEAST_ALLOWED = 1e-3
_PRIVATE = ("training", "origin")
"""Of what a checkpoint says of itself: names of folders and data, not for a public page."""


def write(
    graph: ExportGraph, info: ArtefactInfo, path: Path, options: WriteOptions
) -> dict[str, Any]:
    """Write the files of the page into the folder ``path``; see :class:`..TargetModule`."""
    assert options.web_runtime is not None
    model = path / MODEL
    settings = to_onnx.write(graph, dataclasses.replace(info, target="onnx"), model, options)
    for name, content in _page_files():
        _put(path / name, content)
    for name, content in options.web_runtime.files.items():
        _put(path / RUNTIME / name, content)
    settings["check"] = stored_answer(model, info)
    settings["runtime"] = {
        "package": PACKAGE,
        "version": VERSION,
        "webgpu": options.web_runtime.webgpu,
    }
    settings["files"] = {
        file.relative_to(path).as_posix(): {
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }
    return settings


def load(path: Path, info: ArtefactInfo, threads: int) -> Runner:
    """Load the model of the folder for ONNX Runtime; see :class:`..TargetModule`."""
    return to_onnx.load(path / MODEL, info, threads)


def embedded(path: Path) -> str | None:
    """Not there: the model inside says that it is one for ONNX Runtime.

    Raises:
        CheckpointError: Always; names the file that is missing.
    """
    raise CheckpointError(f"{path / 'model.json'} is missing: export again")


def published(info: ArtefactInfo) -> ArtefactInfo:
    """The description as everybody may read it: without names of folders, data and clips."""
    known = {key: value for key, value in info.model_info.items() if key not in _PRIVATE}
    options = dict(info.options)
    if "calibration" in options:
        data = str(options["calibration"].get("data"))
        options["calibration"] = {**options["calibration"], "data": Path(data).name}
    parity = info.parity
    if parity is not None:
        parity = {**parity, "data": Path(str(parity["data"])).name, "clips": []}
    return dataclasses.replace(info, model_info=known, options=options, parity=parity)


def stored_answer(model: Path, info: ArtefactInfo) -> dict[str, Any]:
    """Logits of a clip that a page can draw for itself, and how far its own may be off.

    Args:
        model: The ONNX file.
        info: Of it.

    Returns:
        ``logits``, ``difference``, and ``steps`` of a stream, None for a clip.
    """
    run = to_onnx.load(model, info, 1)
    stream, clip = info.stream, info.clip
    steps = None if stream is None else CHECK_STEPS
    per_call = clip.num_frames if stream is None else stream.frames_per_update
    frames = check_pixels(per_call * (steps or 1), clip.crop_size)
    clips = torch.from_numpy(frames).permute(3, 0, 1, 2)[None]
    # A fixed batch of several is filled with the same clip.
    batch = info.input.batch or 1
    states = [] if stream is None else [np.zeros(s.shape, np.float32) for s in stream.states]
    logits = np.zeros(0, np.float32)
    for part in clips.split(per_call, dim=2):
        logits, *states = run(_input(part.expand(batch, *part.shape[1:]), info), *states)
    found = [float(value) for value in logits[0]]
    largest = max(map(abs, found))
    allowed = max(_LEAST_ALLOWED, _ALLOWED[info.precision] * largest)
    if not math.isfinite(largest):
        raise CheckpointError(f"{model}: its logits are not finite")
    return {"logits": found, "difference": allowed, "steps": steps}


def check_pixels(frames: int, size: int) -> np.ndarray:
    """Blocks of colour that move to the left, the same in ``worker.js``.

    Returns:
        ``(T, S, S, 3)`` uint8.
    """
    t, y, x, c = np.indices((frames, size, size, 3), dtype=np.uint32, sparse=True)
    mixed = ((x + 4 * t) >> 3) * np.uint32(73856093)
    mixed = mixed ^ (y >> 3) * np.uint32(19349663) ^ (c + np.uint32(1)) * np.uint32(83492791)
    return ((mixed * np.uint32(2654435761)) >> 24).astype(np.uint8)


def _input(clips: Tensor, info: ArtefactInfo) -> np.ndarray:
    given = clips if info.input.dtype == "uint8" else normalize(clips, info.clip)
    return lay_out(given, info.input.layout).contiguous().numpy()


def _page_files() -> list[tuple[str, bytes]]:
    root = importlib.resources.files("video_mobile_former.export.targets").joinpath("web")
    return [(name, file.read_bytes()) for name, file in _walk(root, "")]


def _walk(folder: Any, prefix: str) -> list[tuple[str, Any]]:
    """Names below a folder of the package, and what reads each."""
    found: list[tuple[str, Any]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        else:
            found.append((prefix + entry.name, entry))
    return found


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
