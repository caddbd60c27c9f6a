"""Models by name: the variants of the family, the baselines, and what a checkpoint folder holds."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import Path
from typing import Any, overload

from ..errors import CheckpointError, UserError, known_names
from .baselines import BASELINES, Baseline
from .checkpoint import CONFIG_NAME, read_config
from .shipped_weights import load_shipped
from .variants import VARIANTS, Variant, VariantName
from .video_mobile_former import VideoMobileFormer
from .video_model import VideoModel, check_names

ARCHITECTURES: dict[str, type[VideoModel]] = {
    model.__name__: model
    for model in (VideoMobileFormer, *(baseline.model for baseline in BASELINES.values()))
}
"""Classes a checkpoint may name; nothing else is ever looked up from a file."""


def list_models(filter: str = "", *, baselines: bool = True) -> list[str]:
    """Names that :func:`create_model` takes, the family first.

    Args:
        filter: Keep names that contain this text, or match it as a pattern such as ``"vmf_*"``.
        baselines: Also those of other methods.
    """
    names = [*VARIANTS, *(BASELINES if baselines else ())]
    if any(mark in filter for mark in "*?["):
        return [name for name in names if fnmatch.fnmatchcase(name, filter)]
    return [name for name in names if filter in name]


def get_variant(name: str) -> Variant:
    """The row of the family's table called ``name``.

    Raises:
        UserError: If there is none; suggests the nearest.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    raise _unknown(name, VARIANTS)


def get_baseline(name: str) -> Baseline:
    """The row of the table of baselines called ``name``.

    Raises:
        UserError: If there is none; suggests the nearest.
    """
    if name in BASELINES:
        return BASELINES[name]
    raise _unknown(name, BASELINES)


@overload
def create_model(
    name: VariantName, num_classes: int = 400, *, weights: str | None = None, **overrides: Any
) -> VideoMobileFormer: ...


@overload
def create_model(
    name: str, num_classes: int = 400, *, weights: str | None = None, **overrides: Any
) -> VideoModel: ...


def create_model(
    name: str, num_classes: int = 400, *, weights: str | None = None, **overrides: Any
) -> VideoModel:
    """Build a model of the family, or a baseline, with fresh weights or those of the package.

    Args:
        name: One of :func:`list_models`.
        num_classes: Number of logits.
        weights: ``"procedural"`` takes the weights that come with the package, learned from drawn
            clips, for all but the head; see :func:`~.shipped_weights.shipped_weights`.
        overrides: Constructor arguments that shall differ from those of the name. All models take
            ``num_frames``, ``crop_size``, ``form``, ``drop_rate`` and ``drop_path_rate``;
            :class:`VideoMobileFormer` also ``num_tokens``, ``temporal_conv``,
            ``temporal_kernel``, ``stem_temporal_kernel``, …

    Returns:
        The model in training mode. Fresh weights come from torch's global random state.

    Raises:
        UserError: If the name or an argument is unknown or out of range, or there are no such
            weights.
        CheckpointError: If the weights are of other layers than the overrides make.
    """
    if name in BASELINES:
        model, own = BASELINES[name].model, BASELINES[name].arguments
    elif name in VARIANTS:
        model, own = VideoMobileFormer, VARIANTS[name].arguments()
    else:
        raise _unknown(name, list_models())
    check_names(model, name, overrides)
    made = model(**{**own, "num_classes": num_classes, **overrides})
    if weights is not None:
        load_shipped(made, name, weights)
    return made


def load_checkpoint(folder: str | Path) -> VideoModel:
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


def resolve_model(name_or_folder: str | Path) -> VideoModel:
    """Whatever stands for a model: a checkpoint folder, or one of :func:`list_models`.

    Raises:
        UserError: If it is neither.
    """
    if str(name_or_folder) in list_models() and not Path(name_or_folder).exists():
        return create_model(str(name_or_folder)).eval()
    if Path(name_or_folder).exists():
        return load_checkpoint(name_or_folder)
    if len(Path(name_or_folder).parts) > 1:  # cannot be meant as a name
        raise CheckpointError(f"no checkpoint folder at {name_or_folder}")
    raise CheckpointError(
        f"no checkpoint folder at {name_or_folder}, and no model of that name"
        + known_models(str(name_or_folder))
    )


def known_models(name: str, among: Iterable[str] | None = None) -> str:
    """The end of a message that no model has a name: the nearest one, and all that there are.

    Args:
        name: What was typed.
        among: Names to choose from; None for all of :func:`list_models`.
    """
    # Names are alike; a nearness that suggests more would suggest models for any word.
    return known_names(name, list_models() if among is None else among, cutoff=0.6)


def _unknown(name: str, known: Iterable[str]) -> UserError:
    return UserError(f"no model named {name!r}{known_models(name, known)}")
