"""Weights that others published: reading their files without running what is in them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import CheckpointError
from .checkpoint import read_weights


def read_release(path: str | Path) -> dict[str, Tensor]:
    """Read the state dict of a released checkpoint without running code from it.

    Args:
        path: ``.safetensors``, or a file of ``torch.save``. The weights may stand at the top or
            under ``state_dict``, ``model``, ``model_state`` or ``state_dict_ema``, with or without
            ``module.`` before every name.

    Raises:
        CheckpointError: If the file is missing, broken or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint file at {path}")
    if path.suffix == ".safetensors":
        return read_weights(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} cannot be read safely: it is truncated, no torch checkpoint, or holds objects "
            "other than tensors and plain values. If you trust it, load it yourself and save its "
            "state dict as .safetensors"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} cannot be read: no torch checkpoint ({error})") from error
    for key in ("state_dict", "model", "model_state", "state_dict_ema"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{path} holds no state dict (names to tensors)")
    return {str(k).removeprefix("module."): v for k, v in content.items()}


def swap_start(key: str, table: Mapping[str, str]) -> str | None:
    """Put another start of a name in the place of the first of ``table`` that fits.

    Args:
        key: The name.
        table: New starts by old ones.

    Returns:
        The new name, None where no start fits.
    """
    for old, new in table.items():
        if key.startswith(old):
            return new + key[len(old) :]
    return None
