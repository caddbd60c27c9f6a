"""Which memory of the tokens recalls a cue, and how far back: small networks, procedural clips.

    python benchmarks/streaming_memory.py --out benchmarks/results/streaming_memory-DATE.jsonl

Every network sees the same clips of the classes ``recall_flash`` and ``recall_vanish`` in plain
scenes: a cue in the first 8 of 40 frames, 24 frames between it and the last 8. It learns to be
right after every update (``StreamLabels``), and is then asked on other clips at the end of 40, 80
and 272 frames: 24, 64 and 256 frames after the cue. Networks are cut to three or four blocks so
that a run takes minutes of a core; the light CNN and MoViNet stream have about as many MACs a
frame as the networks with tokens. Means of the head, and of MoViNet's gates, forget
(``pool="ema"``, 15 frames), as in a stream without end, but for those named ``…_mean``. Chance is
1/2.

One line of JSON for each run; runs that are in the file are not made again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from video_mobile_former.models import create_model
from video_mobile_former.procedural import ProceduralSpec, ProceduralVideo
from video_mobile_former.profiling.cost import count_macs
from video_mobile_former.profiling.machine import processor_name
from video_mobile_former.training.objectives.streams import StreamLabels
from video_mobile_former.training.recipe.read import recipe_from_dict

CLASSES = ("recall_flash", "recall_vanish")
FRAMES, SIZE, PERIOD, BATCH = 40, 32, 8, 8
GAPS = {24: 40, 64: 80, 256: 272}
"""Frames between cue and question, and the length of the clip."""
_BLOCKS = [
    ["lite", 3, 12, 2, 0],
    ["mobile", 3, 12, 1, 0],
    ["down", 6, 24, 2, 4],
    ["mobile", 3, 24, 1, 0],
]
_SMALL: dict[str, Any] = {
    "blocks": _BLOCKS,
    "stem_channels": 8,
    "head_dim": 128,
    "token_dim": 64,
    "frames_per_update": PERIOD,
    "pool": "ema",
    "pool_seconds": 2.0,  # 15 frames, which are 4/30 s apart
}
_WIDER = [
    ["lite", 3, 12, 2, 0],
    ["mobile", 4, 12, 1, 0],
    ["down", 6, 24, 2, 4],
    ["mobile", 5, 24, 1, 0],
]
_NO_TOKENS = {**_SMALL, "num_tokens": 0, "blocks": _WIDER}
_MOVINET: dict[str, Any] = {
    "blocks": [[8, 24, 1, 5, 2], [24, 48, 3, 3, 2], [24, 48, 3, 3, 1]],
    "head_channels": 144,
    "hidden_dim": 128,
    "pool": "ema",
    "pool_seconds": 3.0,  # 15 frames, which are 1/5 s apart
}
MEMORIES = ("gated", "gru", "residual", "replace", "none")
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    **{kind: ("vmf_500m_stream", {**_SMALL, "memory": kind}) for kind in MEMORIES},
    "no_tokens": ("vmf_500m_stream", _NO_TOKENS),
    "movinet": ("movinet_a0_stream", _MOVINET),
    "no_tokens_mean": ("vmf_500m_stream", {**_NO_TOKENS, "pool": "mean"}),
    "movinet_mean": ("movinet_a0_stream", {**_MOVINET, "pool": "mean"}),
}


Clips = tuple[torch.Tensor, torch.Tensor]
"""uint8 (N, 3, T, S, S) and their classes (N,)."""


def plain_scenes(frames: int) -> ProceduralSpec:
    """Bright things on a dark ground and nothing beside them: seeing the cue is easy."""
    return ProceduralSpec(
        families=("recall",),
        classes=CLASSES,
        num_frames=frames,
        size=SIZE,
        motion_blur=0,
        blips=0,
        clutter=0,
        occluders=0,
        background_motion=0,
        illumination=0,
        contrast=1.0,
        background_contrast=0.0,
        actor_size=1.6,
    )


def train(name: str, seed: int, learned: Clips, lr: float) -> tuple[Any, list[float]]:
    """A network trained on clips, a batch a step, and its losses."""
    kind, arguments = NETWORKS[name]
    torch.manual_seed(seed)
    model: Any = create_model(kind, len(CLASSES), num_frames=FRAMES, crop_size=SIZE, **arguments)
    model.train()
    recipe = recipe_from_dict(
        {
            "pretrain.task": "streams",
            "stream.clips": 1,
            "stream.first_weight": 0.3,
            "optim.label_smoothing": 0.0,
        }
    )
    objective = StreamLabels(recipe, model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    losses = []
    steps = len(learned[0]) // BATCH
    for i in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1, (i + 1) / 20) * (1 + math.cos(math.pi * i / steps)) / 2
        clips, labels = (part[i * BATCH : (i + 1) * BATCH] for part in learned)
        batch: Any = {"clips": clips[:, None], "labels": labels}
        loss, _ = objective.step(model, batch, [seed, 0, i, 0])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return model.eval(), losses


def drawn(frames: int, seed: int, count: int, folder: Path) -> Clips:
    """Clips of a length by seed, the same for every network; kept in a folder between runs."""
    path = folder / f"{frames}-{seed}-{count}.safetensors"
    if not path.exists():
        video = ProceduralVideo(plain_scenes(frames), seed=seed)
        made = [video.batch(number, BATCH) for number in range(count // BATCH)]
        clips, labels = torch.cat([m.clips for m in made]), torch.cat([m.labels for m in made])
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"clips": clips, "labels": labels}, path)
    found = load_file(path)
    return found["clips"], found["labels"]


@torch.no_grad()
def recalled(model: Any, asked: dict[int, Clips]) -> dict[str, float]:
    """Share right at the end, by frames since the cue; and right after it (``seen``)."""
    found: dict[str, float] = {}
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (model.clip.mean, model.clip.std))
    after = 2 * PERIOD // model.frames_per_update - 1
    for gap, (clips, truth) in asked.items():
        right = torch.zeros(2)
        for frames, labels in zip(clips.split(BATCH), truth.split(BATCH), strict=True):
            answers = model.forward_steps((frames / 255 - mean) / std).argmax(2)
            right += (answers[:, [after, -1]] == labels[:, None]).float().sum(0)
        found.setdefault("seen", round(float(right[0]) / len(clips), 4))
        found[f"right_{gap}"] = round(float(right[1]) / len(clips), 4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=110)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--asked", type=int, default=48, help="clips to ask for each gap")
    parser.add_argument("--clips", type=Path, default=Path("runs/recall"), help="folder of clips")
    parser.add_argument("--draw", action="store_true", help="draw the clips and nothing else")
    args = parser.parse_args()
    torch.set_num_threads(1)
    done = set()
    if args.out.exists():
        rows = map(json.loads, args.out.read_text().splitlines())
        done = {(r["network"], r["seed"], r["steps"], r["lr"]) for r in rows}
    asked = {gap: drawn(GAPS[gap], 10_000, args.asked, args.clips) for gap in GAPS}
    if args.draw:
        for seed in args.seeds:
            drawn(FRAMES, seed, args.steps * BATCH, args.clips)
        return
    for seed in args.seeds:
        for name in args.networks:
            if (name, seed, args.steps, args.lr) in done:
                continue
            start = time.monotonic()
            learned = drawn(FRAMES, seed, args.steps * BATCH, args.clips)
            model, losses = train(name, seed, learned, args.lr)
            trained = time.monotonic() - start
            shape = (1, 3, FRAMES, SIZE, SIZE)
            row = {
                "network": name,
                "seed": seed,
                "steps": args.steps,
                "lr": args.lr,
                "clips_learned": args.steps * BATCH,
                "clips_asked": args.asked,
                "macs_per_frame": count_macs(model, shape) // FRAMES,
                "loss": round(sum(losses[-10:]) / 10, 4),
                **recalled(model, asked),
                "seconds": round(trained),
                "device": processor_name(),
            }
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
