"""A model that tells dark pictures from bright ones, and videos and a camera to show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from video_files import write_video

SIZE = 64
RATE = 20
NAMES = ("dark <b>", "=bright()")
"""Names as a stranger might give them: markup, and a formula of spreadsheets."""
DARK, BRIGHT = 30, 220


def save_dark_or_bright(folder: Path) -> Path:
    """A checkpoint of few frames whose classifier is set by hand, at full depth with tokens."""
    from video_mobile_former import ClipSpec, create_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = create_model("vmf_500m", num_classes=2, num_frames=4, crop_size=SIZE)
    model.clip = ClipSpec(
        num_frames=4, sampling="dense", stride=2, stride_fps=RATE, resize_size=80, crop_size=SIZE
    )
    model.class_names = NAMES
    model.eval()
    seen: list[torch.Tensor] = []
    hook = model.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    mean = torch.tensor(model.clip.mean).view(1, 3, 1, 1, 1)
    std = torch.tensor(model.clip.std).view(1, 3, 1, 1, 1)
    with torch.inference_mode():
        for value in (DARK, BRIGHT):
            model((torch.full((1, 3, 4, SIZE, SIZE), value / 255) - mean) / std)
    hook.remove()
    dark, bright = (one[0].double() for one in seen)
    apart = bright - dark
    # Logits of −3 and 3 on the two, and in between what is in between.
    weight = 6 * apart / apart.square().sum()
    bias = -(weight @ (bright + dark)) / 2
    model.classifier.weight.data[:] = torch.stack([-weight / 2, weight / 2]).float()
    model.classifier.bias.data[:] = torch.stack([-bias / 2, bias / 2]).float()
    model.save_pretrained(folder)
    return folder


def pictures(seconds: float, turn: float, width: int = 160, height: int = 120) -> list[np.ndarray]:
    """``(H, W, 3)`` uint8, dark until ``turn`` seconds and bright from there on."""
    count, first = round(seconds * RATE), round(turn * RATE)
    made = []
    for number in range(count):
        picture = np.full((height, width, 3), DARK if number < first else BRIGHT, np.uint8)
        # A small mark that moves, so that frames differ.
        picture[:4, 4 * (number % 20) : 4 * (number % 20) + 4] = 128
        made.append(picture)
    return made


def write_dark_then_bright(path: Path, codec: str = "libx264", *, seconds: float = 4.0) -> Path:
    """A video that is dark in its first half and bright in its second."""
    return write_video(path, pictures(seconds, seconds / 2), fps=RATE, codec=codec)


def write_camera(path: Path, *, seconds: float = 4.0) -> Path:
    """The same as y4m, which Chromium's made-up camera shows over and over."""
    shown = pictures(seconds, seconds / 2)
    height, width = shown[0].shape[:2]
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W%d H%d F%d:1 Ip A1:1 C420jpeg\n" % (width, height, RATE))
        for picture in shown:
            grey = picture[..., 0].tobytes()
            file.write(b"FRAME\n" + grey + bytes([128]) * (width * height // 2))
    return path
