"""What an artefact is to be, whether its target can do that, and what it says of itself."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ..clip_spec import ClipSpec
from ..console import quiet
from ..errors import UserError
from ..files import check_file, check_folder, check_replaceable, is_ours
from ..models.runnable import StreamingModel
from ..models.video_model import VideoModel
from ..optional import require
from ..profiling.cost import count_macs, count_parameters
from ..untrusted import MAX_JSON, parse_json, read_bytes
from ..version import __version__
from .artefact import (
    INPUT_NAME,
    ArtefactInfo,
    ArtefactInput,
    ArtefactState,
    ArtefactStream,
    Channels,
    InputDtype,
    Precision,
    layout_of,
)
from .lowering import GraphForm
from .lowering.lower import not_streaming
from .targets.table import TARGETS, Free, Target, get_target, target_of

Batch = int | Literal["auto", "dynamic"]


@dataclass(frozen=True)
class ExportRequest:
    """What an artefact is to be."""

    target: str
    """Name in :data:`.targets.table.TARGETS`."""
    form: GraphForm | None = None
    """None for the one that the target runs faster."""
    dtype: InputDtype = "float32"
    """``uint8`` puts the normalisation into the graph."""
    channels: Channels | None = None
    """Where the channels of the input stand; None for where the target is faster."""
    precision: Precision = "fp32"
    """``fp16`` stores weights in half the space; ``int8`` also computes in integers."""
    batch: Batch = "auto"
    """Clips in one call; ``auto`` leaves it free in ``volume`` graphs where the target can, and
    fixes it to 1 otherwise."""
    num_frames: int | None = None
    """None for the model's."""
    size: int | None = None
    """Height and width; None for the model's."""
    dynamic: bool = False
    """Leave frames and size free: those above are then only what is chosen by default."""
    keep_unequal: bool = False
    """Keep an artefact that is not equal to its model."""
    overwrite: bool = False
    """Replace files of the artefact's names that this program did not write."""
    streaming: bool = False
    """One step of a streaming model, with its states as inputs and outputs."""
    stateful: bool = False
    """The runtime keeps the states itself, where it can; with ``streaming``."""
    runtime: str | None = None
    """``web``: the archive of the npm package onnxruntime-web, in place of the registry's."""
    webgpu: bool = False
    """``web``: the runtime's build with WebGPU as well."""


def check_request(request: ExportRequest, out: str | Path) -> None:
    """Refuse what cannot be done before anything takes time.

    Raises:
        UserError: If the target is unknown, its libraries are missing or it lacks what is asked,
            or ``out`` cannot be written or holds what this program did not write.
    """
    out, target = Path(out), get_target(request.target)
    if target.inside:
        _check_inside(out, target, request.overwrite)
    elif out.suffix.lower() != target.suffix:
        raise UserError(f"{out}: an artefact for {target.title} ends in {target.suffix}")
    elif out.is_dir() and not target.is_folder:
        raise UserError(f"{out} is a folder")
    elif target.is_folder:
        check_folder(out)
    else:
        check_file(out)
    described = target.info_path(out)
    files = [*target.files(out).values(), described]
    check_replaceable(files, described, overwrite=request.overwrite)
    if not target.inside and (request.runtime is not None or request.webgpu):
        option = "--webgpu" if request.runtime is None else "--runtime"
        raise UserError(f"{option} goes with --to web")
    if request.form is not None and request.form not in target.forms:
        raise UserError(
            f"{target.title} takes graphs of form {' or '.join(target.forms)}, not {request.form}"
        )
    if request.precision not in target.precisions:
        raise UserError(
            f"{target.title} takes precision {', '.join(target.precisions)}, "
            f"not {request.precision}"
        )
    if isinstance(request.batch, int) and request.batch < 1:
        raise UserError(f"batch must be at least 1 or 'dynamic', not {request.batch}")
    if request.stateful and not request.streaming:
        raise UserError("--stateful goes with --streaming")
    if request.streaming:
        _check_streaming(request, target)
    if target.extra is not None:
        for package in target.packages:
            module = package.replace("-", "_")
            with quiet(output=True):  # some print when they are imported
                require(module, extra=target.extra, purpose=f"export to {target.title}")


def _check_inside(out: Path, target: Target, overwrite: bool) -> None:
    """Refuse a folder whose files of these names were changed since they were written."""
    other = target_of(out)
    if other is not None and other is not target:
        raise UserError(f"{out}: an artefact for {target.title} is a folder, not a {other.suffix}")
    check_folder(out)
    if overwrite or not is_ours(target.info_path(out)):
        return
    try:
        written = parse_json(read_bytes(target.info_path(out), MAX_JSON), target.info_path(out))
        digests = {name: one["sha256"] for name, one in written["options"]["files"].items()}
    except (UserError, KeyError, TypeError, AttributeError):
        digests = {}
    for place in target.files(out).values():
        for file in [place] if place.is_file() else sorted(place.rglob("*")):
            name = file.relative_to(out).as_posix()
            if file.is_file() and hashlib.sha256(read_bytes(file)).hexdigest() != digests.get(name):
                raise UserError(
                    f"{file} was changed or put there by somebody else: name another folder, or "
                    "--overwrite replaces it"
                )


def _check_streaming(request: ExportRequest, target: Target) -> None:
    """Refuse what a graph of one step does not have."""
    if not target.streams:
        raise UserError(f"--streaming: graphs of one step are not written for {target.title}")
    if request.stateful and not target.keeps_states:
        able = ", ".join(found.name for found in TARGETS.values() if found.keeps_states)
        raise UserError(f"--stateful: {target.title} keeps no states itself; {able} does")
    if request.precision == "int8":
        raise UserError("--streaming goes with --precision fp32 or fp16, not int8")
    if request.dynamic or request.batch == "dynamic":
        raise UserError("--streaming: streams, frames and size are fixed; say --batch N, --size N")
    if request.num_frames is not None:
        raise UserError(
            "--streaming: a step has as many frames as the model updates its state with; leave "
            "--num_frames out"
        )


def describe(model: VideoModel, request: ExportRequest) -> ArtefactInfo:
    """What the artefact of a request will say of itself.

    Raises:
        UserError: If the model cannot take clips of that shape.
    """
    target = get_target(request.target)
    form = request.form or _default_form(model, target, request)
    clip = clip_of(model.clip, request)
    stream = None
    if request.streaming:
        stream = stream_of(model, clip, request)
    elif isinstance(model, StreamingModel):
        raise UserError("a streaming model is exported as a graph of one step: add --streaming")
    shape = (1, 3, clip.num_frames, clip.crop_size, clip.crop_size)
    free = _free(request, target, form)
    batch = None if "batch" in free else (1 if request.batch == "auto" else request.batch)
    assert batch is None or isinstance(batch, int)
    return ArtefactInfo(
        target=target.name,
        form=form,
        precision=request.precision,
        input=_input(
            form,
            channels_of(request, target, form),
            request.dtype,
            clip if stream is None else step_clip(clip, stream),
            free,
            batch,
        ),
        clip=clip,
        num_classes=model.num_classes,
        class_names=model.class_names,
        multi_label=model.multi_label,
        architecture={"class": type(model).__name__, "arguments": model.architecture},
        parameters=count_parameters(model),
        macs_per_view=count_macs(model, shape),
        model_info=model.info,
        versions=_versions(target),
        stream=stream,
    )


def stream_of(model: Any, clip: ClipSpec, request: ExportRequest) -> ArtefactStream:
    """How the artefact of a streaming model takes a stream.

    Raises:
        UserError: If the model takes none.
    """
    if not isinstance(model, StreamingModel):
        raise not_streaming(model)
    batch = request.batch if isinstance(request.batch, int) else 1
    states = model.init_state(batch, clip.crop_size, device="meta")
    side = clip.crop_size
    assert isinstance(model, nn.Module)
    macs = count_macs(model, (1, 3, clip.num_frames, side, side))
    return ArtefactStream(
        frames_per_update=model.frames_per_update,
        macs_per_frame=round(macs / clip.num_frames),
        states=tuple(
            ArtefactState(name.replace(".", "_"), tuple(value.shape))
            for name, value in states.items()
        ),
        stateful=request.stateful,
    )


def _default_form(model: VideoModel, target: Target, request: ExportRequest) -> GraphForm:
    """The target's favourite, unless the model lacks it or dimensions are to stay free."""
    free = request.dynamic or request.batch == "dynamic"
    if hasattr(model, "forward_frames") and not free:
        return target.forms[0]
    return "volume" if "volume" in target.forms else target.forms[0]


def clip_of(native: ClipSpec, request: ExportRequest) -> ClipSpec:
    """The native clip with other frames or size; the margin around the crop keeps its share."""
    frames = native.num_frames if request.num_frames is None else request.num_frames
    size = native.crop_size if request.size is None else request.size
    margin = round(native.resize_size * size / native.crop_size)
    return dataclasses.replace(
        native, num_frames=frames, crop_size=size, resize_size=max(size, margin)
    )


def step_clip(clip: ClipSpec, stream: ArtefactStream) -> ClipSpec:
    """The clip spec of the frames of one step."""
    return dataclasses.replace(clip, num_frames=stream.frames_per_update)


def _free(request: ExportRequest, target: Target, form: GraphForm) -> tuple[Free, ...]:
    wanted: list[Free] = []
    if request.streaming:
        return ()
    if request.batch == "dynamic" or (
        request.batch == "auto" and form == "volume" and "batch" in target.free
    ):
        wanted.append("batch")
    if request.dynamic:
        wanted.extend(("num_frames", "size"))
    for name in wanted:
        if name not in target.free:
            can = ", ".join(target.free) or "none"
            raise UserError(f"{target.title} needs a fixed {name}; what may stay free: {can}")
    if "num_frames" in wanted and form == "frames":
        raise UserError("graphs of form frames have a fixed number of frames; use --form volume")
    return tuple(wanted)


def channels_of(request: ExportRequest, target: Target, form: GraphForm) -> Channels:
    """Where the channels of the input stand."""
    return request.channels or ("last" if form in target.channels_last else "first")


def _input(
    form: GraphForm,
    channels: Channels,
    dtype: InputDtype,
    clip: ClipSpec,
    free: tuple[Free, ...],
    batch: int | None,
) -> ArtefactInput:
    side = None if "size" in free else clip.crop_size
    shape: tuple[int | None, ...] = (side, side)
    if form == "volume":
        shape = (None if "num_frames" in free else clip.num_frames, *shape)
        rows = batch
    else:
        rows = None if batch is None else batch * clip.num_frames
    shape = (rows, 3, *shape) if channels == "first" else (rows, *shape, 3)
    return ArtefactInput(INPUT_NAME, dtype, layout_of(form, channels), shape, free, batch)


def _versions(target: Target) -> dict[str, str]:
    found = {"video-mobile-former": __version__, "torch": torch.__version__}
    return found | {name: importlib.metadata.version(name) for name in target.packages}
