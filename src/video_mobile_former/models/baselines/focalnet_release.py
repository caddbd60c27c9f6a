"""Loading the public weights of Video-FocalNets (TalalWasim/Video-FocalNets).

Names go by stage (``layers.1.blocks.0.modulation.f.weight``), and the layer that halves the picture
is the end of a stage (``layers.0.downsample.proj.weight``), where here it begins the next one.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ...errors import UserError
from ..release import head_classes, load_release, read_release, swap_start
from ..video_model import check_names
from .focalnet import FOCALNETS, VideoFocalNet

_BLOCK = re.compile(r"layers\.(\d+)\.blocks\.(\d+)\.(.+)")
_SHRINK = re.compile(r"layers\.(\d+)\.downsample\.(.+)")
_LEVEL = re.compile(r"(modulation\.focal_layers(?:_temporal)?\.\d+)\.0\.weight")
_TOP = {"patch_embed.": "stem.", "norm.": "norm.", "head.": "classifier."}
_INNER = {"modulation.": "modulation.", "mlp.": "", "norm1.": "norm1.", "norm2.": "norm2."}


def load_focalnet(
    path: str | Path,
    name: str,
    *,
    num_classes: int | None = None,
    keep_classifier: bool = False,
    **overrides: Any,
) -> VideoFocalNet:
    """Build a Video-FocalNet from a file of its public weights.

    Args:
        path: ``.pth``, or ``.safetensors`` with the same names. Code in the file is never run.
        name: For example ``"video_focalnet_t"``.
        num_classes: Classes of the new head; with ``keep_classifier`` the file decides.
        keep_classifier: Keep the file's last linear layer. Otherwise it is dropped and a fresh one
            is made.
        overrides: Other constructor arguments of :class:`VideoFocalNet`.

    Returns:
        The model in training mode.

    Raises:
        CheckpointError: If the file cannot be read, or an entry is missing, unknown or of another
            shape (named).
        UserError: If the name or an argument is not known.
    """
    if name not in FOCALNETS:
        raise UserError(f"no Video-FocalNet named {name!r}; known: {', '.join(FOCALNETS)}")
    check_names(VideoFocalNet, name, overrides)
    release = read_release(path)
    classes = head_classes(
        release.get("head.weight"),
        num_classes,
        keep_classifier=keep_classifier,
        source=path,
        caller="load_focalnet",
    )
    model = VideoFocalNet(**{**FOCALNETS[name], **overrides, "num_classes": classes})
    names = functools.partial(rename, depths=model.architecture["depths"])
    load_release(
        model, release, names, path, of=name, keep_classifier=keep_classifier, then=_over_columns
    )
    return model


def _over_columns(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Kernels in time (C, C / groups, k) as they run here, (C, C / groups, k, 1)."""
    for key, value in state.items():
        if "focal_layers_temporal" in key and value.dim() == 3:
            state[key] = value.unsqueeze(-1)


def rename(key: str, depths: Sequence[int]) -> str | None:
    """Our name of the release's entry ``key``, None where it has none.

    Args:
        key: For example ``"layers.1.blocks.0.mlp.fc1.weight"``.
        depths: Blocks of each stage.
    """
    first = [0, *itertools.accumulate(depths)]
    if (match := _BLOCK.fullmatch(key)) is not None:
        stage, block = int(match[1]), int(match[2])
        inner = swap_start(match[3], _INNER)
        if stage >= len(depths) or block >= depths[stage] or inner is None:
            return None
        inner = _LEVEL.sub(r"\1.weight", inner)
        return f"blocks.{first[stage] + block}.{inner}"
    if (match := _SHRINK.fullmatch(key)) is not None:
        stage = int(match[1]) + 1
        return f"blocks.{first[stage]}.shrink.{match[2]}" if stage < len(depths) else None
    return swap_start(key, _TOP)
