"""Loading the public 2-D Mobile-Former release (arXiv 2108.05895) into the video family.

The release names its layers by position (``features.3.conv2.0.weight``); the map below is the
whole of what we know about it. Spatial kernels are inflated with a delta: the 2-D kernel sits at
the centre of every temporal kernel and the rest is zero, so that on a clip of equal frames the
video model gives exactly the logits of the 2-D one. In a streaming model, whose kernels look back
only, it sits at the newest tap.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..layers.conv import put_delta
from .checkpoint import load_weights
from .registry import create_model, get_variant
from .release import read_release, swap_start
from .streaming import StreamingVideoMobileFormer, with_memory
from .video_mobile_former import VideoMobileFormer

_TOP = {
    "tokens.weight": "tokens",
    "stem.0.": "stem.conv.",
    "stem.1.": "stem.norm.",
    "local_global.": "head_bridge.",
    "classifier.conv.1.": "head_conv.conv.",
    "classifier.conv.2.": "head_conv.norm.",
    "classifier.fc.0.": "head_linear.",
    "classifier.fc.1.": "head_norm.",
    "classifier.classifier.1.": "classifier.",
}
_FORMER = {
    "local_global.": "mobile_to_former.",
    "global_block.q.": "former.query.",
    "global_block.channel_mlp.": "former.output.",
    "global_block.layer_norm.": "former.norm.",
    "global_block.ffn.0.": "former.ffn_expand.",
    "global_block.ffn.2.": "former.ffn_project.",
    "global_block.ffn_norm.": "former.ffn_norm.",
    "global_local.k.": "former_to_mobile.key.",
    "global_local.proj.": "former_to_mobile.value.",
}
_BRIDGE = {
    "q.": "query.",
    "alpha.0.": "gate.",
    "proj.": "output.",
    "layer_norm.": "norm.",
}
_CONVS = {
    "mobile": ("expand", "depthwise", "project"),
    "down": ("down", "reduce", "depthwise", "project"),
}


def load_mobile_former(
    path: str | Path,
    variant: str,
    *,
    num_classes: int | None = None,
    keep_classifier: bool = False,
    **overrides: Any,
) -> VideoMobileFormer:
    """Build a video model from a checkpoint of the 2-D release.

    Args:
        path: ``.pth``, ``.pth.tar`` or ``.safetensors`` file; the weights may stand at the top or
            under ``state_dict``, ``model`` or ``state_dict_ema``, with or without ``module.``.
            Code in the file is never run.
        variant: The member of the family that extends the same parent, such as ``"vmf_500m"``.
        num_classes: Classes of the new head; with ``keep_classifier`` the file decides.
        keep_classifier: Keep the file's last linear layer. Otherwise it is dropped and a fresh
            one is made.
        overrides: Other constructor arguments, as for ``create_model``.

    Returns:
        The model in training mode.

    Raises:
        CheckpointError: If the file cannot be read, an entry is missing, unknown or of another
            shape (named), or the variant extends another parent.
    """
    state = inflate(read_release(path), variant, path, num_tokens=overrides.get("num_tokens"))
    classes = state["classifier.weight"].shape[0] if "classifier.weight" in state else None
    if keep_classifier:
        if num_classes not in (None, classes):
            raise CheckpointError(
                f"{path} has {classes} classes, not {num_classes}; leave num_classes out to keep "
                "its classifier, or drop the classifier"
            )
        num_classes = classes
    elif num_classes is None:
        raise CheckpointError(
            "load_mobile_former needs num_classes for a new head, or keep_classifier=True"
        )
    # Without the entry any number will do: the weights are then refused below, by name.
    model = create_model(variant, num_classes or 1, **overrides)
    assert isinstance(model, VideoMobileFormer)
    streams = isinstance(model, StreamingVideoMobileFormer)
    own = model.state_dict()
    state = with_memory(model, state)
    if not keep_classifier:
        state = {k: v for k, v in state.items() if not k.startswith("classifier.")}
        state.update({k: own[k] for k in ("classifier.weight", "classifier.bias")})
    for key, value in own.items():
        if key.endswith("temporal.weight"):
            state[key] = _delta(torch.ones_like(value[:, :, 0]), value, newest=streams)
        elif value.dim() == 5 and key in state and state[key].dim() == 4:
            state[key] = _delta(state[key], value, newest=streams)
    load_weights(model, state, path)
    return model


def inflate(
    release: Mapping[str, Tensor],
    variant: str,
    source: str | Path,
    *,
    num_tokens: int | None = None,
) -> dict[str, Tensor]:
    """Rename the entries of a release to ours; shapes stay 2-D.

    Raises:
        CheckpointError: If an entry is not of this parent.
    """
    parent = get_variant(variant).parent
    kinds = [row.kind for row in get_variant(variant).blocks]
    state: dict[str, Tensor] = {}
    for key, value in release.items():
        new = rename(key, kinds)
        if new is None:
            raise CheckpointError(
                f"{source}: entry {key!r} is not one of the 2-D parent {parent} of {variant}"
            )
        if num_tokens == 0 and _needs_tokens(new):
            continue
        state[new] = value
    if num_tokens == 0 and "head_linear.weight" in state:
        # The last columns read the first token, which this model does not have.
        width = state["head_conv.norm.weight"].shape[0]
        state["head_linear.weight"] = state["head_linear.weight"][:, :width].clone()
    return state


def rename(key: str, kinds: list[str]) -> str | None:
    """Our name of the release's entry ``key``, None where it has none.

    Args:
        key: For example ``"features.1.hyper1.hyper.0.weight"``.
        kinds: Kind of each block.
    """
    if key.startswith("features."):
        _, index, rest = key.split(".", 2)
        if not index.isdigit() or int(index) >= len(kinds):
            return None
        new = _rename_block(rest, kinds[int(index)])
        return None if new is None else f"blocks.{int(index)}.{new}"
    new = swap_start(key, _TOP)
    if new is not None and new.startswith("head_bridge."):
        part = swap_start(new.removeprefix("head_bridge."), _BRIDGE)
        return None if part is None else f"head_bridge.{part}"
    return new


def _rename_block(key: str, kind: str) -> str | None:
    if kind == "lite":
        table = {
            f"conv.{i}.": f"mobile.{name}."
            for i, name in (
                (0, "depthwise.conv"),
                (1, "depthwise.norm"),
                (4, "project.conv"),
                (5, "project.norm"),
            )
        }
        return swap_start(key, table)
    table: dict[str, str] = {}
    for i, name in enumerate(_CONVS[kind], start=1):
        table[f"conv{i}.0."] = f"mobile.{name}.conv."
        table[f"conv{i}.1."] = f"mobile.{name}.norm."
        table[f"hyper{i}.hyper.0."] = f"mobile.{name}_act.reduce."
        table[f"hyper{i}.hyper.2."] = f"mobile.{name}_act.slopes."
    new = swap_start(key, {**table, **_FORMER})
    if new is not None and new.startswith("mobile_to_former."):
        part = swap_start(new.removeprefix("mobile_to_former."), _BRIDGE)
        return None if part is None else f"mobile_to_former.{part}"
    return new


def _needs_tokens(key: str) -> bool:
    parts = key.split(".")
    return key == "tokens" or any(
        part in ("mobile_to_former", "former", "former_to_mobile", "head_bridge")
        or part.endswith("_act")
        for part in parts
    )


def _delta(tap: Tensor, like: Tensor, *, newest: bool) -> Tensor:
    """A kernel shaped as ``like`` (…, kt, k, k), zero but for one tap: the centre or the newest."""
    if tap.shape != like.shape[:2] + like.shape[3:]:
        return tap  # left as it is; the shape check names it
    kernel = torch.empty_like(like)
    put_delta(kernel, tap, newest=newest)
    return kernel
