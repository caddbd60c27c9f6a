"""From a model to an artefact that is proven equal to it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..clip_spec import ClipSpec
from ..data.index.index import ClipIndex
from ..data.video.backend import Reading
from ..errors import UserError
from ..files import atomic_files, write_json
from ..models.video_model import VideoModel
from .artefact import ArtefactInfo, Channels, InputDtype, Layout
from .graph import ExportGraph, StepGraph
from .lowering import lower, lower_step
from .parity import Parity, compare, compare_streams, parity_clips, parity_streams
from .request import ExportRequest, channels_of, check_request, describe, step_clip
from .runner import ExportedModel
from .stream import ExportedStream
from .targets.table import Target, WriteOptions, get_target
from .targets.to_web import published
from .targets.web_runtime import web_runtime


class Calibration(Protocol):
    """Clips that ``int8`` measures the ranges of activations on."""

    def inputs(self, clip: ClipSpec, *, layout: Layout, dtype: InputDtype) -> Sequence[Tensor]:
        """The clips as a graph takes them, one clip an input."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """What an artefact says of them, as JSON data."""
        ...


@dataclass(frozen=True)
class Exported:
    """The outcome of :func:`export_model`."""

    path: Path
    info: ArtefactInfo
    parity: Parity | None
    """None where the runtime does not run here."""
    num_bytes: int
    """Of the artefact, all its files."""
    seconds: float
    """For lowering, writing and comparing."""


def export_model(
    model: VideoModel,
    out: str | Path,
    request: ExportRequest,
    *,
    index: ClipIndex | None = None,
    calibration: Calibration | None = None,
    reading: Reading | None = None,
) -> Exported:
    """Write a model for another runtime and prove that it computes the same.

    With ``request.streaming`` it is one step of a streaming model, compared over many steps.
    The artefact is loaded from its file and run on fixed random and real clips beside the model.
    It takes its place, with a JSON beside it, only when it has passed.

    Args:
        model: In eval mode; it is not changed.
        out: The artefact, with the ending of the target.
        request: What the artefact is to be.
        index: Where clips to compare on come from; None makes procedural ones.
        calibration: Clips that ``int8`` measures the ranges of activations on.
        reading: How clips are read.

    Raises:
        UserError: If a request cannot be met, the target refuses the model, the artefact is not
            equal or cannot be written. Nothing is left of it then.
    """
    start = time.perf_counter()
    out, target = Path(out), get_target(request.target)
    check_request(request, out)
    if request.precision == "int8" and calibration is None:
        raise UserError(
            "int8 needs clips to measure the ranges of activations on: --calibrate DATA"
        )
    # Fetched first: without it there is nothing to write.
    runtime = web_runtime(request.runtime, webgpu=request.webgpu) if target.inside else None
    model = model.eval()
    info = describe(model, request)
    info = published(info) if target.inside else info
    graph = _graph(model, info, channels_of(request, target, info.form))
    inputs: Sequence[Tensor] | None = None
    if request.precision == "int8" and calibration is not None:
        inputs = calibration.inputs(info.clip, layout=info.input.layout, dtype=request.dtype)
        info = dataclasses.replace(info, options={"calibration": calibration.to_dict()})
    options = WriteOptions(calibration=inputs, web_runtime=runtime)
    finals = [*target.files(out).values(), target.info_path(out)]
    with atomic_files(finals) as folder:
        staged = folder if target.inside else folder / out.name
        settings = target.code.write(graph, info, staged, options)
        info = dataclasses.replace(info, options={**info.options, **settings})
        parity = None
        if target.runs_here:
            parity = _prove(model, info, target, staged, out, request, index, reading)
            info = dataclasses.replace(info, parity=parity.to_dict())
        info = dataclasses.replace(info, sha256=target.sha256(staged))
        info = published(info) if target.inside else info
        write_json(target.info_path(staged), info.to_dict())
        num_bytes = sum(map(_size, target.files(staged).values()))
    return Exported(out, info, parity, num_bytes, time.perf_counter() - start)


def _graph(model: VideoModel, info: ArtefactInfo, channels: Channels) -> ExportGraph:
    dtype = info.input.dtype
    if info.stream is None:
        lowered = lower(model, form=info.form, num_frames=info.clip.num_frames)
        return ExportGraph(lowered, info.clip, form=info.form, dtype=dtype, channels=channels)
    lowered, shapes = lower_step(model, form=info.form), [s.shape for s in info.stream.states]
    clip = step_clip(info.clip, info.stream)
    return StepGraph(lowered, clip, shapes, form=info.form, dtype=dtype, channels=channels)


def _prove(
    model: VideoModel,
    info: ArtefactInfo,
    target: Target,
    staged: Path,
    out: Path,
    request: ExportRequest,
    index: ClipIndex | None,
    reading: Reading | None,
) -> Parity:
    threads = torch.get_num_threads()
    runner = target.code.load(staged, info, threads)
    # All clips of a batch in one call: that batches are computed right is part of the proof.
    options: dict[str, Any] = {"path": out, "threads": threads, "at_once": None}
    clips, data = parity_clips(info.clip, index, free=info.input.free, reading=reading)
    if info.stream is None:
        parity = compare(model, ExportedModel(info, runner, **options), clips, data)
    else:
        streams = parity_streams(clips, info.stream.frames_per_update)
        parity = compare_streams(model, ExportedStream(info, runner, **options), streams, data)
    if not parity.passed and not request.keep_unequal:
        worst = parity.worst()
        raise UserError(
            f"{out} is not written: the artefact differs from the model most on the {parity.unit} "
            f"{worst.name!r} (by {worst.difference:.2g}, class {worst.found} instead of "
            f"{worst.expected}); {parity.summary()}"
        )
    return parity


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def to_report(exported: Exported) -> dict[str, Any]:
    """Plain data for ``vmf export --json``: what the JSON beside the artefact holds, and more."""
    return {
        "path": str(exported.path),
        "num_bytes": exported.num_bytes,
        "seconds": round(exported.seconds, 3),
        **exported.info.to_dict(),
    }
