"""Loading the public PyTorch weights of MoViNet base and stream (Atze00/MoViNet-pytorch).

They are the authors' TensorFlow weights under other names; trained on Kinetics-600. Names go by
position (``blocks.b1_l0.deep.conv_1.conv3d.weight``); the maps below are the whole of what we know
about them. Base (``causal=False``) and stream (``causal=True``) are different networks, and a file
of one is refused by name where the other is asked for.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from ...errors import CheckpointError, UserError
from ..release import head_classes, load_release, read_release, swap_start
from ..video_model import check_names
from .movinet import MoViNet
from .movinet_stream import MoViNetStream
from .movinet_tables import MOVINETS, Place

M = TypeVar("M", MoViNet, MoViNetStream)
_CONVS = {
    # by the class of the network: what the release calls a convolution
    MoViNet: "conv3d",
    MoViNetStream: "conv2d",
}
_STREAMING = re.compile(r"(^|\.)conv_[12]\.conv2d\.")
_BASE = re.compile(r"(^|\.)conv_1\.conv3d\.")


def _top(conv: str) -> dict[str, str]:
    """Starts of names outside the blocks, of a release that says ``conv``."""
    return {
        f"conv1.conv_1.{conv}.": "stem.conv.",
        "conv1.conv_1.norm.": "stem.norm.",
        f"conv7.conv_1.{conv}.": "head_conv.conv.",
        "conv7.conv_1.norm.": "head_conv.norm.",
        f"classifier.0.conv_1.{conv}.": "head_linear.",
        f"classifier.3.conv_1.{conv}.": "classifier.",
    }


def _block(conv: str) -> dict[str, str]:
    """Starts of names inside a block."""
    return {
        "alpha": "scale",
        f"expand.conv_1.{conv}.": "expand.conv.",
        "expand.conv_1.norm.": "expand.norm.",
        f"deep.conv_1.{conv}.": "depthwise.conv.",
        "deep.conv_1.norm.": "depthwise.norm.",
        "deep.conv_2.conv2d.": "time.",
        "deep.conv_2.norm.": "time.norm.",
        f"se.fc1.conv_1.{conv}.": "squeeze.reduce.",
        f"se.fc2.conv_1.{conv}.": "squeeze.expand.",
        f"project.conv_1.{conv}.": "project.conv.",
        "project.conv_1.norm.": "project.norm.",
    }


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
    return _load(MoViNet, path, name, num_classes, keep_classifier, overrides)


def load_movinet_stream(
    path: str | Path,
    name: str,
    *,
    num_classes: int | None = None,
    keep_classifier: bool = False,
    **overrides: Any,
) -> MoViNetStream:
    """Build a MoViNet stream from a file of its public PyTorch weights (``causal=True``).

    Args:
        path: As ``torch.save`` wrote it, or ``.safetensors``. Code in the file is never run.
        name: ``"movinet_a0_stream"``, ``"movinet_a1_stream"`` or ``"movinet_a2_stream"``.
        num_classes: Classes of the new head; with ``keep_classifier`` the file decides.
        keep_classifier: Keep the file's last linear layer.
        overrides: Other constructor arguments of :class:`MoViNetStream`.

    Returns:
        The model in training mode.

    Raises:
        CheckpointError: If the file cannot be read, or an entry is missing, unknown or of another
            shape (named).
        UserError: If the name or an argument is not known.
    """
    return _load(MoViNetStream, path, name, num_classes, keep_classifier, overrides)


def _load(
    kind: type[M],
    path: str | Path,
    name: str,
    num_classes: int | None,
    keep_classifier: bool,
    overrides: dict[str, Any],
) -> M:
    end = "_stream" if kind is MoViNetStream else ""
    known = [f"{one}{end}" for one in MOVINETS]
    if name not in known:
        raise UserError(
            f"no MoViNet{end.replace('_', ' ')} named {name!r}; known: {', '.join(known)}"
        )
    check_names(kind, name, overrides)
    conv, variant = _CONVS[kind], MOVINETS[name.removesuffix("_stream")]
    release = read_release(path)
    last = release.get(f"classifier.3.conv_1.{conv}.weight")
    classes = head_classes(
        last,
        num_classes,
        keep_classifier=keep_classifier,
        source=path,
        caller=f"load_movinet{end}",
    )
    model = kind(**{**variant.arguments(), **overrides, "num_classes": classes})
    _check_kind(release, name, conv, path)
    names = functools.partial(rename, places=variant.places(), conv=conv)
    load_release(model, release, names, path, of=name, keep_classifier=keep_classifier)
    return model


def _check_kind(release: Mapping[str, Tensor], name: str, conv: str, source: str | Path) -> None:
    """Refuse the weights of a stream for a base model, and the other way round."""
    for key in release:
        if conv == "conv3d" and _STREAMING.search(key):
            raise CheckpointError(
                f"{source}: entry {key!r} is of a streaming MoViNet; {name} is the base model, "
                f"take {name}_stream"
            )
        if conv == "conv2d" and _BASE.search(key):
            raise CheckpointError(
                f"{source}: entry {key!r} is of a base MoViNet; {name} is the streaming model, "
                f"take {name.removesuffix('_stream')}"
            )


def rename(key: str, places: Sequence[Place], conv: str = "conv3d") -> str | None:
    """Our name of the release's entry ``key``, None where it has none.

    Args:
        key: For example ``"blocks.b1_l0.deep.conv_1.conv3d.weight"``.
        places: Where each block stands in the release.
        conv: What the release calls a convolution: ``"conv3d"``, of streams ``"conv2d"``.
    """
    parts = key.split(".", 2)
    if parts[0] != "blocks" or len(parts) < 3:
        return swap_start(key, _top(conv))
    for index, place in enumerate(places):
        if f"b{place.stage}_l{place.layer}" == parts[1]:
            # A strided shortcut is a pooling, at 0, and a projection.
            shortcut = f"res.{1 if place.strided else 0}.conv_1."
            table = {f"{shortcut}{conv}.": "shortcut.conv.", f"{shortcut}norm.": "shortcut.norm."}
            new = swap_start(parts[2], {**_block(conv), **table})
            return None if new is None else f"blocks.{index}.{new}"
    return None
