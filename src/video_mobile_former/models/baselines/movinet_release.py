"""Loading the public PyTorch weights of MoViNet base (Atze00/MoViNet-pytorch).

They are the authors' TensorFlow weights under other names; trained on Kinetics-600. Names go by
position (``blocks.b1_l0.deep.conv_1.conv3d.weight``); the map below is the whole of what we know
about them. Weights of the streaming models are of another network and are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ...errors import CheckpointError, UserError
from ..checkpoint import load_weights
from ..release import head_classes, read_release, swap_start, without_single_axes
from ..video_model import check_names
from .movinet import MoViNet
from .movinet_tables import MOVINETS, Place

_HEAD = ("classifier.weight", "classifier.bias")
_TOP = {
    "conv1.conv_1.conv3d.": "stem.conv.",
    "conv1.conv_1.norm.": "stem.norm.",
    "conv7.conv_1.conv3d.": "head_conv.conv.",
    "conv7.conv_1.norm.": "head_conv.norm.",
    "classifier.0.conv_1.conv3d.": "head_linear.",
    "classifier.3.conv_1.conv3d.": "classifier.",
}
_BLOCK = {
    "alpha": "scale",
    "expand.conv_1.conv3d.": "expand.conv.",
    "expand.conv_1.norm.": "expand.norm.",
    "deep.conv_1.conv3d.": "depthwise.conv.",
    "deep.conv_1.norm.": "depthwise.norm.",
    "se.fc1.conv_1.conv3d.": "squeeze.reduce.",
    "se.fc2.conv_1.conv3d.": "squeeze.expand.",
    "project.conv_1.conv3d.": "project.conv.",
    "project.conv_1.norm.": "project.norm.",
}
_STREAMING = re.compile(r"(^|\.)conv_[12]\.conv2d\.")


def load_movinet(
    path: str | Path,
    name: str,
    *,
    num_classes: int | None = None,
    keep_classifier: bool = False,
    **overrides: Any,
) -> MoViNet:
    """Build a MoViNet from a file of its public PyTorch weights.

    Args:
        path: As ``torch.save`` wrote it, or ``.safetensors``. Code in the file is never run.
        name: ``"movinet_a0"``, ``"movinet_a1"`` or ``"movinet_a2"``.
        num_classes: Classes of the new head; with ``keep_classifier`` the file decides.
        keep_classifier: Keep the file's last linear layer. Otherwise it is dropped and a fresh one
            is made.
        overrides: Other constructor arguments of :class:`MoViNet`.

    Returns:
        The model in training mode.

    Raises:
        CheckpointError: If the file cannot be read, or an entry is missing, unknown or of another
            shape (named).
        UserError: If the name or an argument is not known.
    """
    if name not in MOVINETS:
        raise UserError(f"no MoViNet named {name!r}; known: {', '.join(MOVINETS)}")
    check_names(MoViNet, name, overrides)
    release = read_release(path)
    last = release.get("classifier.3.conv_1.conv3d.weight")
    classes = head_classes(
        last, num_classes, keep_classifier=keep_classifier, source=path, caller="load_movinet"
    )
    arguments = {**MOVINETS[name].arguments(), **overrides, "num_classes": classes}
    model = MoViNet(**arguments)
    state = _renamed(release, model, name, path)
    if not keep_classifier:
        own = model.state_dict()
        state |= {key: own[key] for key in _HEAD}
    load_weights(model, state, path)
    return model


def _renamed(
    release: Mapping[str, Tensor], model: MoViNet, name: str, source: str | Path
) -> dict[str, Tensor]:
    """The release under our names, kernels of one place in time or space without those axes."""
    own, places = model.state_dict(), MOVINETS[name].places()
    state: dict[str, Tensor] = {}
    for key, value in release.items():
        if _STREAMING.search(key):
            raise CheckpointError(
                f"{source}: entry {key!r} is of a streaming MoViNet; {name} is the base model, "
                "take the file of that one"
            )
        new = rename(key, places)
        if new is None:
            raise CheckpointError(f"{source}: entry {key!r} is not one of {name}")
        state[new] = without_single_axes(value, own[new]) if new in own else value
    return state


def rename(key: str, places: Sequence[Place]) -> str | None:
    """Our name of the release's entry ``key``, None where it has none.

    Args:
        key: For example ``"blocks.b1_l0.deep.conv_1.conv3d.weight"``.
        places: Where each block stands in the release.
    """
    parts = key.split(".", 2)
    if parts[0] != "blocks" or len(parts) < 3:
        return swap_start(key, _TOP)
    for index, place in enumerate(places):
        if f"b{place.stage}_l{place.layer}" == parts[1]:
            # A strided shortcut is a pooling, at 0, and a projection.
            shortcut = f"res.{1 if place.strided else 0}.conv_1."
            table = {f"{shortcut}conv3d.": "shortcut.conv.", f"{shortcut}norm.": "shortcut.norm."}
            new = swap_start(parts[2], {**_BLOCK, **table})
            return None if new is None else f"blocks.{index}.{new}"
    return None
