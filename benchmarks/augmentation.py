"""What the changes to training clips cost, and a sheet that shows them.

    python benchmarks/augmentation.py                            # a minute on one core
    python benchmarks/augmentation.py --video CLIP --sheet sheet.png

For each operation of RandAugment and for whole training transforms: one clip of 16 × 224², one
thread, processor time, all in turn in one run; the figure to read is the ratio to the random
resized crop alone. The sheet shows four frames of a clip in each row.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from timing import interleave, write_result
from torch import Tensor

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.loading.sampling import sample
from video_mobile_former.data.transforms import Augmentation, TrainTransform, augment
from video_mobile_former.data.transforms.randaugment import OPERATIONS, operate, strength
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.training.clips.mixing import Mix, Mixing, mix_clips

TRANSFORMS: dict[str, dict[str, Any]] = {
    "crop and flip": {},
    "default of vmf train": {"scale": (0.4, 1.0), "color_jitter": 0.3},
    "RandAugment 4 × 0.5, erasing": {
        "scale": (0.08, 1.0),
        "randaugment_ops": 4,
        "erase_probability": 0.25,
    },
}


def operation_run(name: str, clips: Tensor) -> Callable[[], object]:
    values = torch.tensor([strength(name, 7.0)], dtype=torch.float64)
    return lambda: operate(name, clips, values)


def transform_run(options: dict[str, Any], raw: Tensor, repeats: int = 20) -> Callable[[], object]:
    transform = TrainTransform(ClipSpec(), **options)

    def run() -> None:
        generator = torch.Generator().manual_seed(0)
        for _ in range(repeats):  # many draws, for their mean
            transform(raw, generator)

    return run


def measure(rounds: int) -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    shape = (16, 3, 256, 340)
    raw = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    raw = raw.contiguous(memory_format=torch.channels_last)  # as the decoder gives it
    cropped = raw[None, ..., :224, :224].contiguous()
    runs = {name: operation_run(name, cropped) for name in OPERATIONS[1:]}
    runs |= {name: transform_run(options, raw) for name, options in TRANSFORMS.items()}
    seconds = interleave(runs, rounds)
    for name in TRANSFORMS:
        seconds[name] /= 20
    base = seconds["crop and flip"]
    rows = []
    for name, value in seconds.items():
        rows.append({"what": name, "ms": round(1e3 * value, 2), "ratio": round(value / base, 2)})
        print(f"{name:30}{rows[-1]['ms']:8}{rows[-1]['ratio']:8}", flush=True)
    write_result("augmentation", rows, unit="milliseconds of processor time", rounds=rounds)


def read(video: str, spec: ClipSpec) -> Tensor:
    with VideoReader(video) as reader:
        times = reader.timestamps()
        return reader.frames(times[sample(times, spec)], 256)


def sheet_rows(clip: Tensor, other: Tensor) -> dict[str, Tensor]:
    """``(T, 3, 224, 224)`` clips under the name of what was done to them."""
    spec = ClipSpec()
    centre = clip[..., :224, (clip.shape[-1] - 224) // 2 :][..., :224].contiguous()
    rows = {"as it is": centre}
    for name in OPERATIONS[1:]:
        for negative in (False, True):
            value = strength(name, 7.0, negative=negative)
            if negative and value == strength(name, 7.0):
                continue
            values = torch.tensor([value], dtype=torch.float64)
            rows[f"{name} {value:.3g}"] = operate(name, centre[None], values)[0]
    generator = torch.Generator().manual_seed(1)
    jitter = Augmentation(color_jitter=0.4, hue=0.1, erase_probability=1.0)
    for name, settings in {
        "colour jitter 0.4, hue 0.1, erased": jitter,
        "the same, grey": Augmentation(color_jitter=0.4, grayscale_probability=1.0),
    }.items():
        rows[name] = augment(centre, settings.sample(generator, 224, 224))
    transform = TrainTransform(spec, scale=(0.08, 1), randaugment_ops=4, erase_probability=0.25)
    for i in range(6):
        rows[f"a whole transform, draw {i}"] = transform(clip, generator)
    pair = torch.stack([centre, other[..., :224, :224]]).transpose(1, 2).float()
    partners = torch.tensor([1, 0])
    rows["mixup 0.6"] = mix_clips(pair.clone(), Mix(partners, 0.6, None))[0].transpose(0, 1)
    for kind in ("spatial", "temporal", "spatiotemporal"):
        mixes = (
            Mixing(cutmix_alpha=1.0, cutmix_kind=kind).sample([0, i], pair.shape) for i in range(99)
        )
        mix = next(m for m in mixes if m is not None and 0.4 < m.share < 0.7)
        rows[f"cutmix {kind} {mix.share:.2f}"] = mix_clips(pair.clone(), mix)[0].transpose(0, 1)
    return rows


def draw_sheet(video: str, other: str, path: Path, columns: int = 4) -> None:
    spec = ClipSpec()
    rows = sheet_rows(read(video, spec), read(other, spec))
    half = (len(rows) + 1) // 2
    cell, text = 112, 14
    sheet = Image.new("RGB", (2 * columns * cell + 8, half * (cell + text)), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (name, clip) in enumerate(rows.items()):
        left, top = (i // half) * (columns * cell + 8), (i % half) * (cell + text)
        pen.text((left + 2, top + 1), name, fill="black")
        for column, frame in enumerate(np.linspace(0, len(clip) - 1, columns).round().astype(int)):
            pixels = clip[frame].to(torch.uint8).permute(1, 2, 0).numpy()
            small = Image.fromarray(np.ascontiguousarray(pixels)).resize((cell, cell))
            sheet.paste(small, (left + column * cell, top + text))
    sheet.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--video", help="clip to show")
    parser.add_argument("--other", help="clip to mix it with")
    parser.add_argument("--sheet", type=Path, help="write a sheet here instead of measuring")
    args = parser.parse_args()
    if args.sheet is None:
        measure(args.rounds)
    elif args.video is None:
        parser.error("--sheet needs a --video to show")
    else:
        draw_sheet(args.video, args.other or args.video, args.sheet)


if __name__ == "__main__":
    main()
