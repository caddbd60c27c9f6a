"""Loading the public weights of TSM-MobileNetV2 (mit-han-lab/temporal-shift-module).

Names go by position (``base_model.features.2.conv.0.weight``), with ``net.`` after the first
convolution of a block that is shifted; the map below is the whole of what we know about them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..release import head_classes, load_release, read_release, swap_start
from ..video_model import check_names
from .tsm import TSMS, ShiftBlock, TSMMobileNetV2

_FEATURE = re.compile(r"base_model\.features\.(\d+)\.(.+)")
_TOP = {"new_fc.": "classifier.", "base_model.classifier.": "classifier."}


def load_tsm(
    path: str | Path,
    name: str = "tsm_mobilenetv2",
    *,
    num_classes: int | None = None,
    keep_classifier: bool = False,
    sampling: str = "dense",
    **overrides: Any,
) -> TSMMobileNetV2:
    """Build a TSM-MobileNetV2 from a file of its public weights.

    Args:
        path: ``.pth``, or ``.safetensors`` with the same names. Code in the file is never run.
        name: ``"tsm_mobilenetv2"``.
        num_classes: Classes of the new head; with ``keep_classifier`` the file decides.
        keep_classifier: Keep the file's last linear layer. Otherwise it is dropped and a fresh one
            is made.
        sampling: ``"dense"``, as the released weights were trained on Kinetics, or ``"uniform"``.
        overrides: Other constructor arguments of :class:`TSMMobileNetV2`.

    Returns:
        The model in training mode.

    Raises:
        CheckpointError: If the file cannot be read, or an entry is missing, unknown or of another
            shape (named).
        UserError: If the name or an argument is not known.
    """
    if name not in TSMS:
        raise UserError(f"no TSM named {name!r}; known: {', '.join(TSMS)}")
    check_names(TSMMobileNetV2, name, overrides)
    release = read_release(path)
    last = next((release[f"{k}weight"] for k in _TOP if f"{k}weight" in release), None)
    classes = head_classes(
        last, num_classes, keep_classifier=keep_classifier, source=path, caller="load_tsm"
    )
    arguments = {**TSMS[name], "sampling": sampling, **overrides, "num_classes": classes}
    model = TSMMobileNetV2(**arguments)
    blocks = [block for block in model.blocks if isinstance(block, ShiftBlock)]
    names = functools.partial(rename, blocks=blocks)
    load_release(model, release, names, path, of=name, keep_classifier=keep_classifier)
    return model


def rename(key: str, blocks: Sequence[ShiftBlock]) -> str | None:
    """Our name of the release's entry ``key``, None where it has none.

    Args:
        key: For example ``"base_model.features.3.conv.0.net.weight"``.
        blocks: The blocks of the model.
    """
    match = _FEATURE.fullmatch(key)
    if match is None:
        return swap_start(key, _TOP)
    index, rest = int(match[1]) - 1, match[2]
    if index in (-1, len(blocks)):
        new = swap_start(rest, {"0.": "conv.", "1.": "norm."})
        part = "stem" if index < 0 else "head_conv"
        return None if new is None else f"{part}.{new}"
    if index > len(blocks):
        return None
    block = blocks[index]
    parts = (
        ("expand", "depthwise", "project")
        if block.expand is not None
        else (
            "depthwise",
            "project",
        )
    )
    table = {}
    for i, part in enumerate(parts):
        shift = "net." if i == 0 and block.shifted else ""
        table[f"conv.{3 * i}.{shift}"] = f"{part}.conv."
        table[f"conv.{3 * i + 1}."] = f"{part}.norm."
    new = swap_start(rest, table)
    return None if new is None else f"blocks.{index}.{new}"
