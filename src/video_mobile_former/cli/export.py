"""The command ``vmf export``: parse, call, print."""

from __future__ import annotations

import argparse
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console import say
from ..errors import UserError
from .options import (
    add_clip_size,
    add_json,
    add_overwrite,
    add_source_options,
    print_json,
    source_of,
)
from .parser import add_command, whole_number

if TYPE_CHECKING:
    from ..data.index.index import ClipIndex
    from ..export.exporting import Exported
    from ..models.video_model import VideoModel


def add_export(commands: Any) -> None:
    """Add ``export`` to the commands of ``vmf``."""
    parser = add_command(
        commands,
        "export",
        run,
        "write a model for another runtime and prove that it computes the same",
        "The artefact is run on random and real clips beside the model, and kept only when it "
        "agrees. Targets and what they take: docs/export.md.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="checkpoint folder, or a name as vmf_2g (fresh weights)"
    )
    parser.add_argument("--to", required=True, metavar="TARGET", help="onnx, openvino, web, …")
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="the artefact to write; for web a folder"
    )
    parser.add_argument(
        "--form", choices=("volume", "frames"), help="graph form; default: the target's faster one"
    )
    parser.add_argument(
        "--input",
        choices=("float32", "uint8"),
        default="float32",
        help="normalised clips (default), or pixels that the graph normalises itself",
    )
    parser.add_argument(
        "--channels",
        choices=("first", "last"),
        help="where the channels of the input stand; default: where the target is faster",
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "int8"),
        default="fp32",
        help="fp16: weights in half the space; int8: convolutions in INT8 (default: fp32)",
    )
    parser.add_argument(
        "--calibrate", metavar="DATA", help="int8: clips to measure the ranges of activations on"
    )
    parser.add_argument(
        "--calibrate_clips",
        type=whole_number(8, 100_000),
        metavar="N",
        help="int8: how many of them, sampled from the train split (default: 64, at least 8)",
    )
    parser.add_argument(
        "--batch",
        type=_batch,
        default="auto",
        metavar="N",
        help="clips in one call, or 'dynamic'; default: dynamic where it costs nothing, else 1",
    )
    add_clip_size(parser)
    parser.add_argument(
        "--streaming",
        action="store_true",
        help="one step of a streaming model, its states as inputs and outputs",
    )
    parser.add_argument(
        "--stateful",
        action="store_true",
        help="--streaming: the runtime keeps the states itself (openvino)",
    )
    parser.add_argument(
        "--webgpu",
        action="store_true",
        help="web: the runtime's build with WebGPU as well, 17 MB more",
    )
    parser.add_argument(
        "--runtime",
        metavar="FILE",
        help="web: npm's archive of onnxruntime-web; default: fetched once from the registry",
    )
    parser.add_argument(
        "--dynamic", action="store_true", help="leave frames, height and width free"
    )
    parser.add_argument(
        "--data",
        help="real clips to compare on; default: those of --calibrate, else procedural ones",
    )
    add_source_options(parser)
    parser.add_argument(
        "--keep_unequal",
        action="store_true",
        help="keep the artefact although it differs from the model",
    )
    add_overwrite(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Export, compare and print."""
    from ..export.exporting import export_model, to_report
    from ..export.request import ExportRequest, check_request

    request = ExportRequest(
        target=args.to,
        form=args.form,
        dtype=args.input,
        channels=args.channels,
        precision=args.precision,
        batch=args.batch,
        num_frames=args.num_frames,
        size=args.size,
        dynamic=args.dynamic,
        keep_unequal=args.keep_unequal,
        overwrite=args.overwrite,
        streaming=args.streaming,
        stateful=args.stateful,
        runtime=args.runtime,
        webgpu=args.webgpu,
    )
    check_request(request, args.out)
    if args.calibrate and args.precision != "int8":
        raise UserError("--calibrate goes with --precision int8")
    if args.calibrate_clips is not None and not args.calibrate:
        raise UserError("--calibrate_clips goes with --calibrate DATA")
    if args.precision == "int8" and not args.calibrate:
        raise UserError("--precision int8 needs clips to measure ranges on: --calibrate DATA")
    model = _model(args.model)
    index = _index(args)
    calibration = _calibration(args, model, request) if args.calibrate else None
    say(f"exporting {args.model} to {args.to}")
    exported = export_model(model, args.out, request, index=index, calibration=calibration)
    if args.json:
        print_json(to_report(exported))
    else:
        print("\n".join(_lines(exported)))
    return 0


def _batch(text: str) -> Any:
    return text if text in ("auto", "dynamic") else whole_number(1, 4096)(text)


def _model(name: str) -> VideoModel:
    from ..export.targets.table import target_of
    from ..models import list_models
    from ..models.registry import resolve_model

    path = Path(name)
    target = target_of(path)
    if path.is_file() or (target is not None and (target.inside or not path.is_dir())):
        raise UserError(f"{name} is no checkpoint folder: an artefact cannot be exported again")
    if name in list_models() and not path.exists():
        say(f"{name} is an untrained model: the artefact will have fresh weights")
    return resolve_model(name)


def _index(args: argparse.Namespace) -> ClipIndex | None:
    """Clips to compare on."""
    if args.data is None and args.annotations is None and args.root is None:
        if not args.calibrate:
            return None
        args = argparse.Namespace(**{**vars(args), "data": args.calibrate})
    from ..data.index.index import load_index

    return load_index(source_of(args))


def _calibration(args: argparse.Namespace, model: VideoModel, request: Any) -> Any:
    from ..data.index.index import load_index
    from ..export.quantize import sample_calibration
    from ..export.quantize.calibration import NUM_CLIPS
    from ..export.request import clip_of

    source = source_of(argparse.Namespace(**{**vars(args), "data": args.calibrate}))
    count = NUM_CLIPS if args.calibrate_clips is None else args.calibrate_clips
    return sample_calibration(load_index(source), clip_of(model.clip, request), num_clips=count)


def _lines(exported: Exported) -> list[str]:
    from ..export.targets.table import get_target

    info, parity = exported.info, exported.parity
    target = get_target(info.target)
    shape = ", ".join("free" if size is None else str(size) for size in info.input.shape)
    size = f"{exported.num_bytes / 1e6:.1f} MB, {exported.seconds:.0f} s"
    millions, macs = info.parameters / 1e6, info.macs_per_view / 1e9
    lines = [
        f"artefact    {exported.path}  ({size})",
        f"described   {target.info_path(exported.path)}",
        f"runtime     {target.title}, {info.form}, {info.precision}",
        f"input       {info.input.name}: {info.input.dtype} ({shape}) {info.input.layout}",
        f"cost        {millions:.2f} M parameters, {macs:.3f} G MACs per view",
    ]
    if info.stream is not None:
        numbers = sum(math.prod(state.shape) for state in info.stream.states)
        kept = "kept by the runtime" if info.stream.stateful else "passed with each step"
        lines[-1] = (
            f"cost        {millions:.2f} M parameters, {info.stream.macs_per_frame / 1e6:.1f} M "
            f"MACs per frame, {info.stream.frames_per_update} frames a step"
        )
        lines.append(
            f"states      {len(info.stream.states)}, {4 * numbers / 1e6:.2f} MB in float32, {kept}"
        )
    if target.inside:
        lines.insert(1, f"size        {_parts(exported)}")
    if parity is None:
        lines.append(f"parity      not run: {target.title} does not run here")
    else:
        lines.append(f"parity      {parity.summary()}")
        place = shlex.quote(str(exported.path))
        if target.inside:
            lines[-1] += "; in ONNX Runtime here, the page repeats a stored answer at its start"
            lines.append(f"next        python -m http.server --directory {place}")
        else:
            lines.append(f"next        vmf predict {place} VIDEO")
    return lines


def _parts(exported: Exported) -> str:
    """Megabytes of the parts of a folder for the web."""
    sizes = {name: one["bytes"] for name, one in exported.info.options["files"].items()}
    model = sizes.pop("model.onnx")
    runtime = sum(size for name, size in sizes.items() if name.startswith("runtime/"))
    page = sum(sizes.values()) - runtime
    shares = {"model": model, "runtime": runtime, "page": page}
    return ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in shares.items())
