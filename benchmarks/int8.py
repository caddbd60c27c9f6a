"""INT8 against float32: speed of fresh networks, accuracy of trained ones.

    python benchmarks/int8.py --models vmf_2g vmf_6g
    python benchmarks/int8.py --models --checkpoints runs/x/best=DATA.csv [CHECKPOINT=DATA …]

Each network is exported to each target in fp32 and in int8. Speed: one clip at a time, one thread,
all of them in turn in one run; fresh weights, calibrated on procedural clips, since neither changes
the time. ``rest_ms`` is what OpenVINO takes for the fp32 artefact in bfloat16: an int8 artefact
does so with all that it does not do in integers. Accuracy: checkpoints calibrated on the
train split of their data and measured on its test split by ``evaluate``.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from timing import interleave, write_result

from video_mobile_former import create_model
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.index import ClipIndex, load_index
from video_mobile_former.evaluation import evaluate
from video_mobile_former.export.artefact import info_path
from video_mobile_former.export.exporting import export_model
from video_mobile_former.export.loading import load_model
from video_mobile_former.export.quantize import sample_calibration
from video_mobile_former.export.request import ExportRequest
from video_mobile_former.export.targets.table import get_target
from video_mobile_former.models.registry import load_checkpoint
from video_mobile_former.models.video_model import VideoModel
from video_mobile_former.procedural import ProceduralSpec, write_procedural

TARGETS = ("openvino", "onnx", "executorch")
CLIPS_PER_CLASS = {"train": 1}
"""Clips a motion on which fresh networks are calibrated; the weights are random anyway."""


def both(
    model: VideoModel,
    index: ClipIndex,
    target: str,
    folder: Path,
    clip: ClipSpec,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """The fp32 and int8 artefacts of a model for such clips, loaded; written unless there."""
    found = {}
    for precision in ("fp32", "int8"):
        out = folder / f"{target}-{precision}{get_target(target).suffix}"
        if not info_path(out).exists():
            calibration = None
            if precision == "int8":
                calibration = sample_calibration(index, clip, num_clips=args.clips)
            request = ExportRequest(
                target, precision=precision, batch=1, num_frames=clip.num_frames
            )
            export_model(model, out, request, index=index, calibration=calibration)
        found[precision] = load_model(out, threads=1)
    return found


def runtime_alone(model: Any, clip: torch.Tensor) -> Callable[[], object]:
    """A call with the clip ready in the order that the artefact takes."""
    given = model.inputs(clip)
    return lambda: model.runner(given)


@torch.inference_mode()
def speed(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds of every model and target, measured in turn."""
    runs: dict[str, Any] = {}
    for name in args.models:
        torch.manual_seed(0)
        model = create_model(name).eval()
        spec = dataclasses.replace(model.clip, num_frames=args.frames)
        size = spec.crop_size
        made = ProceduralSpec(families=("motion",), num_frames=16, size=size)
        index = load_index(write_procedural(args.work / f"motion-{size}", made, CLIPS_PER_CLASS))
        clip = torch.randn(1, 3, args.frames, size, size)
        for target in args.targets:
            for precision, found in both(
                model, index, target, args.work / f"{name}-{args.frames}", spec, args
            ).items():
                runs[f"{name} {target} {precision}"] = runtime_alone(found, clip)
                if (target, precision) == ("openvino", "fp32"):
                    rest = load_model(found.path, threads=1, precision="bf16")
                    runs[f"{name} openvino bf16"] = runtime_alone(rest, clip)
    seconds = interleave(runs, args.rounds)
    rows = []
    for name in args.models:
        for target in args.targets:
            found = {p: seconds.get(f"{name} {target} {p}") for p in ("fp32", "int8", "bf16")}
            assert found["fp32"] is not None
            assert found["int8"] is not None
            rows.append(
                {
                    "model": name,
                    "clip": f"{args.frames}x{create_model(name).clip.crop_size}",
                    "target": target,
                    "fp32_ms": round(1e3 * found["fp32"], 2),
                    "int8_ms": round(1e3 * found["int8"], 2),
                    "rest_ms": None if found["bf16"] is None else round(1e3 * found["bf16"], 2),
                    "ratio": round(found["fp32"] / found["int8"], 2),
                }
            )
    return rows


def accuracy(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Top-1 of every checkpoint and target in fp32 and in int8."""
    rows = []
    for number, pair in enumerate(args.checkpoints):
        checkpoint, _, data = pair.rpartition("=")
        model = load_checkpoint(checkpoint)
        index = load_index(data, class_names=model.class_names)
        for target in args.targets:
            folder = args.work / f"checkpoint-{number}"
            measured = {
                precision: evaluate(found, index, split="test", num_workers=0)
                for precision, found in both(model, index, target, folder, model.clip, args).items()
            }
            changed = [
                a.predicted != b.predicted
                for a, b in zip(measured["fp32"].clips, measured["int8"].clips, strict=True)
            ]
            rows.append(
                {
                    "data": Path(data).parent.name,
                    "clip": f"{model.clip.num_frames}x{model.clip.crop_size}",
                    "target": target,
                    "test_clips": len(changed),
                    "fp32_top1": measured["fp32"].metrics.top1,
                    "int8_top1": measured["int8"].metrics.top1,
                    "other_class": sum(changed),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="*", default=["vmf_2g", "vmf_6g"])
    parser.add_argument("--checkpoints", nargs="*", default=[], metavar="CHECKPOINT=DATA")
    parser.add_argument("--targets", nargs="+", default=list(TARGETS), choices=TARGETS)
    parser.add_argument("--frames", type=int, default=16, help="of the clips that are timed")
    parser.add_argument("--clips", type=int, default=64, help="clips to calibrate on")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--work", type=Path, default=Path("runs/int8"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    measured, trained = speed(args), accuracy(args)
    for row in measured:
        print(
            f"{row['model']:10}{row['target']:12}fp32 {row['fp32_ms']:6.1f} ms   "
            f"int8 {row['int8_ms']:6.1f} ms   ratio {row['ratio']:.2f}"
            + ("" if row["rest_ms"] is None else f"   (fp32 in bf16 {row['rest_ms']:.1f} ms)")
        )
    for row in trained:
        print(
            f"{row['data']:18}{row['target']:12}top-1 fp32 {row['fp32_top1']:.4f}   "
            f"int8 {row['int8_top1']:.4f}   another class on {row['other_class']} of "
            f"{row['test_clips']} clips"
        )
    write_result("int8", measured, accuracy=trained, calibration_clips=args.clips, seed=0)


if __name__ == "__main__":
    main()
