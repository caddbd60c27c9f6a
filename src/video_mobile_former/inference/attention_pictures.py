"""Pictures of attention: for each frame a panel a token beside the frame itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.video.write import write_video
from ..errors import UserError
from ..optional import require
from ..text import printable
from .attention import Attention, overlap

_BACK, _TEXT, _FAINT, _TRACK = (24, 26, 30), (240, 240, 240), (160, 164, 172), (58, 62, 70)
_NOW = (255, 196, 64)
_STOPS: tuple[tuple[float, tuple[float, float, float]], ...] = (
    (0.0, (20, 8, 60)),
    (0.35, (150, 30, 110)),
    (0.7, (245, 110, 40)),
    (1.0, (255, 250, 160)),
)
"""From no attention to the most: dark violet to light yellow, rising in brightness."""
_PANEL = 224
"""Pixels of a panel's side."""
_GAP = 12


def write_attention_video(
    path: str | Path, attention: Attention, *, label: str = "", score: float | None = None
) -> None:
    """Write what the tokens look at as a video of the frames that the model saw, at their times.

    Args:
        path: The file, ``.mp4``; see :func:`~..data.video.write.write_video`.
        attention: Of :func:`~.attention.attention_of`.
        label: What the model says.
        score: Its probability.

    Raises:
        UserError: If Pillow is missing or the system refuses to write.
    """
    times = attention.clip.times
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    step = step or 0.5
    # Padding repeats a frame: it is shown as one more step, for the model saw it.
    shown = np.maximum.accumulate(times + step * _repeats(times))
    pictures = attention_frames(attention, label=label, score=score)
    write_video(path, pictures, shown.tolist(), seconds_of_last=step)


def attention_frames(
    attention: Attention, *, label: str = "", score: float | None = None
) -> Iterator[np.ndarray]:
    """The pictures of the video: ``(H, W, 3)`` uint8 with even sides, one for each frame.

    Args:
        attention: T frames and the weights of M tokens.
        label: What the model says.
        score: Its probability.
    """
    image, pen = _pillow()
    count = len(attention.weights)
    columns = count + 1 if count < 4 else math.ceil((count + 1) / 2)
    rows = math.ceil((count + 1) / columns)
    head, title, bars = 58, 26, 30
    cell = title + _PANEL + 6 + bars
    width = columns * (_PANEL + _GAP) + _GAP
    height = head + rows * (cell + _GAP)
    large, small = _font(22), _font(14)
    over_time = attention.weights.sum(dim=(2, 3))  # (M, T)
    number_of_frames = over_time.shape[1]
    heat, peaks = heatmaps(attention.weights, _PANEL)
    for t, frame in enumerate(attention.clip.frames):
        canvas = image.new("RGB", (width + width % 2, height + height % 2), _BACK)
        draw = pen.Draw(canvas)
        said = printable(label) + ("" if score is None else f"  {score:.2f}")
        draw.text((_GAP, 20), _short(draw, said, large, width - 2 * _GAP), _TEXT, large, "lm")
        seconds = attention.clip.times[t]
        note = f"frame {t + 1} of {number_of_frames}, {seconds:.2f} s"
        if count > 1:
            note += f"; tokens share {100 * overlap(attention.weights):.0f} % of their attention"
        draw.text((_GAP, 44), _short(draw, note, small, width - 2 * _GAP), _FAINT, small, "lm")
        picture = _sized(frame, _PANEL)
        for place in range(count + 1):
            left = _GAP + place % columns * (_PANEL + _GAP)
            top = head + place // columns * (cell + _GAP)
            if place == 0:
                draw.text((left, top + 13), "picture", _TEXT, small, "lm")
                canvas.paste(image.fromarray(picture), (left, top + title))
                _timeline(draw, (left, top + title + _PANEL + 6), None, t, number_of_frames, bars)
                continue
            m = place - 1
            words = f"token {place}"
            draw.text((left, top + 13), words, _TEXT, small, "lm")
            most = f"most: {_times(peaks[m])} even"
            draw.text((left + _PANEL, top + 13), most, _FAINT, small, "rm")
            panel = blended(picture, heat[m, t])
            canvas.paste(image.fromarray(panel), (left, top + title))
            at = (left, top + title + _PANEL + 6)
            _timeline(draw, at, over_time[m].tolist(), t, number_of_frames, bars)
        yield np.asarray(canvas)


def attention_sheet(
    attention: Attention, *, title: str = "", most_frames: int = 8, side: int = 112
) -> Any:
    """One picture: a row of frames, and under it a row for each token.

    Args:
        attention: T frames and the weights of M tokens.
        title: A line above; empty leaves it out.
        most_frames: Frames side by side at most, evenly spread.
        side: Pixels of a frame.

    Returns:
        A PIL picture.
    """
    image, pen = _pillow()
    frames = attention.clip.frames
    shown = torch.linspace(0, len(frames) - 1, min(len(frames), most_frames)).round().long()
    heat, peaks = heatmaps(attention.weights, side)
    over_time = attention.weights.sum(dim=(2, 3))
    names, head, bar = 104, 32 if title else 6, 14
    step = side + 4
    rows = len(attention.weights)
    width = names + len(shown) * step + 4
    height = head + side + bar + rows * (side + bar + 4) + 4
    canvas = image.new("RGB", (width, height), "white")
    draw, font, small = pen.Draw(canvas), _font(14), _font(11)
    if title:
        text = _short(draw, printable(title), font, width - 12)
        draw.text((6, head // 2), text, "black", font, "lm")
    draw.text((6, head + 12), "frames", "black", font, "lm")
    most = float(over_time.max())
    for column, t in enumerate(shown.tolist()):
        picture = _sized(frames[t], side)
        left = names + column * step
        canvas.paste(image.fromarray(picture), (left, head))
        draw.text(
            (left, head + side + 8), f"{attention.clip.times[t]:.2f} s", (90, 90, 90), small, "lm"
        )
        for m in range(rows):
            top = head + side + bar + 4 + m * (side + bar + 4)
            canvas.paste(image.fromarray(blended(picture, heat[m, t])), (left, top))
            share = float(over_time[m, t])
            base = top + side + 3
            draw.rectangle((left, base, left + side - 1, base + 5), fill=(225, 225, 225))
            end = left + round((side - 1) * share / most)
            draw.rectangle((left, base, end, base + 5), fill=(215, 120, 20))
    for m in range(rows):
        top = head + side + bar + 4 + m * (side + bar + 4)
        draw.text((6, top + 12), f"token {m + 1}", "black", font, "lm")
        draw.text((6, top + 32), "most:", (90, 90, 90), small, "lm")
        draw.text((6, top + 47), f"{_times(peaks[m])} even", (90, 90, 90), small, "lm")
    return canvas


def heatmaps(weights: Tensor, side: int) -> tuple[Tensor, list[float]]:
    """Attention as brightness, each token by itself.

    Args:
        weights: ``(M, T, h, w)``, those of a token summing to 1.
        side: Pixels.

    Returns:
        ``(M, T, side, side)`` from 0 to 1, the square root of the weight as part of the token's
        largest, so that small weights are seen; and each token's largest weight as a multiple of
        the even weight 1 / (T·h·w).
    """
    places = weights[0].numel()
    peaks = weights.amax(dim=(1, 2, 3)) * places
    # A token that looks everywhere alike is shown in a middle tone, not as if it were all peak.
    scale = (peaks.clamp(min=2.0) / places).view(-1, 1, 1, 1)
    smooth = F.interpolate(weights / scale, size=(side, side), mode="bilinear", align_corners=False)
    return smooth.clamp(0, 1).sqrt(), peaks.tolist()


def blended(picture: np.ndarray, heat: Tensor) -> np.ndarray:
    """A picture in grey under the colours of attention.

    Args:
        picture: ``(S, S, 3)`` uint8.
        heat: ``(S, S)`` from 0 to 1.

    Returns:
        ``(S, S, 3)`` uint8.
    """
    level = heat.numpy()
    at = [stop for stop, _ in _STOPS]
    channels = zip(*(colour for _, colour in _STOPS), strict=True)
    hot = np.stack([np.interp(level, at, channel) for channel in channels], axis=-1)
    grey = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    grey = 0.6 * grey[..., None]
    share = (0.1 + 0.75 * level)[..., None]
    return np.clip(grey * (1 - share) + hot * share, 0, 255).astype(np.uint8)


def _timeline(
    draw: Any,
    at: tuple[int, int],
    shares: Sequence[float] | None,
    now: int,
    count: int,
    height: int,
) -> None:
    """Bars of how attention is spread over the frames, the present one marked."""
    left, top = at
    draw.rectangle((left, top, left + _PANEL - 1, top + height - 1), fill=_TRACK)
    most = max(shares) if shares else 1.0
    for t in range(count):
        begin, end = (left + round(_PANEL * place / count) for place in (t, t + 1))
        end = max(begin + 1, end - 1)
        if shares is None:
            if t == now:
                draw.rectangle((begin, top, end - 1, top + height - 1), fill=_NOW)
            continue
        level = round((height - 1) * shares[t] / most) if most else 0
        colour = _NOW if t == now else (190, 96, 60)
        draw.rectangle((begin, top + height - 1 - level, end - 1, top + height - 1), fill=colour)


def _sized(frame: Tensor, side: int) -> np.ndarray:
    """A frame (3, S, S) as a picture ``(side, side, 3)``."""
    image = require("PIL.Image", extra="train", purpose="a picture of attention")
    picture = image.fromarray(frame.permute(1, 2, 0).contiguous().numpy())
    return np.asarray(picture.resize((side, side), image.Resampling.BICUBIC))


def _repeats(times: np.ndarray) -> np.ndarray:
    """How often each time stamp stood there before, (T,)."""
    return np.arange(len(times)) - np.searchsorted(times, times, side="left")


def _times(peak: float) -> str:
    return f"{peak:.1f}×" if peak < 10 else f"{peak:.0f}×"


def _short(draw: Any, text: str, font: Any, room: int) -> str:
    if draw.textlength(text, font=font) <= room:
        return text
    while text and draw.textlength(text + "…", font=font) > room:
        text = text[:-1]
    return text + "…"


def _pillow() -> tuple[Any, Any]:
    image, pen = (
        require(f"PIL.{name}", extra="train", purpose="a picture of attention")
        for name in ("Image", "ImageDraw")
    )
    return image, pen


def _font(size: int) -> Any:
    """The font that matplotlib brings, which knows more letters than Pillow's own, else that."""
    fonts = require("PIL.ImageFont", extra="train", purpose="a picture of attention")
    try:
        plots = require("matplotlib", extra="train", purpose="the font")
        return fonts.truetype(f"{plots.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
    except (UserError, OSError):
        return fonts.load_default(size)
