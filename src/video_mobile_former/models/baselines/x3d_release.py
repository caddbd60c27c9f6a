"""Loading the public weights of X3D, as SlowFast and pytorchvideo name them.

Both name layers by position (``s2.pathway0_res0.branch2.a.weight``,
``blocks.1.res_blocks.0.branch2.conv_a.weight``); the maps below are the whole of what we know about
them. pytorchvideo calls the stem's spatial convolution ``conv_t`` and its temporal one ``conv_xy``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import UserError
from ..release import head_classes, load_release, read_release, swap_start
from ..video_model import check_names
from .x3d import X3D, X3DS

_LAST = ("head.projection.weight", "blocks.5.proj.weight")
_EPS = 1e-5

_SLOWFAST = {
    "s1.pathway0_stem.conv_xy.": "stem.conv.",
    "s1.pathway0_stem.conv.": "stem.temporal.",
    "s1.pathway0_stem.bn.": "stem.norm.",
    "head.conv_5.": "head_conv.conv.",
    "head.conv_5_bn.": "head_conv.norm.",
    "head.lin_5.": "head_linear.",
    "head.projection.": "classifier.",
}
_SLOWFAST_BLOCK = {
    "branch1.": "shortcut.conv.",
    "branch1_bn.": "shortcut.norm.",
    "branch2.a.": "expand.conv.",
    "branch2.a_bn.": "expand.norm.",
    "branch2.b.": "depthwise.conv.",
    "branch2.b_bn.": "depthwise.norm.",
    "branch2.se.fc1.": "squeeze.reduce.",
    "branch2.se.fc2.": "squeeze.expand.",
    "branch2.c.": "project.conv.",
    "branch2.c_bn.": "project.norm.",
}
_PYTORCHVIDEO = {
    "blocks.0.conv.conv_t.": "stem.conv.",
    "blocks.0.conv.conv_xy.": "stem.temporal.",
    "blocks.0.norm.": "stem.norm.",
    "blocks.5.pool.pre_conv.": "head_conv.conv.",
    "blocks.5.pool.pre_norm.": "head_conv.norm.",
    "blocks.5.pool.post_conv.": "head_linear.",
    "blocks.5.proj.": "classifier.",
}
_PYTORCHVIDEO_BLOCK = {
    "branch1_conv.": "shortcut.conv.",
    "branch1_norm.": "shortcut.norm.",
    "branch2.conv_a.": "expand.conv.",
    "branch2.norm_a.": "expand.norm.",
    "branch2.conv_b.": "depthwise.conv.",
    "branch2.norm_b.0.": "depthwise.norm.",
    "branch2.norm_b.1.block.0.": "squeeze.reduce.",
    "branch2.norm_b.1.block.2.": "squeeze.expand.",
    "branch2.conv_c.": "project.conv.",
    "branch2.norm_c.": "project.norm.",
}
_BLOCKS = (
    (re.compile(r"s([2-5])\.pathway0_res(\d+)\.(.+)"), 2, _SLOWFAST_BLOCK),
    (re.compile(r"blocks\.([1-4])\.res_blocks\.(\d+)\.(.+)"), 1, _PYTORCHVIDEO_BLOCK),
)


def load_x3d(
    path: str | Path,
    name: str,
    *,
    num_classes: int | None = None,
    keep_classifier: bool = False,
    **overrides: Any,
) -> X3D:
    """Build an X3D from a file of its public weights.

    Args:
        path: Of SlowFast (``x3d_s.pyth``) or pytorchvideo (``X3D_S.pyth``), or ``.safetensors``
            with the names of either. Code in the file is never run.
        name: ``"x3d_xs"``, ``"x3d_s"`` or ``"x3d_m"``. The three have the same weights by name and
            shape, so that nothing but the name of the file tells them apart.
        num_classes: Classes of the new head; with ``keep_classifier`` the file decides.
        keep_classifier: Keep the file's last linear layer. Otherwise it is dropped and a fresh one
            is made.
        overrides: Other constructor arguments of :class:`X3D`.

    Returns:
        The model in training mode.

    Raises:
        CheckpointError: If the file cannot be read, or an entry is missing, unknown or of another
            shape (named).
        UserError: If the name or an argument is not known.
    """
    if name not in X3DS:
        raise UserError(f"no X3D named {name!r}; known: {', '.join(X3DS)}")
    check_names(X3D, name, overrides)
    # SlowFast keeps a pytorchvideo network that it trained under one name more.
    release = {key.removeprefix("model."): value for key, value in read_release(path).items()}
    last = next((release[key] for key in _LAST if key in release), None)
    classes = head_classes(
        last, num_classes, keep_classifier=keep_classifier, source=path, caller="load_x3d"
    )
    model = X3D(**{**X3DS[name], **overrides, "num_classes": classes})
    depths = [blocks for _, blocks in model.architecture["stages"]]
    load_release(
        model,
        release,
        functools.partial(rename, depths=depths),
        path,
        of="X3D",
        keep_classifier=keep_classifier,
        then=_fold_shortcut_norms,
    )
    return model


def rename(key: str, depths: Sequence[int]) -> str | None:
    """Our name of the entry ``key`` of either release, None where it has none.

    Args:
        key: For example ``"s2.pathway0_res0.branch2.a.weight"``.
        depths: Number of blocks of each stage.
    """
    for pattern, first, table in _BLOCKS:
        match = pattern.fullmatch(key)
        if match is not None:
            stage, place = int(match[1]) - first, int(match[2])
            new = swap_start(match[3], table)
            if new is None or stage >= len(depths) or place >= depths[stage]:
                return None
            return f"blocks.{sum(depths[:stage]) + place}.{new}"
    return swap_start(key, _SLOWFAST) or swap_start(key, _PYTORCHVIDEO)


def _fold_shortcut_norms(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Fold the norm of a shortcut that has none here into its convolution and its sum.

    SlowFast has such a norm where the first stage halves the picture. In inference it multiplies
    each channel and adds a number to it: the factor goes into the shortcut's weights and the number
    into the bias of the last norm of the block, whose output is added to the shortcut's.
    """
    for key in [key for key in state if key.endswith(".shortcut.norm.weight") and key not in own]:
        block = key.removesuffix(".shortcut.norm.weight")
        norm = [f"{block}.shortcut.norm.{part}" for part in ("weight", "bias")]
        norm += [f"{block}.shortcut.norm.running_{part}" for part in ("mean", "var")]
        weight, bias = f"{block}.shortcut.conv.weight", f"{block}.project.norm.bias"
        if not {*norm, weight, bias} <= state.keys():
            continue  # the missing entry is named later
        gamma, beta, mean, var = (state.pop(entry).double() for entry in norm)
        state.pop(f"{block}.shortcut.norm.num_batches_tracked", None)
        scale = gamma / torch.sqrt(var + _EPS)
        state[weight] = (state[weight].double() * scale.view(-1, 1, 1, 1)).to(own[weight].dtype)
        state[bias] = (state[bias].double() + beta - mean * scale).to(own[bias].dtype)
