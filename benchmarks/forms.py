"""Which graph form is faster in eager PyTorch: ``volume`` (Conv3d) or ``frames`` (rank 4)?

    python benchmarks/forms.py            # a few minutes on one core
    python benchmarks/forms.py --models vmf_500m --rounds 3

For each variant and temporal kernel: the forward pass of one native clip in eval mode, fused, and
a training step on four clips of 8 × 112². One thread, processor time, both forms in turn in one
run; the figure to read is the ratio frames / volume.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from timing import interleave, write_result

from video_mobile_former import create_model
from video_mobile_former.models.video_model import VideoModel

FORMS = ("volume", "frames")


def forward_run(model: VideoModel, form: str, frames: int, size: int) -> Callable[[], object]:
    fused = model.eval().fuse()
    fused.set_form(form)  # pyright: ignore[reportArgumentType] - from FORMS
    x = torch.randn(1, 3, frames, size, size)

    def run() -> None:
        with torch.inference_mode():
            fused(x)

    return run


def training_run(model: VideoModel, form: str, frames: int, size: int) -> Callable[[], object]:
    x, y = torch.randn(4, 3, frames, size, size), torch.arange(4)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

    def run() -> None:
        model.train()
        model.set_form(form)  # pyright: ignore[reportArgumentType] - from FORMS
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["vmf_500m", "vmf_1g", "vmf_3g", "vmf_6g"])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    print(f"{'model':10}{'kernel':9}{'what':24}{'volume ms':>10}{'frames ms':>10}{'ratio':>7}")
    for name in args.models:
        for kernel in ("3d", "2plus1d"):
            model = create_model(name, 400, temporal_conv=kernel)
            frames = model.clip.num_frames
            for what, make, length, size in (
                (f"forward 1×{frames}×224²", forward_run, frames, 224),
                ("training step 4×8×112²", training_run, 8, 112),
            ):
                runs = {form: make(model, form, length, size) for form in FORMS}
                seconds = interleave(runs, args.rounds)
                ratio = seconds["frames"] / seconds["volume"]
                ms = {form: round(1e3 * seconds[form], 1) for form in FORMS}
                rows.append({"model": name, "kernel": kernel, "what": what, **ms, "ratio": ratio})
                print(
                    f"{name:10}{kernel:9}{what:24}{ms['volume']:10}{ms['frames']:10}{ratio:7.2f}",
                    flush=True,
                )
    write_result("forms", rows, unit="milliseconds of processor time, median", rounds=args.rounds)


if __name__ == "__main__":
    main()
