"""Decoding with torchcodec: the same frames as PyAV gives, chosen by the same time stamps.

Opening, time stamps and reasons for failure stay PyAV's; torchcodec gets the frames of the file
and where decoding can begin, and decodes. Where it gives anything but the frames asked for,
where frames are known by their order alone, and where pixels are not square, PyAV decodes.
"""

from __future__ import annotations

import functools
import json
import warnings
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import UserError
from ...optional import require
from .crops import CropConverter
from .first_bytes import HEAD_BYTES
from .media import LocalFile, Media, open_bytes, pixel_shape
from .packets import PacketTable
from .picture import Converter
from .pyav_backend import FrameExtractor


@functools.lru_cache(maxsize=1)
def _decoders() -> ModuleType:
    purpose = "the decode backend torchcodec"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what an import says is nothing a user can change
            return require("torchcodec.decoders", extra="torchcodec", purpose=purpose)
    except (RuntimeError, OSError, ImportError) as error:
        # It says page-long what it tried: each version of FFmpeg in turn.
        raise UserError(
            f"{purpose} cannot be loaded: it needs FFmpeg 4 to 8 on the system with its shared "
            "libraries (apt-get install ffmpeg) and the torchcodec made for this version of torch "
            f"({torch.__version__})"
        ) from error


def check_torchcodec(device: str = "cpu") -> None:
    """Make sure that torchcodec can decode on a device.

    Args:
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        UserError: If the package, the system's FFmpeg or the device is missing.
    """
    _decoders()
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("decoding on cuda: torch sees no CUDA device; use decode.device cpu")


class TorchcodecFrames(FrameExtractor):
    """A video file open in torchcodec; see :class:`~.backend.FrameSource`.

    Args:
        media: The file or its bytes.
        device: ``"cpu"`` or ``"cuda"``, where pictures are decoded and resized; they arrive on the
            CPU.
        options: Of :class:`~.pyav_backend.FrameExtractor`.

    Raises:
        VideoError: If it cannot be opened.
        UserError: If the package, the system's FFmpeg or the device is missing.
    """

    def __init__(self, media: Media, device: str = "cpu", **options: Any):
        check_torchcodec(device)
        super().__init__(media, **options)
        self._device = device

    def pictures(self, ranks: np.ndarray, table: PacketTable, convert: Converter) -> np.ndarray:
        """Decode the frames at these positions in the table, sorted and distinct."""
        if table.order == "time" and pixel_shape(self.stream) == 1:
            frames = self._decode(ranks, table)
            if frames is not None:
                if isinstance(convert, CropConverter):
                    return _cut_out(frames, convert).cpu().numpy()
                return _resized(frames, convert).permute(0, 2, 3, 1).cpu().numpy()
        return super().pictures(ranks, table, convert)

    def _decode(self, ranks: np.ndarray, table: PacketTable) -> Tensor | None:
        """Frames ``(N, 3, H, W)`` uint8, or None where they are not those of the table."""
        source = self._source()
        if source is None:
            return None
        try:
            decoder = _decoders().VideoDecoder(
                source,
                stream_index=self.stream.index,
                num_ffmpeg_threads=1,  # one worker process decodes on one core
                device=self._device,
                custom_frame_mappings=_mappings(table),
            )
            batch = decoder.get_frames_at(ranks.tolist())
        except (RuntimeError, ValueError, IndexError):  # how it reports what it cannot decode
            return None
        times = (table.pts[ranks] * self.base.numerator) / self.base.denominator
        tick = float(self.base)
        if np.abs(batch.pts_seconds.cpu().numpy() - times).max() > tick / 2:
            return None
        return batch.data

    def _source(self) -> LocalFile | bytes | None:
        """The file or its bytes; None where another FFmpeg might take it for something else.

        torchcodec brings the system's FFmpeg, and its demuxers cannot be restricted. It gets
        what cannot be a list of other files to any version: those are text, without zero bytes.
        """
        file = open_bytes(self.media)
        if b"\0" not in file.read(HEAD_BYTES):
            return None
        file.seek(0)
        return file if isinstance(file, LocalFile) else self.media.content


def _mappings(table: PacketTable) -> str:
    """The frames of a table in the form of ``ffprobe -show_frames``, as torchcodec takes it."""
    durations = np.diff(table.pts, append=table.pts[-1:] + 1)
    keys = np.isin(table.pts, table.keys)
    rows = zip(table.pts.tolist(), durations.tolist(), keys.tolist(), strict=True)
    return json.dumps(
        {"frames": [{"pts": p, "duration": d, "key_frame": int(key)} for p, d, key in rows]}
    )


def _resized(frames: Tensor, convert: Converter) -> Tensor:
    height, width = frames.shape[2:]
    return _scaled(frames, *convert.target(width, height))


def _cut_out(frames: Tensor, convert: CropConverter) -> Tensor:
    """Rectangles ``(N, n, 3, S, S)`` of frames ``(N, 3, H, W)``."""
    height, width = frames.shape[2:]
    size = convert.crops.size
    boxes = convert.boxes(height, width)
    parts = [frames[..., top : top + h, left : left + w] for top, left, h, w in boxes]
    return torch.stack([_scaled(part, size, size) for part in parts], dim=1)


def _scaled(frames: Tensor, width: int, height: int) -> Tensor:
    if frames.shape[2:] == (height, width):
        return frames
    # Antialiased like FFmpeg's scaler. On a GPU only floats are resized so.
    scaled = F.interpolate(
        frames if frames.device.type == "cpu" else frames.float(),
        size=(height, width),
        mode="bilinear",
        antialias=True,
    )
    return scaled.round().clamp(0, 255).to(torch.uint8)
