"""Models by name: the variants of the family, and whatever a checkpoint folder holds."""

from __future__ import annotations

import difflib
import fnmatch
import inspect
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, UserError
from .checkpoint import CONFIG_NAME, read_config
from .variants import VARIANTS, Variant
from .video_mobile_former import VideoMobileFormer

ARCHITECTURES: dict[str, type[VideoMobileFormer]] = {"VideoMobileFormer": VideoMobileFormer}
"""Classes a checkpoint may name; nothing else is ever looked up from a file."""


def list_models(filter: str = "") -> list[str]:
    """Names that :func:`create_model` takes.

    Args:
        filter: Keep names that contain this text, or match it as a pattern such as ``"vmf_*"``.
    """
    if any(mark in filter for mark in "*?["):
        return [name for name in VARIANTS if fnmatch.fnmatchcase(name, filter)]
    return [name for name in VARIANTS if filter in name]


def get_variant(name: str) -> Variant:
    """The row of the family's table called ``name``.

    Raises:
        UserError: If there is none; suggests the nearest.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    near = difflib.get_close_matches(name, VARIANTS, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UserError(f"no model named {name!r}{hint} Known: {', '.join(VARIANTS)}")


def create_model(name: str, num_classes: int = 400, **overrides: Any) -> VideoMobileFormer:
    """Build a model of the family with fresh weights.

    Args:
        name: One of :func:`list_models`.
        num_classes: Number of logits.
        overrides: Constructor arguments of :class:`VideoMobileFormer` that shall differ from the
            variant's: ``num_tokens``, ``temporal_conv``, ``temporal_kernel``,
            ``stem_temporal_kernel``, ``num_frames``, ``crop_size``, ``form``, ``drop_rate``,
            ``drop_path_rate``, …

    Returns:
        The model in training mode. Weights come from torch's global random state.

    Raises:
        UserError: If the name or an argument is unknown or out of range.
    """
    arguments = {**get_variant(name).arguments(), "num_classes": num_classes}
    known = set(inspect.signature(VideoMobileFormer).parameters)
    for key in overrides:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{name} takes no argument {key!r}{hint}")
    return VideoMobileFormer(**{**arguments, **overrides})


def load_checkpoint(folder: str | Path) -> VideoMobileFormer:
    """Load the model of a checkpoint folder, of whatever class, in eval mode.

    Raises:
        CheckpointError: If a file is missing, broken or does not fit.
    """
    folder = Path(folder)
    config = read_config(folder)
    found = config["architecture"]["class"]
    if found not in ARCHITECTURES:
        raise CheckpointError(
            f"{folder / CONFIG_NAME}: unknown architecture {found!r}; "
            f"this version knows {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[found].from_config(config, folder)


def resolve_model(name_or_folder: str | Path) -> VideoMobileFormer:
    """Whatever stands for a model: a checkpoint folder, or a name of the family.

    Raises:
        UserError: If it is neither.
    """
    if str(name_or_folder) in VARIANTS and not Path(name_or_folder).exists():
        return create_model(str(name_or_folder)).eval()
    if Path(name_or_folder).exists():
        return load_checkpoint(name_or_folder)
    raise CheckpointError(
        f"no checkpoint folder at {name_or_folder}, and no model of that name "
        f"(known: {', '.join(VARIANTS)})"
    )
