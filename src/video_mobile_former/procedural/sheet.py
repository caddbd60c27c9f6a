"""Contact sheets: for each class a row of frames of a clip."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..files import atomic_path, check_folder
from ..optional import require
from .families import recall
from .spec import ProceduralSpec
from .stream import ProceduralVideo

_MARK = "vmf data draw"
"""In the PNG, so that no picture of somebody else is replaced."""
_NAME = 118
"""Width of the column of names in pixels."""


def write_sheets(
    folder: str | Path, spec: ProceduralSpec, *, seed: int = 0, clips: int = 1
) -> list[Path]:
    """Write a PNG for each family: a row of frames for each class.

    Args:
        folder: Where to write ``sheet-<family>.png``; created.
        spec: What the clips show.
        seed: As for :class:`ProceduralVideo`.
        clips: Clips side by side in a row, at least 1.

    Returns:
        The files written.

    Raises:
        UserError: If the system refuses to write.
    """
    check_folder(folder)
    written = []
    mark = require("PIL.PngImagePlugin", extra="train", purpose="a contact sheet").PngInfo()
    mark.add_text("Software", _MARK)
    video = ProceduralVideo(spec, seed=seed)
    for family in dict.fromkeys(video.class_family):
        path = Path(folder) / f"sheet-{family}.png"
        if path.exists() and _MARK.encode() not in path.read_bytes()[:256]:
            raise UserError(f"{path} is there and was not written by vmf: name another folder")
        with atomic_path(path) as temporary:
            sheet(video, family, clips=clips).save(temporary, pnginfo=mark)
        written.append(path)
    return written


def sheet(video: ProceduralVideo, family: str, *, clips: int = 1, most_frames: int = 8) -> Any:
    """The contact sheet of one family of ``video`` as a PIL picture."""
    found = [k for k, owner in enumerate(video.class_family) if owner == family]
    labels = torch.tensor(found, device=video.device)
    # Another scene for each row.
    places = torch.arange(len(found), device=video.device)
    columns = [
        video.draw(column, places, labels).clips.permute(0, 2, 3, 4, 1).cpu()
        for column in range(clips)
    ]
    names = tuple(video.class_names[k] for k in found)
    shown = shown_frames(family, video.spec.num_frames, most_frames)
    return _assembled(torch.stack(columns, 1), names, shown)


def shown_frames(family: str, num_frames: int, most: int) -> list[int]:
    """Frames of a clip that a sheet shows: evenly spread, or where a long clip tells its class."""
    if family == "recall" and num_frames > most:
        cue = torch.linspace(0, recall.CUE_FRAMES, most // 2)
        asked = num_frames - 1 - torch.linspace(recall.QUESTION_FRAMES, 0, most - most // 2)
        return torch.cat([cue, asked]).round().long().tolist()
    return torch.linspace(0, num_frames - 1, min(num_frames, most)).round().long().tolist()


def _assembled(rows: Tensor, names: tuple[str, ...], shown: list[int]) -> Any:
    """Rows (N, clips, T, S, S, 3) below each other, names at the left, of the frames shown."""
    image, draw, fonts = (
        require(f"PIL.{name}", extra="train", purpose="a contact sheet")
        for name in ("Image", "ImageDraw", "ImageFont")
    )
    count, clips, _, side = rows.shape[:4]
    step, apart = side + 2, 8
    width = _NAME + clips * (len(shown) * step + apart)
    picture = image.new("RGB", (width, count * step), "white")
    pen, font = draw.Draw(picture), fonts.load_default(13)
    for row, name in enumerate(names):
        text = textwrap.fill(name.replace("_", " "), 15)
        pen.text((6, row * step + 6), text, fill="black", font=font)
        for clip in range(clips):
            for column, frame in enumerate(shown):
                left = _NAME + clip * (len(shown) * step + apart) + column * step
                picture.paste(image.fromarray(rows[row, clip, frame].numpy()), (left, row * step))
    return picture
