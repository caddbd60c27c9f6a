"""Streams that never end: a causal model step by step against the clip model in sliding windows.

    python benchmarks/streaming.py --runs runs/streaming --out streaming-DATE.json

For each seed, from the package's procedural weights of ``vmf_500m``, on procedural clips of two
families and of ``nothing``:

- ``clip``: the clip model is fine-tuned (``pretrain.task labels``);
- ``trimmed``: from it a streaming model, each clip from a fresh state (``stream.clips 1``);
- ``spliced``: from it a streaming model on streams of several clips (``stream.clips 4``).

Runs are those of ``vmf train``: one that was broken off goes on. Measured are other clips

- when 25, 50, 75 and 100 % of them were seen: top-1 of the streaming models, and of the clip model
  given as much of the clip (``early``);
- spliced to streams without an end: mean average precision per frame, top-1 per frame and seconds
  from an onset to the first right answer, of the streaming models step by step and of the clip
  model in windows at strides 1, 4 and 16 frames (``streams``), with the MACs that each frame costs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import torch

from video_mobile_former.evaluation.streams import (
    LabelledStream,
    measure_streams,
    sliding_macs_per_frame,
    sliding_scores,
    spliced_streams,
    streaming_scores,
)
from video_mobile_former.models import load_checkpoint
from video_mobile_former.procedural import ProceduralSpec, ProceduralVideo
from video_mobile_former.profiling.cost import count_macs
from video_mobile_former.profiling.machine import processor_name
from video_mobile_former.training.clips.procedural_clips import ProceduralClips
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe.read import recipe_from_dict

STRIDES = (1, 4, 16)
SHARES = (0.25, 0.5, 0.75, 1.0)
RUNS: dict[str, dict[str, Any]] = {
    "clip": {"model.name": "vmf_500m", "model.weights": "procedural", "pretrain.task": "labels"},
    "trimmed": {"model.name": "vmf_500m_stream", "pretrain.task": "streams", "stream.clips": 1},
    "spliced": {
        "model.name": "vmf_500m_stream",
        "pretrain.task": "streams",
        "stream.clips": 4,
        "model.pool": "ema",
        "model.pool_seconds": 0.5,
    },
}


def settings(args: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    """The recipe of a run, as dotted keys."""
    stream = name != "clip"
    return {
        "out": str(args.runs / f"{name}-{seed}"),
        "seed": seed,
        "data.format": "procedural",
        "data.num_workers": 0,
        "pretrain.families": args.families,
        "pretrain.epoch_clips": args.epoch_clips,
        "pretrain.val_clips": 0,
        "pretrain.targets_weight": 0.0,
        "stream.background": 0.1,
        "clip.num_frames": args.frames,
        "clip.crop_size": args.size,
        "clip.resize_size": args.size,
        "augment.horizontal_flip": False,
        "augment.color_jitter": 0.4,
        "optim.lr": args.lr,
        "optim.warmup_epochs": 0.5,
        "optim.label_smoothing": 0.0,
        "train.epochs": args.stream_epochs if stream else args.clip_epochs,
        "train.batch_size": 16,
        "train.ema_decay": 0.99,
        "train.device": "cpu",
        "train.checkpoint_every_minutes": 2.0,
        **({"model.frames_per_update": args.period} if stream else {}),
        **RUNS[name],
    }


def held_out(args: argparse.Namespace, clips: ProceduralClips) -> ProceduralVideo:
    """Clips of the same classes that no run has learned from."""
    spec = ProceduralSpec.from_dict({**clips.generator_spec.to_dict(), "motion_blur": 0.0})
    return ProceduralVideo(spec, seed=1_000_003)


@torch.no_grad()
def early(
    models: Mapping[str, Any], video: ProceduralVideo, batches: int
) -> dict[str, list[float]]:
    """Top-1 after each share of a clip, of the first frames alone."""
    right = {name: torch.zeros(len(SHARES)) for name in models}
    total = 0
    for number in range(batches):
        made = video.batch(number, 2 * len(video.class_names))
        total += len(made.labels)
        for name, model in models.items():
            x = normal(made.clips, model)
            for i, share in enumerate(SHARES):
                logits = model(x[:, :, : round(share * x.shape[2])])
                right[name][i] += (logits.argmax(1) == made.labels).sum()
    return {name: [round(float(v) / total, 4) for v in found] for name, found in right.items()}


def normal(clips: torch.Tensor, model: Any) -> torch.Tensor:
    """Pixels as the model expects them."""
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (model.clip.mean, model.clip.std))
    return (clips / 255 - mean) / std


def streams_of(
    video: ProceduralVideo, count: int, clips: int, seconds: float
) -> list[LabelledStream]:
    """Held-out streams: clips of all classes in random order, ``nothing`` among them."""
    parts = []
    nothing = len(video.class_names) - 1
    for number in range(count):
        places = torch.arange(clips)
        generator = torch.Generator().manual_seed(number)
        labels = torch.randint(0, nothing + 1, (clips,), generator=generator)
        labels = labels.masked_fill(torch.rand(clips, generator=generator) < 0.25, nothing)
        made = video.draw(10_000 + number, places, labels)
        parts += list(zip(made.clips, labels.tolist(), strict=True))
    return spliced_streams(parts, clips, seconds)


def streaming(models: Mapping[str, Any], streams: list[LabelledStream], args: Any) -> list[Any]:
    """One row for each way to answer every frame."""
    rows = []
    shape = (1, 3, args.frames, args.size, args.size)
    for name, model in models.items():
        macs = count_macs(model, shape)
        if name == "clip":
            for stride in STRIDES:
                scores = [
                    sliding_scores(model, stream, window=args.frames, stride=stride)
                    for stream in streams
                ]
                cost = sliding_macs_per_frame(macs, stride)
                rows.append((f"clip, window every {stride}", scores, cost))
        else:
            scores = [streaming_scores(model, stream) for stream in streams]
            rows.append((f"{name}, step by step", scores, macs / args.frames))
    return [
        {"way": way, "macs_per_frame": round(cost), **measure_streams(scores, streams).to_dict()}
        for way, scores, cost in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the training runs")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--families", nargs="+", default=["motion", "order"])
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--period", type=int, default=2)
    parser.add_argument("--epoch_clips", type=int, default=512)
    parser.add_argument("--clip_epochs", type=int, default=5)
    parser.add_argument("--stream_epochs", type=int, default=4)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--streams", type=int, default=24)
    parser.add_argument("--clips_a_stream", type=int, default=8)
    parser.add_argument("--only", choices=list(RUNS), help="make this run and measure nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for seed in args.seeds:
        models: dict[str, Any] = {}
        for name in RUNS:
            values = settings(args, name, seed)
            if name != "clip":
                values["model.weights"] = str(args.runs / f"clip-{seed}" / "last")
            result = fit(recipe_from_dict(values))
            models[name] = load_checkpoint(result.last).eval()
            seconds = round(result.seconds)
            print(f"{name}, seed {seed}: {result.step} steps, {seconds} s", flush=True)
            if name == args.only:
                break
        if args.only:
            continue
        clips = ProceduralClips(recipe_from_dict(settings(args, "clip", seed)))
        clips.spec = models["clip"].clip
        video = held_out(args, clips)
        streams = streams_of(
            video, args.streams, args.clips_a_stream, models["spliced"].clip.stride_seconds
        )
        results.append(
            {
                "seed": seed,
                "early": early(models, video, 8),
                "streams": streaming(models, streams, args),
            }
        )
        about = {
            "date": date.today().isoformat(),
            "device": processor_name(),
            "torch": str(torch.__version__),
            "settings": {k: v for k, v in vars(args).items() if k not in ("runs", "out", "only")},
            "classes": len(video.class_names),
            "results": results,
        }
        args.out.write_text(json.dumps(about, indent=2) + "\n")
        print(json.dumps(results[-1], indent=1), flush=True)


if __name__ == "__main__":
    main()
